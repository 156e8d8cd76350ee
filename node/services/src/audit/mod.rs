//! The privacy officer's reading of the provision log. Every read is an entry itself.

pub mod bundle;
mod chain;
pub mod days;
mod erased;
pub mod history;
pub mod list;
mod look;
pub mod mark;
mod opened;
pub(crate) mod page_token;
mod register;
mod row;
pub mod show;
mod shown;
pub mod story;
pub mod verify;

pub use bundle::entry_bundle;
pub use chain::{Mark, MissingEntries};
pub use days::{
    Alert, AlertKind, CounterpartyCounts, Counts, DayReview, DaysSummary, OperatorCounts,
    ReviewSignature, SummaryRequest,
    sign::{Signed, sign_review},
    summarize,
};
pub use history::{History, HistoryPart, HistoryRequest, HistoryTotals, history};
pub use list::{EntryFilter, EntryPage, EntrySummary, ListRequest, Order, list};
pub use mark::{MarkReport, MarkRequest, mark};
pub use row::{Counterparty, HistoryDose, HistoryRow, HistoryView, KnownDose, RowErasure};
pub use show::{ShownEntry, ShownField, prove, show};
pub use shown::Cosigning;
pub use story::{Relation, Story, story};
pub use verify::{LogVerified, VerifyProgress, verify};

#[cfg(test)]
mod days_tests;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod look_tests;
#[cfg(test)]
mod tests;
