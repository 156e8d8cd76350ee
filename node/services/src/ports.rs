//! Ports: what this room needs from the outside and doesn't know how to do.
//!
//! `transport` implements both traits: the wire's encoding of an `Answer`, and the calls to another municipality's node.

use async_trait::async_trait;
use thiserror::Error;
use vrx_domain::{Caller, Member, RequestId, Tenant};
use vrx_provision_log::Deadline;
use vrx_tlog::Receipt;
use zeroize::Zeroizing;

use crate::exchange::{Answer, AnswerBytes, ExchangeQuery};
use crate::reconciliation::{Difference, Provision};

/// Encodes an answer once, before it is hashed and recorded; decodes what a peer sent.
///
/// The bytes are what is hashed, checked and kept. They are never re-encoded, so the encoding needs no canonical form.
pub trait AnswerCodec: Send + Sync {
    /// The wire bytes of an `Answer` message.
    fn encode(&self, answer: &Answer) -> Zeroizing<Vec<u8>>;

    /// The answer in these bytes, every field parsed into its domain type.
    fn decode(&self, bytes: &[u8]) -> Result<Answer, CodecError>;
}

/// A peer's answer isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// Not a protobuf message of this type.
    #[error("the answer can't be decoded")]
    Malformed,
    /// A field of it breaks its format.
    #[error("the answer's field {0} is malformed")]
    Field(&'static str),
}

/// Asks another municipality's node.
#[async_trait]
pub trait PeerExchange: Send + Sync {
    /// The identity that `tenant` would show to a peer now: its URI and the SHA-256 of its certificate.
    fn identity(&self, tenant: &Tenant) -> Result<Caller, PeerError>;

    /// One `QueryRecords` call. Before a byte of `query` leaves, the peer has shown the URI
    /// `…/municipality/<asked code>/exchange` and a key that is pinned in `member`.
    async fn query(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ExchangeQuery,
        deadline: Deadline,
    ) -> Result<PeerReply, PeerError>;

    /// One `ListReceipts` call: a page of the receipts that `member` holds of `tenant`'s own log. The peer has shown the same as for
    /// [`PeerExchange::query`].
    async fn receipts(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ReceiptsQuery,
        deadline: Deadline,
    ) -> Result<ReceiptsReply, PeerError>;

    /// One `ListProvisions` call: a page of `member`'s entries about `tenant`'s requests. The peer has shown the same as for
    /// [`PeerExchange::query`].
    async fn provisions(
        &self,
        tenant: &Tenant,
        member: &Member,
        query: &ProvisionsQuery,
        deadline: Deadline,
    ) -> Result<ProvisionsReply, PeerError>;

    /// One `ReportDifferences` call: tells `member` what differs between its log and what `tenant` has of it. The peer has shown the
    /// same as for [`PeerExchange::query`].
    async fn report_differences(
        &self,
        tenant: &Tenant,
        member: &Member,
        log_origin: &str,
        differences: &[Difference],
        deadline: Deadline,
    ) -> Result<(), PeerError>;
}

/// Which of a member's entries are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionsQuery {
    /// Name of the member's log, with its epoch.
    pub log_origin: String,
    /// The first place in it.
    pub from_index: u64,
    /// Size of the newest checkpoint known of it.
    pub known_log_size: u64,
    /// Empty for the first page, then what the last reply gave.
    pub page_token: String,
}

/// A page of provisions as it came, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionsReply {
    /// The signed checkpoint of the list, on its first page.
    pub checkpoint: String,
    /// Consistency proof from the known size to it, on the first page.
    pub consistency_proof: Vec<[u8; 32]>,
    /// By place in the log, if the peer is honest.
    pub provisions: Vec<Provision>,
    /// Every entry below this place has been looked at, if the peer is honest.
    pub until_index: u64,
    /// Empty on the last page.
    pub next_page_token: String,
}

/// Which receipts a member is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptsQuery {
    /// Name of the asking tenant's own log, with its epoch.
    pub log_origin: String,
    /// The first place in it.
    pub from_index: u64,
    /// Empty for the first page, then what the last reply gave.
    pub page_token: String,
}

/// A page of receipts as it came, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptsReply {
    /// By place in the log, if the peer is honest.
    pub receipts: Vec<GivenReceipt>,
    /// Empty on the last page.
    pub next_page_token: String,
}

/// A receipt that a member gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenReceipt {
    /// The request that was answered, as the member says: the leaf commits to it, with a key that this node no longer has.
    pub request_id: RequestId,
    /// The receipt.
    pub receipt: Receipt,
}

/// What came back with status OK, unchecked.
pub struct PeerReply {
    /// The certificate that this node showed on that very connection: the provider committed to it in `C_actor`.
    pub presented: Caller,
    /// Found or nothing.
    pub outcome: PeerOutcome,
}

/// The two shapes of an OK.
pub enum PeerOutcome {
    /// A response with an answer.
    Found {
        /// The bytes of field 1, as they came.
        answer: AnswerBytes,
        /// `Openings.k_subject`.
        k_subject: Zeroizing<[u8; 32]>,
        /// `Openings.k_actor`.
        k_actor: Zeroizing<[u8; 32]>,
        /// `Openings.k_content`.
        k_content: Zeroizing<[u8; 32]>,
        /// The receipt.
        receipt: Receipt,
    },
    /// An empty message whose trailers say `vrx-outcome: nothing`. An empty message without them is
    /// [`PeerError::Failed`], never this.
    Nothing {
        /// `vrx-request-id` of the trailers, as it came.
        request_id: String,
        /// The key of `C_actor` in `vrx-receipt-bin`.
        k_actor: Zeroizing<[u8; 32]>,
        /// The key of `C_content` in `vrx-receipt-bin`.
        k_content: Zeroizing<[u8; 32]>,
        /// The receipt in `vrx-receipt-bin`.
        receipt: Receipt,
    },
}

/// No OK came back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerError {
    /// The peer understood and refused (`INVALID_ARGUMENT`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED`, …).
    #[error("refused: {code}")]
    Refused {
        /// The status in lower case with dashes (`permission-denied`); a name of ours, never the peer's text.
        code: &'static str,
        /// The field that the peer named, if it is one of the wire contract's.
        field: Option<&'static str>,
    },
    /// Everything else: no connection, wrong identity or pin, outage, deadline, a reply that breaks the contract.
    #[error("failed: {0}")]
    Failed(&'static str),
}
