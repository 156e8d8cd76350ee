//! A tenant's log as members, witnesses and its own officers read it: the newest checkpoint and hash tiles. Neither is personal, and
//! reading them is no entry; entries themselves are [`crate::audit::entry_bundle`]'s.

use vrx_provision_log::Deadline;
use vrx_tlog::TileId;

use crate::error::ServiceError;
use crate::record::read_error;
use crate::tenants::TenantServices;

/// The newest signed checkpoint. It comes with the witnesses' cosignatures of exactly it, as many as are held.
pub fn checkpoint(ctx: &TenantServices) -> String {
    let newest = ctx.log.checkpoint();
    let text = newest.note().split("\n\n").next().unwrap_or_default();
    let cosigned = ctx.witnesses.cosigned_note(text);
    cosigned.unwrap_or_else(|| newest.note().to_owned())
}

/// The newest checkpoint that a quorum of the tenant's witnesses cosigned, with their cosignatures: a log that grows all the time has
/// always newer ones that they haven't seen yet.
pub fn witnessed_checkpoint(ctx: &TenantServices) -> Result<String, ServiceError> {
    ctx.witnesses.newest_note().ok_or(ServiceError::NotFound)
}

/// The first `width` hashes of a tile; not found beyond the newest checkpoint.
pub async fn tile(
    ctx: &TenantServices,
    id: TileId,
    width: u64,
    deadline: Deadline,
) -> Result<Vec<u8>, ServiceError> {
    let checkpoint = ctx.log.checkpoint();
    let reader = ctx.log.reader();
    let tile = reader.tile(id, width, &checkpoint, deadline).await;
    tile.map_err(|error| read_error(ctx, &error))?
        .ok_or(ServiceError::NotFound)
}
