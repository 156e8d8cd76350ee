//! Receipts that are given back, both ways.

use vrx_domain::RequestId;
use vrx_proto::v1;
use vrx_services::receipts::{ListReceipts, ReceiptPage};
use vrx_services::{GivenReceipt, ReceiptsQuery, ReceiptsReply};
use vrx_tlog::Receipt;

use super::answer::{parse_receipt, receipt_message};
use super::field::{self, Parsed};

/// Receipts that a node asks for at once.
pub(crate) const PAGE: u32 = 200;

/// The request of a member, its tenant already read.
pub(crate) fn parse(request: &v1::ListReceiptsRequest) -> Parsed<ListReceipts> {
    Ok(ListReceipts {
        log_origin: request.log_origin.clone(),
        from_index: request.from_index,
        page_size: request.page_size,
        page_token: field::page_token("page_token", &request.page_token)?,
    })
}

/// What is given back.
pub(crate) fn page_message(page: ReceiptPage) -> v1::ListReceiptsResponse {
    let receipts = page.receipts.into_iter().map(|kept| {
        let receipt = Receipt {
            log_index: kept.log_index,
            leaf: kept.leaf,
            checkpoint: kept.note,
            inclusion_proof: kept.proof,
            consistency_proof: Vec::new(),
        };
        v1::KeptReceipt {
            request_id: kept.request_id.to_string(),
            entered_at: Some(field::timestamp(kept.entered_at)),
            receipt: Some(receipt_message(&receipt)),
        }
    });
    v1::ListReceiptsResponse {
        receipts: receipts.collect(),
        next_page_token: field::page_token_text(&page.next_page_token),
    }
}

/// The request to a member.
pub(crate) fn request_message(asked: String, query: &ReceiptsQuery) -> v1::ListReceiptsRequest {
    v1::ListReceiptsRequest {
        municipality_code: asked,
        log_origin: query.log_origin.clone(),
        from_index: query.from_index,
        page_size: PAGE,
        page_token: query.page_token.clone(),
    }
}

/// What a member gave; `None` when it isn't a page of at most [`PAGE`] receipts.
pub(crate) fn parse_page(message: v1::ListReceiptsResponse) -> Option<ReceiptsReply> {
    if message.receipts.len() > usize::try_from(PAGE).unwrap_or(usize::MAX) {
        return None;
    }
    let receipts = message.receipts.into_iter().map(|given| {
        let receipt = given.receipt?;
        let receipt = parse_receipt(
            receipt.log_index,
            &receipt.leaf,
            receipt.checkpoint,
            &receipt.inclusion_proof,
            &receipt.consistency_proof,
        )?;
        let request_id = RequestId::parse(&given.request_id).ok()?;
        Some(GivenReceipt {
            request_id,
            receipt,
        })
    });
    Some(ReceiptsReply {
        receipts: receipts.collect::<Option<_>>()?,
        next_page_token: message.next_page_token,
    })
}

#[cfg(test)]
mod tests {
    use vrx_domain::UnixMillis;

    use vrx_services::receipts::KeptReceipt;

    use super::*;

    fn page(count: u64) -> ReceiptPage {
        let receipts = (0..count).map(|log_index| KeptReceipt {
            provider: "142051".parse().unwrap(),
            origin: "vrx.test/municipality/142051/log/1".to_owned(),
            log_index,
            entered_at: UnixMillis(1_700_000_000_123),
            request_id: RequestId::from_bytes([5; 16]).unwrap(),
            leaf: [7; 134],
            note: "a note".to_owned(),
            proof: vec![[1; 32], [2; 32]],
        });
        ReceiptPage {
            receipts: receipts.collect(),
            next_page_token: vec![9; 40],
        }
    }

    #[test]
    fn a_page_comes_back_as_it_was_given() {
        let reply = parse_page(page_message(page(3))).unwrap();
        assert_eq!(reply.receipts.len(), 3);
        let given = &reply.receipts[2];
        assert_eq!(given.request_id, page(3).receipts[2].request_id);
        assert_eq!(given.receipt.inclusion_proof, [[1; 32], [2; 32]]);
        assert_eq!((given.receipt.log_index, given.receipt.leaf), (2, [7; 134]));
        let query = ReceiptsQuery {
            log_origin: "a log".to_owned(),
            from_index: 7,
            page_token: reply.next_page_token,
        };
        let parsed = parse(&request_message("141003".to_owned(), &query)).unwrap();
        assert_eq!((parsed.from_index, parsed.page_size), (7, PAGE));
        assert_eq!(parsed.page_token, vec![9; 40]);
    }

    #[test]
    fn more_than_was_asked_for_and_what_is_no_receipt_is_no_page() {
        assert!(parse_page(page_message(page(u64::from(PAGE)))).is_some());
        assert!(parse_page(page_message(page(u64::from(PAGE) + 1))).is_none());
        let spoilt: [fn(&mut v1::KeptReceipt); 4] = [
            |given| given.receipt = None,
            |given| given.request_id.clear(),
            |given| given.receipt.as_mut().unwrap().leaf.truncate(133),
            |given| given.receipt.as_mut().unwrap().inclusion_proof[0].push(0),
        ];
        for (nth, spoil) in spoilt.into_iter().enumerate() {
            let mut message = page_message(page(2));
            spoil(&mut message.receipts[1]);
            assert!(parse_page(message).is_none(), "{nth}");
        }
    }
}
