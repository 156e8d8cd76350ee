//! A privacy officer reconciles with a provider now.

use vrx_domain::{Caller, EntryKind, MunicipalityCode, Role};
use vrx_provision_log::{Deadline, Recorded};

use super::{NotReconciled, Reconciled, pair::Pair};
use crate::{
    error::ServiceError,
    policy::check_role,
    ports::PeerError,
    record::{Act, NotRecorded, pairs},
    tenants::TenantServices,
};

/// What became of it: an answer in either case, recorded as the officer's.
pub type Outcome = Result<Reconciled, NotReconciled>;

/// Reconciles with this member from where it was left off.
pub async fn reconcile_now(
    ctx: &TenantServices,
    caller: &Caller,
    provider: MunicipalityCode,
    deadline: Deadline,
) -> Result<Recorded<Outcome>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let member = ctx
        .node
        .members
        .get(provider)
        .filter(|member| member.code != ctx.tenant.code)
        .ok_or(ServiceError::InvalidArgument {
            field: "provider_code",
            why: "isn't another member of the exchange",
        })?;
    let mut asked = None;
    let pair = Pair::of(ctx, member)?;
    let outcome = deadline
        .wait(pair.reconcile(&mut asked))
        .await
        .unwrap_or(Err(NotReconciled::Peer(PeerError::Failed("deadline"))));
    if let Err(NotReconciled::Own(error)) = outcome {
        return Err(error);
    }
    let told = match &outcome {
        Ok(_) => "reconciled".to_owned(),
        Err(error) => error.to_string(),
    };
    let content = [("member", provider.to_string()), ("outcome", told)];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-reconcile",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, outcome, deadline)
        .await
        .map_err(NotRecorded::into_service)
}
