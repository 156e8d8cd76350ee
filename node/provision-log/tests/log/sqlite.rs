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
