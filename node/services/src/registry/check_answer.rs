//! All that the requester checks before an answer may be adopted. Pure: one failure, and nothing of it is used.

use sha2::{Digest, Sha256};
use thiserror::Error;
use vrx_domain::{
    Caller, Cause, EntryKind, Outcome,
    audit::{exchange_actor, exchange_content, exchange_subject},
};
use vrx_tlog::{
    Checkpoint, CommitTo, Hash, Leaf, ProofError, Receipt, ReceiptError, VerifierKey, opens,
    verify_receipt,
};

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
    /// The receipt that leads to it.
    pub(crate) receipt: Receipt,
    /// The entry in the provider's log.
    pub(crate) leaf: Leaf,
}

/// Which check failed. Each is an alarm: an honest provider fails none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CheckFailure {
    #[error("receipt-doesnt-hold")]
    Receipt,
    #[error("provider-log-forked")]
    Forked,
    #[error("provider-log-unproved")]
    Unproved,
    #[error("receipt-repeated")]
    Repeated,
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
    const ALL: [Self; 11] = [
        Self::Receipt,
        Self::Forked,
        Self::Unproved,
        Self::Repeated,
        Self::Kind,
        Self::Actor,
        Self::Subject,
        Self::Content,
        Self::Answer,
        Self::RequestId,
        Self::Doses,
    ];

    /// Whether an inquiry's reason is one of these: an answer came that an honest provider doesn't give.
    pub(crate) fn is_reason(reason: &str) -> bool {
        Self::ALL.iter().any(|failure| failure.code() == reason)
    }

    /// The code in entries and reports.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Receipt => "receipt-doesnt-hold",
            Self::Forked => "provider-log-forked",
            Self::Unproved => "provider-log-unproved",
            Self::Repeated => "receipt-repeated",
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

