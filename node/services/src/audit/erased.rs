//! Which blank openings may be an erasure's (消去): a blank one that no erasure went over is a missing entry.

use vrx_provision_log::{Deadline, ReadError};
use vrx_storage::ErasureStage;

use crate::{
    error::ServiceError,
    record::{read_error, storage_error},
    tenants::TenantServices,
};

/// The place before which erasures have gone over the openings, by the records in the log itself and by the run that is under way.
/// Whether each single one was theirs is what the verification of the whole log says.
pub(super) async fn erased_below(
    ctx: &TenantServices,
    deadline: Deadline,
) -> Result<u64, ServiceError> {
    let recorded = match ctx.log.reader().erasures(deadline).await {
        Ok(recorded) => recorded.entries,
        // The log contradicts itself: then nothing explains a blank opening.
        Err(ReadError::Astray | ReadError::Opening(_) | ReadError::Leaf(_)) => return Ok(0),
        Err(error) => return Err(read_error(ctx, &error)),
    };
    let runs = ctx.retention.erasures();
    let runs = deadline
        .wait(runs)
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?
        .map_err(|error| storage_error(ctx, &error))?;
    let under_way = runs
        .iter()
        .filter(|run| run.is_open() && run.stage >= ErasureStage::Openings)
        .map(|run| run.openings_next);
    let recorded = recorded
        .iter()
        .map(vrx_provision_log::ErasureEntry::openings_below);
    Ok(recorded.chain(under_way).max().unwrap_or(0))
}
