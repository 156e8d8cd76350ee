//! A person's history on its way out, row by row.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vrx_domain::Caller;
use vrx_proto::v1;
use vrx_proto::v1::history_event::Step;
use vrx_services::audit::{self, History, HistoryRequest};
use vrx_services::{Deadline, ServiceError, TenantServices};

use super::call::noted;
use crate::status::status;
use crate::wire::field::timestamp;
use crate::wire::history::{cosigning_message, part_message};

/// What a caller reads of a history.
pub(crate) type HistoryEvents =
    Pin<Box<dyn Stream<Item = Result<v1::HistoryEvent, Status>> + Send>>;

/// Rows that wait for a slow reader.
const AHEAD: usize = 16;

/// Records the reading, then sends what there is. The task ends with the history, with the caller, or at the deadline.
pub(crate) fn stream(
    tenant: Arc<TenantServices>,
    caller: Caller,
    request: HistoryRequest,
    deadline: Deadline,
) -> HistoryEvents {
    let (out, outgoing) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let sent = deadline
            .wait(send(&tenant, &caller, request, &out, deadline))
            .await;
        let error = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => ServiceError::DeadlineExceeded,
        };
        let error = status(&noted(Some(&tenant), &caller, error).await);
        if out.try_send(Err(error)).is_err() {
            tracing::debug!("the caller of a history left before its end");
        }
    });
    Box::pin(ReceiverStream::new(outgoing))
}

type Out = mpsc::Sender<Result<v1::HistoryEvent, Status>>;

async fn send(
    tenant: &TenantServices,
    caller: &Caller,
    request: HistoryRequest,
    out: &Out,
    deadline: Deadline,
) -> Result<(), ServiceError> {
    let mut history = audit::history(tenant, caller, request, deadline).await?;
    let mut open = give(out, start(&history)).await;
    while open && let Some(part) = history.next(tenant, deadline).await? {
        open = out.send(Ok(part_message(part))).await.is_ok();
    }
    if open {
        let totals = history.totals();
        let end = v1::HistoryEnd {
            rows: totals.rows,
            missing: totals.missing,
            erased: totals.erased,
        };
        give(out, Step::End(end)).await;
    }
    Ok(())
}

/// Whether the caller still listens.
async fn give(out: &Out, step: Step) -> bool {
    out.send(Ok(v1::HistoryEvent { step: Some(step) }))
        .await
        .is_ok()
}

fn start(history: &History) -> Step {
    Step::Start(v1::HistoryStart {
        registered: history.registered,
        review_index: history.review_index,
        checkpoint: history.checkpoint().to_owned(),
        time: Some(timestamp(history.read_at)),
        cosigning: cosigning_message(history.cosigning()).into(),
    })
}
