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

use super::names::Names;
use super::{TlsError, TlsMaterial, server_config, speaks_h2};
use crate::peer::Peer;
use crate::traffic::Traffic;

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
    names: Arc<Names>,
    deadline: Duration,
}

impl Acceptor {
    /// An acceptor with the tenants' certificates and CAs.
    pub fn new(material: &TlsMaterial, deadline: Duration) -> Result<Self, TlsError> {
        Ok(Acceptor {
            tls: TlsAcceptor::from(Arc::new(server_config(material)?)),
            trust_domain: material.trust_domain.clone(),
            names: material.names.clone(),
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
        let addressed = session
            .server_name()
            .and_then(|name| self.names.tenant(name));
        let peer = Peer::of_chain(session.peer_certificates(), &self.trust_domain, addressed);
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
    traffic: &Arc<Traffic>,
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
        let (acceptor, serve, traffic) = (acceptor.clone(), serve.clone(), Arc::clone(traffic));
        tasks.spawn(async move {
            let accepted = acceptor.accept(stream).await;
            drop(handshake);
            match accepted {
                Ok((stream, peer)) => serve(stream, peer).await,
                Err(error) => {
                    traffic.handshake_failed();
                    tracing::debug!(%error, "a handshake failed");
                }
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

#[cfg(test)]
mod tests {
    use rustls_pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use vrx_certs_dev::{IdentitySpec, IssuedCert, Signer, Validity};
    use vrx_domain::{Caller, IdentityError};

    use super::*;
    use crate::testing::{FUJISAWA, World, YOKOHAMA};

    /// What Fujisawa's node makes of a caller with this certificate: `Err` when TLS refuses it.
    async fn shown(
        world: &World,
        issued: Option<&IssuedCert>,
    ) -> io::Result<Result<Caller, IdentityError>> {
        let acceptor = Acceptor::new(&world.node(FUJISAWA), Duration::from_secs(5)).unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let client = world.client(issued, &[b"h2"]);
        let name = ServerName::try_from("localhost").unwrap();
        let caller = tokio::spawn(async move {
            // In TLS 1.3 the client is done before the server has looked at its certificate: wait for the verdict.
            if let Ok(mut stream) = client.connect(name, far).await {
                let _end: io::Result<usize> = stream.read(&mut [0]).await;
            }
        });
        let accepted = acceptor.accept(near).await;
        let verdict = accepted.map(|(_, peer)| peer.caller().cloned().map_err(|error| *error));
        caller.await.unwrap();
        verdict
    }

    #[tokio::test]
    async fn each_role_is_vouched_for_by_its_own_ca_alone() {
        let world = World::new();
        let tenant = |code: &str| Signer::Tenant(code.to_owned());
        let staff = |code: &str| IdentitySpec::new(code, "staff").name("tanaka");
        let exchange = || IdentitySpec::new(YOKOHAMA, "exchange");
        let good = [
            exchange(),
            IdentitySpec::new(YOKOHAMA, "witness"),
            IdentitySpec::new(YOKOHAMA, "certificate"),
            staff(FUJISAWA),
            IdentitySpec::new(FUJISAWA, "officer").name("sato"),
            IdentitySpec::new(FUJISAWA, "operator").name("ito"),
            IdentitySpec::new(FUJISAWA, "venue").name("hall"),
        ];
        for spec in &good {
            let issued = world.issue(spec);
            let caller = shown(&world, Some(&issued)).await.unwrap().unwrap();
            assert_eq!(caller.id.to_string(), issued.uri);
            assert_eq!(
                (caller.fingerprint, caller.spki),
                (issued.fingerprint, issued.spki_sha256)
            );
        }
        let bad = [
            (
                "a tenant's CA vouches for a node",
                exchange().signed_by(tenant(FUJISAWA)),
            ),
            (
                "its own tenant's CA vouches for a node",
                exchange().signed_by(tenant(YOKOHAMA)),
            ),
            (
                "a tenant's CA vouches for a witness",
                IdentitySpec::new(YOKOHAMA, "witness").signed_by(tenant(FUJISAWA)),
            ),
            (
                "the federation vouches for staff",
                staff(FUJISAWA).signed_by(Signer::Federation),
            ),
            (
                "the right CA, the wrong town",
                staff(YOKOHAMA).signed_by(tenant(FUJISAWA)),
            ),
            (
                "the wrong CA, the right town",
                staff(FUJISAWA).signed_by(tenant(YOKOHAMA)),
            ),
            ("staff of a town that isn't here", staff(YOKOHAMA)),
            ("expired", exchange().validity(Validity::Expired)),
            ("expired staff", staff(FUJISAWA).validity(Validity::Expired)),
            ("not yet valid", exchange().validity(Validity::NotYet)),
            ("a rogue CA", exchange().signed_by(Signer::Rogue)),
            (
                "a rogue CA with the right name",
                exchange().signed_by(Signer::RogueFederation),
            ),
        ];
        for (what, spec) in &bad {
            assert!(
                shown(&world, Some(&world.issue(spec))).await.is_err(),
                "{what}"
            );
        }
        assert!(shown(&world, None).await.is_err(), "no certificate");
    }

    #[tokio::test]
    async fn an_identity_that_is_not_understood_passes_tls_and_is_nobody() {
        let world = World::new();
        let uri = "spiffe://vrx.test/municipality/141003/exchange";
        let exchange = IdentitySpec::new(YOKOHAMA, "exchange");
        let cases = [
            (
                exchange.clone().uris(&[uri, uri]),
                IdentityError::SeveralUris,
            ),
            (
                exchange.clone().uris(&[]).dns("localhost"),
                IdentityError::NoUri,
            ),
            (
                exchange
                    .clone()
                    .uris(&["spiffe://other.test/municipality/141003/exchange"]),
                IdentityError::Uri,
            ),
            (
                exchange
                    .clone()
                    .uris(&["spiffe://vrx.test/municipality/141003/mayor"]),
                IdentityError::Role,
            ),
        ];
        for (spec, error) in cases {
            let issued = world.issue(&spec);
            assert_eq!(shown(&world, Some(&issued)).await.unwrap(), Err(error));
            let rogue = world.issue(&spec.signed_by(Signer::Rogue));
            assert!(shown(&world, Some(&rogue)).await.is_err());
        }
    }

    #[tokio::test]
    async fn whoever_does_not_speak_http2_is_let_go() {
        let world = World::new();
        let acceptor = Acceptor::new(&world.node(FUJISAWA), Duration::from_secs(5)).unwrap();
        let issued = world.issue(&IdentitySpec::node(YOKOHAMA));
        let (near, far) = tokio::io::duplex(64 * 1024);
        let client = world.client(Some(&issued), &[]);
        let name = ServerName::try_from("localhost").unwrap();
        let (accepted, _) = tokio::join!(acceptor.accept(near), client.connect(name, far));
        assert_eq!(accepted.err().unwrap().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_handshake_that_never_comes_ends_at_its_deadline() {
        let world = World::new();
        let acceptor = Acceptor::new(&world.node(FUJISAWA), Duration::from_millis(20)).unwrap();
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(&[0x16]).await.unwrap();
        let accepted = acceptor.accept(near).await;
        assert_eq!(accepted.err().unwrap().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_full_file_table_makes_the_loop_wait_longer_each_time() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(), Backoff::FIRST);
    }
}
