//! `ReceiptService`: a member fetches the receipts of its own log back.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vrx_proto::v1;
use vrx_proto::v1::receipt_service_server::{ReceiptService, ReceiptServiceServer};
use vrx_services::receipts::list_receipts;
use vrx_services::{NodeServices, ServiceError, Tenants};

use super::member::{ForMembers, MemberCall};
use crate::limits::Limits;
use crate::wire::receipt;

/// No request for receipts comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;

/// The service on tonic's generated server.
pub(crate) fn server(
    tenants: Arc<Tenants>,
    shared: Arc<NodeServices>,
    limits: Limits,
) -> ReceiptServiceServer<Receipts> {
    ReceiptServiceServer::new(Receipts(ForMembers {
        tenants,
        shared,
        limits,
    }))
    .max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Receipts(ForMembers);

async fn list(
    call: &mut MemberCall<'_>,
    request: &v1::ListReceiptsRequest,
) -> Result<v1::ListReceiptsResponse, ServiceError> {
    let (ctx, member) = call.asks(&request.municipality_code)?;
    let request = receipt::parse(request)?;
    let recorded = list_receipts(ctx, &call.caller, member, request, call.deadline).await?;
    Ok(receipt::page_message(recorded.into_parts().0))
}

#[tonic::async_trait]
impl ReceiptService for Receipts {
    async fn list_receipts(
        &self,
        request: Request<v1::ListReceiptsRequest>,
    ) -> Result<Response<v1::ListReceiptsResponse>, Status> {
        let mut call = self.0.enter(&request)?;
        let page = list(&mut call, request.get_ref()).await;
        call.end(page).await
    }
}
