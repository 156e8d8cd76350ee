//! Where a tenant's sealed rows live. (under construction)
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod change;
mod error;
mod log;
mod persons;
mod registry;

pub use change::Change;
pub use error::{AppendError, ChangeError, NotCommitted, StorageError};
pub use log::{
    BatchItem, BatchRows, EntryRow, HeadRow, LeafRow, LogStore, Prepared, SealBatch, SubjectHead,
    SubjectTag, TileRow,
};
pub use persons::{Lookup, PersonRecord, PersonStore};
pub use registry::{
    Adoption, CHUNK_ROWS, Counts, DoseRow, ImportCounts, ImportHeader, ImportKind, ImportRecord,
    ImportState, InquiryRecord, PersonRow, PreparedChunk, RegistryStore, RowOutcome, RowRefusal,
};
