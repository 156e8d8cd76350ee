//! What differs between a page of a provider's entries and what the requester has. Pure.

use std::collections::{BTreeMap, HashSet};

use vrx_domain::RequestId;
use vrx_storage::KeptReceipt;

use super::{Difference, DifferenceKind, Provision};

/// What a page came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// What differs, by place.
    pub(super) differences: Vec<Difference>,
    /// Entries about an inquiry whose receipt never came: an answer was lost, and the question asked again.
    pub(super) unanswered: u64,
    /// Entries of an older epoch, which the log went on from: their receipts are held under that epoch's name.
    pub(super) carried_over: u64,
}

/// Holds the entries of a stretch of the provider's log against the receipts of the same stretch; `older` are those of the same stretch
/// of the log's older epochs. `asked` are the requests that left this municipality.
pub(super) fn compare(
    provisions: &[Provision],
    receipts: &[KeptReceipt],
    older: &[KeptReceipt],
    asked: &HashSet<RequestId>,
) -> Compared {
    let carried: HashSet<(u64, &[u8; 134])> = older
        .iter()
        .map(|kept| (kept.log_index, &kept.leaf))
        .collect();
    let mut held: BTreeMap<u64, &KeptReceipt> =
        receipts.iter().map(|kept| (kept.log_index, kept)).collect();
    let mut compared = Compared::default();
    let mut differs = |kind, log_index, request_id| {
        compared.differences.push(Difference {
            log_index,
            kind,
            request_id,
        });
    };
    for provision in provisions {
        let index = provision.log_index;
        match held.remove(&index) {
            Some(kept)
                if kept.leaf == provision.leaf && kept.request_id == provision.request_id => {}
            Some(kept) => differs(DifferenceKind::OtherEntry, index, kept.request_id),
            None if carried.contains(&(index, &provision.leaf)) => compared.carried_over += 1,
            None if asked.contains(&provision.request_id) => compared.unanswered += 1,
            None => differs(
                DifferenceKind::EntryWithoutInquiry,
                index,
                provision.request_id,
            ),
        }
    }
    for kept in held.into_values() {
        differs(
            DifferenceKind::ReceiptWithoutEntry,
            kept.log_index,
            kept.request_id,
        );
    }
    compared.differences.sort_unstable();
    compared
}

#[cfg(test)]
mod tests {
    use vrx_domain::UnixMillis;

    use super::*;

    fn request(byte: u8) -> RequestId {
        RequestId::from_bytes([byte; 16]).unwrap()
    }

    fn entry(log_index: u64, id: u8, leaf: u8) -> Provision {
        Provision {
            request_id: request(id),
            log_index,
            leaf: [leaf; 134],
            inclusion_proof: Vec::new(),
        }
    }

    fn receipt(log_index: u64, id: u8, leaf: u8) -> KeptReceipt {
        KeptReceipt {
            provider: "142051".parse().unwrap(),
            origin: "a log".to_owned(),
            log_index,
            entered_at: UnixMillis(1),
            request_id: request(id),
            leaf: [leaf; 134],
            note: String::new(),
            proof: Vec::new(),
        }
    }

    fn kinds(compared: &Compared) -> Vec<(u64, DifferenceKind)> {
        let all = compared.differences.iter();
        all.map(|one| (one.log_index, one.kind)).collect()
    }

    #[test]
    fn receipts_of_the_same_entries_and_lost_answers_are_no_difference() {
        let asked = HashSet::from([request(1), request(2)]);
        let provisions = [entry(3, 1, 1), entry(5, 2, 2), entry(9, 2, 3)];
        let compared = compare(
            &provisions,
            &[receipt(3, 1, 1), receipt(9, 2, 3)],
            &[],
            &asked,
        );
        assert_eq!(compared.differences, []);
        assert_eq!(compared.unanswered, 1);
    }

    #[test]
    fn what_a_new_epoch_carried_over_is_neither_unanswered_nor_a_difference() {
        let provisions = [
            entry(3, 1, 1),
            entry(5, 2, 2),
            entry(6, 2, 4),
            entry(9, 2, 3),
        ];
        let older = [receipt(3, 1, 1), receipt(5, 2, 7), receipt(7, 1, 1)];
        let (receipts, asked) = ([receipt(9, 2, 3)], HashSet::from([request(2)]));
        let compared = compare(&provisions, &receipts, &older, &asked);
        assert_eq!(compared.differences, []);
        // Another leaf than the old receipt's is none that was carried over.
        assert_eq!((compared.carried_over, compared.unanswered), (1, 2));
    }

    #[test]
    fn what_one_side_has_alone_and_what_isnt_the_same_is_told_apart_by_place() {
        use DifferenceKind::{EntryWithoutInquiry, OtherEntry, ReceiptWithoutEntry};
        let asked = HashSet::from([request(1), request(2), request(4)]);
        let provisions = [entry(3, 1, 1), entry(5, 3, 2), entry(9, 4, 3)];
        let receipts = [receipt(9, 2, 3), receipt(3, 1, 7), receipt(4, 2, 2)];
        let compared = compare(&provisions, &receipts, &[], &asked);
        let expected = [
            (3, OtherEntry),
            (4, ReceiptWithoutEntry),
            (5, EntryWithoutInquiry),
            (9, OtherEntry),
        ];
        assert_eq!(kinds(&compared), expected);
        assert_eq!(compared.unanswered, 0);
        // Another request's id over the right leaf: the receipt's stands in the difference.
        assert_eq!(compared.differences[3].request_id, request(2));
    }
}
