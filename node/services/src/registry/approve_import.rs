//! Approves what another member of staff imported (本登録): only then may it be exchanged, certified or counted.

use vrx_domain::{Caller, ImportId};
use vrx_provision_log::Deadline;

use crate::{error::ServiceError, tenants::TenantServices};

/// What an approval did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalReport {
    /// The import approved.
    pub import: ImportId,
    /// Persons or doses that it held.
    pub rows: u64,
    /// The entry that records the approval.
    pub log_index: u64,
}

/// Approves `import`; refused to the person who imported it.
pub async fn approve_import(
    ctx: &TenantServices,
    caller: &Caller,
    import: ImportId,
    deadline: Deadline,
) -> Result<ApprovalReport, ServiceError> {
    todo!()
}
