//! A summary of days on its way: how far it is, then what it is.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vrx_domain::Caller;
use vrx_proto::v1;
use vrx_proto::v1::summary_event::Event;
use vrx_services::audit::{self, SummaryRequest, VerifyProgress};
use vrx_services::{Deadline, ServiceError, TenantServices};

use super::call::noted;
use crate::status::status;
use crate::wire::days::summary_message;

/// What a caller reads while a summary is made.
pub(crate) type SummaryEvents =
    Pin<Box<dyn Stream<Item = Result<v1::SummaryEvent, Status>> + Send>>;

/// Summarizes. The task ends with the summary, or at the deadline.
pub(crate) fn stream(
    tenant: Arc<TenantServices>,
    caller: Caller,
    request: SummaryRequest,
    deadline: Deadline,
) -> SummaryEvents {
    let (out, outgoing) = mpsc::channel(16);
    let (progress, mut incoming) = mpsc::channel::<VerifyProgress>(16);
    tokio::spawn(async move {
        let forward = async {
            while let Some(progress) = incoming.recv().await {
                let progress = v1::VerifyProgress {
                    entries_checked: progress.checked,
                    entries_total: progress.total,
                };
                // The last place is the summary's: who reads slowly misses figures, and holds nothing up.
                if out.capacity() > 1 && out.try_send(Ok(event(Event::Progress(progress)))).is_err()
                {
                    return;
                }
            }
        };
        let work = audit::summarize(&tenant, &caller, request, progress, deadline);
        let work = async { deadline.wait(work).await };
        let (result, ()) = tokio::join!(work, forward);
        let result = result.unwrap_or(Err(ServiceError::DeadlineExceeded));
        let last = match result {
            Ok(recorded) => {
                let policy = tenant.policy.review;
                let summary = summary_message(recorded.into_parts().0, policy);
                Ok(event(Event::Summary(summary)))
            }
            Err(error) => Err(status(&noted(Some(&tenant), &caller, error).await)),
        };
        if out.try_send(last).is_err() {
            tracing::debug!("the caller of a summary left before its end");
        }
    });
    Box::pin(ReceiverStream::new(outgoing))
}

fn event(event: Event) -> v1::SummaryEvent {
    v1::SummaryEvent { event: Some(event) }
}
