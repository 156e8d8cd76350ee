//! Counts what an erasure would take, by class. Nobody is named, and nothing changes.

use std::collections::HashSet;

use tokio::sync::mpsc;
use vrx_domain::{Caller, Date, EntryKind, PersonId, RetentionPolicy, Role};
use vrx_provision_log::{Deadline, Outline, ReadError, Recorded};
use vrx_storage::{ERASURE_MOST, ErasureCounts, HoldRecord, in_force};

use super::account::{LOG_FAULT, is_contradiction};
use super::replay::alarm;
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error, storage_error},
    tenants::TenantServices,
};

/// What an officer is told, and nobody else asks.
const NOT_WHOLE: &str =
    "nothing is erased while the provision log isn't what was signed; run vrx log verify";
/// Persons read at once.
const PERSONS: u32 = 500;
/// Entries read at once.
const ENTRIES: u32 = 1024;

/// How far a survey is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurveyProgress {
    /// Persons looked at.
    pub looked_at: u64,
    /// Persons to look at, as far as is known.
    pub total: u64,
}

/// What an erasure would take today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasurePlan {
    /// The day for which it was counted.
    pub today: Date,
    /// The policy by which.
    pub policy: RetentionPolicy,
    /// What goes.
    pub counts: ErasureCounts,
    /// Persons whose time is over and who stay: on hold.
    pub on_hold: u64,
    /// Persons whose time is over and who stay: something entered waits for approval.
    pub waiting: u64,
    /// Persons whose time is over and who are left for the next run: one takes 20,000.
    pub left_for_next: u64,
    /// Openings go of entries before this place in the log.
    pub openings_below: u64,
}

/// A dry run.
pub async fn plan(
    ctx: &TenantServices,
    caller: &Caller,
    progress: mpsc::Sender<SurveyProgress>,
    deadline: Deadline,
) -> Result<Recorded<ErasurePlan>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let (plan, _) = survey(ctx, &progress, deadline).await?;
    let content = counted(&plan);
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "erasure-plan",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, plan, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

/// The counts of a plan, as entries have them.
pub(super) fn counted(plan: &ErasurePlan) -> Vec<(&'static str, String)> {
    vec![
        ("persons", plan.counts.persons.to_string()),
        ("doses", plan.counts.doses.to_string()),
        ("openings", plan.counts.openings.to_string()),
        ("on_hold", plan.on_hold.to_string()),
        ("waiting", plan.waiting.to_string()),
    ]
}

/// Looks at every person, and at the entries that are old enough. Gives who is due, as many as one run takes.
pub(super) async fn survey(
    ctx: &TenantServices,
    progress: &mpsc::Sender<SurveyProgress>,
    deadline: Deadline,
) -> Result<(ErasurePlan, Vec<PersonId>), ServiceError> {
    let stored = |error| storage_error(ctx, &error);
    let (today, policy) = (ctx.node.clock.today(), ctx.policy.retention);
    let holds = ctx.retention.holds().await.map_err(stored)?;
    let held: HashSet<PersonId> = in_force(&holds, today).map(|held| held.person).collect();
    let total = ctx.registry.counts().await.map_err(stored)?.persons;
    let mut plan = ErasurePlan {
        today,
        policy,
        counts: ErasureCounts::default(),
        on_hold: 0,
        waiting: 0,
        left_for_next: 0,
        openings_below: 0,
    };
    let (mut due, mut after, mut looked_at) = (Vec::new(), None, 0);
    loop {
        let persons = deadline
            .wait(ctx.retention.spans(after, PERSONS))
            .await
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(stored)?;
        let Some(last) = persons.last() else { break };
        after = Some(last.id);
        for person in &persons {
            if !policy.has_ended(&person.span, today) {
                continue;
            }
            if held.contains(&person.id) {
                plan.on_hold += 1;
            } else if person.span.waits_for_approval {
                plan.waiting += 1;
            } else if due.len() == ERASURE_MOST {
                plan.left_for_next += 1;
            } else {
                due.push(person.id);
                plan.counts.persons += 1;
                plan.counts.doses += u64::from(person.doses);
            }
        }
        looked_at += persons.len() as u64;
        // A full channel only means that the last figure wasn't read yet.
        let _ = progress.try_send(SurveyProgress {
            looked_at: looked_at.min(total),
            total,
        });
    }
    plan.openings_below = openings_below(ctx, today, deadline).await?;
    plan.counts.openings = openings(ctx, plan.openings_below, &holds, today, deadline).await?;
    Ok((plan, due))
}

/// Whether an entry's opening is one that an erasure takes today. What the node says about itself stays, and so do the records of
/// erasures: they are about nobody.
pub(super) fn is_due(
    ctx: &TenantServices,
    outline: &Outline,
    exempt: &HashSet<[u8; 32]>,
    today: Date,
) -> bool {
    outline.has_opening
        && vrx_provision_log::is_erasable(outline.kind)
        && ctx.policy.retention.is_opening_due(outline.time, today)
        && !exempt.contains(&outline.subject.0)
}

/// Nothing is decided from a log that isn't whole: an officer is refused, and it is an alarm.
async fn not_whole(ctx: &TenantServices, error: &ReadError) -> ServiceError {
    if is_contradiction(ctx, error) {
        let particulars = [("fault", error.to_string())];
        if let Err(failed) = alarm(ctx, LOG_FAULT, &particulars, None).await {
            return failed;
        }
        return ServiceError::FailedPrecondition(NOT_WHOLE);
    }
    read_error(ctx, error)
}

/// The subjects of the persons on hold.
pub(super) fn exempt(holds: &[HoldRecord], today: Date) -> HashSet<[u8; 32]> {
    in_force(holds, today)
        .flat_map(|held| held.subjects.iter().copied())
        .collect()
}

/// The first entry that is too young. Times never fall along the log, so it is found by halving.
async fn openings_below(
    ctx: &TenantServices,
    today: Date,
    deadline: Deadline,
) -> Result<u64, ServiceError> {
    let reader = ctx.log.reader();
    let (mut low, mut high) = (0, ctx.log.checkpoint().size());
    while low < high {
        let middle = low + (high - low) / 2;
        let outlines = match reader.outlines(middle, 1, deadline).await {
            Ok(outlines) => outlines,
            Err(error) => return Err(not_whole(ctx, &error).await),
        };
        let is_due = |outline: &Outline| ctx.policy.retention.is_opening_due(outline.time, today);
        if outlines.first().is_some_and(is_due) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

async fn openings(
    ctx: &TenantServices,
    below: u64,
    holds: &[HoldRecord],
    today: Date,
    deadline: Deadline,
) -> Result<u64, ServiceError> {
    let exempt = exempt(holds, today);
    let (mut next, mut count) = (0, 0);
    while next < below {
        let wanted = u32::try_from(below - next).unwrap_or(u32::MAX).min(ENTRIES);
        let outlines = match ctx.log.reader().outlines(next, wanted, deadline).await {
            Ok(outlines) => outlines,
            Err(error) => return Err(not_whole(ctx, &error).await),
        };
        let Some(last) = outlines.last() else {
            return Err(ctx.internal("the provision log is shorter than its checkpoint"));
        };
        next = last.index + 1;
        count += outlines
            .iter()
            .filter(|outline| is_due(ctx, outline, &exempt, today))
            .count() as u64;
    }
    Ok(count)
}