/// What an answer shows whose place in the provider's log is that of a receipt held before, with the leaf `held`: each answer has an
/// entry of its own, and a log has one entry at a place.
pub(crate) fn second_at_a_place(held: Option<&[u8; 134]>, leaf: &[u8; 134]) -> CheckFailure {
    if held == Some(leaf) {
        CheckFailure::Repeated
    } else {
        CheckFailure::Forked
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
                receipt,
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
                receipt,
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
        // Both checkpoints are signed, and can't both be true.
        ReceiptError::Consistency(ProofError::Contradiction) => CheckFailure::Forked,
        ReceiptError::Consistency(_) => CheckFailure::Unproved,
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

#[cfg(test)]
mod tests {
    //! A dishonest provider: everything is signed, committed and proved, and still not an answer to this inquiry.

    use vrx_crypto::Keyring;
    use vrx_domain::{DoseId, RequestId, Role, Tenant, TenantId};
    use vrx_tlog::{NoTiles, Tree, origin, sign_note};
    use zeroize::Zeroizing;

    use super::*;
    use crate::testing::{Seeded, TextCodec, caller, day, dose, evidence, number};

    fn query() -> ExchangeQuery {
        ExchangeQuery {
            request_id: RequestId::random(&Seeded::new(3)),
            asked: "142051".parse().unwrap(),
            number: number(1),
            evidence: evidence(),
            known_log_size: 0,
        }
    }

    fn honest() -> Answer {
        Answer {
            request_id: query().request_id,
            doses: vec![dose(1, "2021-06-01"), dose(2, "2021-06-22")],
            birth_date: day("1980-05-05"),
            held_back: 0,
            salt: [7; 16],
        }
    }

    /// Commits to `answer` in a leaf of `kind` about the person `serial` and proves it.
    fn provider(
        answer: &Answer,
        kind: EntryKind,
        serial: u32,
        cause: Cause,
    ) -> (PeerReply, VerifierKey) {
        let tenant = Tenant {
            id: TenantId::from_bytes([1; 16]),
            code: "142051".parse().unwrap(),
        };
        let keyring = Keyring::create(&tenant, &Seeded::new(5)).unwrap();
        let name = origin("vrx.example", "142051", 1);
        let key = VerifierKey::from_public_key(&name, &keyring.log_public_key()).unwrap();
        let presented = caller("141003", Role::Exchange, None);
        let bytes = TextCodec.encode(answer);
        let ids: Vec<DoseId> = answer.doses.iter().map(|dose| dose.id).collect();
        let (query, k) = (query(), [9; 32]);
        let actor = exchange_actor(&presented, &query.request_id, query.asked, &query.evidence);
        let subject = exchange_subject(&number(serial), &cause);
        let content = exchange_content(
            Outcome::Found,
            &Sha256::digest(&*bytes).into(),
            answer.held_back,
            &ids,
        );
        let leaf = Leaf {
            kind: kind.code(),
            index: 0,
            time: 1,
            entry_id: [0; 16],
            key_epoch: 1,
            c_subject: vrx_tlog::commit(&k, CommitTo::Subject, subject.values()).unwrap(),
            c_actor: vrx_tlog::commit(&k, CommitTo::Actor, actor.values()).unwrap(),
            c_content: vrx_tlog::commit(&k, CommitTo::Content, content.values()).unwrap(),
        };
        let mut tree = Tree::new();
        tree.append(leaf.hash());
        let body = Checkpoint {
            origin: name,
            size: 1,
            root: tree.root(),
        }
        .body();
        let receipt = Receipt {
            log_index: 0,
            leaf: leaf.encode(),
            checkpoint: sign_note(&body, &key, |message| keyring.sign_log(message)),
            inclusion_proof: tree.snapshot().inclusion(0, &NoTiles).unwrap(),
            consistency_proof: Vec::new(),
        };
        let outcome = PeerOutcome::Found {
            answer: AnswerBytes::new(bytes),
            k_subject: Zeroizing::new(k),
            k_actor: Zeroizing::new(k),
            k_content: Zeroizing::new(k),
            receipt,
        };
        (PeerReply { presented, outcome }, key)
    }

    fn failure(
        answer: &Answer,
        kind: EntryKind,
        serial: u32,
        cause: Cause,
    ) -> Option<CheckFailure> {
        let (reply, key) = provider(answer, kind, serial, cause);
        check_reply(reply, &query(), &key, None, &TextCodec).err()
    }

    #[test]
    fn only_this_persons_answer_to_this_request_holds() {
        let exchange = |answer: &Answer| failure(answer, EntryKind::Exchange, 1, Cause::Provided);
        assert_eq!(exchange(&honest()), None);
        let other = RequestId::random(&Seeded::new(4));
        assert_eq!(
            exchange(&Answer {
                request_id: other,
                ..honest()
            }),
            Some(CheckFailure::RequestId)
        );
        let twice = Answer {
            doses: vec![dose(1, "2021-06-01"), dose(1, "2021-06-01")],
            ..honest()
        };
        assert_eq!(exchange(&twice), Some(CheckFailure::Doses));
        let backwards = Answer {
            doses: vec![dose(2, "2021-06-22"), dose(1, "2021-06-01")],
            ..honest()
        };
        assert_eq!(exchange(&backwards), Some(CheckFailure::Doses));
        assert_eq!(
            failure(&honest(), EntryKind::Desk, 1, Cause::Provided),
            Some(CheckFailure::Kind)
        );
        assert_eq!(
            failure(&honest(), EntryKind::Exchange, 2, Cause::Provided),
            Some(CheckFailure::Subject),
            "the entry is about somebody else"
        );
        assert_eq!(
            failure(&honest(), EntryKind::Exchange, 1, Cause::NoDoses),
            Some(CheckFailure::Subject),
            "the entry says another cause"
        );
    }

    #[test]
    fn one_leaf_twice_is_no_fork() {
        let (one, other) = ([1; 134], [2; 134]);
        let judged = |held| second_at_a_place(held, &one);
        assert_eq!(judged(Some(&one)), CheckFailure::Repeated);
        assert_eq!(judged(Some(&other)), CheckFailure::Forked);
    }

    #[test]
    fn another_members_log_key_or_a_known_checkpoint_of_another_log_refuses() {
        let (reply, _) = provider(&honest(), EntryKind::Exchange, 1, Cause::Provided);
        let name = origin("vrx.example", "142051", 1);
        let tenant = Tenant {
            id: TenantId::from_bytes([1; 16]),
            code: "142051".parse().unwrap(),
        };
        let other = Keyring::create(&tenant, &Seeded::new(6)).unwrap();
        let other = VerifierKey::from_public_key(&name, &other.log_public_key()).unwrap();
        let refused = check_reply(reply, &query(), &other, None, &TextCodec).err();
        assert_eq!(refused, Some(CheckFailure::Receipt));
        for (known, failure) in [
            ((1, [1; 32]), CheckFailure::Forked),
            ((2, [1; 32]), CheckFailure::Unproved),
        ] {
            let (reply, key) = provider(&honest(), EntryKind::Exchange, 1, Cause::Provided);
            let refused = check_reply(reply, &query(), &key, Some(known), &TextCodec).err();
            assert_eq!(refused, Some(failure));
        }
    }
}
