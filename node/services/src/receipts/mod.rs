//! Receipts (提供記録の受領証): what a requester keeps of each answer, gives back when its provider asks, and what a provider that lost
//! its newest entries makes of them.
//!
//! A provider that restores a backup goes on in a new epoch of its log. The entries between the backup and the loss are gone, but
//! each was answered to a member, which holds the receipt: leaf, signed checkpoint, audit path.
//!
//! - [`list_receipts`]: the asked member gives the receipts of the caller's own log back.
//! - [`recovery`]: the provider's task that asks each member until it answered, and enters what was proved again.
//! - `check`: what a receipt must prove before it is believed.
//! - `enter`: one entry a lost one, an alarm for what contradicts.
//!
//! A leaf is commitments: the lost entry's place, time and requester come back, not whom it was about nor what was told.

mod check;
mod enter;
pub mod list;
pub mod recovery;

pub use list::{ListReceipts, ReceiptPage, list_receipts};
pub use recovery::Recovery;

/// The receipt of one answer, as its requester keeps it.
pub use vrx_storage::KeptReceipt;

use vrx_domain::{MunicipalityCode, RequestId, UnixMillis};
use vrx_tlog::{Receipt, VerifierKey};

/// A checked receipt as it is kept. The consistency proof isn't: it leads from a checkpoint that was known then.
pub(crate) fn kept_receipt(
    provider: MunicipalityCode,
    key: &VerifierKey,
    request_id: RequestId,
    now: UnixMillis,
    receipt: &Receipt,
) -> KeptReceipt {
    KeptReceipt {
        provider,
        origin: key.name().to_owned(),
        log_index: receipt.log_index,
        entered_at: now,
        request_id,
        leaf: receipt.leaf,
        note: receipt.checkpoint.clone(),
        proof: receipt.inclusion_proof.clone(),
    }
}
