//! Work that tells how far it is, as events on their way out: figures as they come, and what it came to.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vrx_domain::Caller;
use vrx_services::{ServiceError, TenantServices};

use super::call::noted;
use super::own::OwnCall;
use crate::status::status;

/// What a caller reads meanwhile.
pub(crate) type Events<E> = Pin<Box<dyn Stream<Item = Result<E, Status>> + Send>>;

/// Events that wait for a slow reader.
const AHEAD: usize = 16;

/// Runs `work` in a task of its own, which ends with it or at the call's deadline. Who reads slowly misses figures and holds nothing up;
/// the last event always has its place.
pub(crate) fn stream<P, E, W>(
    call: OwnCall<'_>,
    figure: fn(P) -> E,
    work: impl FnOnce(Arc<TenantServices>, Caller, mpsc::Sender<P>) -> W,
) -> Events<E>
where
    P: Send + 'static,
    E: Send + 'static,
    W: Future<Output = Result<E, ServiceError>> + Send + 'static,
{
    let (tenant, caller, deadline) = (Arc::clone(call.tenant), call.caller, call.deadline);
    let (out, outgoing) = mpsc::channel(AHEAD);
    let (progress, mut incoming) = mpsc::channel(AHEAD);
    let work = work(Arc::clone(&tenant), caller.clone(), progress);
    tokio::spawn(async move {
        let forward = async {
            while let Some(progress) = incoming.recv().await {
                if out.capacity() > 1 && out.try_send(Ok(figure(progress))).is_err() {
                    return;
                }
            }
        };
        let work = async { deadline.wait(work).await };
        let (result, ()) = tokio::join!(work, forward);
        let last = match result.unwrap_or(Err(ServiceError::DeadlineExceeded)) {
            Ok(end) => Ok(end),
            Err(error) => Err(status(&noted(Some(&tenant), &caller, error).await)),
        };
        if out.try_send(last).is_err() {
            tracing::debug!("a caller left before the end of what it asked for");
        }
    });
    Box::pin(ReceiverStream::new(outgoing))
}
