//! All that the requester checks before an answer may be adopted. Pure: one failure, and nothing of it is used.

use sha2::{Digest, Sha256};
use thiserror::Error;
use vrx_domain::{
    Caller, Cause, EntryKind, Outcome,
    audit::{exchange_actor, exchange_content, exchange_subject},
};
use vrx_tlog::{Checkpoint, CommitTo, Hash, Leaf, Receipt, VerifierKey, opens, verify_receipt};

use crate::{
    exchange::{Answer, AnswerBytes, ExchangeQuery},
    ports::{AnswerCodec, PeerOutcome, PeerReply},
};

/// The newest checkpoint of the provider's log that was known when it was asked.
pub(crate) type Known = Option<(u64, Hash)>;

/// An answer that held.
pub(crate) struct Checked {
    /// Found: the bytes and what they say. Nothing: none.
    pub(crate) answer: Option<(AnswerBytes, Answer)>,
    /// The provider's checkpoint, the newest known from now on.
    pub(crate) checkpoint: Checkpoint,
    /// The same as the signed note it came in.
    pub(crate) note: String,
    /// The entry in the provider's log.
    pub(crate) leaf: Leaf,
}

/// Which check failed. Each is an alarm: an honest provider fails none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CheckFailure {
    #[error("receipt-doesnt-hold")]
    Receipt,
    #[error("provider-log-forked")]
    Consistency,
    #[error("entry-of-another-kind")]
    Kind,
    #[error("actor-commitment")]
    Actor,
    #[error("subject-commitment")]
    Subject,
    #[error("content-commitment")]
    Content,
    #[error("answer-malformed")]
    Answer,
    #[error("request-id")]
    RequestId,
    #[error("doses-implausible")]
    Doses,
}

impl CheckFailure {
    /// The code in entries and reports.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Receipt => "receipt-doesnt-hold",
            Self::Consistency => "provider-log-forked",
            Self::Kind => "entry-of-another-kind",
            Self::Actor => "actor-commitment",
            Self::Subject => "subject-commitment",
            Self::Content => "content-commitment",
            Self::Answer => "answer-malformed",
            Self::RequestId => "request-id",
            Self::Doses => "doses-implausible",
        }
    }
}

/// Checks everything that doesn't need the own register. The birth date is compared by the caller: a difference isn't a failure
/// but waits for a second person.
pub(crate) fn check_reply(
    reply: PeerReply,
    query: &ExchangeQuery,
    key: &VerifierKey,
    known: Known,
    codec: &dyn AnswerCodec,
) -> Result<Checked, CheckFailure> {
    let PeerReply { presented, outcome } = reply;
    match outcome {
        PeerOutcome::Found {
            answer,
            k_subject,
            k_actor,
            k_content,
            receipt,
        } => {
            let (leaf, checkpoint) = check_receipt(&receipt, key, known)?;
            check_actor(&k_actor, &leaf, &presented, query)?;
            let subject = exchange_subject(&query.number, &Cause::Provided);
            if !opens(
                &leaf.c_subject,
                &k_subject,
                CommitTo::Subject,
                subject.values(),
            ) {
                return Err(CheckFailure::Subject);
            }
            let decoded = codec
                .decode(answer.as_bytes())
                .map_err(|_| CheckFailure::Answer)?;
            let ids: Vec<_> = decoded.doses.iter().map(|dose| dose.id).collect();
            let hash = Sha256::digest(answer.as_bytes()).into();
            let content = exchange_content(Outcome::Found, &hash, decoded.held_back, &ids);
            if !opens(
                &leaf.c_content,
                &k_content,
                CommitTo::Content,
                content.values(),
            ) {
                return Err(CheckFailure::Content);
            }
            if decoded.request_id != query.request_id {
                return Err(CheckFailure::RequestId);
            }
            check_doses(&decoded)?;
            Ok(Checked {
                answer: Some((answer, decoded)),
                checkpoint,
                note: receipt.checkpoint,
                leaf,
            })
        }
        PeerOutcome::Nothing {
            request_id,
            k_actor,
            k_content,
            receipt,
        } => {
            let (leaf, checkpoint) = check_receipt(&receipt, key, known)?;
            check_actor(&k_actor, &leaf, &presented, query)?;
            let content = exchange_content(Outcome::Nothing, &Sha256::digest([]).into(), 0, &[]);
            if !opens(
                &leaf.c_content,
                &k_content,
                CommitTo::Content,
                content.values(),
            ) {
                return Err(CheckFailure::Content);
            }
            if request_id != query.request_id.to_string() {
                return Err(CheckFailure::RequestId);
            }
            Ok(Checked {
                answer: None,
                checkpoint,
                note: receipt.checkpoint,
                leaf,
            })
        }
    }
}

fn check_receipt(
    receipt: &Receipt,
    key: &VerifierKey,
    known: Known,
) -> Result<(Leaf, Checkpoint), CheckFailure> {
    let (leaf, checkpoint) = verify_receipt(receipt, key, known).map_err(|error| match error {
        vrx_tlog::ReceiptError::Consistency(_) => CheckFailure::Consistency,
        _ => CheckFailure::Receipt,
    })?;
    if leaf.kind != EntryKind::Exchange.code() {
        return Err(CheckFailure::Kind);
    }
    Ok((leaf, checkpoint))
}

fn check_actor(
    k_actor: &[u8; 32],
    leaf: &Leaf,
    presented: &Caller,
    query: &ExchangeQuery,
) -> Result<(), CheckFailure> {
    let actor = exchange_actor(presented, &query.request_id, query.asked, &query.evidence);
    if opens(&leaf.c_actor, k_actor, CommitTo::Actor, actor.values()) {
        Ok(())
    } else {
        Err(CheckFailure::Actor)
    }
}

/// Only what can be one person's record is taken: each dose once.
fn check_doses(answer: &Answer) -> Result<(), CheckFailure> {
    let mut ids: Vec<_> = answer.doses.iter().map(|dose| dose.id).collect();
    ids.sort_unstable();
    let total = ids.len();
    ids.dedup();
    let in_order = answer.doses.windows(2).all(|pair| match pair {
        [first, second] => first.date <= second.date,
        _ => true,
    });
    if ids.len() == total && in_order {
        Ok(())
    } else {
        Err(CheckFailure::Doses)
    }
}
