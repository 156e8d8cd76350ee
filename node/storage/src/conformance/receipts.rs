//! Promises about receipts that a requester keeps, and about how far a provider's recovery is.

use vrx_domain::{MunicipalityCode, RequestId, UnixMillis};

use super::Fixture;
use crate::{BatchItem, Change, ChangeError, KeptReceipt, RecoveredEntry, RecoveryAnswer};

const ORIGIN: &str = "vrx.test/municipality/131041/log/1";

fn town(code: &str) -> MunicipalityCode {
    code.parse().unwrap()
}

fn request(byte: u8) -> RequestId {
    RequestId::from_bytes([byte; 16]).unwrap()
}

/// A receipt of an answer of Chiyoda's.
pub fn receipt(log_index: u64) -> KeptReceipt {
    let byte = u8::try_from(log_index % 251).unwrap();
    KeptReceipt {
        provider: town("131041"),
        origin: ORIGIN.to_owned(),
        log_index,
        entered_at: UnixMillis(1_000 + log_index % 1_000),
        request_id: request(byte.max(1)),
        leaf: [byte; 134],
        note: format!("{ORIGIN}\n{log_index}\n\n— signature\n"),
        proof: vec![[byte; 32]; usize::from(byte % 3)],
    }
}

/// A lost entry of the fixture's own log that was entered again.
pub fn recovered(log_index: u64, tree_size: u64) -> RecoveredEntry {
    RecoveredEntry {
        origin: ORIGIN.to_owned(),
        log_index,
        leaf: [7; 134],
        tree: (tree_size, [9; 32]),
        member: town("011002"),
        request_id: request(3),
    }
}

/// A member's answer.
pub fn answer(member: &str) -> RecoveryAnswer {
    RecoveryAnswer {
        origin: ORIGIN.to_owned(),
        member: town(member),
        answered_at: UnixMillis(5_000),
        receipts: 12,
        refused: 1,
    }
}

/// In the order of the provider's log, whatever order they came in; those of another provider, log or place are others.
pub async fn receipts_come_back_by_place_in_the_providers_log(fixture: &Fixture) {
    let other_log = KeptReceipt {
        origin: ORIGIN.replace("/log/1", "/log/2"),
        ..receipt(4)
    };
    let other_provider = KeptReceipt {
        provider: town("011002"),
        ..receipt(4)
    };
    let largest = receipt(i64::MAX.unsigned_abs());
    for kept in [
        receipt(9),
        receipt(2),
        largest.clone(),
        other_log.clone(),
        receipt(4),
        other_provider,
    ] {
        fixture.commit(Change::keep_receipt(kept)).await.unwrap();
    }
    let held = async |origin: &str, from, count| {
        let provider = town("131041");
        let found = fixture.store.receipts(provider, origin, from, count).await;
        found.unwrap()
    };
    assert_eq!(
        held(ORIGIN, 0, 100).await,
        [receipt(2), receipt(4), receipt(9), largest]
    );
    assert_eq!(held(ORIGIN, 3, 2).await, [receipt(4), receipt(9)]);
    assert_eq!(
        held(ORIGIN, u64::MAX, 2).await,
        [receipt(i64::MAX.unsigned_abs())]
    );
    assert_eq!(held(&other_log.origin, 0, 100).await, [other_log]);
    assert!(
        held("vrx.test/municipality/131041/log", 0, 100)
            .await
            .is_empty()
    );
}

/// Two answers can't have one entry: whoever says so is found out.
pub async fn a_second_receipt_of_one_place_conflicts(fixture: &Fixture) {
    let keep = async |receipt| fixture.commit(Change::keep_receipt(receipt)).await;
    keep(receipt(4)).await.unwrap();
    let other = KeptReceipt {
        leaf: [1; 134],
        ..receipt(4)
    };
    for second in [receipt(4), other] {
        let refused = keep(second).await;
        assert!(
            matches!(refused, Err(ChangeError::Conflict(_))),
            "{refused:?}"
        );
    }
    let held = fixture.store.receipts(town("131041"), ORIGIN, 0, 10).await;
    assert_eq!(held.unwrap(), [receipt(4)]);
}

/// The rest of the change doesn't stand without the receipt.
pub async fn a_change_whose_receipt_conflicts_leaves_nothing(fixture: &Fixture) {
    let keep = || Change::keep_receipt(receipt(4));
    fixture.commit(keep()).await.unwrap();
    let both = Change::all(vec![Change::keep_receipt(receipt(5)), keep()]);
    assert!(fixture.commit(both).await.is_err());
    let held = fixture.store.receipts(town("131041"), ORIGIN, 5, 10).await;
    assert!(held.unwrap().is_empty());
}

/// However often a receipt comes back.
pub async fn a_lost_entry_is_entered_again_once(fixture: &Fixture) {
    let enter = async |entry| fixture.commit(Change::recover_entry(entry)).await;
    enter(recovered(8, 10)).await.unwrap();
    enter(recovered(3, 20)).await.unwrap();
    let again = enter(recovered(8, 30)).await;
    assert!(matches!(again, Err(ChangeError::Conflict(_))), "{again:?}");
    let size = fixture.store.head().await.unwrap().size;
    assert_eq!(size, 2, "a refused one has no entry");
    let found = async |from, count| fixture.store.recovered(ORIGIN, from, count).await;
    assert_eq!(
        found(0, 10).await.unwrap(),
        [recovered(3, 20), recovered(8, 10)]
    );
    assert_eq!(found(4, 1).await.unwrap(), [recovered(8, 10)]);
    assert!(found(9, 1).await.unwrap().is_empty());
    let under = async |size| fixture.store.recovered_under(ORIGIN, size).await.unwrap();
    assert_eq!(under(20).await, Some(recovered(3, 20)));
    assert_eq!(under(30).await, None);
    let other = fixture.store.recovered("another log", 0, 10).await;
    assert!(other.unwrap().is_empty());
}

/// Two of one place in one batch are told apart as well.
pub async fn of_two_that_enter_one_lost_entry_in_a_batch_one_is_refused(fixture: &Fixture) {
    let item = |tree_size| BatchItem {
        change: Some(Change::recover_entry(recovered(8, tree_size))),
        subject: fixture.nobody(),
    };
    let prepared = fixture.append(vec![item(10), item(11)]).await.unwrap();
    assert!(prepared.results[0].is_ok());
    assert!(matches!(prepared.results[1], Err(ChangeError::Conflict(_))));
}

/// So it isn't asked again.
pub async fn a_members_answer_is_remembered_once(fixture: &Fixture) {
    let put = async |answer| fixture.commit(Change::recovery_answered(answer)).await;
    for member in ["131041", "011002"] {
        put(answer(member)).await.unwrap();
    }
    let again = put(RecoveryAnswer {
        receipts: 99,
        ..answer("011002")
    });
    assert!(matches!(again.await, Err(ChangeError::Conflict(_))));
    let answers = fixture.store.recovery_answers(ORIGIN).await.unwrap();
    assert_eq!(answers, [answer("011002"), answer("131041")]);
    assert!(fixture.store.lost_logs().await.unwrap().is_empty());
}
