//! Verifies the tenant's whole log: every leaf, tile and opening against the signed checkpoint.

use tokio::sync::mpsc;
use vrx_domain::{Caller, EntryKind, Role};
use vrx_provision_log::{Deadline, Depth, Recorded};

use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

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
    /// Those of them whose openings are erased.
    pub erased: u64,
    /// Faults found, each naming index and kind of fault; empty when the log is whole.
    pub faults: Vec<String>,
    /// The signed checkpoint that was checked against.
    pub checkpoint: String,
}

/// Verifies the log; `progress` is sent to without waiting, so that a slow reader doesn't slow the verification.
pub async fn verify(
    ctx: &TenantServices,
    caller: &Caller,
    progress: mpsc::Sender<VerifyProgress>,
    deadline: Deadline,
) -> Result<Recorded<LogVerified>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let mut told = move |checked, total| {
        // A full channel only means that the last figure wasn't read yet.
        let _ = progress.try_send(VerifyProgress { checked, total });
    };
    let report = deadline
        .wait(ctx.log.reader().verify_all(Depth::Openings, &mut told))
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?
        .map_err(|error| read_error(ctx, &error))?;
    if let Some(fault) = &report.fault {
        tracing::error!(alarm = "log-fault", tenant = %ctx.tenant.code, %fault, "the provision log isn't whole");
    }
    let verified = LogVerified {
        entries: report.entries,
        erased: report.erased,
        faults: report.fault.iter().map(ToString::to_string).collect(),
        checkpoint: report.checkpoint,
    };
    let content = [
        ("entries", verified.entries.to_string()),
        ("faults", verified.faults.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-verify",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, verified, deadline)
        .await
        .map_err(NotRecorded::into_service)
}
