//! The asking side: a call to another municipality's node, and which of the four words its reply is; and the calls for the
//! receipts that it holds and for its entries about this node's requests.
//!
//! - [`PeerClient`] shows each tenant's own certificate and keeps a bounded number of connections.
//! - `channels`: one HTTP/2 connection a tenant and member, made anew when it broke.
//! - `connect`: mutual TLS that demands the asked municipality's identity and pin.
//! - `reply`: *found*, *nothing* (only with its trailers), *refused*, *failed*.
//! - `codec`: the call's codec, which wipes the number once it is encoded.

mod channels;
mod codec;
mod connect;
mod reply;

use std::sync::Arc;

use async_trait::async_trait;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::Channel;
use vrx_domain::{Caller, Member, Tenant};
use vrx_proto::v1;
use vrx_proto::v1::receipt_service_client::ReceiptServiceClient;
use vrx_proto::v1::reconciliation_service_client::ReconciliationServiceClient;
use vrx_services::exchange::ExchangeQuery;
use vrx_services::reconciliation::Difference;
use vrx_services::{
    Deadline, PeerError, PeerExchange, PeerReply, ProvisionsQuery, ProvisionsReply, ReceiptsQuery,
    ReceiptsReply,
};

use self::channels::Channels;
use crate::tls::TlsMaterial;
use crate::tls::material::TenantTls;
use crate::wire::{query, receipt, reconciliation};

/// The path of the call.
const QUERY_RECORDS: &str = "/vrx.v1.ExchangeService/QueryRecords";
/// No page of receipts or provisions comes near this many bytes: one of a log of 2^63 entries has less than 3 KiB.
const LONGEST_PAGE: usize = 1024 * 1024;
/// No answer comes near this many bytes.
const LONGEST_REPLY: usize = 256 * 1024;

/// Asks other municipalities' nodes.
pub struct PeerClient {
    material: Arc<TlsMaterial>,
    channels: Channels,
}

impl PeerClient {
    /// A client that shows the certificate of the tenant that asks.
    pub fn new(material: Arc<TlsMaterial>) -> Self {
        PeerClient {
            material,
            channels: Channels::default(),
        }
    }

    fn reconciling<T>(
        &self,
        tenant: &Tenant,
        member: &Member,
        message: T,
        deadline: Deadline,
    ) -> Result<(ReconciliationServiceClient<Channel>, tonic::Request<T>), PeerError> {
        let own = self.of(tenant)?;
        let channel = self.channels.channel(&self.material, own, member)?;
        let client =
            ReconciliationServiceClient::new(channel).max_decoding_message_size(LONGEST_PAGE);
        let mut request = tonic::Request::new(message);
        request.set_timeout(deadline.remaining());
        Ok((client, request))
    }

    fn of(&self, tenant: &Tenant) -> Result<&TenantTls, PeerError> {
        self.material
            .tenants
            .get(&tenant.code)
            .ok_or(PeerError::Failed(
                "this node has no certificate of this municipality",
            ))
    }
}

#[async_trait]
impl PeerExchange for PeerClient {
    fn identity(&self, tenant: &Tenant) -> Result<Caller, PeerError> {
        Ok(self.of(tenant)?.own.clone())
    }

    async fn query(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ExchangeQuery,
        deadline: Deadline,
    ) -> Result<PeerReply, PeerError> {
        let own = self.of(tenant)?;
        let channel = self.channels.channel(&self.material, own, member)?;
        let mut grpc = Grpc::new(channel).max_decoding_message_size(LONGEST_REPLY);
        let mut request = tonic::Request::new(query::message(query));
        request.set_timeout(deadline.remaining());
        let call = async {
            grpc.ready()
                .await
                .map_err(|_| PeerError::Failed("no-connection"))?;
            let path = PathAndQuery::from_static(QUERY_RECORDS);
            // As a stream, because only that tells trailers from headers.
            let response = grpc
                .server_streaming(request, path, codec::QueryCodec)
                .await;
            reply::read(
                response
                    .map_err(|status| reply::refused(&status))?
                    .into_inner(),
            )
            .await
        };
        let outcome = deadline
            .wait(call)
            .await
            .map_err(|_| PeerError::Failed("deadline"))??;
        let presented = own.own.clone();
        Ok(PeerReply { presented, outcome })
    }

    async fn receipts(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ReceiptsQuery,
        deadline: Deadline,
    ) -> Result<ReceiptsReply, PeerError> {
        let own = self.of(tenant)?;
        let channel = self.channels.channel(&self.material, own, member)?;
        let mut client = ReceiptServiceClient::new(channel).max_decoding_message_size(LONGEST_PAGE);
        let message = receipt::request_message(member.code.to_string(), query);
        let mut request = tonic::Request::new(message);
        request.set_timeout(deadline.remaining());
        let response = deadline
            .wait(client.list_receipts(request))
            .await
            .map_err(|_| PeerError::Failed("deadline"))?
            .map_err(|status| reply::refused(&status))?;
        receipt::parse_page(response.into_inner()).ok_or(PeerError::Failed("broken-reply"))
    }

    async fn provisions(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ProvisionsQuery,
        deadline: Deadline,
    ) -> Result<ProvisionsReply, PeerError> {
        let message = reconciliation::request_message(member.code.to_string(), query);
        let (mut client, request) = self.reconciling(tenant, member, message, deadline)?;
        let response = deadline
            .wait(client.list_provisions(request))
            .await
            .map_err(|_| PeerError::Failed("deadline"))?
            .map_err(|status| reply::refused(&status))?;
        reconciliation::parse_page(response.into_inner()).ok_or(PeerError::Failed("broken-reply"))
    }

