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
    use super::*;

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
