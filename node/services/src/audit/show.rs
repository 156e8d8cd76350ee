//! Shows one entry: its opening's fields and the proof that it stands in the log.

use vrx_domain::{Caller, UnixMillis};
use vrx_provision_log::{Deadline, Recorded};
use vrx_tlog::Hash;

use crate::{error::ServiceError, tenants::TenantServices};

/// One entry in full. The `k_…` of its commitments aren't shown: they are as secret as the number.
pub struct ShownEntry {
    /// Index in the log.
    pub index: u64,
    /// When.
    pub time: UnixMillis,
    /// Kind of entry.
    pub kind: u8,
    /// The leaf, 134 bytes.
    pub leaf: Vec<u8>,
    /// The opening's fields: actor's, subject's (never the number), content's.
    pub fields: Vec<ShownField>,
    /// Position of this entry among those of the same person; 0 if it has no known person.
    pub subject_seq: u64,
    /// The entry before it of the same person.
    pub previous_index: Option<u64>,
    /// Audit path to the checkpoint's root.
    pub inclusion_proof: Vec<Hash>,
    /// The signed checkpoint that the proof leads to.
    pub checkpoint: String,
}

/// One field of an opening, as text (hashes and ids in hex).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownField {
    /// `actor`, `subject` or `content`.
    pub part: &'static str,
    /// The field's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The entry at `index`.
pub async fn show(
    ctx: &TenantServices,
    caller: &Caller,
    index: u64,
    deadline: Deadline,
) -> Result<Recorded<ShownEntry>, ServiceError> {
    todo!()
}
