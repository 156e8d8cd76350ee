//! What the log says is over stays over. Whoever writes the database can put an erasure back to its beginning, with other persons on
//! its list; the entry that records it can't be taken out of the log. So the log is asked before each step.

use sha2::{Digest, Sha256};
use vrx_domain::{EntryKind, UnixMillis};
use vrx_provision_log::{ErasureEntry, RecordedErasures};
use vrx_storage::{Change, ChangeError, ErasureCounts, ErasureRun, ErasureStage};

use super::account::is_contradiction;
use super::certificate::{Dates, certificate};
use crate::{
    error::ServiceError,
    record::{Act, NotRecorded, hex, own_deadline, pairs, read_error},
    tenants::TenantServices,
};

/// The erasures that the log records.
pub(super) async fn recorded(ctx: &TenantServices) -> Result<RecordedErasures, ServiceError> {
    let recorded = ctx.log.reader().erasures(own_deadline()).await;
    recorded.map_err(|error| {
        is_contradiction(ctx, &error);
        read_error(ctx, &error)
    })
}

/// Whether the log records a run that stands open. If so, that is an alarm, and the run is at its end again: both or neither.
pub(super) async fn settle_replayed(
    ctx: &TenantServices,
    run: &ErasureRun,
) -> Result<bool, ServiceError> {
    if !run.is_open() {
        return Ok(false);
    }
    let recorded = recorded(ctx).await?;
    let Some(entry) = recorded.of(&run.id.to_string()) else {
        return Ok(false);
    };
    let (id, index) = (run.id.to_string(), entry.index.to_string());
    tracing::error!(alarm = REPLAYED, tenant = %ctx.tenant.code, erasure = %id, entry = index, "an erasure that is recorded was put back");
    let content = [("erasure", id), ("log_index", index)];
    alarm(
        ctx,
        REPLAYED,
        &content,
        Some(Change::settle_erasure(as_recorded(ctx, run, entry))),
    )
    .await?;
    Ok(true)
}

/// An erasure stands in the database as one that isn't at its end, and the log records it.
const REPLAYED: &str = "erasure-replayed";

/// Records an alarm with a change that is refused when somebody else has recorded it.
pub(super) async fn alarm(
    ctx: &TenantServices,
    alarm: &'static str,
    particulars: &[(&'static str, String)],
    change: Option<Change>,
) -> Result<(), ServiceError> {
    let own = ctx.node.peers.identity(&ctx.tenant);
    let own = own.map_err(|_| ctx.internal("the tenant has no certificate"))?;
    let mut content = vec![("alarm", alarm.to_owned())];
    content.extend_from_slice(particulars);
    let act = Act {
        kind: EntryKind::Control,
        caller: &own,
        action: "alarm",
        about: None,
        content: &pairs(&content),
    };
    match act.record(ctx, change, (), own_deadline()).await {
        Ok(_) | Err(NotRecorded::Change(ChangeError::State(_))) => Ok(()),
        Err(other) => Err(other.into_service()),
    }
}

/// Who approved it, and when: an erasure that was put back to its proposal doesn't say it any more.
fn approved(entry: &ErasureEntry) -> Option<(String, UnixMillis)> {
    let at = UnixMillis::from_rfc3339_jst(entry.said("approved_at"))?;
    Some((entry.said("approved_by").to_owned(), at))
}

/// The run as its entry says that it ended; with its certificate where that comes out as it was signed.
fn as_recorded(ctx: &TenantServices, run: &ErasureRun, entry: &ErasureEntry) -> ErasureRun {
    let mut recorded = ErasureRun {
        approved: approved(entry).or_else(|| run.approved.clone()),
        stage: ErasureStage::Recorded,
        done: ErasureCounts {
            persons: entry.count("persons"),
            doses: entry.count("doses"),
            openings: entry.count("openings"),
        },
        stayed: entry.count("stayed"),
        openings_next: entry.openings_below(),
        entry: Some(entry.index),
        blanks: entry.blanks(),
        certificate: String::new(),
        ..run.clone()
    };
    let dates = Dates {
        live: entry.said("live").to_owned(),
        last_backup: entry.said("final").to_owned(),
    };
    let signed = certificate(ctx, &recorded, &dates);
    if hex(&Sha256::digest(signed.as_bytes())) == entry.said("certificate_sha256") {
        recorded.certificate = signed;
    }
    recorded
}
