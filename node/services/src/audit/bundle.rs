//! Entries as C2SP tlog-tiles bundles them: leaves, without openings. For the tenant's own officer alone, and each reading is an entry.

use vrx_domain::{Caller, EntryKind, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_tlog::TILE_WIDTH;

use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

/// The first `width` leaves beside a tile of level 0; not found beyond the newest checkpoint.
pub async fn entry_bundle(
    ctx: &TenantServices,
    caller: &Caller,
    index: u64,
    width: u64,
    deadline: Deadline,
) -> Result<Recorded<Vec<u8>>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let checkpoint = ctx.log.checkpoint();
    let reader = ctx.log.reader();
    let bundle = reader
        .entry_bundle(index, width, &checkpoint, deadline)
        .await
        .map_err(|error| read_error(ctx, &error))?
        .ok_or(ServiceError::NotFound)?;
    let from = index.saturating_mul(TILE_WIDTH);
    let content = [
        ("from", from.to_string()),
        ("until", from.saturating_add(width).to_string()),
        ("entries", width.to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-bundle",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, bundle, deadline)
        .await
        .map_err(NotRecorded::into_service)
}
