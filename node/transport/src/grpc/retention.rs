//! `RetentionService`: what a tenant's privacy officers plan, propose and approve of erasures, and whom they exempt.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};
use vrx_domain::{Hold, HoldGround, SpiffeId};
use vrx_proto::v1;
use vrx_proto::v1::erasure_event::Event;
use vrx_proto::v1::retention_service_server::{RetentionService, RetentionServiceServer};
use vrx_services::retention::{
    self, Earlier, ErasureCounts, ErasureList, ErasurePlan, ErasureRun, HoldRequest, SurveyProgress,
};
use vrx_services::{ServiceError, Tenants};
use zeroize::Zeroize;

use super::own::OwnCall;
use super::progress::{self, Events};
use crate::limits::Limits;
use crate::wire::field::{self, Parsed};

/// No request of an officer comes near this many bytes.
const LONGEST_REQUEST: usize = 16 * 1024;
/// A survey reads every person.
const SURVEY: Duration = Duration::from_hours(1);

/// The service on tonic's generated server.
pub(crate) fn server(tenants: Arc<Tenants>, limits: Limits) -> RetentionServiceServer<Retention> {
    RetentionServiceServer::new(Retention { tenants, limits })
        .max_decoding_message_size(LONGEST_REQUEST)
}

pub(crate) struct Retention {
    tenants: Arc<Tenants>,
    limits: Limits,
}

impl Retention {
    async fn enter<T>(
        &self,
        request: &Request<T>,
        named: &str,
        longest: Duration,
    ) -> Result<OwnCall<'_>, Status> {
        OwnCall::enter(&self.tenants, request, named, longest).await
    }
}

/// Surveys; the events go out as they come.
fn survey(call: OwnCall<'_>, what: Survey) -> ErasureEvents {
    let deadline = call.deadline;
    progress::stream(
        call,
        progress_message,
        move |tenant, caller, progress| async move {
            match what {
                Survey::Plan => {
                    let planned = retention::plan(&tenant, &caller, progress, deadline).await?;
                    let log_index = planned.log_index();
                    let plan = planned.into_parts().0;
                    Ok(plan_message(&plan, String::new(), log_index))
                }
                Survey::Propose(earlier) => {
                    let proposed =
                        retention::propose(&tenant, &caller, earlier, progress, deadline).await?;
                    let log_index = proposed.log_index();
                    let proposal = proposed.into_parts().0;
                    Ok(plan_message(
                        &proposal.plan,
                        proposal.id.to_string(),
                        log_index,
                    ))
                }
            }
        },
    )
}

/// What a survey is for.
#[derive(Clone, Copy)]
enum Survey {
    Plan,
    Propose(Earlier),
}

type ErasureEvents = Events<v1::ErasureEvent>;

#[tonic::async_trait]
impl RetentionService for Retention {
    type PlanErasureStream = ErasureEvents;
    type ProposeErasureStream = ErasureEvents;

    async fn plan_erasure(
        &self,
        request: Request<v1::PlanErasureRequest>,
    ) -> Result<Response<ErasureEvents>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, SURVEY).await?;
        Ok(Response::new(survey(call, Survey::Plan)))
    }

    async fn propose_erasure(
        &self,
        request: Request<v1::ProposeErasureRequest>,
    ) -> Result<Response<ErasureEvents>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, SURVEY).await?;
        let earlier = if request.get_ref().replace {
            Earlier::GivesWay
        } else {
            Earlier::Stands
        };
        Ok(Response::new(survey(call, Survey::Propose(earlier))))
    }

    async fn approve_erasure(
        &self,
        request: Request<v1::ApproveErasureRequest>,
    ) -> Result<Response<v1::ApproveErasureResponse>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, self.limits.deadline).await?;
        let result = async {
            let id = field::erasure_id("erasure_id", &request.get_ref().erasure_id)?;
            retention::approve(call.tenant, &call.caller, id, call.deadline).await
        };
        let result = result.await.map(|approval| v1::ApproveErasureResponse {
            proposed: Some(counts(&approval.proposed)),
            log_index: approval.log_index,
        });
        call.end(result).await
    }

    async fn list_erasures(
        &self,
        request: Request<v1::ListErasuresRequest>,
    ) -> Result<Response<v1::ListErasuresResponse>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, self.limits.deadline).await?;
        let result = retention::list(call.tenant, &call.caller, call.deadline).await;
        call.end(result.map(|recorded| list(&recorded.into_parts().0)))
            .await
    }

    async fn place_hold(
        &self,
        mut request: Request<v1::PlaceHoldRequest>,
    ) -> Result<Response<v1::PlaceHoldResponse>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, self.limits.deadline).await;
        let parsed = match &call {
            Ok(_) => hold_request(request.get_ref()),
            Err(_) => Err(ServiceError::PermissionDenied),
        };
        // Whatever comes of it, the text of the number goes now.
        request.get_mut().individual_number.zeroize();
        let call = call?;
        let result = match parsed {
            Ok(request) => {
                retention::place_hold(call.tenant, &call.caller, request, call.deadline).await
            }
            Err(error) => Err(error),
        };
        let result = result.map(|report| v1::PlaceHoldResponse {
            placed: report.done,
            log_index: report.log_index,
        });
        call.end(result).await
    }

    async fn lift_hold(
        &self,
        mut request: Request<v1::LiftHoldRequest>,
    ) -> Result<Response<v1::LiftHoldResponse>, Status> {
        let named = &request.get_ref().municipality_code;
        let call = self.enter(&request, named, self.limits.deadline).await;
        let number =
            field::individual_number("individual_number", &request.get_ref().individual_number);
        request.get_mut().individual_number.zeroize();
        let call = call?;
        let result = async {
            let reference = field::reference("reference", &request.get_ref().reference)?;
            retention::lift_hold(
                call.tenant,
                &call.caller,
                &number?,
                &reference,
                call.deadline,
            )
            .await
        };
        let result = result.await;
        let result = result.map(|report| v1::LiftHoldResponse {
            lifted: report.done,
            log_index: report.log_index,
        });
        call.end(result).await
    }
}

