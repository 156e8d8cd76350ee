//! What privacy officers do beyond reading entries: histories, marks, days, erasures.

use tonic::{Response, Status, Streaming};
use vrx_proto::v1::audit_service_client::AuditServiceClient;
use vrx_proto::v1::history_event::Step;
use vrx_proto::v1::retention_service_client::RetentionServiceClient;
use vrx_proto::v1::{
    ApproveErasureRequest, Date, DisclosureReason, EntryMark, HistoryEvent, HistoryView,
    HoldGround, LiftHoldRequest, ListErasuresRequest, MarkEntryRequest, PlaceHoldRequest,
    PlanErasureRequest, ProposeErasureRequest, ReadEntryStoryRequest, ReadHistoryRequest,
    SignReviewRequest, SummarizeDaysRequest,
};

use super::{About, Callers, Said, of, of_refused_stream, said};

const DAY: Date = Date {
    year: 2026,
    month: 1,
    day: 5,
};

/// Histories, marks and days.
pub(super) async fn audit(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    let municipality_code = code.to_owned();
    let individual_number = about.number.clone();
    let mut audit = AuditServiceClient::new(callers.officer.clone());
    match call {
        "AuditService/ReadHistory" => {
            let asked = ReadHistoryRequest {
                municipality_code,
                individual_number,
                view: HistoryView::Internal.into(),
            };
            of_history(audit.read_history(asked).await).await
        }
        "AuditService/MarkEntry" => {
            let asked = MarkEntryRequest {
                municipality_code,
                individual_number,
                log_index: about.index,
                mark: EntryMark::Withhold.into(),
                reason: DisclosureReason::HarmToPerson.into(),
                document: "decision-1".to_owned(),
            };
            said(audit.mark_entry(asked).await)
        }
        "AuditService/ReadEntryStory" => {
            let asked = ReadEntryStoryRequest {
                municipality_code,
                log_index: about.index,
            };
            said(audit.read_entry_story(asked).await)
        }
        "AuditService/SummarizeDays" => {
            let asked = SummarizeDaysRequest {
                municipality_code,
                from: Some(DAY),
                until: Some(DAY),
                log_size: 0,
            };
            of_refused_stream(audit.summarize_days(asked).await).await
        }
        "AuditService/SignReview" => {
            let asked = SignReviewRequest {
                municipality_code,
                day: Some(DAY),
            };
            said(audit.sign_review(asked).await)
        }
        other => panic!("{other} has no row here: write one"),
    }
}

/// Erasures and holds.
pub(super) async fn retention(callers: &Callers, call: &str, code: &str, about: &About) -> Said {
    let municipality_code = code.to_owned();
    let individual_number = about.number.clone();
    let mut retention = RetentionServiceClient::new(callers.officer.clone());
    match call {
        "RetentionService/PlanErasure" => {
            let asked = PlanErasureRequest { municipality_code };
            of_refused_stream(retention.plan_erasure(asked).await).await
        }
        "RetentionService/ProposeErasure" => {
            let asked = ProposeErasureRequest {
                municipality_code,
                replace: false,
            };
            of_refused_stream(retention.propose_erasure(asked).await).await
        }
        "RetentionService/ApproveErasure" => {
            // Nothing is due in this house: neither has an erasure to name, only an id.
            let asked = ApproveErasureRequest {
                municipality_code,
                erasure_id: about.import.clone(),
            };
            said(retention.approve_erasure(asked).await)
        }
        "RetentionService/ListErasures" => {
            let asked = ListErasuresRequest { municipality_code };
            said(retention.list_erasures(asked).await)
        }
        "RetentionService/PlaceHold" => {
            let asked = PlaceHoldRequest {
                municipality_code,
                individual_number,
                until: None,
                ground: HoldGround::Dispute.into(),
                reference: "case-1".to_owned(),
            };
            said(without_place(retention.place_hold(asked).await, |held| {
                &mut held.log_index
            }))
        }
        "RetentionService/LiftHold" => {
            let asked = LiftHoldRequest {
                municipality_code,
                individual_number,
                reference: "case-1".to_owned(),
            };
            said(without_place(retention.lift_hold(asked).await, |lifted| {
                &mut lifted.log_index
            }))
        }
        other => panic!("{other} has no row here: write one"),
    }
}

/// An answer without the place of its own entry, which differs with every call.
fn without_place<T>(
    mut answer: Result<Response<T>, Status>,
    place: impl FnOnce(&mut T) -> &mut u64,
) -> Result<Response<T>, Status> {
    if let Ok(answer) = &mut answer {
        *place(answer.get_mut()) = 0;
    }
    answer
}

/// A history by the steps that it has.
async fn of_history(answer: Result<Response<Streaming<HistoryEvent>>, Status>) -> Said {
    let mut events = match answer {
        Ok(events) => events.into_inner(),
        Err(status) => return of(&status),
    };
    let mut steps = Vec::new();
    loop {
        match events.message().await {
            Ok(Some(event)) => steps.push(match event.step.unwrap() {
                Step::Start(_) => "start",
                Step::Row(_) => "row",
                Step::Gap(_) => "gap",
                Step::End(_) => "end",
            }),
            Ok(None) => return Said(tonic::Code::Ok, steps.join(" "), Vec::new()),
            Err(status) => return of(&status),
        }
    }
}
