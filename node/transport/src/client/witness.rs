//! Asking a witness: at a member's node over the connection of its calls, at a witness of another house over ordinary HTTPS that
//! checks its name against the one CA file of the configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tower::{Service, ServiceExt};
use vrx_domain::Tenant;
use vrx_services::{AskWitness, Deadline, PeerError, WitnessAddress, WitnessReply};

use super::PeerClient;
use crate::tls::material::anchors;
use crate::tls::{TlsError, TlsMaterial};

/// No answer of a witness comes near this many bytes.
const LONGEST_REPLY: usize = 64 * 1024;
/// How long TCP may take to a witness of another house.
const CONNECT: Duration = Duration::from_secs(5);
/// How long its connection is kept without a request.
const IDLE: Duration = Duration::from_secs(90);

/// A witness of another house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignWitness {
    /// Its submission prefix, see [`submission_url`].
    pub url: String,
    /// The CA that vouches for its name, PEM.
    pub ca: PathBuf,
}

/// Whether a text is a submission prefix: `https://`, a host, an optional port and path, nothing behind. Says what is wrong with it.
pub fn submission_url(text: &str) -> Result<(), &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is no URL")?;
    if uri.scheme_str() != Some("https") {
        return Err("doesn't begin with https://");
    }
    match uri.authority() {
        Some(authority) if !authority.as_str().contains('@') => {}
        _ => return Err("names no host, or a user"),
    }
    if uri.query().is_some() || text.contains('#') || text.ends_with('/') && uri.path() != "/" {
        return Err("ends in a slash, a query or a fragment");
    }
    Ok(())
}

type Foreign = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The ways to the witnesses of other houses, by their submission prefixes.
#[derive(Default)]
pub(super) struct ForeignWitnesses(HashMap<String, Foreign>);

impl ForeignWitnesses {
    pub(super) fn new(
        material: &TlsMaterial,
        witnesses: &[ForeignWitness],
    ) -> Result<Self, TlsError> {
        let clients = witnesses.iter().map(|witness| {
            // Only its name counts, which the CA in the configuration vouches for; it is shown no certificate.
            let tls = ClientConfig::builder_with_provider(Arc::clone(&material.provider))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(anchors(&witness.ca)?)
                .with_no_client_auth();
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            tcp.set_connect_timeout(Some(CONNECT));
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_only()
                .enable_all_versions()
                .wrap_connector(tcp);
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(connector);
            Ok((witness.url.clone(), client))
        });
        Ok(Self(clients.collect::<Result<_, TlsError>>()?))
    }
}

#[async_trait]
impl AskWitness for PeerClient {
    async fn add_checkpoint(
        &self,
        tenant: &Tenant,
        witness: WitnessAddress<'_>,
        request: String,
        deadline: Deadline,
    ) -> Result<WitnessReply, PeerError> {
        let asking = async {
            match witness {
                WitnessAddress::Member(member) => {
                    let own = self.of(tenant)?;
                    let mut channel = self.channels.channel(&self.material, own, member)?;
                    let path = format!("/municipality/{}/witness/add-checkpoint", member.code);
                    let request = post(&path, tonic::body::Body::new(Full::from(request)))?;
                    let channel = channel
                        .ready()
                        .await
                        .map_err(|_| PeerError::Failed("no-connection"))?;
                    let response = channel.call(request).await;
                    read(response.map_err(|_| PeerError::Failed("no-connection"))?).await
                }
                WitnessAddress::Url(url) => {
                    let client = self.foreign.0.get(url);
                    let client = client.ok_or(PeerError::Failed("not in the configuration"))?;
                    let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
                    let response = client.request(post(&url, Full::from(request))?).await;
                    read(response.map_err(|_| PeerError::Failed("no-connection"))?).await
                }
            }
        };
        deadline
            .wait(asking)
            .await
            .map_err(|_| PeerError::Failed("deadline"))?
    }
}

