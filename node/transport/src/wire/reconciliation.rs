//! Provisions and differences, both ways.

use vrx_domain::RequestId;
use vrx_proto::v1;
use vrx_services::reconciliation::{
    Difference, DifferenceKind, ListProvisions, MOST_NAMED, NotReconciled, Provision,
    ProvisionPage, Reconciled,
};
use vrx_services::{ProvisionsQuery, ProvisionsReply};
use vrx_tlog::{Hash, Leaf};

use super::answer::hashes;
use super::field::{self, Parsed};

/// Provisions that a node asks for at once.
pub(crate) const PAGE: u32 = 200;
/// No proof has more hashes.
const LONGEST_PROOF: usize = 128;

/// The request of a member, its tenant already read.
pub(crate) fn parse(request: &v1::ListProvisionsRequest) -> Parsed<ListProvisions> {
    Ok(ListProvisions {
        log_origin: request.log_origin.clone(),
        from_index: request.from_index,
        known_log_size: request.known_log_size,
        page_size: request.page_size,
        page_token: field::page_token("page_token", &request.page_token)?,
    })
}

/// What is listed.
pub(crate) fn page_message(page: ProvisionPage) -> v1::ListProvisionsResponse {
    let provisions = page.provisions.into_iter().map(|one| v1::Provision {
        request_id: one.request_id.to_string(),
        log_index: one.log_index,
        leaf: one.leaf.to_vec(),
        inclusion_proof: hashes(&one.inclusion_proof),
    });
    v1::ListProvisionsResponse {
        checkpoint: page.checkpoint,
        consistency_proof: hashes(&page.consistency_proof),
        provisions: provisions.collect(),
        until_index: page.until_index,
        next_page_token: field::page_token_text(&page.next_page_token),
    }
}

/// The request to a member.
pub(crate) fn request_message(asked: String, query: &ProvisionsQuery) -> v1::ListProvisionsRequest {
    v1::ListProvisionsRequest {
        municipality_code: asked,
        log_origin: query.log_origin.clone(),
        from_index: query.from_index,
        known_log_size: query.known_log_size,
        page_size: PAGE,
        page_token: query.page_token.clone(),
    }
}

/// What a member listed; `None` when it isn't a page of at most [`PAGE`] provisions.
pub(crate) fn parse_page(message: v1::ListProvisionsResponse) -> Option<ProvisionsReply> {
    if message.provisions.len() > usize::try_from(PAGE).unwrap_or(usize::MAX) {
        return None;
    }
    let provisions = message.provisions.into_iter().map(|one| {
        let leaf: [u8; Leaf::LEN] = one.leaf.as_slice().try_into().ok()?;
        Some(Provision {
            request_id: RequestId::parse(&one.request_id).ok()?,
            log_index: one.log_index,
            leaf,
            inclusion_proof: proof(&one.inclusion_proof)?,
        })
    });
    Some(ProvisionsReply {
        provisions: provisions.collect::<Option<_>>()?,
        checkpoint: message.checkpoint,
        consistency_proof: proof(&message.consistency_proof)?,
        until_index: message.until_index,
        next_page_token: message.next_page_token,
    })
}

fn proof(hashes: &[Vec<u8>]) -> Option<Vec<Hash>> {
    if hashes.len() > LONGEST_PROOF {
        return None;
    }
    hashes
        .iter()
        .map(|hash| hash.as_slice().try_into().ok())
        .collect()
}

/// What a member reports.
pub(crate) fn parse_differences(differences: &[v1::Difference]) -> Parsed<Vec<Difference>> {
    if differences.len() > MOST_NAMED {
        return field::invalid("differences", "has more than 100 elements");
    }
    differences
        .iter()
        .map(|one| {
            Ok(Difference {
                log_index: one.log_index,
                kind: kind(one.kind())?,
                request_id: field::request_id("differences.request_id", &one.request_id)?,
            })
        })
        .collect()
}

fn kind(kind: v1::DifferenceKind) -> Parsed<DifferenceKind> {
    match kind {
        v1::DifferenceKind::Unspecified => {
            field::invalid("differences.kind", "isn't one of the kinds")
        }
        v1::DifferenceKind::ReceiptWithoutEntry => Ok(DifferenceKind::ReceiptWithoutEntry),
        v1::DifferenceKind::OtherEntry => Ok(DifferenceKind::OtherEntry),
        v1::DifferenceKind::EntryWithoutInquiry => Ok(DifferenceKind::EntryWithoutInquiry),
    }
}

