//! `ReceiptService`: a member fetches the receipts of its own log back.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vrx_domain::Caller;
use vrx_proto::v1;
use vrx_proto::v1::receipt_service_server::{ReceiptService, ReceiptServiceServer};
use vrx_services::receipts::list_receipts;
use vrx_services::{Deadline, NodeServices, ServiceError, TenantServices, Tenants};

use super::call::{Granted, noted};
use crate::access;
use crate::limits::Limits;
use crate::status::status;
use crate::wire::{field, receipt};

/// No request for receipts comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;

/// The service on tonic's generated server.
pub(crate) fn server(
    tenants: Arc<Tenants>,
    shared: Arc<NodeServices>,
    limits: Limits,
) -> ReceiptServiceServer<Receipts> {
    ReceiptServiceServer::new(Receipts {
        tenants,
        shared,
        limits,
    })
    .max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Receipts {
    tenants: Arc<Tenants>,
    shared: Arc<NodeServices>,
    limits: Limits,
}

impl Receipts {
    /// The log of the tenant that is asked takes a refusal; before that is known, the one to whose name the caller connected.
    async fn answer<'a>(
        &'a self,
        caller: &Caller,
        request: &v1::ListReceiptsRequest,
        deadline: Deadline,
        tenant: &mut Option<&'a Arc<TenantServices>>,
    ) -> Result<v1::ListReceiptsResponse, ServiceError> {
        let member = access::check_member(&self.shared.members, caller)?;
        let asked = field::municipality("municipality_code", &request.municipality_code)?;
        let ctx = access::check_asked_tenant(&self.tenants, caller, asked)?;
        *tenant = Some(ctx);
        let request = receipt::parse(request)?;
        let recorded = list_receipts(ctx, caller, member, request, deadline).await?;
        Ok(receipt::page_message(recorded.into_parts().0))
    }
}

#[tonic::async_trait]
impl ReceiptService for Receipts {
    async fn list_receipts(
        &self,
        request: Request<v1::ListReceiptsRequest>,
    ) -> Result<Response<v1::ListReceiptsResponse>, Status> {
        let (caller, waits) = Granted::of(&request).map_err(|error| status(&error))?;
        let longest = Deadline::after(self.limits.deadline);
        let deadline = waits.map_or(longest, |waits| waits.min(longest));
        let addressed = request
            .extensions()
            .get::<Granted>()
            .and_then(|granted| granted.peer.addressed());
        let mut tenant = access::tenant_of_refusal(&self.tenants, &caller, addressed);
        match self
            .answer(&caller, request.get_ref(), deadline, &mut tenant)
            .await
        {
            Ok(page) => Ok(Response::new(page)),
            Err(error) => Err(status(&noted(tenant, &caller, error).await)),
        }
    }
}
