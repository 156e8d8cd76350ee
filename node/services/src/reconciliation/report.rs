//! The provider hears what differs: one alarm entry a difference, for its own privacy officer.

use vrx_domain::{Caller, EntryKind, Member, Role};
use vrx_provision_log::{Deadline, Recorded};

use super::{Difference, MOST_NAMED};
use crate::{
    error::ServiceError,
    record::{Act, NotRecorded, pairs},
    tenants::TenantServices,
};

/// Records them. `member` is the caller's own directory entry.
pub async fn report_differences(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    log_origin: &str,
    differences: &[Difference],
    deadline: Deadline,
) -> Result<Recorded<()>, ServiceError> {
    let is_member = caller.id.role == Role::Exchange
        && caller.id.municipality == member.code
        && member.code != ctx.tenant.code;
    if !is_member {
        return Err(ServiceError::PermissionDenied);
    }
    if log_origin != ctx.log.reader().verifier_key().name() {
        return Err(ServiceError::NotFound);
    }
    let (last, all_before) = match differences.split_last() {
        Some(split) if differences.len() <= MOST_NAMED => split,
        _ => {
            return Err(ServiceError::InvalidArgument {
                field: "differences",
                why: "has to have 1 to 100 elements",
            });
        }
    };
    for difference in all_before {
        record(ctx, caller, log_origin, difference, deadline).await?;
    }
    record(ctx, caller, log_origin, last, deadline).await
}

async fn record(
    ctx: &TenantServices,
    caller: &Caller,
    log_origin: &str,
    difference: &Difference,
    deadline: Deadline,
) -> Result<Recorded<()>, ServiceError> {
    let member = caller.id.municipality;
    tracing::error!(
        alarm = "member-reports-difference",
        tenant = %ctx.tenant.code,
        %member,
        difference = difference.kind.code(),
        log_index = difference.log_index,
        request_id = %difference.request_id,
        "a member reports that its receipts and inquiries differ from this log"
    );
    let content = [
        ("alarm", "member-reports-difference".to_owned()),
        ("difference", difference.kind.code().to_owned()),
        ("log_origin", log_origin.to_owned()),
        ("log_index", difference.log_index.to_string()),
        ("member", member.to_string()),
        ("request_id", difference.request_id.to_string()),
    ];
    let act = Act {
        kind: EntryKind::Control,
        caller,
        action: "alarm",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, (), deadline)
        .await
        .map_err(NotRecorded::into_service)
}
