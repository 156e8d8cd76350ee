//! A call of another member's node on a generated server: who calls, which tenant is asked, whose log takes a refusal.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vrx_domain::{Caller, Member};
use vrx_services::{Deadline, NodeServices, ServiceError, TenantServices, Tenants};

use super::call::{Granted, noted};
use crate::access;
use crate::limits::Limits;
use crate::status::status;
use crate::wire::field;

/// What a service for members works on.
pub(crate) struct ForMembers {
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) shared: Arc<NodeServices>,
    pub(crate) limits: Limits,
}

/// A call that was let in.
pub(crate) struct MemberCall<'a> {
    service: &'a ForMembers,
    pub(crate) caller: Caller,
    pub(crate) deadline: Deadline,
    /// The tenant that is asked; before that is known, the one to whose name the caller connected.
    tenant: Option<&'a Arc<TenantServices>>,
}

impl ForMembers {
    pub(crate) fn enter<T>(&self, request: &Request<T>) -> Result<MemberCall<'_>, Status> {
        let (caller, waits) = Granted::of(request).map_err(|error| status(&error))?;
        let longest = Deadline::after(self.limits.deadline);
        let addressed = request
            .extensions()
            .get::<Granted>()
            .and_then(|granted| granted.peer.addressed());
        Ok(MemberCall {
            service: self,
            tenant: access::tenant_of_refusal(&self.tenants, &caller, addressed),
            caller,
            deadline: waits.map_or(longest, |waits| waits.min(longest)),
        })
    }
}

impl<'a> MemberCall<'a> {
    /// The tenant of this code, and the caller's own directory entry.
    pub(crate) fn asks(
        &mut self,
        code: &str,
    ) -> Result<(&'a TenantServices, &'a Member), ServiceError> {
        let member = access::check_member(&self.service.shared.members, &self.caller)?;
        let asked = field::municipality("municipality_code", code)?;
        let ctx = access::check_asked_tenant(&self.service.tenants, &self.caller, asked)?;
        self.tenant = Some(ctx);
        Ok((ctx, member))
    }

    /// Ends the call; a refusal is noted.
    pub(crate) async fn end<M>(
        self,
        result: Result<M, ServiceError>,
    ) -> Result<Response<M>, Status> {
        match result {
            Ok(message) => Ok(Response::new(message)),
            Err(error) => Err(status(&noted(self.tenant, &self.caller, error).await)),
        }
    }
}
