//! The same log over the real database.

use std::sync::Arc;

use vrx_crypto::SystemRandom;
use vrx_provision_log::{Depth, LogReader, ProvisionLog};
use vrx_storage::{SqliteOptions, SqliteTenant};
use vrx_tlog::verify_receipt;

use crate::scene::{NUMBERS, Scene, record, soon};

fn place(scene: &Scene) -> SqliteOptions {
    SqliteOptions {
        state_dir: scene.folder.path().join("state"),
        tenant: scene.options.tenant,
        keyring: scene.keyring.clone(),
        random: Arc::new(SystemRandom::new()),
    }
}

async fn start(scene: &Scene, store: &Arc<SqliteTenant>) -> ProvisionLog {
    ProvisionLog::start(store.clone(), scene.keyring.clone(), scene.options.clone())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_whole_after_a_stop_and_after_a_crash() {
    let scene = Scene::new();
    let place = place(&scene);
    std::fs::create_dir_all(&place.state_dir).unwrap();
    let mut store = Arc::new(SqliteTenant::create(place.clone()).await.unwrap());
    let mut held = Vec::new();
    for crash in [true, false, true] {
        let log = Arc::new(start(&scene, &store).await);
        let callers: Vec<_> = (0..200)
            .map(|n| {
                let (log, entry) = (log.clone(), scene.found(NUMBERS[n % 3]));
                tokio::spawn(async move { record(&log, entry).await })
            })
            .collect();
        for caller in callers {
            held.push(caller.await.unwrap().unwrap());
        }
        if !crash {
            assert!(log.shutdown(soon()).await);
        }
        drop((log, store));
        // The tasks of the log let go of the store, its threads end, and only then does its lock.
        let deadline = soon();
        store = loop {
            match SqliteTenant::open(place.clone()).await {
                Ok(store) => break Arc::new(store),
                Err(error) => assert!(!deadline.has_passed(), "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
    }
    let reader = LogReader::open(store, scene.keyring.clone(), &scene.options)
        .await
        .unwrap();
    assert_eq!(reader.checkpoint().size(), 601);
    for recorded in held {
        let (_, receipt, _) = recorded.into_parts();
        verify_receipt(&receipt, &scene.verifier_key(), None).unwrap();
        assert_eq!(
            reader
                .entry(receipt.log_index, soon())
                .await
                .unwrap()
                .receipt
                .leaf,
            receipt.leaf
        );
    }
    let report = reader
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .unwrap();
    assert!(report.is_whole(), "{report:?}");
}

/// `cargo test --release -p vrx-provision-log -- --ignored --nocapture measured`: entries a second by callers in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn measured() {
    let mut scene = Scene::new();
    scene.options.random = Arc::new(SystemRandom::new());
    let place = place(&scene);
    std::fs::create_dir_all(&place.state_dir).unwrap();
    let store = Arc::new(SqliteTenant::create(place).await.unwrap());
    let log = Arc::new(start(&scene, &store).await);
    let mut lines = Vec::new();
    for in_flight in [1_usize, 16, 64, 256, 64, 256] {
        let known = log.checkpoint().size();
        let began = tokio::time::Instant::now();
        let callers: Vec<_> = (0..in_flight)
            .map(|n| {
                let (log, scene_entry) = (log.clone(), n);
                let entries: Vec<_> = (0..200)
                    .map(|_| scene.found(NUMBERS[scene_entry % 3]))
                    .collect();
                tokio::spawn(async move {
                    for entry in entries {
                        let mut recorded = record(&log, entry).await.unwrap();
                        log.prove_from(&mut recorded, known, soon()).await.unwrap();
                        drop(recorded.into_parts());
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let seconds = began.elapsed().as_secs_f64();
        let count = 200 * in_flight;
        lines.push(format!(
            "{in_flight} in flight: {:.0} entries/s",
            f64::from(u32::try_from(count).unwrap()) / seconds
        ));
    }
    let began = tokio::time::Instant::now();
    let report = log
        .reader()
        .verify_all(Depth::Tree, &mut |_, _| ())
        .await
        .unwrap();
    lines.push(format!(
        "verified {} entries in {:?}",
        report.entries,
        began.elapsed()
    ));
    std::fs::write(
        std::env::temp_dir().join("vrx-log-measured.txt"),
        lines.join("\n"),
    )
    .unwrap();
    assert!(log.shutdown(soon()).await);
}