    async fn report_differences(
        &self,
        tenant: &Tenant,
        member: &Member,
        log_origin: &str,
        differences: &[Difference],
        deadline: Deadline,
    ) -> Result<(), PeerError> {
        let message = v1::ReportDifferencesRequest {
            municipality_code: member.code.to_string(),
            log_origin: log_origin.to_owned(),
            differences: reconciliation::difference_messages(differences),
        };
        let (mut client, request) = self.reconciling(tenant, member, message, deadline)?;
        deadline
            .wait(client.report_differences(request))
            .await
            .map_err(|_| PeerError::Failed("deadline"))?
            .map(drop)
            .map_err(|status| reply::refused(&status))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::HeaderMap;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prost::Message;
    use tonic::metadata::{BinaryMetadataValue, MetadataMap};
    use vrx_certs_dev::IdentitySpec;
    use vrx_domain::TenantId;
    use vrx_proto::v1;
    use vrx_services::PeerOutcome;

    use super::*;
    use crate::grpc::unary;
    use crate::testing::{FUJISAWA, World, YOKOHAMA, member, spki, town};
    use crate::tls::accept::Acceptor;
    use crate::wire::query::tests::valid;

    /// A node of Fujisawa that answers every call with these trailers and an empty message.
    async fn answering(material: &TlsMaterial, trailers: HeaderMap) -> (String, Arc<AtomicUsize>) {
        let acceptor = Acceptor::new(material, Duration::from_secs(5)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok((stream, _)) = acceptor.accept(stream).await else {
                    continue;
                };
                let (trailers, counter) = (trailers.clone(), counter.clone());
                let service = service_fn(move |_: http::Request<hyper::body::Incoming>| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let reply =
                        unary::reply(&v1::QueryRecordsResponse::default(), trailers.clone());
                    async { Ok::<_, Infallible>(reply) }
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        (address, calls)
    }

    fn said() -> HeaderMap {
        let proof = v1::Nothing {
            leaf: vec![1; 134],
            k_actor: vec![2; 32],
            k_content: vec![3; 32],
            ..Default::default()
        };
        let mut trailers = MetadataMap::new();
        trailers.insert("vrx-outcome", "nothing".parse().unwrap());
        trailers.insert(
            "vrx-request-id",
            "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap(),
        );
        trailers.insert_bin(
            "vrx-receipt-bin",
            BinaryMetadataValue::from_bytes(&proof.encode_to_vec()),
        );
        trailers.into_headers()
    }

    async fn ask(world: &World, member: &Member) -> Result<PeerReply, PeerError> {
        let client = PeerClient::new(world.node(YOKOHAMA));
        let id: TenantId = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap();
        let tenant = Tenant {
            id,
            code: town(YOKOHAMA),
        };
        let query = query::parse(town(FUJISAWA), valid()).unwrap();
        client
            .query(
                &tenant,
                member,
                &query,
                Deadline::after(Duration::from_secs(5)),
            )
            .await
    }

    #[tokio::test]
    async fn nothing_is_read_from_the_trailers_of_a_real_connection() {
        let world = World::new();
        let fujisawa = world.node(FUJISAWA);
        let (address, calls) = answering(&fujisawa, said()).await;
        let reply = ask(
            &world,
            &member(FUJISAWA, address, spki(&fujisawa, FUJISAWA)),
        )
        .await
        .ok()
        .unwrap();
        assert!(matches!(reply.outcome, PeerOutcome::Nothing { .. }));
        assert_eq!(reply.presented.id.municipality, town(YOKOHAMA));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_empty_message_without_trailers_is_failed() {
        let world = World::new();
        let fujisawa = world.node(FUJISAWA);
        let (address, _) = answering(&fujisawa, HeaderMap::new()).await;
        let reply = ask(
            &world,
            &member(FUJISAWA, address, spki(&fujisawa, FUJISAWA)),
        )
        .await;
        assert_eq!(reply.err(), Some(PeerError::Failed("broken-reply")));
    }

    #[tokio::test]
    async fn no_request_leaves_for_a_node_that_is_not_the_one_asked() {
        let world = World::new();
        let (fujisawa, chiba) = (world.node(FUJISAWA), world.node("121002"));
        let (fujisawas, heard) = answering(&fujisawa, said()).await;
        let (chibas, heard_there) = answering(&chiba, said()).await;

        let other_key = world
            .issue(&IdentitySpec::node(FUJISAWA).file_stem("next"))
            .spki_sha256;
        let wrong = [
            (
                "another town's node, its own pin",
                member(FUJISAWA, chibas.clone(), spki(&chiba, "121002")),
            ),
            (
                "the right node, not its pin",
                member(FUJISAWA, fujisawas, other_key),
            ),
            (
                "nobody there",
                member(FUJISAWA, "127.0.0.1:1".into(), spki(&fujisawa, FUJISAWA)),
            ),
        ];
        for (what, member) in &wrong {
            let reply = ask(&world, member).await;
            assert!(matches!(reply.err(), Some(PeerError::Failed(_))), "{what}");
        }
        assert_eq!(
            heard.load(Ordering::SeqCst) + heard_there.load(Ordering::SeqCst),
            0
        );
    }

    #[tokio::test]
    async fn a_node_of_another_federation_is_not_asked() {
        let (world, other) = (World::new(), World::new());
        let fujisawa = other.node(FUJISAWA);
        let (address, calls) = answering(&fujisawa, said()).await;
        let reply = ask(
            &world,
            &member(FUJISAWA, address, spki(&fujisawa, FUJISAWA)),
        )
        .await;
        assert!(matches!(reply.err(), Some(PeerError::Failed(_))));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }
}
