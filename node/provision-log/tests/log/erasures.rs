//! The erasures that a log records, read from its leaves.

use vrx_domain::EntryKind;
use vrx_domain::audit::desk_content;
use vrx_provision_log::{Depth, Entry, Fault, ReadError};

use crate::scene::{NUMBERS, Scene, record, soon};

fn erasure(id: &str) -> Entry {
    Entry {
        kind: EntryKind::Erasure,
        content: desk_content(&[("erasure", id), ("openings", "3")]),
        ..Scene::desk()
    }
}

#[tokio::test]
async fn a_log_knows_its_erasures_and_reads_on_from_where_it_was() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let known = async || {
        let erasures = log.reader().erasures(soon()).await.unwrap();
        let of = |id| erasures.of(id).map(|entry| entry.index);
        (erasures.size, of("a"), of("b"))
    };
    assert_eq!(known().await, (1, None, None));
    record(&log, scene.found(NUMBERS[0])).await.unwrap();
    record(&log, erasure("a")).await.unwrap();
    assert_eq!(known().await, (3, Some(2), None));
    record(&log, erasure("b")).await.unwrap();
    assert_eq!(known().await, (4, Some(2), Some(3)));
    let entry = log.reader().erasures(soon()).await.unwrap().entries.pop();
    let entry = entry.unwrap();
    assert_eq!((entry.count("openings"), entry.blanks()), (3, None));
    assert_eq!(entry.openings_below(), 3);
}

#[tokio::test]
async fn an_erasure_that_is_hidden_is_an_error_and_never_no_erasure() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    record(&log, erasure("a")).await.unwrap();
    let whole = scene.store.copy();
    // Another kind in its leaf.
    scene.store.tamper(1, |row| row.leaf[1] = 3);
    for _ in 0..2 {
        let erasures = log.reader().erasures(soon()).await;
        assert_eq!(erasures, Err(ReadError::Astray));
    }
    scene.store.go_back_to(&whole);
    scene.store.tamper(1, |row| {
        row.opening_key.clear();
        row.opening.clear();
    });
    for _ in 0..2 {
        let erasures = log.reader().erasures(soon()).await;
        assert_eq!(erasures, Err(ReadError::Opening(1)));
    }
    let report = log
        .reader()
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await;
    assert_eq!(report.unwrap().fault, Some(Fault::Blank(1)));
    scene.store.go_back_to(&whole);
    assert!(
        log.reader()
            .erasures(soon())
            .await
            .unwrap()
            .of("a")
            .is_some()
    );
}
