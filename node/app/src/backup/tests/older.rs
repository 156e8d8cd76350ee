//! Backups that are older than what was signed since: refused, or a new epoch.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_older_log_goes_on_only_in_a_new_epoch_that_names_the_old_one() {
    let world = World::new(300).await;
    let backup = world.back_up(0).await;
    world.record(50).await;
    let signed = world.tenant.services.log.checkpoint();
    assert!(
        world
            .tenant
            .services
            .log
            .shutdown(Deadline::after(PATIENCE))
            .await
    );
    let folder = tempfile::tempdir().unwrap();
    let refused = world
        .restore(&backup, Epoch::Same, folder.path())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused);
    assert!(
        refused.message.contains("301 entries") && refused.message.contains("has 351"),
        "{refused}"
    );
    assert!(nothing_stands(folder.path()));

    let restored = world
        .restore(&backup, Epoch::New, folder.path())
        .await
        .unwrap();
    let keyring = &world.tenant.services.keyring;
    restored.keep(&world.log(), keyring).unwrap();
    assert!(restored.to_string().contains("epoch 2"), "{restored}");

    let store = world.open(folder.path()).await;
    let head = store.head().await.unwrap();
    assert_eq!((head.size, head.epoch, head.checkpoint), (302, 2, None));
    let lost = |epoch: u32, from_index, signed| LostLog {
        origin: format!("vrx.test/municipality/142051/log/{epoch}"),
        from_index,
        signed,
    };
    let first = lost(1, 301, Some((351, signed.root())));
    assert_eq!(store.lost_logs().await.unwrap(), [first]);
    let mut options = world.log();
    options.epoch = 2;
    let log_store: Arc<dyn LogStore> = store.clone();
    let log = ProvisionLog::start(log_store, Arc::clone(keyring), options.clone())
        .await
        .unwrap();
    assert!(
        log.checkpoint()
            .note()
            .starts_with("vrx.test/municipality/142051/log/2\n302\n")
    );
    let entry = log
        .reader()
        .entry(301, Deadline::after(PATIENCE))
        .await
        .unwrap();
    let content = entry.entry.opening.unwrap().content;
    let values: Vec<String> = content
        .values()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert_eq!(values[..2], ["epoch", "2"]);
    assert!(
        values[3].starts_with("vrx.test/municipality/142051/log/1\n301\n"),
        "{values:?}"
    );
    assert!(signed.note().starts_with(&values[5]), "{values:?}");
    let report = log
        .reader()
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .unwrap();
    assert!(report.is_whole(), "{:?}", report.fault);
    assert!(log.shutdown(Deadline::after(PATIENCE)).await);
    store.close().await.unwrap();
    let old =
        std::fs::read_to_string(world.tenant.folder().join("kept.checkpoint.epoch-1")).unwrap();
    assert!(old.starts_with("vrx.test/municipality/142051/log/1\n351\n"));

    // The same old backup again: epoch 2 was signed too, so this is epoch 3.
    let again = tempfile::tempdir().unwrap();
    let refused = world
        .restore(&backup, Epoch::Same, again.path())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused);
    let restored = world
        .restore(&backup, Epoch::New, again.path())
        .await
        .unwrap();
    assert!(restored.to_string().contains("epoch 3"), "{restored}");
    // Of both epochs entries are gone: of the first those after the backup, of the second all.
    let store = world.open(again.path()).await;
    let mut logs = store.lost_logs().await.unwrap();
    let second = logs.remove(1);
    assert_eq!(logs, [lost(1, 301, None)]);
    assert_eq!(
        (second.origin, second.from_index),
        (lost(2, 0, None).origin, 0)
    );
    assert_eq!(second.signed.unwrap().0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_the_newest_needs_no_new_epoch() {
    let world = World::new(5).await;
    let backup = world.back_up(0).await;
    assert!(
        world
            .tenant
            .services
            .log
            .shutdown(Deadline::after(PATIENCE))
            .await
    );
    let folder = tempfile::tempdir().unwrap();
    let refused = world
        .restore(&backup, Epoch::New, folder.path())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::Configuration, "{refused}");
    world
        .restore(&backup, Epoch::Same, folder.path())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_contradicts_the_kept_checkpoint_is_refused_whatever_is_asked() {
    let world = World::new(30).await;
    let backup = world.back_up(0).await;
    let other = World::new(0).await; // the same keys and ids from the same seed
    other.entry(99).await.unwrap(); // another log
    other.record(12).await;
    assert!(
        other
            .tenant
            .services
            .log
            .shutdown(Deadline::after(PATIENCE))
            .await
    );
    assert!(
        world
            .tenant
            .services
            .log
            .shutdown(Deadline::after(PATIENCE))
            .await
    );
    std::fs::copy(other.log().kept_checkpoint, world.log().kept_checkpoint).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for epoch in [Epoch::Same, Epoch::New] {
        let refused = world
            .restore(&backup, epoch, folder.path())
            .await
            .err()
            .unwrap();
        assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
        assert!(nothing_stands(folder.path()));
    }
}
