//! Whether an erasure adds up: everybody who was approved is erased or stays, and the list of what was destroyed has what the log
//! says. Whoever writes the database can take names off an erasure's list, or put some on it.

use vrx_provision_log::ReadError;
use vrx_storage::ErasureRun;

use super::replay::{alarm, recorded};
use super::run::not_listed;
use crate::{error::ServiceError, tenants::TenantServices};

/// The log isn't what was signed.
pub(super) const LOG_FAULT: &str = "log-fault";
/// Other persons were erased or stayed than were approved.
const PERSONS: &str = "erasure-persons";

/// Whether a reading failed because the log isn't what was signed; then it is an alarm.
pub(super) fn is_contradiction(ctx: &TenantServices, error: &ReadError) -> bool {
    let is_one = matches!(
        error,
        ReadError::TileMissing(_)
            | ReadError::Astray
            | ReadError::Proof(_)
            | ReadError::Leaf(_)
            | ReadError::Opening(_)
    );
    if is_one {
        tracing::error!(alarm = LOG_FAULT, tenant = %ctx.tenant.code, %error, "nothing is erased: the provision log isn't whole");
    }
    is_one
}

/// What the entry says of the persons who were approved: how many, and how many of them were erased before an older state of the
/// database came back, by the list of what was destroyed. Where erased and stayed don't make up the rest, it is an alarm.
pub(super) async fn accounted(
    ctx: &TenantServices,
    run: &ErasureRun,
) -> Result<[(&'static str, String); 2], ServiceError> {
    let (approved, found) = (run.proposed.persons, run.done.persons + run.stayed);
    let missing = approved.saturating_sub(found);
    let unrecorded = if missing == 0 {
        0
    } else {
        let listed = ctx.destroyed.persons().await.map_err(not_listed(ctx))?;
        let told = told(ctx).await?.persons;
        listed.saturating_sub(told + run.done.persons)
    };
    let again = if unrecorded >= missing { missing } else { 0 };
    let said = [
        ("persons_approved", approved.to_string()),
        ("persons_again", again.to_string()),
    ];
    if found + again != approved {
        tracing::error!(alarm = PERSONS, tenant = %ctx.tenant.code, erasure = %run.id, approved, found, "other persons were erased or stayed than were approved");
        let particulars = [
            ("erasure", run.id.to_string()),
            ("approved", approved.to_string()),
            ("found", found.to_string()),
        ];
        alarm(ctx, PERSONS, &particulars, None).await?;
    }
    Ok(said)
}

struct Told {
    persons: u64,
    openings: u64,
}

/// What all erasures that the log records say that they erased.
async fn told(ctx: &TenantServices) -> Result<Told, ServiceError> {
    let entries = recorded(ctx).await?.entries;
    let sum = |names: &[&str]| -> u64 {
        let counts = entries
            .iter()
            .flat_map(|entry| names.iter().map(|name| entry.count(name)));
        counts.sum()
    };
    Ok(Told {
        persons: sum(&["persons", "persons_again"]),
        openings: sum(&["openings"]),
    })
}

/// Warns when the list of what was destroyed has less than the log says: what is missing there comes back with a backup.
pub(super) async fn check_list(ctx: &TenantServices) -> Result<(), ServiceError> {
    let runs = ctx.retention.erasures().await;
    let runs = runs.map_err(|error| crate::record::storage_error(ctx, &error))?;
    if runs.is_empty() {
        return Ok(());
    }
    let told = told(ctx).await?;
    let persons = ctx.destroyed.persons().await.map_err(not_listed(ctx))?;
    let openings = ctx.destroyed.openings(ctx.log.reader().epoch()).await;
    let openings = openings.map_err(not_listed(ctx))?;
    let openings: u64 = openings.iter().map(|(from, below)| below - from).sum();
    if persons < told.persons || openings < told.openings {
        tracing::warn!(
            tenant = %ctx.tenant.code, persons, persons_erased = told.persons, openings, openings_erased = told.openings,
            "destroyed.list has less than the log says was erased: what is missing would come back with a backup; put the list back"
        );
    }
    Ok(())
}
