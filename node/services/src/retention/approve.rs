//! Approves an erasure that another officer proposed. The node begins with it by itself.

use vrx_domain::{Caller, EntryKind, ErasureId, Role};
use vrx_provision_log::Deadline;
use vrx_storage::{Change, ChangeError, ErasureCounts};

use super::replay::settle_replayed;
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

const OWN: ServiceError =
    ServiceError::FailedPrecondition("whoever proposed an erasure can't approve it");

const OVER: ServiceError = ServiceError::FailedPrecondition(
    "the log records this erasure already; it was put back in the database",
);

/// An approval that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureApproval {
    /// What was approved.
    pub id: ErasureId,
    /// What was counted when it was proposed.
    pub proposed: ErasureCounts,
    /// The entry that records the approval.
    pub log_index: u64,
}

/// Approves; refused to the officer who proposed it.
pub async fn approve(
    ctx: &TenantServices,
    caller: &Caller,
    id: ErasureId,
    deadline: Deadline,
) -> Result<ErasureApproval, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let runs = ctx.retention.erasures().await;
    let runs = runs.map_err(|error| storage_error(ctx, &error))?;
    let run = runs
        .into_iter()
        .find(|run| run.id == id)
        .ok_or(ServiceError::NotFound)?;
    if settle_replayed(ctx, &run).await? {
        return Err(OVER);
    }
    let by = caller.id.to_string();
    if run.proposed_by == by {
        return Err(OWN);
    }
    let content = [
        ("erasure", id.to_string()),
        ("proposed_by", run.proposed_by.clone()),
        ("persons", run.proposed.persons.to_string()),
        ("doses", run.proposed.doses.to_string()),
        ("openings", run.proposed.openings.to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "erasure-approve",
        about: None,
        content: &pairs(&content),
    };
    // The store looks at state and persons again inside the transaction: two approvals at once can't both stand.
    let change = Change::approve_erasure(id, by, ctx.node.clock.now());
    let recorded = act.record(ctx, Some(change), (), deadline).await;
    let recorded = recorded.map_err(|error| match error {
        NotRecorded::Change(ChangeError::SamePerson) => OWN,
        other => other.into_service(),
    })?;
    Ok(ErasureApproval {
        id,
        proposed: run.proposed,
        log_index: recorded.log_index(),
    })
}
