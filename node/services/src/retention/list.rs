//! Shows all erasures (消去記録) with their certificates, and the holds in force. Whom a hold exempts isn't said.

use vrx_domain::{Caller, EntryKind, Hold, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_storage::ErasureRun;

use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// What stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureList {
    /// The newest proposed first.
    pub runs: Vec<ErasureRun>,
    /// The holds in force, the oldest first.
    pub holds: Vec<Hold>,
}

/// All of them: there are a few a year.
pub async fn list(
    ctx: &TenantServices,
    caller: &Caller,
    deadline: Deadline,
) -> Result<Recorded<ErasureList>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let stored = |error| storage_error(ctx, &error);
    let runs = ctx.retention.erasures().await.map_err(stored)?;
    let holds = ctx.retention.holds().await.map_err(stored)?;
    let today = ctx.node.clock.today();
    let mut holds: Vec<Hold> = holds.into_iter().flat_map(|record| record.holds).collect();
    holds.retain(|hold| hold.is_in_force(today));
    holds.sort_by_key(|hold| hold.placed_at);
    let list = ErasureList { runs, holds };
    let content = [
        ("erasures", list.runs.len().to_string()),
        ("holds", list.holds.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "erasure-list",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, list, deadline)
        .await
        .map_err(NotRecorded::into_service)
}
