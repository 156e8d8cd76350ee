//! A way to other nodes that leads nowhere.

use async_trait::async_trait;
use vrx_domain::{Caller, Member, Role, SpiffeId, Tenant};
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
    /// The tenant's own: what the node does by itself is recorded under it.
    fn identity(&self, tenant: &Tenant) -> Result<Caller, PeerError> {
        let id = SpiffeId::new("vrx.test", tenant.code, Role::Exchange, None);
        Ok(Caller {
            id: id.map_err(|_| PeerError::Failed("no identity"))?,
            fingerprint: [0; 32],
            spki: [0; 32],
        })
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
