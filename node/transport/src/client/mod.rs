//! The asking side: one call to another municipality's node, and which of the four words its reply is.
//!
//! - [`PeerClient`] keeps one HTTP/2 connection a member and makes it anew when it broke.
//! - [`connect`]: mutual TLS that demands the asked municipality's identity and pin.
//! - [`reply`]: *found*, *nothing* (only with its trailers), *refused*, *failed*.
//! - [`codec`]: the call's codec, which wipes the number once it is encoded.

mod codec;
mod connect;
mod reply;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use tonic::client::Grpc;
use tonic::transport::Channel;
use vrx_domain::{Caller, Member, MunicipalityCode, Tenant};
use vrx_services::exchange::ExchangeQuery;
use vrx_services::{Deadline, PeerError, PeerExchange, PeerReply};

use crate::tls::TlsMaterial;
use crate::wire::query;

/// The path of the call.
const QUERY_RECORDS: &str = "/vrx.v1.ExchangeService/QueryRecords";
/// No answer comes near this many bytes.
const LONGEST_REPLY: usize = 256 * 1024;

/// Asks other municipalities' nodes.
pub struct PeerClient {
    material: Arc<TlsMaterial>,
    /// One channel a member, together with the directory entry that it was made for.
    channels: Mutex<HashMap<MunicipalityCode, (Member, Channel)>>,
}

impl PeerClient {
    /// A client that shows this node's certificate.
    pub fn new(material: Arc<TlsMaterial>) -> Self {
        PeerClient {
            material,
            channels: Mutex::new(HashMap::new()),
        }
    }

    /// The channel to a member. It connects when it is first used, and again when its connection broke.
    fn channel(&self, member: &Member) -> Result<Channel, PeerError> {
        let mut channels = self.channels.lock();
        if let Some((known, channel)) = channels.get(&member.code)
            && known == member
        {
            return Ok(channel.clone());
        }
        let channel = connect::channel(&self.material, member)?;
        channels.insert(member.code, (member.clone(), channel.clone()));
        Ok(channel)
    }
}

#[async_trait]
impl PeerExchange for PeerClient {
    fn identity(&self, tenant: &Tenant) -> Result<Caller, PeerError> {
        let own = self.material.own();
        if own.id.municipality == tenant.code {
            Ok(own.clone())
        } else {
            Err(PeerError::Failed(
                "this node has no certificate of this municipality",
            ))
        }
    }

    async fn query(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ExchangeQuery,
        deadline: Deadline,
    ) -> Result<PeerReply, PeerError> {
        let presented = self.identity(tenant)?;
        let mut grpc = Grpc::new(self.channel(member)?).max_decoding_message_size(LONGEST_REPLY);
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
        Ok(PeerReply { presented, outcome })
    }
}
