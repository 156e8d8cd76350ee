//! A way to other nodes that leads nowhere.

use async_trait::async_trait;
use vrx_domain::{Caller, Member, Tenant};
use vrx_services::exchange::ExchangeQuery;
use vrx_services::reconciliation::Difference;
use vrx_services::{
    Deadline, PeerError, PeerExchange, PeerReply, ProvisionsQuery, ProvisionsReply, ReceiptsQuery,
    ReceiptsReply,
};

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

    async fn provisions(
        &self,
        _: &Tenant,
        _: &Member,
        _: &ProvisionsQuery,
        _: Deadline,
    ) -> Result<ProvisionsReply, PeerError> {
        Err(PeerError::Failed("no peers in this test"))
    }

    async fn report_differences(
        &self,
        _: &Tenant,
        _: &Member,
        _: &str,
        _: &[Difference],
        _: Deadline,
    ) -> Result<(), PeerError> {
        Err(PeerError::Failed("no peers in this test"))
    }
}
