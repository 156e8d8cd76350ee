//! Answers another municipality's inquiry (提供).

use vrx_domain::{Caller, Member};
use vrx_provision_log::{Deadline, Recorded};

use super::{ExchangeAnswer, ExchangeQuery};
use crate::{error::ServiceError, tenants::TenantServices};

/// Decides, records, answers. `member` is the caller's own directory entry.
pub async fn provide(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    query: ExchangeQuery,
    deadline: Deadline,
) -> Result<Recorded<ExchangeAnswer>, ServiceError> {
    todo!()
}
