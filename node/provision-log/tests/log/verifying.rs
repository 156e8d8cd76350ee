//! What the verification of a whole log finds in rows and lists that somebody changed.

use vrx_provision_log::{Depth, Fault, ProvisionLog, VerifyReport};
use vrx_storage::SubjectHead;

use crate::scene::{NUMBERS, Scene, record};

async fn verified(log: &ProvisionLog) -> VerifyReport {
    let mut progress = |_, _| ();
    let report = log.reader().verify_all(Depth::Openings, &mut progress);
    report.await.unwrap()
}

/// Entries 1, 3 and 5 are about the first person, 2 and 4 about the second, 6 about nobody.
async fn written(scene: &Scene) -> ProvisionLog {
    let log = scene.start().await.unwrap();
    for number in [0, 1, 0, 1, 0] {
        record(&log, scene.found(NUMBERS[number])).await.unwrap();
    }
    record(&log, Scene::desk()).await.unwrap();
    assert_eq!(verified(&log).await.fault, None);
    log
}

#[tokio::test]
async fn a_row_that_says_something_else_than_its_entry_is_found() {
    let scene = Scene::new();
    let log = written(&scene).await;
    let whole = scene.store.copy();
    let other = scene.tag(NUMBERS[2]);
    for nth in 0..5 {
        scene.store.tamper(3, |row| match nth {
            0 => row.kind = 6,
            1 => row.entry_id[0] ^= 1,
            2 => row.subject = other,
            3 => row.subject_seq += 1,
            _ => row.subject.0[31] ^= 1,
        });
        assert_eq!(verified(&log).await.fault, Some(Fault::Row(3)), "{nth}");
        scene.store.go_back_to(&whole);
    }
    // An entry about nobody made somebody's.
    scene.store.tamper(6, |row| row.subject = other);
    assert_eq!(verified(&log).await.fault, Some(Fault::Row(6)));
}

#[tokio::test]
async fn a_list_that_begins_anywhere_but_at_the_newest_entry_is_found() {
    let scene = Scene::new();
    let log = written(&scene).await;
    let (tag, whole) = (scene.tag(NUMBERS[0]), scene.store.copy());
    let head = |seq, last_index| Some(SubjectHead { seq, last_index });
    for moved in [
        None,
        head(2, 3),
        head(3, 3),
        head(4, 6),
        head(9, 5),
        // Beyond the log's end, where no entry stands.
        head(9, 7),
        head(9, 1_000),
    ] {
        scene.store.tamper_subject(tag, moved);
        assert_eq!(
            verified(&log).await.fault,
            Some(Fault::Head(5)),
            "{moved:?}"
        );
        scene.store.go_back_to(&whole);
    }
    assert_eq!(verified(&log).await.fault, None);
}

#[tokio::test]
async fn a_gap_in_a_list_is_bridged_over_a_blank_entry_and_over_nothing_else() {
    let scene = Scene::new();
    let log = written(&scene).await;
    let whole = scene.store.copy();
    let blank = |index| {
        scene.store.tamper(index, |row| {
            row.opening_key.clear();
            row.opening.clear();
        });
    };
    // What the entry before it is blank: the numbers go on.
    blank(3);
    let report = verified(&log).await;
    assert_eq!((report.fault, report.erased), (None, 1));
    blank(1);
    assert_eq!(verified(&log).await.erased, 2);
    scene.store.go_back_to(&whole);

    // Something else is blank, and the list was led past the person's entries before the next one came.
    blank(2);
    let tag = scene.tag(NUMBERS[0]);
    let ahead = SubjectHead {
        seq: 9,
        last_index: 4,
    };
    scene.store.tamper_subject(tag, Some(ahead));
    record(&log, scene.found(NUMBERS[0])).await.unwrap();
    assert_eq!(verified(&log).await.fault, Some(Fault::Chain(7)));
}
