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
use crate::grpc::{audit, receipts, reconciliation, registry, retention};
use crate::limits::{self, InFlight, Limits};
use crate::peer::Peer;
use crate::tls::accept::{Acceptor, accept_loop};
use crate::tls::{TlsError, TlsMaterial};
use crate::traffic::Traffic;

/// How a node is told to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// No new connection and no new call; those that run go on to their end.
    pub soft: CancellationToken,
    /// Whatever still runs is cut off.
    pub hard: CancellationToken,
}

/// What a node serves, and how.
pub struct Served {
    /// Certificates and CAs.
    pub material: Arc<TlsMaterial>,
    /// What a caller may take.
    pub limits: Limits,
    /// The municipalities.
    pub tenants: Arc<Tenants>,
    /// What they share.
    pub shared: Arc<NodeServices>,
    /// What health says.
    pub readiness: Readiness,
    /// Where connections and answers are counted.
    pub traffic: Arc<Traffic>,
}

/// Bytes of all headers of one call together.
const HEADERS: u32 = 16 * 1024;
/// How often a quiet caller is probed, and how long it may take to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Serves until `shutdown.soft` and the last call's end, or until `shutdown.hard`.
pub async fn serve(
    listener: TcpListener,
    served: Served,
    shutdown: Shutdown,
) -> Result<(), TlsError> {
    let Served {
        material,
        limits,
        tenants,
        shared,
        readiness,
        traffic,
    } = served;
    let acceptor = Acceptor::new(&material, limits.accept.handshake_deadline)?;
    let routes = tonic::service::Routes::new(readiness.server())
        .add_service(registry::server(tenants.clone(), limits))
        .add_service(audit::server(tenants.clone(), limits))
        .add_service(retention::server(tenants.clone(), limits))
        .add_service(receipts::server(tenants.clone(), shared.clone(), limits))
        .add_service(reconciliation::server(
            tenants.clone(),
            shared.clone(),
            limits,
        ))
        .prepare();
    let in_flight = InFlight::new(limits.in_flight_per_caller);
    let seats = InFlight::new(limits.connections_per_caller);
    let node = Arc::new(Node {
        tenants,
        shared,
        limits,
        in_flight,
        connections: seats,
        routes,
        traffic: Arc::clone(&traffic),
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
        &traffic,
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
    let _open = node.traffic.connected();
    // One caller's connections, however many and however idle, leave room for everybody else's.
    let Ok(_seat) = limits::take(&node.connections.of_peer(&peer)) else {
        tracing::debug!("a caller has too many connections");
        return;
    };
    // A caller may open a few more calls than it has places, so that it hears RESOURCE_EXHAUSTED instead of waiting.
    let streams = node.limits.in_flight_per_caller.saturating_add(64);
    let connection = Arc::new(Connection::new(node, peer));
    let service = service_fn(move |request| dispatch::answer(connection.clone(), request));
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADERS)
        .auto_date_header(false)
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::uri::PathAndQuery;
    use tokio::task::JoinHandle;
    use tonic::client::Grpc;
    use tonic::transport::{Channel, Endpoint};
    use tonic::{Code, Status};
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use vrx_certs_dev::{IdentitySpec, IssuedCert};
    use vrx_domain::{Clock, Members, Random, UnixMillis};
    use vrx_proto::v1;
    use vrx_proto::v1::registry_service_client::RegistryServiceClient;
    use vrx_services::ServiceError;

    use super::*;
    use crate::testing::{FUJISAWA, World, YOKOHAMA, member};
    use crate::wire::query::tests::valid;
    use crate::{PeerClient, ProstAnswerCodec};

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> UnixMillis {
            UnixMillis(1_775_000_000_000)
        }

        fn monotonic_nanos(&self) -> u64 {
            0
        }
    }

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    /// A node of Fujisawa without a tenant: enough for every check that comes before the tenant's.
    struct Running {
        world: World,
        address: SocketAddr,
        readiness: Readiness,
        traffic: Arc<Traffic>,
        shutdown: Shutdown,
        task: JoinHandle<Result<(), TlsError>>,
        yokohama: IssuedCert,
    }

    async fn running() -> Running {
        let world = World::new();
        let material = world.node(FUJISAWA);
        let yokohama = world.issue(&IdentitySpec::node(YOKOHAMA));
        let members = Members::new(vec![member(
            YOKOHAMA,
            "127.0.0.1:1".into(),
            yokohama.spki_sha256,
        )])
        .unwrap();
        let shared = Arc::new(NodeServices {
            clock: Arc::new(Fixed),
            random: Arc::new(Fixed),
            codec: Arc::new(ProstAnswerCodec),
            peers: Arc::new(PeerClient::new(material.clone())),
            members: Arc::new(members),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, shutdown) = (Readiness::new().await, Shutdown::default());
        let tenants = Arc::new(Tenants::default());
        let traffic = Arc::new(Traffic::default());
        let served = Served {
            material,
            limits: Limits::default(),
            tenants,
            shared,
            readiness: readiness.clone(),
            traffic: traffic.clone(),
        };
        let task = tokio::spawn(serve(listener, served, shutdown.clone()));
        Running {
            world,
            address,
            readiness,
            traffic,
            shutdown,
            task,
            yokohama,
        }
    }

    impl Running {
        async fn channel(&self, issued: &IssuedCert) -> Channel {
            let (tls, address) = (self.world.client(Some(issued), &[b"h2"]), self.address);
            let connect = tower::service_fn(move |_| {
                let tls = tls.clone();
                async move {
                    let stream = tokio::net::TcpStream::connect(address).await?;
                    tls.connect("localhost".try_into().unwrap(), stream)
                        .await
                        .map(TokioIo::new)
                }
            });
            Endpoint::from_static("http://localhost")
                .connect_with_connector(connect)
                .await
                .unwrap()
        }

        /// The status of one call with a valid request.
        async fn call(&self, issued: &IssuedCert, path: &'static str) -> Status {
            let mut grpc = Grpc::new(self.channel(issued).await);
            grpc.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<v1::QueryRecordsRequest, v1::QueryRecordsResponse>::default();
            let path = PathAndQuery::from_static(path);
            grpc.unary(tonic::Request::new(valid()), path, codec)
                .await
                .err()
                .unwrap()
        }
    }

    const QUERY: &str = "/vrx.v1.ExchangeService/QueryRecords";
    const PROVISIONS: &str = "/vrx.v1.ReconciliationService/ListProvisions";
    const DIFFERENCES: &str = "/vrx.v1.ReconciliationService/ReportDifferences";
    const RECEIPTS: &str = "/vrx.v1.ReceiptService/ListReceipts";

    #[tokio::test]
    async fn refusals_come_in_their_order_and_sound_the_same() {
        let node = running().await;
        let world = &node.world;
        let uri = "spiffe://vrx.test/municipality/141003/exchange";
        let two = world.issue(
            &IdentitySpec::new(YOKOHAMA, "exchange")
                .uris(&[uri, uri])
                .file_stem("two"),
        );
        assert_eq!(node.call(&two, QUERY).await.code(), Code::Unauthenticated);

        let staff = world.issue(&IdentitySpec::new(FUJISAWA, "staff").name("tanaka"));
        let officer = world.issue(&IdentitySpec::new(FUJISAWA, "officer").name("sato"));
        let stranger = world.issue(&IdentitySpec::node("121002"));
        let other_key = world.issue(&IdentitySpec::node(YOKOHAMA).file_stem("other-key"));
        let denied = [
            ("role: staff ask for an exchange", &staff, QUERY),
            (
                "role: a node calls the desk",
                &node.yokohama,
                "/vrx.v1.RegistryService/InquireMunicipality",
            ),
            (
                "role: staff read the log",
                &staff,
                "/vrx.v1.AuditService/ListEntries",
            ),
            (
                "role: officers import",
                &officer,
                "/vrx.v1.RegistryService/ApproveImport",
            ),
            ("role: staff ask for receipts", &staff, RECEIPTS),
            ("role: officers ask for provisions", &officer, PROVISIONS),
            ("not a member asks for provisions", &stranger, PROVISIONS),
            ("not a member reports differences", &stranger, DIFFERENCES),
            ("not a member asks for receipts", &stranger, RECEIPTS),
            (
                "a key that isn't pinned asks for receipts",
                &other_key,
                RECEIPTS,
            ),
            ("not a member", &stranger, QUERY),
            ("a member with a key that isn't pinned", &other_key, QUERY),
            ("a tenant that isn't here", &node.yokohama, QUERY),
            (
                "a service that isn't listed",
                &node.yokohama,
                "/vrx.v1.AdminService/Status",
            ),
        ];
        let mut said = Vec::new();
        for (what, issued, path) in denied {
            let status = node.call(issued, path).await;
            assert_eq!(status.code(), Code::PermissionDenied, "{what}");
            said.push((status.message().to_owned(), status.details().to_vec()));
        }
        said.dedup();
        assert_eq!(said.len(), 1);
        let seen = node.traffic.seen();
        // Those of the exchange whose caller is understood; the first and the desk's aren't.
        assert_eq!((seen.answered, seen.refused, seen.failed), (0, 4, 0));
        assert_eq!(seen.handshakes_failed, 0);
    }

    #[tokio::test]
    async fn a_handshake_that_fails_is_counted() {
        let node = running().await;
        drop(tokio::net::TcpStream::connect(node.address).await.unwrap());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while node.traffic.seen().handshakes_failed == 0 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(node.traffic.seen().connections, 0);
    }

    #[tokio::test]
    async fn staff_of_a_tenant_that_is_not_here_hear_the_same_and_bad_bytes_are_bad_input() {
        let node = running().await;
        let staff = node
            .world
            .issue(&IdentitySpec::new(FUJISAWA, "staff").name("tanaka"));
        let mut registry = RegistryServiceClient::new(node.channel(&staff).await);
        for code in [FUJISAWA, YOKOHAMA] {
            let request = v1::ListImportsRequest {
                municipality_code: code.to_owned(),
                ..Default::default()
            };
            let status = registry.list_imports(request).await.err().unwrap();
            assert_eq!(status.code(), Code::PermissionDenied);
            assert_eq!(
                status.message(),
                crate::status::status(&ServiceError::PermissionDenied).message()
            );
        }
        let status = node
            .call(&staff, "/vrx.v1.RegistryService/ListImports")
            .await;
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[tokio::test]
    async fn health_tells_every_role_what_the_canary_last_found() {
        let node = running().await;
        let mut health = HealthClient::new(node.channel(&node.yokohama).await);
        for service in ["", "vrx.v1.ExchangeService"] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let status = health
                .check(request.clone())
                .await
                .unwrap()
                .into_inner()
                .status();
            assert_eq!(status, ServingStatus::NotServing);
            node.readiness.ready().await;
            let status = health.check(request).await.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving);
            node.readiness.not_ready().await;
        }
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_a_soft_shutdown() {
        let node = running().await;
        let _idle = node.channel(&node.yokohama).await;
        node.shutdown.soft.cancel();
        node.task.await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(node.address).await.is_err());
    }
}
