//! A disk that is full: under the tables, and under the server's own log.

use std::sync::Arc;

use vrx_storage::conformance::{Fixture, rows};
use vrx_storage::{AppendError, BatchItem, NotCommitted, PostgresLimits, Prepared};
use vrx_testkit::SmallDisk;
use vrx_testkit::postgres::ServerOptions;

use crate::failures::{append_again, assert_whole, entries};
use crate::scene::{Scene, short, start};

/// Entries of a batch.
const BATCH: usize = 256;

/// Appends batches until one is refused; says how many entries were confirmed, and what the refusal was.
async fn append_until_refused(fixture: &Fixture) -> (u64, AppendError) {
    let mut size = fixture.store.head().await.unwrap().size;
    for _ in 0..1_000 {
        let head = fixture.second.head().await.unwrap();
        assert_eq!(head.size, size);
        let items: Arc<[BatchItem]> = entries(fixture, BATCH).into();
        let subjects: Vec<_> = items.iter().map(|item| item.subject).collect();
        let seal = Box::new(move |prepared: &Prepared| Ok(rows(&subjects, prepared)));
        match fixture
            .store
            .append((head.size, head.root), items, seal)
            .await
        {
            Ok(_) => size += BATCH as u64,
            Err(why) => return (size, why),
        }
    }
    panic!("{size} entries, and the disk isn't full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_takes_nothing_that_stood() {
    let disk = SmallDisk::mount("48m");
    let server = start(ServerOptions::default()).await;
    let scene = Scene::on(&server).await;
    disk.give_to_the_owner_of(&server);
    server.sql(
        "postgres",
        &format!(
            "CREATE TABLESPACE small LOCATION '{}'",
            disk.path().display()
        ),
    );
    server.sql(
        "postgres",
        &format!(
            "ALTER DATABASE {} SET TABLESPACE small",
            scene.database.name()
        ),
    );
    let fixture = scene.fixture(PostgresLimits::default()).await;
    let ballast = disk.fill(4 << 20);
    let (size, why) = append_until_refused(&fixture).await;
    assert_eq!(why, NotCommitted::Full.into(), "after {size} entries");
    assert!(size > 0, "there was room for some");
    assert_whole(&fixture, size).await;
    // Refused again and again, and nothing is worse for it.
    assert_eq!(
        append_until_refused(&fixture).await.1,
        NotCommitted::Full.into()
    );
    std::fs::remove_file(ballast).unwrap();
    append_again(&fixture).await;
    let head = fixture.second.head().await.unwrap();
    assert_whole(&fixture, head.size).await;
}

/// PostgreSQL ends when it can't write its own log. What it had confirmed is there when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_its_own_log_keeps_what_it_confirmed() {
    let disk = SmallDisk::mount("192m");
    let options = ServerOptions::default()
        .below(disk.path())
        .setting("shared_buffers", "8MB")
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "64MB");
    let server = start(options).await;
    let scene = Scene::on(&server).await;
    let fixture = scene.fixture(short()).await;
    let ballast = disk.fill(6 << 20);
    let (size, why) = append_until_refused(&fixture).await;
    assert!(size > 0, "there was room for some");
    let healing = Arc::clone(&server);
    tokio::task::spawn_blocking(move || {
        healing.kill();
        std::fs::remove_file(ballast).unwrap();
        healing.start_again();
    })
    .await
    .unwrap();
    append_again(&fixture).await;
    append_again(&fixture.other()).await;
    let head = fixture.second.head().await.unwrap();
    let entered = head.size - 2 - size;
    // The last batch stands whole, or not at all, where its outcome was unknown.
    let is_whole = entered == BATCH as u64 && matches!(why, AppendError::Unknown(_));
    assert!(
        entered == 0 || is_whole,
        "{entered} entries of a batch: {why}"
    );
    assert_whole(&fixture, head.size).await;
}
