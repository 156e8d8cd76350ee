//! The provision log (提供記録): nothing leaves a node unrecorded, and what is recorded can't be rewritten unseen.
//!
//! *What lives here*: a tenant's one writer (group commit), the openings of entries, recovery, verification, export, receipts, and
//! [`Recorded`], the only way to an answer. *What must not*: SQL, sockets, rules about who may ask what, and personal data outside sealed
//! openings. The individual number isn't even in those.
//!
//! *Where to start*: [`ProvisionLog::record`] is what every use case calls; `writer.rs` takes batches, `commit.rs` tells the three classes of error apart;
//! `look.rs` is what it learns without writing; `recover.rs` is what a start does; `opening.rs` is the sealed format. *How to add one more*: a new kind of entry is a table in
//! `vrx_domain::audit` and no change here; a new thing to read from the log is a method of [`LogReader`] in a file of its own.
//!
//! **The commit point** is the return of `LogStore::append`: before it, nothing of a batch is believed; after it, nothing is taken back.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod batch;
mod blanks;
mod checkpoint;
mod commit;
mod copied;
mod deadline;
mod entry;
mod epoch;
mod erasures;
mod error;
mod export;
mod gap;
mod history;
mod kept;
mod log;
mod look;
mod measures;
mod opening;
mod options;
mod reader;
mod recorded;
mod recover;
mod serve;
mod shared;
mod stored;
mod tiles;
mod verify;
mod writer;

pub use blanks::{ExpectedBlanks, are_listed, with_places};
pub use checkpoint::SignedCheckpoint;
pub use copied::{CheckedLog, CopiedFault, CopiedLog};
pub use deadline::{Deadline, Passed};
pub use entry::{Entry, Subject};
pub use epoch::{KeptBefore, NewEpoch, Standing, kept_before};
pub use erasures::{ErasureEntry, RecordedErasures};
pub use error::{ExportError, Fault, ReadError, RecordError, StartError, Unavailable};
pub use export::{Bundles, Exported};
pub use history::{Step, SubjectWalk};
pub use log::ProvisionLog;
pub use measures::Measures;
pub use opening::Opening;
pub use options::{LogOptions, MissingKept};
pub use reader::LogReader;
pub use recorded::{Openings, Recorded};
pub use shared::{Health, LogState};
pub use stored::{Outline, ProvedEntry, ReadEntry, StoredEntry};
pub use verify::{Depth, VerifyReport, is_erasable};
