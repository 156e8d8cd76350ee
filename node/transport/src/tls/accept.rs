//! Accepting: TCP, then TLS under a deadline, then whoever speaks HTTP/2 is handed on.
//!
//! A caller that dawdles in its handshake holds one of a bounded number of places for a bounded time and stops nobody
//! else. An exhausted file table (EMFILE) makes the loop wait, not end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{TlsError, TlsMaterial, server_config, speaks_h2};
use crate::peer::Peer;

/// Bounds of the accepting side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// How long a handshake may take.
    pub handshake_deadline: Duration,
    /// Handshakes at the same time; more wait in the kernel's queue.
    pub handshakes: usize,
    /// Connections at the same time.
    pub connections: usize,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        AcceptLimits {
            handshake_deadline: Duration::from_secs(5),
            handshakes: 256,
            connections: 4096,
        }
    }
}

/// Turns raw streams into streams with a known peer.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    trust_domain: Arc<str>,
    deadline: Duration,
}

impl Acceptor {
    /// An acceptor with this node's certificate and CAs.
    pub fn new(material: &TlsMaterial, deadline: Duration) -> Result<Self, TlsError> {
        Ok(Acceptor {
            tls: TlsAcceptor::from(Arc::new(server_config(material)?)),
            trust_domain: material.trust_domain.as_str().into(),
            deadline,
        })
    }

    /// One handshake.
    pub async fn accept<IO>(&self, stream: IO) -> io::Result<(TlsStream<IO>, Peer)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = tokio::time::timeout(self.deadline, self.tls.accept(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let session = stream.get_ref().1;
        if !speaks_h2(session.alpn_protocol()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the caller doesn't speak HTTP/2",
            ));
        }
        let peer = Peer::of_chain(session.peer_certificates(), &self.trust_domain);
        Ok((stream, peer))
    }
}

/// Accepts until `stop`, handing each connection to `serve` in a task of its own. Returns at once; the tasks are in
/// `tasks`.
pub(crate) async fn accept_loop<F, S>(
    listener: TcpListener,
    acceptor: Acceptor,
    limits: AcceptLimits,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    serve: S,
) where
    S: Fn(TlsStream<tokio::net::TcpStream>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handshakes = Arc::new(Semaphore::new(limits.handshakes));
    let connections = Arc::new(Semaphore::new(limits.connections));
    let mut backoff = Backoff::default();
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = accept_one(&listener, &handshakes, &connections, &mut backoff) => next,
        };
        let Some((stream, handshake, connection)) = next else {
            continue;
        };
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        tasks.spawn(async move {
            let accepted = acceptor.accept(stream).await;
            drop(handshake);
            match accepted {
                Ok((stream, peer)) => serve(stream, peer).await,
                Err(error) => tracing::debug!(%error, "a handshake failed"),
            }
            drop(connection);
        });
    }
}

type Accepted = (
    tokio::net::TcpStream,
    OwnedSemaphorePermit,
    OwnedSemaphorePermit,
);

/// The next connection together with its places; `None` when there was none and it's worth trying again.
async fn accept_one(
    listener: &TcpListener,
    handshakes: &Arc<Semaphore>,
    connections: &Arc<Semaphore>,
    backoff: &mut Backoff,
) -> Option<Accepted> {
    // The semaphores are never closed, so both acquisitions only ever wait.
    let connection = connections.clone().acquire_owned().await.ok()?;
    let handshake = handshakes.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            backoff.reset();
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended at once");
                return None;
            }
            Some((stream, handshake, connection))
        }
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            let wait = backoff.next();
            tracing::warn!(%error, ?wait, "can't accept; waiting");
            tokio::time::sleep(wait).await;
            None
        }
    }
}

/// The error belongs to the connection that was about to be accepted, not to the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// 10 ms, doubled up to a second.
struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Self::LONGEST);
        now
    }

    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff(Self::FIRST)
    }
}
