//! A way to other nodes that leads nowhere.

use async_trait::async_trait;
use vrx_domain::{Caller, Member, Tenant};
use vrx_services::exchange::ExchangeQuery;
use vrx_services::{Deadline, PeerError, PeerExchange, PeerReply, ReceiptsQuery, ReceiptsReply};

/// No other node can be reached: every inquiry fails.
pub struct NoPeers;

#[async_trait]
impl PeerExchange for NoPeers {
    fn identity(&self, _: &Tenant) -> Result<Caller, PeerError> {
        Err(PeerError::Failed("no peers in this test"))
    }

    async fn query(
        &self,
        _: &Tenant,
        _: &Member,
        _: &ExchangeQuery,
        _: Deadline,
    ) -> Result<PeerReply, PeerError> {
        Err(PeerError::Failed("no peers in this test"))
    }

    async fn receipts(
        &self,
        _: &Tenant,
        _: &Member,
        _: &ReceiptsQuery,
        _: Deadline,
    ) -> Result<ReceiptsReply, PeerError> {
        Err(PeerError::Failed("no peers in this test"))
    }
}
