//! Proposes an erasure: the plan of today, with its list. It waits for another officer.

use tokio::sync::mpsc;
use vrx_domain::{Caller, EntryKind, ErasureId, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_storage::{Change, ErasureCounts, ErasureRun, ErasureStage};

use super::plan::{ErasurePlan, SurveyProgress, counted, survey};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs},
    tenants::TenantServices,
};

/// A proposal that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureProposal {
    /// Its id: what another officer approves.
    pub id: ErasureId,
    /// What was counted.
    pub plan: ErasurePlan,
}

/// Proposes what is due today. A proposal that nobody approved yet gives way to it; while an approved erasure runs there is none.
pub async fn propose(
    ctx: &TenantServices,
    caller: &Caller,
    progress: mpsc::Sender<SurveyProgress>,
    deadline: Deadline,
) -> Result<Recorded<ErasureProposal>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let (plan, due) = survey(ctx, &progress, deadline).await?;
    if due.is_empty() && plan.counts.openings == 0 {
        return Err(ServiceError::FailedPrecondition("nothing is due"));
    }
    let run = ErasureRun {
        id: ErasureId::random(&*ctx.node.random),
        proposed_by: caller.id.to_string(),
        proposed_at: ctx.node.clock.now(),
        proposed: plan.counts,
        openings_below: plan.openings_below,
        approved: None,
        stage: ErasureStage::Proposed,
        done: ErasureCounts::default(),
        stayed: 0,
        openings_next: 0,
        rewritten_at: None,
        certificate: String::new(),
        entry: None,
    };
    let id = run.id;
    let mut content = vec![("erasure", id.to_string())];
    content.extend(counted(&plan));
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "erasure-propose",
        about: None,
        content: &pairs(&content),
    };
    let change = Change::propose_erasure(run, due);
    act.record(ctx, Some(change), ErasureProposal { id, plan }, deadline)
        .await
        .map_err(NotRecorded::into_service)
}
