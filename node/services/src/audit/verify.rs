//! Verifies the tenant's whole log: every leaf, tile and opening against the signed checkpoint.

use tokio::sync::mpsc;
use vrx_domain::Caller;
use vrx_provision_log::{Deadline, Recorded};

use crate::{error::ServiceError, tenants::TenantServices};

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Entries checked.
    pub checked: u64,
    /// Entries to check.
    pub total: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogVerified {
    /// Entries checked.
    pub entries: u64,
    /// Faults found, each naming index and kind of fault; empty when the log is whole.
    pub faults: Vec<String>,
    /// The signed checkpoint that was checked against.
    pub checkpoint: String,
}

/// Verifies the log; `progress` is sent to without waiting.
pub async fn verify(
    ctx: &TenantServices,
    caller: &Caller,
    progress: mpsc::Sender<VerifyProgress>,
    deadline: Deadline,
) -> Result<Recorded<LogVerified>, ServiceError> {
    todo!()
}
