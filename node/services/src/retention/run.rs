//! The work of an approved erasure, one bounded step at a time. After any crash the next step is the one that was interrupted.

use sha2::{Digest, Sha256};
use vrx_domain::EntryKind;
use vrx_provision_log::{ErasureEntry, are_listed, with_places};
use vrx_storage::{
    Blanks, Change, Claimed, ErasureRun, ErasureStage, OPENINGS_STEP, OpeningsStep, RunBlanks,
};

use super::account::{accounted, is_contradiction};
use super::certificate::{Dates, METHOD, approval, certificate};
use super::plan::{exempt, is_due};
use super::replay::{alarm, recorded, settle_replayed};
use super::{Destroyed, NotListed};
use crate::{
    error::ServiceError,
    record::{Act, NotRecorded, hex, own_deadline, pairs, read_error, storage_error},
    tenants::TenantServices,
};

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// No approved erasure is open.
    Idle,
    /// A step was done; there may be more.
    Step,
    /// The rows are gone; the operator has to have the files rewritten (`vrx-node erase finish`).
    WaitsForOperator,
    /// The log isn't what was signed: nothing is blanked by it.
    Stopped,
}

/// Does the next step of the tenant's open erasure.
pub async fn advance(ctx: &TenantServices) -> Result<Advanced, ServiceError> {
    let stored = |error| storage_error(ctx, &error);
    let runs = ctx.retention.erasures().await.map_err(stored)?;
    for run in &runs {
        if settle_replayed(ctx, run).await? {
            return Ok(Advanced::Step);
        }
    }
    let Some(run) = runs
        .iter()
        .find(|run| run.is_open() && run.stage != ErasureStage::Proposed)
    else {
        return Ok(Advanced::Idle);
    };
    match run.stage {
        ErasureStage::Proposed | ErasureStage::Recorded => return Ok(Advanced::Idle),
        ErasureStage::Keys => destroy_keys(ctx, run).await?,
        ErasureStage::Rows => {
            ctx.retention.delete_rows(run.id).await.map_err(stored)?;
        }
        ErasureStage::Openings => return blank_openings(ctx, run).await,
        ErasureStage::Rewriting if run.rewritten_at.is_some() => record(ctx, run).await?,
        ErasureStage::Rewriting => {
            let now = ctx.node.clock.now();
            if !ctx.retention.rewrite(run.id, now).await.map_err(stored)? {
                return Ok(Advanced::WaitsForOperator);
            }
        }
    }
    Ok(Advanced::Step)
}

/// The ids stand outside the database before a key is destroyed: whatever a restore brings back later, not these.
async fn destroy_keys(ctx: &TenantServices, run: &ErasureRun) -> Result<(), ServiceError> {
    let stored = |error| storage_error(ctx, &error);
    let (policy, today) = (ctx.policy.retention, ctx.node.clock.today());
    let claimed = ctx.retention.claim(run.id, policy, today).await;
    let Claimed::Persons(persons) = claimed.map_err(stored)? else {
        return Ok(());
    };
    if persons.is_empty() {
        return Ok(());
    }
    let listed: Vec<Destroyed> = persons.iter().copied().map(Destroyed::Person).collect();
    list(ctx, &listed).await?;
    let destroyed = ctx.retention.destroy_keys(run.id, &persons, policy, today);
    destroyed.await.map_err(stored)
}

/// Each leaf is proved to be the log's and asked again whether it is due, whatever the plan counted. Only then anything is listed or
/// blanked.
async fn blank_openings(ctx: &TenantServices, run: &ErasureRun) -> Result<Advanced, ServiceError> {
    let stored = |error| storage_error(ctx, &error);
    let today = ctx.node.clock.today();
    let from = run.openings_next;
    let earlier = recorded(ctx).await?.entries;
    // What is blank is told as far as any erasure before this one has told it.
    let until = earlier
        .iter()
        .map(ErasureEntry::openings_below)
        .fold(run.openings_below, u64::max);
    let left = until.saturating_sub(from);
    let wanted = u32::try_from(left).unwrap_or(u32::MAX).min(OPENINGS_STEP);
    let outlines = match wanted {
        0 => Vec::new(),
        wanted => {
            let outlines = ctx.log.reader().outlines(from, wanted, own_deadline());
            match outlines.await {
                Ok(outlines) => outlines,
                Err(error) if is_contradiction(ctx, &error) => return Ok(Advanced::Stopped),
                Err(error) => return Err(read_error(ctx, &error)),
            }
        }
    };
    let exempt = exempt(&ctx.retention.holds().await.map_err(stored)?, today);
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut places = Vec::new();
    let (mut found, mut all) = (Vec::new(), Vec::new());
    for outline in &outlines {
        if !outline.has_opening {
            found.push(outline.index);
            all.push(outline.index);
        }
        if outline.index >= run.openings_below || !is_due(ctx, outline, &exempt, today) {
            continue;
        }
        all.push(outline.index);
        match ranges.last_mut() {
            Some((_, below)) if *below == outline.index => *below += 1,
            _ => ranges.push((outline.index, outline.index + 1)),
        }
        let mut nobody = [0; 32];
        ctx.node.random.fill(&mut nobody);
        places.push((outline.index, nobody));
    }
    let next = outlines.last().map_or(until, |last| last.index + 1);
    // A run that had begun without counting ends so.
    let begun = run.blanks.or_else(|| (from == 0).then(RunBlanks::default));
    let blanks = begun.map(|blanks| RunBlanks {
        before: with_places(blanks.before, &found),
        after: with_places(blanks.after, &all),
    });
    let epoch = ctx.log.reader().epoch();
    let listed = ranges
        .into_iter()
        .map(|(from, below)| Destroyed::Openings { epoch, from, below });
    list(ctx, &listed.collect::<Vec<_>>()).await?;
    let step = OpeningsStep {
        from,
        places,
        next,
        until,
        blanks,
    };
    let blanked = ctx.retention.blank_openings(run.id, step).await;
    blanked.map(|()| Advanced::Step).map_err(stored)
}