fn hold_request(request: &v1::PlaceHoldRequest) -> Parsed<HoldRequest> {
    let until = match &request.until {
        None => None,
        Some(_) => Some(field::date("until", request.until.as_ref())?),
    };
    Ok(HoldRequest {
        number: field::individual_number("individual_number", &request.individual_number)?,
        until,
        ground: field::choice("ground", request.ground, HoldGround::from_code)?,
        reference: field::reference("reference", &request.reference)?,
    })
}

fn counts(counts: &ErasureCounts) -> v1::ErasureCounts {
    v1::ErasureCounts {
        persons: counts.persons,
        doses: counts.doses,
        openings: counts.openings,
    }
}

fn progress_message(progress: SurveyProgress) -> v1::ErasureEvent {
    v1::ErasureEvent {
        event: Some(Event::Progress(v1::ErasureProgress {
            looked_at: progress.looked_at,
            total: progress.total,
        })),
    }
}

fn plan_message(plan: &ErasurePlan, erasure_id: String, log_index: u64) -> v1::ErasureEvent {
    v1::ErasureEvent {
        event: Some(Event::Plan(v1::ErasurePlan {
            erasure_id,
            today: Some(field::date_message(plan.today)),
            counts: Some(counts(&plan.counts)),
            on_hold: plan.on_hold,
            waiting: plan.waiting,
            left_for_next: plan.left_for_next,
            years_after_last_dose: plan.policy.doses().get(),
            years_after_ceasing: plan.policy.ceased().get(),
            years_of_openings: plan.policy.openings().get(),
            log_index,
        })),
    }
}

fn list(list: &ErasureList) -> v1::ListErasuresResponse {
    v1::ListErasuresResponse {
        erasures: list.runs.iter().map(erasure).collect(),
        holds: list.holds.iter().map(hold).collect(),
    }
}

fn hold(hold: &Hold) -> v1::Hold {
    v1::Hold {
        ground: i32::from(hold.ground.code()),
        reference: hold.reference.to_string(),
        until: hold.until.map(field::date_message),
        placed_by: officer(&hold.placed_by),
        placed_at: Some(field::timestamp(hold.placed_at)),
    }
}

fn erasure(run: &ErasureRun) -> v1::Erasure {
    let (approved_by, approved_at) = match &run.approved {
        Some((by, at)) => (officer(by), Some(field::timestamp(*at))),
        None => (String::new(), None),
    };
    v1::Erasure {
        erasure_id: run.id.to_string(),
        // The stages have the same numbers on the wire.
        stage: run.stage as i32,
        proposed_by: officer(&run.proposed_by),
        proposed_at: Some(field::timestamp(run.proposed_at)),
        proposed: Some(counts(&run.proposed)),
        approved_by,
        approved_at,
        done: Some(counts(&run.done)),
        stayed: run.stayed,
        live_at: run.rewritten_at.map(field::timestamp),
        certificate: run.certificate.clone(),
        log_index: run.entry.unwrap_or_default(),
    }
}

/// The name in a SPIFFE URI; the whole text if it isn't one.
fn officer(uri: &str) -> String {
    SpiffeId::parse(uri)
        .ok()
        .and_then(|id| id.name)
        .unwrap_or_else(|| uri.to_owned())
}
