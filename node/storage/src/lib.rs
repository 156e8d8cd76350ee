//! The room where a tenant's sealed rows live: one small trait a noun, and the databases behind them.
//!
//! - **Here:** the traits ([`PersonStore`], [`RegistryStore`], [`ReceiptStore`], [`WitnessStore`], [`RetentionStore`], [`LogStore`]), the binary forms of sealed bodies (`body/`),
//!   comparing and sealing an import's rows (`prepare/`), opening rows (`sealed.rs`), copying a tenant (`copy/`), SQLite (`sqlite/`), migrations.
//!   Plaintext enters and leaves storage only in this room.
//! - **Never here:** who may see what, what an answer says, what a log entry means.
//! - **Why two ways to SQLite:** sqlx runs the migrations; rusqlite, on threads of its own, does the rest: see [`sqlite`].
//! - **Start reading** at [`LogStore::append`] (the commit everything hangs on), then [`PersonStore::lookup`] (the hot path).
//! - **To add a table:** a migration with every column commented, its body in `body/`, reads in `sqlite/register.rs`, writes
//!   as a [`Change`] in `sqlite/apply.rs`, a test in `conformance/` that every database must pass.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod body;
mod change;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
mod decoys;
mod error;
mod fit;
mod hold;
mod log;
mod persons;
pub mod postgres;
mod prepare;
mod receipts;
mod registry;
mod retention;
mod sealed;
pub mod sqlite;
mod store;
mod witness;

pub use change::Change;
pub use error::{AppendError, ChangeError, NotCommitted, StorageError};
pub use hold::{HOLDS_MOST, HoldRecord, in_force};
pub use log::{
    BatchItem, BatchRows, EntryRow, HeadRow, LeafRow, LogStore, MOST_BEHIND, Prepared, SealBatch,
    SubjectHead, SubjectTag, TileRow,
};
pub use persons::{Lookup, PersonRecord, PersonStore};
pub use postgres::{
    Arrival, PostgresArrival, PostgresCluster, PostgresLimits, PostgresMoving, PostgresOwner,
    PostgresSource, PostgresTenant, PostgresUrl, PostgresUrlError, TenantOptions,
};
pub use receipts::{
    KeptReceipt, LostLog, RECEIPT_PLACE, ReceiptStore, RecoveredEntry, RecoveryAnswer,
};
pub use registry::{
    Adoption, CHUNK_ROWS, Counts, DoseRow, EnteredWith, ImportCounts, ImportHeader, ImportKind,
    ImportRecord, ImportState, InquiryRecord, PeerCheckpoint, PersonRow, PreparedChunk,
    RegistryStore, RowOutcome, RowRefusal,
};
pub use retention::{
    BlankOpenings, Blanks, Claimed, ERASURE_MOST, ERASURE_STEP, ErasedAgain, ErasedBefore,
    ErasureCounts, ErasureRun, ErasureStage, OPENINGS_STEP, OpeningsStep, PersonSpan,
    RetentionStore, RunBlanks, waits_for_rewriting,
};
pub use sqlite::{
    SqliteMoving, SqliteOptions, SqliteReplacement, SqliteRewriting, SqliteSource, SqliteTenant,
};
pub use store::{LookupQueue, TenantStore};
pub use witness::{CosignedCheckpoint, WitnessStore, WitnessedLog};
