//! What a start accepts, and what it refuses.

use std::time::Duration;

use vrx_provision_log::{
    Depth, Fault as Found, LogReader, LogState, MissingKept, RecordError, StartError, Unavailable,
};
use vrx_tlog::TileId;

use crate::scene::{NUMBERS, Scene, let_all_wait, record, soon};

#[tokio::test]
async fn a_log_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let mut size = 1;
    for entries in [3, 251, 1, 1, 300] {
        let log = scene.start().await.unwrap();
        assert_eq!(log.checkpoint().size(), size);
        for n in 0..entries {
            record(&log, scene.found(NUMBERS[n % 3])).await.unwrap();
        }
        size += entries as u64;
        assert!(log.shutdown(soon()).await);
        let kept = std::fs::read_to_string(scene.kept()).unwrap();
        assert_eq!(kept, log.checkpoint().note());
        assert_eq!(log.health().state, LogState::Stopped);
    }
    let log = scene.start().await.unwrap();
    let report = log
        .reader()
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .unwrap();
    assert_eq!((report.entries, report.fault), (size, None));
}

#[tokio::test]
async fn a_shutdown_writes_what_waits_and_takes_nothing_more() {
    let scene = Scene::new();
    let log = std::sync::Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (log, entry) = (log.clone(), Scene::unknown());
            tokio::spawn(async move { record(&log, entry).await })
        })
        .collect();
    let_all_wait().await;
    let stopping = tokio::spawn({
        let log = log.clone();
        async move { log.shutdown(soon()).await }
    });
    let_all_wait().await;
    let refused = record(&log, Scene::unknown()).await.map(drop);
    assert_eq!(
        refused,
        Err(RecordError::Unavailable(Unavailable::ShuttingDown))
    );
    drop(hold);
    for caller in callers {
        scene.check(caller.await.unwrap().unwrap(), None);
    }
    assert!(stopping.await.unwrap());
    assert_eq!(scene.store.size(), 51);
    assert_eq!(
        std::fs::read_to_string(scene.kept()).unwrap(),
        log.checkpoint().note()
    );
}

#[tokio::test]
async fn the_newest_checkpoint_is_kept_within_a_second_or_so() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for _ in 0..5 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    let deadline = soon();
    while log.health().kept_size < 6 {
        assert!(!deadline.has_passed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        std::fs::read_to_string(scene.kept()).unwrap(),
        log.checkpoint().note()
    );
}

#[tokio::test]
async fn an_older_or_an_empty_database_put_back_is_refused() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    record(&log, Scene::unknown()).await.unwrap();
    let older = scene.store.copy();
    for _ in 0..10 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    log.shutdown(soon()).await;
    let path = scene.kept().display().to_string();
    let refused = scene.start_on(&older).await.err().unwrap();
    assert_eq!(
        refused,
        StartError::RolledBack {
            kept: 12,
            found: 2,
            path: path.clone()
        }
    );
    assert!(
        refused
            .to_string()
            .contains("An older database was put back")
    );
    let empty = crate::faulty_log_store::FaultyLogStore::new();
    assert_eq!(
        scene.start_on(&empty).await.err(),
        Some(StartError::RolledBack {
            kept: 12,
            found: 0,
            path
        })
    );
    assert!(scene.start().await.is_ok());
}

#[tokio::test]
async fn another_history_of_the_same_length_is_refused() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let fork = scene.store.copy();
    for _ in 0..5 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    log.shutdown(soon()).await;
    let kept = std::fs::read(scene.kept()).unwrap();
    // Somebody with the database, the keyring and this program writes another history.
    std::fs::remove_file(scene.kept()).unwrap();
    let other = scene.start_on(&fork).await.unwrap();
    for _ in 0..9 {
        record(&other, scene.found(NUMBERS[0])).await.unwrap();
    }
    other.shutdown(soon()).await;
    std::fs::write(scene.kept(), kept).unwrap();
    assert!(matches!(
        scene.start_on(&fork).await.err(),
        Some(StartError::Rewritten { size: 6, .. })
    ));
}

