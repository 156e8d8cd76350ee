//! Signs a day of the log off as reviewed (定期に及び必要に応じ随時に確認). The signature is an entry.

use vrx_domain::{Caller, Date, EntryKind, Role};
use vrx_provision_log::Deadline;
use vrx_tlog::Hash;

use super::{
    super::list::{first_day, first_not_before},
    BEFORE_THE_LOG,
    reviews::SIGNED,
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, hex, pairs},
    tenants::TenantServices,
};

/// What was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// The entry that records it.
    pub log_index: u64,
    /// Entries that it covers: the log's size when it was signed.
    pub log_size: u64,
    /// The root over them.
    pub root: Hash,
    /// Entries of the day among them.
    pub entries: u64,
    /// The day is over, so that all of it is covered.
    pub complete: bool,
}

/// Signs. A day that isn't over can be signed as far as it has come, and has to be signed again.
pub async fn sign_review(
    ctx: &TenantServices,
    caller: &Caller,
    day: Date,
    deadline: Deadline,
) -> Result<Signed, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let today = ctx.node.clock.today();
    if day > today {
        return Err(ServiceError::InvalidArgument {
            field: "day",
            why: "lies in the future",
        });
    }
    if day < first_day(ctx, deadline).await? {
        return Err(ServiceError::InvalidArgument {
            field: "day",
            why: BEFORE_THE_LOG,
        });
    }
    let checkpoint = ctx.log.checkpoint();
    let size = checkpoint.size();
    let first = first_not_before(ctx, day.begins_jst(), size, deadline).await?;
    let after = match day.days_later(1) {
        Some(after) => first_not_before(ctx, after.begins_jst(), size, deadline).await?,
        None => size,
    };
    let signed = Signed {
        log_index: 0,
        log_size: size,
        root: checkpoint.root(),
        entries: after - first,
        complete: day < today,
    };
    let content = [
        ("day", day.to_string()),
        ("log_size", signed.log_size.to_string()),
        ("root", hex(&signed.root)),
        ("entries", signed.entries.to_string()),
        ("complete", u8::from(signed.complete).to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: SIGNED,
        about: None,
        content: &pairs(&content),
    };
    let recorded = act.record(ctx, None, signed, deadline).await;
    let (signed, receipt, _) = recorded.map_err(NotRecorded::into_service)?.into_parts();
    Ok(Signed {
        log_index: receipt.log_index,
        ..signed
    })
}
