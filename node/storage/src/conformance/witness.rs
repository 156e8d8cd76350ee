//! Promises about a witness's record of a log, and about what witnesses cosigned of the own log.

use super::Fixture;
use crate::{CosignedCheckpoint, WitnessedLog};

const ORIGIN: &str = "vrx.test/municipality/131041/log/1";

/// A checkpoint of Chiyoda's that this tenant cosigned.
pub fn witnessed(size: u64, byte: u8) -> WitnessedLog {
    WitnessedLog {
        origin: ORIGIN.to_owned(),
        size,
        root: [byte; 32],
        note: format!("{ORIGIN}\n{size}\n\n— signature {byte}\n"),
    }
}

/// A checkpoint of the own log that witnesses cosigned.
pub fn cosigned(size: u64, by: &str) -> CosignedCheckpoint {
    CosignedCheckpoint {
        origin: ORIGIN.to_owned(),
        size,
        note: format!("{ORIGIN}\n{size}\n\n— {by}\n"),
    }
}

/// From nothing to a first record, and on from exactly what is there.
pub async fn a_witnesss_record_moves_only_from_what_is_there(fixture: &Fixture) {
    let store = &fixture.store;
    let swap = async |expected, new| store.swap_witnessed(expected, new).await.unwrap();
    let held = async || store.witnessed(ORIGIN).await.unwrap();
    assert_eq!(held().await, None);
    assert!(!swap(Some((0, [0; 32])), witnessed(5, 1)).await);
    assert!(!swap(Some((5, [1; 32])), witnessed(5, 1)).await);
    assert_eq!(held().await, None);

    assert!(swap(None, witnessed(5, 1)).await);
    assert!(!swap(None, witnessed(9, 2)).await, "there is one already");
    assert!(!swap(Some((4, [1; 32])), witnessed(9, 2)).await);
    assert!(!swap(Some((5, [2; 32])), witnessed(9, 2)).await);
    assert_eq!(held().await, Some(witnessed(5, 1)));

    assert!(swap(Some((5, [1; 32])), witnessed(9, 2)).await);
    assert!(
        !swap(Some((5, [1; 32])), witnessed(7, 3)).await,
        "it went on"
    );
    let again = WitnessedLog {
        note: "the same again, later".to_owned(),
        ..witnessed(9, 2)
    };
    assert!(swap(Some((9, [2; 32])), again.clone()).await);
    assert_eq!(held().await, Some(again));
    let size = fixture.store.head().await.unwrap().size;
    assert_eq!(size, 0, "none of it is an entry of the own log");
}

/// The record of one log says nothing of another, nor of the same municipality's next epoch.
pub async fn a_witnesss_records_are_one_a_log(fixture: &Fixture) {
    let store = &fixture.store;
    let other = WitnessedLog {
        origin: ORIGIN.replace("/log/1", "/log/2"),
        ..witnessed(i64::MAX.unsigned_abs(), 4)
    };
    for new in [witnessed(5, 1), other.clone()] {
        assert!(store.swap_witnessed(None, new).await.unwrap());
    }
    assert_eq!(store.witnessed(&other.origin).await.unwrap(), Some(other));
    assert_eq!(
        store.witnessed(ORIGIN).await.unwrap(),
        Some(witnessed(5, 1))
    );
    let unknown = store.witnessed("vrx.test/municipality/131041/log").await;
    assert_eq!(unknown.unwrap(), None);
}

/// However many try, and whatever each would make of it.
pub async fn of_two_swaps_at_once_one_wins(fixture: &Fixture) {
    let store = &fixture.store;
    let mut at = None;
    for round in 1..=20_u8 {
        let size = u64::from(round) * 10;
        let (first, second) = tokio::join!(
            store.swap_witnessed(at, witnessed(size, round)),
            store.swap_witnessed(at, witnessed(size + 1, round)),
        );
        let won = [first.unwrap(), second.unwrap()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{round}");
        let size = if won[0] { size } else { size + 1 };
        let held = store.witnessed(ORIGIN).await.unwrap();
        assert_eq!(held, Some(witnessed(size, round)));
        at = Some((size, [round; 32]));
    }
}

/// The largest stays; of the same size the newest, which may have more or later cosignatures.
pub async fn a_cosigned_checkpoint_never_goes_back(fixture: &Fixture) {
    let store = &fixture.store;
    assert_eq!(store.cosigned(ORIGIN).await.unwrap(), None);
    for (kept, held) in [
        (cosigned(5, "a"), cosigned(5, "a")),
        (cosigned(9, "a"), cosigned(9, "a")),
        (cosigned(8, "a and b"), cosigned(9, "a")),
        (cosigned(9, "a and b"), cosigned(9, "a and b")),
    ] {
        store.keep_cosigned(kept).await.unwrap();
        assert_eq!(store.cosigned(ORIGIN).await.unwrap(), Some(held));
    }
    let epoch = ORIGIN.replace("/log/1", "/log/2");
    assert_eq!(store.cosigned(&epoch).await.unwrap(), None);
}