/// Differences as messages.
pub(crate) fn difference_messages(differences: &[Difference]) -> Vec<v1::Difference> {
    let message = |one: &Difference| {
        let kind = match one.kind {
            DifferenceKind::ReceiptWithoutEntry => v1::DifferenceKind::ReceiptWithoutEntry,
            DifferenceKind::OtherEntry => v1::DifferenceKind::OtherEntry,
            DifferenceKind::EntryWithoutInquiry => v1::DifferenceKind::EntryWithoutInquiry,
        };
        v1::Difference {
            kind: kind.into(),
            log_index: one.log_index,
            request_id: one.request_id.to_string(),
        }
    };
    differences.iter().map(message).collect()
}

/// What an officer is told of a reconciliation.
pub(crate) fn outcome_message(outcome: Result<Reconciled, NotReconciled>) -> v1::ReconcileResponse {
    match outcome {
        Ok(done) => v1::ReconcileResponse {
            not_reconciled: String::new(),
            named: difference_messages(&done.named),
            log_origin: done.log_origin,
            from_index: done.from_index,
            until_index: done.until_index,
            checkpoint_size: done.checkpoint_size,
            provisions: done.provisions,
            receipts: done.receipts,
            unanswered: done.unanswered,
            differences: done.differences,
            provider_told: done.told,
            carried_over: done.carried_over,
        },
        Err(error) => v1::ReconcileResponse {
            not_reconciled: error.to_string(),
            ..v1::ReconcileResponse::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(count: u64) -> ProvisionPage {
        let provisions = (0..count).map(|log_index| Provision {
            request_id: RequestId::from_bytes([5; 16]).unwrap(),
            log_index,
            leaf: [7; 134],
            inclusion_proof: vec![[1; 32], [2; 32]],
        });
        ProvisionPage {
            checkpoint: "a note".to_owned(),
            consistency_proof: vec![[3; 32]],
            provisions: provisions.collect(),
            until_index: count,
            next_page_token: vec![9; 40],
        }
    }

    #[test]
    fn a_page_comes_back_as_it_was_listed() {
        let reply = parse_page(page_message(page(3))).unwrap();
        assert_eq!(reply.provisions, page(3).provisions);
        assert_eq!(reply.consistency_proof, [[3; 32]]);
        assert_eq!(
            (reply.checkpoint.as_str(), reply.until_index),
            ("a note", 3)
        );
        let query = ProvisionsQuery {
            log_origin: "a log".to_owned(),
            from_index: 7,
            known_log_size: 8,
            page_token: reply.next_page_token,
        };
        let parsed = parse(&request_message("141003".to_owned(), &query)).unwrap();
        assert_eq!((parsed.from_index, parsed.known_log_size), (7, 8));
        assert_eq!((parsed.page_size, parsed.page_token), (PAGE, vec![9; 40]));
    }

    #[test]
    fn what_is_no_page_is_refused_whole() {
        assert!(parse_page(page_message(page(u64::from(PAGE)))).is_some());
        assert!(parse_page(page_message(page(u64::from(PAGE) + 1))).is_none());
        let spoilt: [fn(&mut v1::ListProvisionsResponse); 4] = [
            |page| page.provisions[1].leaf.truncate(133),
            |page| page.provisions[1].request_id.clear(),
            |page| page.provisions[1].inclusion_proof[0].push(0),
            |page| page.consistency_proof = vec![vec![0; 32]; 129],
        ];
        for (nth, spoil) in spoilt.into_iter().enumerate() {
            let mut message = page_message(page(2));
            spoil(&mut message);
            assert!(parse_page(message).is_none(), "{nth}");
        }
    }

    #[test]
    fn differences_come_back_and_an_unnamed_kind_or_too_many_are_bad_input() {
        let all = [
            DifferenceKind::ReceiptWithoutEntry,
            DifferenceKind::OtherEntry,
            DifferenceKind::EntryWithoutInquiry,
        ]
        .map(|kind| Difference {
            log_index: 4,
            kind,
            request_id: RequestId::from_bytes([6; 16]).unwrap(),
        });
        let messages = difference_messages(&all);
        assert_eq!(parse_differences(&messages).unwrap(), all);
        let mut unnamed = messages.clone();
        unnamed[1].kind = 99;
        assert!(parse_differences(&unnamed).is_err());
        assert!(parse_differences(&vec![messages[0].clone(); 101]).is_err());
    }
}