/// What the entry says of blank openings: how many are blank that this run didn't blank and no erasure before it either, because a
/// restore did; which were blank before, and which are now.
struct Told {
    again: u64,
    blanks: RunBlanks,
}

/// Holds what the run found blank against what the erasures before it have blanked. Where that differs, and the list of what was
/// destroyed doesn't explain it, it is an alarm; the entry says what was found, so that it shows for ever.
async fn told(ctx: &TenantServices, run: &ErasureRun) -> Result<Option<Told>, ServiceError> {
    let Some(blanks) = run.blanks else {
        return Ok(None);
    };
    let recorded = recorded(ctx).await?;
    let (expected, _) = recorded.expected();
    let unchanged = Told { again: 0, blanks };
    if expected.are(&blanks.before) {
        return Ok(Some(unchanged));
    }
    let found = ctx.retention.blanks().await;
    let found = found.map_err(|error| storage_error(ctx, &error))?;
    let listed = ctx.destroyed.openings(ctx.log.reader().epoch()).await;
    let listed = listed.map_err(not_listed(ctx))?;
    let after = with_places(Blanks::default(), &found.places);
    let own = expected.count + run.done.openings;
    if are_listed(&found.places, &listed, recorded.size) && after.count >= own {
        let before = Blanks {
            count: expected.count,
            chain: expected.chain.unwrap_or(blanks.before.chain),
        };
        return Ok(Some(Told {
            again: after.count - own,
            blanks: RunBlanks { before, after },
        }));
    }
    tracing::error!(alarm = "blank-openings", tenant = %ctx.tenant.code, erasure = %run.id, "openings are blank that no erasure blanked, or some were put back");
    let particulars = [
        ("erasure", run.id.to_string()),
        ("found", blanks.before.count.to_string()),
        ("expected", expected.count.to_string()),
    ];
    alarm(ctx, "blank-openings", &particulars, None).await?;
    Ok(Some(unchanged))
}

async fn list(ctx: &TenantServices, destroyed: &[Destroyed]) -> Result<(), ServiceError> {
    if destroyed.is_empty() {
        return Ok(());
    }
    let added = ctx.destroyed.add(destroyed).await;
    added.map_err(not_listed(ctx))
}

pub(super) fn not_listed(ctx: &TenantServices) -> impl FnOnce(NotListed) -> ServiceError {
    |error| {
        tracing::error!(tenant = %ctx.tenant.code, %error, "an erasure waits");
        ServiceError::unavailable()
    }
}

/// 消去記録: the one entry of a run, with its certificate.
async fn record(ctx: &TenantServices, run: &ErasureRun) -> Result<(), ServiceError> {
    let Some(rewritten_at) = run.rewritten_at else {
        return Ok(());
    };
    let dates = Dates::of(rewritten_at);
    let certificate = certificate(ctx, run, &dates);
    let (approved_by, approved_at) = approval(run);
    let mut content = vec![
        ("erasure", run.id.to_string()),
        ("persons", run.done.persons.to_string()),
        ("doses", run.done.doses.to_string()),
        ("openings", run.done.openings.to_string()),
        ("stayed", run.stayed.to_string()),
        ("method", METHOD.to_owned()),
        ("proposed_by", run.proposed_by.clone()),
        ("proposed_at", run.proposed_at.to_rfc3339_jst()),
        ("approved_by", approved_by),
        ("approved_at", approved_at),
        ("live", dates.live),
        ("final", dates.last_backup),
        (
            "certificate_sha256",
            hex(&Sha256::digest(certificate.as_bytes())),
        ),
    ];
    content.extend(accounted(ctx, run).await?);
    if let Some(Told { again, blanks }) = told(ctx, run).await? {
        content.extend([
            ("openings_below", run.openings_next.to_string()),
            ("blanked_before", blanks.before.count.to_string()),
            ("blanked_before_sha256", hex(&blanks.before.chain)),
            ("blanked", blanks.after.count.to_string()),
            ("blanked_sha256", hex(&blanks.after.chain)),
            ("blanked_again", again.to_string()),
        ]);
    }
    let own = ctx.node.peers.identity(&ctx.tenant);
    let own = own.map_err(|_| ctx.internal("the tenant has no certificate"))?;
    let act = Act {
        kind: EntryKind::Erasure,
        caller: &own,
        action: "erasure",
        about: None,
        content: &pairs(&content),
    };
    let change = Change::record_erasure(run.id, certificate);
    match act.record(ctx, Some(change), (), own_deadline()).await {
        Ok(_) => {
            tracing::info!(tenant = %ctx.tenant.code, erasure = %run.id, persons = run.done.persons, "an erasure is done");
            Ok(())
        }
        // Another process was faster.
        Err(NotRecorded::Change(vrx_storage::ChangeError::State(_))) => Ok(()),
        Err(other) => Err(other.into_service()),
    }
}
