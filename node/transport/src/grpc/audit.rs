//! `AuditService`: what a tenant's privacy officers read of the provision log. Every read is an entry itself.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use vrx_proto::v1;
use vrx_proto::v1::audit_service_server::{AuditService, AuditServiceServer};
use vrx_services::audit;
use vrx_services::reconciliation::reconcile_now;
use vrx_services::tlog;
use vrx_services::{Recorded, ServiceError, Tenants};

use super::history::{self, HistoryEvents};
use super::own::OwnCall;
use super::progress::{self, Events};
use crate::limits::Limits;
use crate::status::status;
use crate::wire::days::{parse_summary, progress_event, signed_message, summary_event};
use crate::wire::entries::{list_request, progress_message, report, shown, summary};
use crate::wire::field;
use crate::wire::history as wire;
use crate::wire::reconciliation;

/// No request of an officer comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;
/// Reconciling may read much of both logs, the first time.
const RECONCILE: Duration = Duration::from_mins(10);
/// Verifying reads the whole log.
const VERIFY: Duration = Duration::from_hours(1);
/// A history is as long as it is.
const HISTORY: Duration = Duration::from_mins(10);

/// The service on tonic's generated server.
pub(crate) fn server(tenants: Arc<Tenants>, limits: Limits) -> AuditServiceServer<Audit> {
    AuditServiceServer::new(Audit { tenants, limits }).max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Audit {
    tenants: Arc<Tenants>,
    limits: Limits,
}

impl Audit {
    async fn enter<T>(
        &self,
        request: &Request<T>,
        named: &str,
        longest: Duration,
    ) -> Result<OwnCall<'_>, Status> {
        OwnCall::enter(&self.tenants, request, named, longest).await
    }
}

/// Ends a call: what was recorded leaves, a refusal is noted.
async fn end<T, M>(
    call: &OwnCall<'_>,
    result: Result<Recorded<T>, ServiceError>,
    message: impl FnOnce(T) -> M,
) -> Result<Response<M>, Status> {
    match result {
        Ok(recorded) => Ok(Response::new(message(recorded.into_parts().0))),
        Err(error) => Err(call.refuse(error).await),
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    type VerifyLogStream = Events<v1::VerifyLogEvent>;
    type ReadHistoryStream = HistoryEvents;
    type SummarizeDaysStream = Events<v1::SummaryEvent>;

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let result = match list_request(request.get_ref()) {
            Ok(request) => audit::list(call.tenant, &call.caller, request, call.deadline).await,
            Err(error) => Err(error),
        };
        end(&call, result, |page| v1::ListEntriesResponse {
            entries: page.entries.into_iter().map(summary).collect(),
            next_page_token: field::page_token_text(&page.next_page_token),
            log_size: page.log_size,
        })
        .await
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let v1::GetEntryRequest {
            log_index,
            proof_only,
            ..
        } = *request.get_ref();
        let result = if proof_only {
            audit::prove(call.tenant, &call.caller, log_index, call.deadline).await
        } else {
            audit::show(call.tenant, &call.caller, log_index, call.deadline).await
        };
        end(&call, result, shown).await
    }

    async fn verify_log(
        &self,
        request: Request<v1::VerifyLogRequest>,
    ) -> Result<Response<Events<v1::VerifyLogEvent>>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, VERIFY)
            .await?;
        let deadline = call.deadline;
        let events = progress::stream(
            call,
            progress_message,
            move |tenant, caller, progress| async move {
                let verified = audit::verify(&tenant, &caller, progress, deadline).await?;
                Ok(report(verified.into_parts().0))
            },
        );
        Ok(Response::new(events))
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        // No entry is read: a checkpoint is what members and witnesses see too.
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let checkpoint = if request.get_ref().witnessed {
            tlog::witnessed_checkpoint(call.tenant).map_err(|error| status(&error))?
        } else {
            tlog::checkpoint(call.tenant)
        };
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint }))
    }

    async fn read_history(
        &self,
        mut request: Request<v1::ReadHistoryRequest>,
    ) -> Result<Response<HistoryEvents>, Status> {
        let parsed = wire::parse_read(request.get_mut());
        let call = self
            .enter(&request, &request.get_ref().municipality_code, HISTORY)
            .await?;
        match parsed {
            Ok(asked) => {
                let tenant = Arc::clone(call.tenant);
                let events = history::stream(tenant, call.caller, asked, call.deadline);
                Ok(Response::new(events))
            }
            Err(error) => Err(call.refuse(error).await),
        }
    }

    async fn mark_entry(
        &self,
        mut request: Request<v1::MarkEntryRequest>,
    ) -> Result<Response<v1::MarkEntryResponse>, Status> {
        let parsed = wire::parse_mark(request.get_mut());
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let marked = match parsed {
            Ok(mark) => audit::mark(call.tenant, &call.caller, mark, call.deadline).await,
            Err(error) => Err(error),
        };
        match marked {
            Ok(report) => Ok(Response::new(v1::MarkEntryResponse {
                log_index: report.log_index,
                officers: report.officers,
            })),
            Err(error) => Err(call.refuse(error).await),
        }
    }

    async fn read_entry_story(
        &self,
        request: Request<v1::ReadEntryStoryRequest>,
    ) -> Result<Response<v1::ReadEntryStoryResponse>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, HISTORY)
            .await?;
        let index = request.get_ref().log_index;
        let result = audit::story(call.tenant, &call.caller, index, call.deadline).await;
        end(&call, result, wire::story_message).await
    }

    async fn summarize_days(
        &self,
        request: Request<v1::SummarizeDaysRequest>,
    ) -> Result<Response<Events<v1::SummaryEvent>>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, VERIFY)
            .await?;
        match parse_summary(request.get_ref()) {
            Ok(asked) => {
                let deadline = call.deadline;
                let events = progress::stream(
                    call,
                    progress_event,
                    move |tenant, caller, progress| async move {
                        let made =
                            audit::summarize(&tenant, &caller, asked, progress, deadline).await?;
                        Ok(summary_event(made.into_parts().0, tenant.policy.review))
                    },
                );
                Ok(Response::new(events))
            }
            Err(error) => Err(call.refuse(error).await),
        }
    }

    async fn sign_review(
        &self,
        request: Request<v1::SignReviewRequest>,
    ) -> Result<Response<v1::SignReviewResponse>, Status> {
        let call = self
            .enter(
                &request,
                &request.get_ref().municipality_code,
                self.limits.deadline,
            )
            .await?;
        let signed = match field::date("day", request.get_ref().day.as_ref()) {
            Ok(day) => audit::sign_review(call.tenant, &call.caller, day, call.deadline).await,
            Err(error) => Err(error),
        };
        match signed {
            Ok(signed) => Ok(Response::new(signed_message(signed))),
            Err(error) => Err(call.refuse(error).await),
        }
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::ReconcileResponse>, Status> {
        let call = self
            .enter(&request, &request.get_ref().municipality_code, RECONCILE)
            .await?;
        let provider = field::municipality("provider_code", &request.get_ref().provider_code);
        let result = match provider {
            Ok(provider) => reconcile_now(call.tenant, &call.caller, provider, call.deadline).await,
            Err(error) => Err(error),
        };
        end(&call, result, reconciliation::outcome_message).await
    }
}
