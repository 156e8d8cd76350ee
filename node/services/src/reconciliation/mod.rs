//! Reconciliation (提供記録の照合): what a provider says it gave, held against what the requester has of it.
//!
//! A log that shows one requester another tree than everybody else would pass all checks of that requester's answers. So every
//! receipt is joined, within [`JOIN_WITHIN`], to a checkpoint that the provider shows to others too; and pair by pair, entries
//! are held against receipts and inquiries.
//!
//! - [`list_provisions`]: the provider's side: its entries about the caller's requests, proved to one checkpoint.
//! - [`report_differences`]: the provider hears what differs.
//! - `asked`: the requests that left this municipality.
//! - `compare`: what differs; pure. `held`: the receipts.
//! - `pair`: the requester's side, one provider at a time; `join`: its checkpoints and receipts; `alarms`: what it finds.
//! - [`nightly`]: the requester's task. [`reconcile_now`]: an officer doesn't wait for it.
//!
//! How far a pair is stands in the own log: control entries `reconcile` about a member are linked like a person's.

mod alarms;
mod asked;
mod compare;
mod held;
mod join;
pub mod list;
pub mod nightly;
pub mod now;
mod pair;
pub mod report;
mod standing;

use std::time::Duration;

use vrx_domain::RequestId;

pub use list::{ListProvisions, ProvisionPage, list_provisions};
pub use nightly::Nightly;
pub use now::reconcile_now;
pub use pair::{NotReconciled, Reconciled};
pub use report::report_differences;

/// A receipt that isn't joined to a later checkpoint of its log for so long is an alarm.
pub const JOIN_WITHIN: Duration = Duration::from_hours(24);

/// Most differences that one reconciliation names; the rest is counted.
pub const MOST_NAMED: usize = 100;

/// One entry of a provider's log about a request of the asking municipality's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provision {
    /// The request that was answered.
    pub request_id: RequestId,
    /// Its place in the provider's log.
    pub log_index: u64,
    /// Its leaf.
    pub leaf: [u8; 134],
    /// Audit path to the checkpoint of the list.
    pub inclusion_proof: Vec<[u8; 32]>,
}

/// What differs between a provider's entry and what the requester has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// The requester holds a receipt of a place at which the provider names no entry for it.
    ReceiptWithoutEntry,
    /// The provider's entry at that place isn't the one in the receipt.
    OtherEntry,
    /// The provider has an entry about a request that the requester never made.
    EntryWithoutInquiry,
}

impl DifferenceKind {
    /// The code in entries and log lines.
    pub fn code(self) -> &'static str {
        match self {
            Self::ReceiptWithoutEntry => "receipt-without-entry",
            Self::OtherEntry => "other-entry",
            Self::EntryWithoutInquiry => "entry-without-inquiry",
        }
    }
}

/// One difference. No personal data: a place and a random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Place in the provider's log.
    pub log_index: u64,
    /// What differs.
    pub kind: DifferenceKind,
    /// The request, as the side that has something says: the receipt's, else the entry's.
    pub request_id: RequestId,
}

#[cfg(test)]
mod tests;
