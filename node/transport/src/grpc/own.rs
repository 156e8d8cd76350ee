//! A call of the tenant's own people on a generated server: who calls, for which tenant, until when.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use vrx_domain::Caller;
use vrx_services::{Deadline, ServiceError, TenantServices, Tenants};

use super::call::{Granted, noted};
use crate::access;
use crate::status::status;
use crate::wire::field;

/// A call that was let in: the tenant that it names is the caller's own.
pub(crate) struct OwnCall<'a> {
    pub(crate) caller: Caller,
    pub(crate) tenant: &'a Arc<TenantServices>,
    pub(crate) deadline: Deadline,
}

impl<'a> OwnCall<'a> {
    /// Lets a request in that names its tenant, for `longest` at most; a refusal is noted.
    pub(crate) async fn enter<T>(
        tenants: &'a Tenants,
        request: &Request<T>,
        named: &str,
        longest: Duration,
    ) -> Result<Self, Status> {
        let (caller, waits) = Granted::of(request).map_err(|error| status(&error))?;
        let tenant = field::municipality("municipality_code", named)
            .and_then(|named| access::check_own_tenant(tenants, &caller, named));
        let longest = Deadline::after(longest);
        let deadline = waits.map_or(longest, |waits| waits.min(longest));
        match tenant {
            Ok(tenant) => Ok(Self {
                caller,
                tenant,
                deadline,
            }),
            Err(error) => {
                let tenant = access::tenant_of_refusal(tenants, &caller, None);
                Err(status(&noted(tenant, &caller, error).await))
            }
        }
    }

    /// Ends a call: a refusal is noted in the tenant's log.
    pub(crate) async fn end<T>(
        &self,
        result: Result<T, ServiceError>,
    ) -> Result<Response<T>, Status> {
        match result {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => Err(self.refuse(error).await),
        }
    }

    /// Notes a refusal and says it.
    pub(crate) async fn refuse(&self, error: ServiceError) -> Status {
        status(&noted(Some(self.tenant), &self.caller, error).await)
    }
}
