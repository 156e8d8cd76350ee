//! Serving: one TLS listener, one HTTP/2 connection a caller, an orderly end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vrx_services::{NodeServices, Tenants};

use crate::grpc::call::{Connection, Node};
use crate::grpc::dispatch;
use crate::grpc::health::Readiness;
use crate::grpc::{audit, registry};
use crate::limits::{InFlight, Limits};
use crate::peer::Peer;
use crate::tls::accept::{Acceptor, accept_loop};
use crate::tls::{TlsError, TlsMaterial};

/// How a node is told to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new connection and no new call; those that run go on to their end.
    pub soft: CancellationToken,
    /// Whatever still runs is cut off.
    pub hard: CancellationToken,
}

/// Bytes of all headers of one call together.
const HEADERS: u32 = 16 * 1024;
/// How often a quiet caller is probed, and how long it may take to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Serves until `shutdown.soft` and the last call's end, or until `shutdown.hard`.
pub async fn serve(
    listener: TcpListener,
    material: Arc<TlsMaterial>,
    limits: Limits,
    tenants: Arc<Tenants>,
    shared: Arc<NodeServices>,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), TlsError> {
    let acceptor = Acceptor::new(&material, limits.accept.handshake_deadline)?;
    let routes = tonic::service::Routes::new(readiness.server())
        .add_service(registry::server(tenants.clone(), limits))
        .add_service(audit::server(tenants.clone(), limits))
        .prepare();
    let in_flight = InFlight::new(limits.in_flight_per_caller);
    let node = Arc::new(Node {
        tenants,
        shared,
        limits,
        in_flight,
        routes,
    });
    let connections = TaskTracker::new();
    let per_connection = {
        let shutdown = shutdown.clone();
        move |stream, peer| converse(stream, peer, node.clone(), shutdown.clone())
    };
    accept_loop(
        listener,
        acceptor,
        limits.accept,
        &connections,
        &shutdown.soft,
        per_connection,
    )
    .await;

    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = shutdown.hard.cancelled() => connections.wait().await,
    }
    Ok(())
}

/// One connection from its first call to its last.
async fn converse<IO>(stream: IO, peer: Peer, node: Arc<Node>, shutdown: Shutdown)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A caller may open a few more calls than it has places, so that it hears RESOURCE_EXHAUSTED instead of waiting.
    let streams = node.limits.in_flight_per_caller.saturating_add(64);
    let connection = Arc::new(Connection::new(node, peer));
    let service = service_fn(move |request| dispatch::answer(connection.clone(), request));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));

    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.soft.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = shutdown.hard.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
