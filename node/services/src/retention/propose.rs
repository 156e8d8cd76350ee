//! Proposes an erasure: the plan of today, with its list. It waits for another officer.

use tokio::sync::mpsc;
use vrx_domain::{Caller, EntryKind, ErasureId, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_storage::{Change, ErasureCounts, ErasureRun, ErasureStage, RunBlanks};

use super::plan::{ErasurePlan, SurveyProgress, counted, survey};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
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

/// What becomes of a proposal that nobody approved yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// It stands, and there is no second one.
    Stands,
    /// It gives way to the new one.
    GivesWay,
}

/// Proposes what is due today. While another proposal waits there is none unless that gives way; while an approved erasure runs
/// there is none at all.
pub async fn propose(
    ctx: &TenantServices,
    caller: &Caller,
    earlier: Earlier,
    progress: mpsc::Sender<SurveyProgress>,
    deadline: Deadline,
) -> Result<Recorded<ErasureProposal>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let replaces = replaces(ctx, earlier).await?;
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
        blanks: Some(RunBlanks::default()),
    };
    let id = run.id;
    let mut content = vec![("erasure", id.to_string())];
    content.extend(replaces.map(|replaced| ("replaces", replaced.to_string())));
    content.extend(counted(&plan));
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "erasure-propose",
        about: None,
        content: &pairs(&content),
    };
    let change = Change::propose_erasure(run, due, replaces);
    act.record(ctx, Some(change), ErasureProposal { id, plan }, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

/// The proposal that gives way. Looked at before all persons are: the store looks again inside the transaction.
async fn replaces(
    ctx: &TenantServices,
    earlier: Earlier,
) -> Result<Option<ErasureId>, ServiceError> {
    let runs = ctx.retention.erasures().await;
    let runs = runs.map_err(|error| storage_error(ctx, &error))?;
    match (runs.into_iter().find(ErasureRun::is_open), earlier) {
        (None, _) => Ok(None),
        (Some(run), _) if run.stage != ErasureStage::Proposed => {
            Err(ServiceError::FailedPrecondition("an erasure is under way"))
        }
        (Some(run), Earlier::GivesWay) => Ok(Some(run.id)),
        (Some(_), Earlier::Stands) => Err(ServiceError::FailedPrecondition(
            "another proposal waits for approval: have it approved, or replace it",
        )),
    }
}