#[tokio::test]
async fn a_log_without_its_kept_checkpoint_needs_an_explicit_word() {
    let mut scene = Scene::new();
    let log = scene.start().await.unwrap();
    record(&log, Scene::unknown()).await.unwrap();
    log.shutdown(soon()).await;
    std::fs::remove_file(scene.kept()).unwrap();
    assert!(matches!(
        scene.start().await.err(),
        Some(StartError::NothingKept { size: 2, .. })
    ));
    scene.options.missing_kept = MissingKept::Accept;
    scene.start().await.unwrap();
    std::fs::write(scene.kept(), "scribble").unwrap();
    assert!(matches!(
        scene.start().await.err(),
        Some(StartError::Kept { .. })
    ));
}

#[tokio::test]
async fn a_head_that_is_not_that_of_the_entries_is_refused() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for _ in 0..5 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    log.shutdown(soon()).await;
    let changed = |change: &dyn Fn(&crate::faulty_log_store::FaultyLogStore)| {
        let store = scene.store.copy();
        change(&store);
        store
    };
    for store in [
        changed(&|store| store.tamper(5, |row| row.leaf[100] ^= 1)),
        changed(&|store| store.tamper_head(|head| head.root[0] ^= 1)),
        changed(&|store| store.tamper_head(|head| head.size += 1)),
        changed(&|store| store.tamper_head(|head| head.last_time += 1)),
        changed(&|store| store.tamper_head(|head| head.checkpoint = Some("no note".to_owned()))),
    ] {
        assert!(matches!(
            scene.start_on(&store).await.err(),
            Some(StartError::Corrupt(_))
        ));
    }
    let epoch = changed(&|store| store.tamper_head(|head| head.epoch = 2));
    assert_eq!(
        scene.start_on(&epoch).await.err(),
        Some(StartError::Epoch {
            expected: 1,
            found: 2
        })
    );
}

#[tokio::test]
async fn what_a_start_cannot_see_the_verification_in_the_background_finds() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for n in 0..600 {
        record(&log, scene.found(NUMBERS[n % 3])).await.unwrap();
    }
    log.shutdown(soon()).await;
    let leaf = scene.store.copy();
    leaf.tamper(17, |row| row.leaf[100] ^= 1);
    let log = scene.start_on(&leaf).await.unwrap();
    let deadline = soon();
    while log.health().verified.is_none() {
        assert!(!deadline.has_passed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(log.health().state, LogState::Poisoned(_)));
    assert_eq!(
        record(&log, Scene::unknown()).await.map(drop),
        Err(RecordError::Poisoned)
    );
    drop(log);

    let tile = scene.store.copy();
    tile.tamper_tile(0, 1, |bytes| bytes[8000] ^= 1);
    // The root over the tiles shows it at once.
    assert!(matches!(
        scene.start_on(&tile).await.err(),
        Some(StartError::Corrupt(_))
    ));

    let opening = scene.store.copy();
    opening.tamper(20, |row| row.opening[40] ^= 1);
    let swapped = scene.store.copy();
    let (key, body) = (
        scene.store.all_entries()[4].opening_key.clone(),
        scene.store.all_entries()[4].opening.clone(),
    );
    swapped.tamper(20, |row| (row.opening_key, row.opening) = (key, body));
    for store in [opening, swapped] {
        let log = scene.start_on(&store).await.unwrap();
        let reader = log.reader();
        assert!(
            reader
                .verify_all(Depth::Tree, &mut |_, _| ())
                .await
                .unwrap()
                .is_whole()
        );
        let report = reader
            .verify_all(Depth::Openings, &mut |_, _| ())
            .await
            .unwrap();
        assert_eq!(report.fault, Some(Found::Opening(20)));
        assert!(reader.entry(20, soon()).await.is_err());
        assert!(reader.entry(19, soon()).await.is_ok());
    }
    assert!(
        Found::Tile(TileId { level: 0, index: 1 })
            .to_string()
            .contains("tile")
    );
}

#[tokio::test]
async fn a_log_that_lies_still_is_verified_without_a_writer() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for _ in 0..3 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    log.shutdown(soon()).await;
    let reader = LogReader::open(scene.store.clone(), scene.keyring.clone(), &scene.options)
        .await
        .unwrap();
    assert_eq!(reader.checkpoint().note(), log.checkpoint().note());
    let mut progress = Vec::new();
    let report = reader
        .verify_all(Depth::Openings, &mut |done, of| progress.push((done, of)))
        .await
        .unwrap();
    assert!(report.is_whole());
    assert_eq!(progress, [(4, 4)]);
    assert_eq!(scene.store.size(), 4);
}
