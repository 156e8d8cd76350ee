//! `ReconciliationService`: a member looks at this log's entries about its own requests, and says what differs.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use vrx_proto::v1;
use vrx_proto::v1::reconciliation_service_server::{
    ReconciliationService, ReconciliationServiceServer,
};
use vrx_services::reconciliation::{list_provisions, report_differences};
use vrx_services::{NodeServices, ServiceError, Tenants};

use super::member::{ForMembers, MemberCall};
use crate::limits::Limits;
use crate::wire::reconciliation;

/// No request comes near this many bytes: a hundred differences are 6 KiB.
const LONGEST_REQUEST: usize = 16 * 1024;

/// The service on tonic's generated server.
pub(crate) fn server(
    tenants: Arc<Tenants>,
    shared: Arc<NodeServices>,
    limits: Limits,
) -> ReconciliationServiceServer<Reconciliation> {
    ReconciliationServiceServer::new(Reconciliation(ForMembers {
        tenants,
        shared,
        limits,
    }))
    .max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Reconciliation(ForMembers);

async fn list(
    call: &mut MemberCall<'_>,
    request: &v1::ListProvisionsRequest,
) -> Result<v1::ListProvisionsResponse, ServiceError> {
    let (ctx, member) = call.asks(&request.municipality_code)?;
    let request = reconciliation::parse(request)?;
    let recorded = list_provisions(ctx, &call.caller, member, request, call.deadline).await?;
    Ok(reconciliation::page_message(recorded.into_parts().0))
}

async fn report(
    call: &mut MemberCall<'_>,
    request: &v1::ReportDifferencesRequest,
) -> Result<v1::ReportDifferencesResponse, ServiceError> {
    let (ctx, member) = call.asks(&request.municipality_code)?;
    let differences = reconciliation::parse_differences(&request.differences)?;
    let (caller, log) = (&call.caller, &request.log_origin);
    report_differences(ctx, caller, member, log, &differences, call.deadline).await?;
    Ok(v1::ReportDifferencesResponse {})
}

#[tonic::async_trait]
impl ReconciliationService for Reconciliation {
    async fn list_provisions(
        &self,
        request: Request<v1::ListProvisionsRequest>,
    ) -> Result<Response<v1::ListProvisionsResponse>, Status> {
        let mut call = self.0.enter(&request)?;
        let page = list(&mut call, request.get_ref()).await;
        call.end(page).await
    }

    async fn report_differences(
        &self,
        request: Request<v1::ReportDifferencesRequest>,
    ) -> Result<Response<v1::ReportDifferencesResponse>, Status> {
        let mut call = self.0.enter(&request)?;
        let told = report(&mut call, request.get_ref()).await;
        call.end(told).await
    }
}