fn post<B>(uri: &str, body: B) -> Result<Request<B>, PeerError> {
    let request = Request::post(uri).header(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    request
        .body(body)
        .map_err(|_| PeerError::Failed("no request can be made for its address"))
}

async fn read<B>(response: Response<B>) -> Result<WitnessReply, PeerError>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
{
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LONGEST_REPLY)
        .collect()
        .await
        .map_err(|_| PeerError::Failed("broken-reply"))?;
    let body =
        String::from_utf8(body.to_bytes().into()).map_err(|_| PeerError::Failed("broken-reply"))?;
    Ok(WitnessReply { status, body })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::server::conn::{http1, http2};
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use rustls::ServerConfig;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::TlsAcceptor;
    use vrx_certs_dev::{IdentitySpec, IssuedCert};
    use vrx_domain::TenantId;

    use super::*;
    use crate::testing::{FUJISAWA, World, YOKOHAMA, town};
    use crate::tls::provider;

    /// A witness of another house: it asks for no certificate, and says what it was sent, behind its path.
    async fn house(issued: &IssuedCert, protocol: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
        let chain = vec![CertificateDer::from(issued.der.clone())];
        let key = PrivateKeyDer::from_pem_file(&issued.key_path).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                counter.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let said = format!("{path} {}", String::from_utf8_lossy(&body));
                    let response = Response::builder().status(409);
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::from(said)).unwrap())
                });
                let stream = TokioIo::new(stream);
                if protocol == b"h2" {
                    let http = http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(async move { drop(http.serve_connection(stream, service).await) });
                } else {
                    let http = http1::Builder::new();
                    tokio::spawn(async move { drop(http.serve_connection(stream, service).await) });
                }
            }
        });
        (port, connections)
    }

    async fn ask(client: &PeerClient, url: &str) -> Result<WitnessReply, PeerError> {
        let id: TenantId = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap();
        let tenant = Tenant {
            id,
            code: town(FUJISAWA),
        };
        let deadline = Deadline::after(Duration::from_secs(5));
        let witness = WitnessAddress::Url(url);
        client
            .add_checkpoint(&tenant, witness, "old 0\n".to_owned(), deadline)
            .await
    }

    #[tokio::test]
    async fn a_witness_of_another_house_is_asked_over_either_http_on_a_connection_that_is_kept() {
        let (world, other) = (World::new(), World::new());
        let issued = other.issue(&IdentitySpec::node(YOKOHAMA));
        for protocol in [b"h2".as_slice(), b"http/1.1".as_slice()] {
            let (port, connections) = house(&issued, protocol).await;
            let witness = ForeignWitness {
                url: format!("https://localhost:{port}/w1"),
                ca: other.federation.ca_cert(),
            };
            let foreign = [witness.clone()];
            let client = PeerClient::with_witnesses(world.node(FUJISAWA), &foreign).unwrap();
            for _ in 0..3 {
                let reply = ask(&client, &witness.url).await.unwrap();
                assert_eq!(reply.status, 409);
                assert_eq!(reply.body, "/w1/add-checkpoint old 0\n");
            }
            assert_eq!(connections.load(Ordering::SeqCst), 1);
            let unknown = ask(&client, "https://localhost:1/w1").await;
            assert_eq!(unknown, Err(PeerError::Failed("not in the configuration")));
        }
    }

    #[tokio::test]
    async fn a_witness_that_its_ca_does_not_vouch_for_is_sent_nothing() {
        let (world, other) = (World::new(), World::new());
        let mut elsewhere = IdentitySpec::node(YOKOHAMA).file_stem("elsewhere");
        elsewhere.dns_names = vec!["elsewhere.example".to_owned()];
        for (ca, issued) in [
            (
                world.federation.ca_cert(),
                other.issue(&IdentitySpec::node(YOKOHAMA)),
            ),
            (other.federation.ca_cert(), other.issue(&elsewhere)),
        ] {
            let (port, connections) = house(&issued, b"h2").await;
            let url = format!("https://localhost:{port}");
            let foreign = [ForeignWitness {
                url: url.clone(),
                ca,
            }];
            let client = PeerClient::with_witnesses(world.node(FUJISAWA), &foreign).unwrap();
            let refused = ask(&client, &url).await;
            assert_eq!(refused, Err(PeerError::Failed("no-connection")));
            assert_eq!(connections.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn a_submission_prefix_is_an_https_url_and_nothing_more() {
        for good in [
            "https://witness.example",
            "https://witness.example/",
            "https://witness.example:8443/w1/x",
        ] {
            assert_eq!(submission_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "witness.example",
            "http://witness.example/w1",
            "https://",
            "https://user@witness.example/w1",
            "https://witness.example/w1/",
            "https://witness.example/w1?x",
            "https://witness.example/w1#x",
            "https://witness example/w1",
        ] {
            assert!(submission_url(bad).is_err(), "{bad}");
        }
    }
}
