//! A process that writes nothing: it sees what the others write, and what a database has lost, before its next entry.

use std::sync::Arc;
use std::time::Duration;

use vrx_provision_log::{Deadline, LogState, ProvisionLog, RecordError, StartError, Unavailable};
use vrx_storage::LogStore;

use crate::faulty_log_store::Fault;
use crate::scene::{NUMBERS, Scene, record, soon};
use crate::sharing::{another, shared_scene};

/// Why a log is poisoned; empty when it isn't.
fn poisoned(log: &ProvisionLog) -> String {
    match log.health().state {
        LogState::Poisoned(why) => why,
        _ => String::new(),
    }
}

#[tokio::test]
async fn an_idle_process_publishes_and_keeps_what_the_others_wrote() {
    let scene = shared_scene();
    let one = scene.start().await.unwrap();
    let two = another(&scene, "second").await;
    let mut known = (two.checkpoint().size(), two.checkpoint().root());
    // Past a tile that the other one filled.
    for count in [3, 300] {
        for n in 0..count {
            record(&one, scene.found(NUMBERS[n % 3])).await.unwrap();
        }
        let batches = scene.store.batches().len();
        two.look(soon()).await.unwrap();
        assert_eq!(two.checkpoint().note(), one.checkpoint().note());
        assert_eq!(two.checkpoint().last_time(), one.checkpoint().last_time());
        assert_eq!(scene.store.batches().len(), batches, "a look wrote");
        let newest = two.checkpoint().size() - 1;
        two.reader().entry(newest, soon()).await.unwrap();
        let mut entry = record(&two, scene.found(NUMBERS[0])).await.unwrap();
        two.prove_from(&mut entry, known.0, soon()).await.unwrap();
        scene.check(entry, Some(known));
        known = (two.checkpoint().size(), two.checkpoint().root());
        one.look(soon()).await.unwrap();
    }
    let kept = scene.folder.path().join("second");
    let deadline = soon();
    while std::fs::read_to_string(&kept).unwrap() != two.checkpoint().note() {
        assert!(!deadline.has_passed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn more_than_one_look_takes_over_is_taken_over_by_several_and_signed_when_it_is_whole() {
    let mut scene = shared_scene();
    let one = scene.start().await.unwrap();
    scene.options.max_followed = 4;
    let two = another(&scene, "second").await;
    for _ in 0..10 {
        record(&one, Scene::unknown()).await.unwrap();
    }
    for size in [1, 1, 11] {
        two.look(soon()).await.unwrap();
        assert_eq!(two.checkpoint().size(), size);
    }
    // Half way, it writes: the rest is found by the batch.
    for _ in 0..10 {
        record(&one, Scene::unknown()).await.unwrap();
    }
    two.look(soon()).await.unwrap();
    scene.check(record(&two, Scene::unknown()).await.unwrap(), None);
    two.look(soon()).await.unwrap();
    assert_eq!(two.checkpoint().size(), scene.store.size());
    assert_eq!(two.health().state, LogState::Serving);
}

#[tokio::test]
async fn what_was_read_half_way_vouches_for_nothing_that_was_signed_since() {
    let mut scene = shared_scene();
    let one = scene.start().await.unwrap();
    scene.options.max_followed = 4;
    let two = another(&scene, "second").await;
    for _ in 0..10 {
        record(&one, Scene::unknown()).await.unwrap();
    }
    two.look(soon()).await.unwrap();
    let image = scene.store.copy();
    record(&two, Scene::unknown()).await.unwrap();
    // The entry just signed is lost, and others go on without it.
    scene.store.go_back_to(&image);
    let stale = another(&scene, "third").await;
    for _ in 0..5 {
        record(&stale, Scene::unknown()).await.unwrap();
    }
    assert_eq!(two.look(soon()).await, Err(RecordError::Poisoned));
    assert_eq!(two.checkpoint().size(), 12);
}

#[tokio::test]
async fn a_head_that_went_back_or_differs_makes_an_idle_process_unready_before_any_entry() {
    // Behind what it has seen; as long, and another log; longer, and another log.
    for others in [0, 2, 5] {
        let scene = shared_scene();
        let (one, idle) = (
            scene.start().await.unwrap(),
            another(&scene, "second").await,
        );
        let image = scene.store.copy();
        for _ in 0..2 {
            record(&one, Scene::unknown()).await.unwrap();
        }
        idle.look(soon()).await.unwrap();
        scene.store.go_back_to(&image);
        let stale = another(&scene, "third").await;
        for _ in 0..others {
            record(&stale, Scene::unknown()).await.unwrap();
        }
        let signed = idle.checkpoint();
        assert_eq!(idle.canary(soon()).await, Err(RecordError::Poisoned));
        let why = poisoned(&idle);
        assert!(
            why.contains("3 entries are signed") && why.contains("Stop this process"),
            "{why}"
        );
        assert_eq!(
            record(&idle, Scene::unknown()).await.map(drop),
            Err(RecordError::Poisoned)
        );
        assert_eq!(scene.store.size(), 1 + others);
        assert_eq!(idle.checkpoint().note(), signed.note());
    }
}

#[tokio::test]
async fn leaves_that_do_not_lead_to_the_head_are_not_signed_for() {
    let scene = shared_scene();
    let (one, idle) = (
        scene.start().await.unwrap(),
        another(&scene, "second").await,
    );
    for _ in 0..3 {
        record(&one, Scene::unknown()).await.unwrap();
    }
    scene.store.tamper(2, |row| row.leaf[60] ^= 1);
    assert_eq!(idle.look(soon()).await, Err(RecordError::Poisoned));
    assert_eq!(idle.checkpoint().size(), 1);
}

#[tokio::test]
async fn a_look_at_another_epoch_ends_an_idle_process_of_the_earlier_one() {
    let scene = shared_scene();
    let log = scene.start().await.unwrap();
    scene.store.tamper_head(|head| head.epoch = 2);
    assert_eq!(log.look(soon()).await, Err(RecordError::Poisoned));
    assert!(poisoned(&log).contains("another epoch"));
}

#[tokio::test]
async fn a_database_that_is_away_is_no_poison_and_looked_at_again() {
    let scene = shared_scene();
    let log = scene.start().await.unwrap();
    scene.store.fail_heads(1);
    let busy = RecordError::Unavailable(Unavailable::Busy);
    assert_eq!(log.canary(soon()).await, Err(busy));
    log.canary(soon()).await.unwrap();
    assert_eq!(log.health().state, LogState::Serving);
}

#[tokio::test]
async fn a_look_waits_for_the_batch_before_it_and_no_longer_than_its_deadline() {
    let scene = shared_scene();
    let log = Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let caller = tokio::spawn({
        let log = log.clone();
        async move { record(&log, Scene::unknown()).await.map(drop) }
    });
    // Until the writer has the batch, it looks at once.
    let (deadline, short) = (soon(), Duration::from_millis(50));
    while log.look(Deadline::after(short)).await != Err(RecordError::DeadlineExceeded) {
        assert!(!deadline.has_passed());
        tokio::task::yield_now().await;
    }
    drop(hold);
    caller.await.unwrap().unwrap();
    log.look(soon()).await.unwrap();
}

#[tokio::test]
async fn a_poisoned_log_keeps_its_newest_checkpoint_at_once() {
    let mut scene = shared_scene();
    // The first is kept at once, the ones after it would wait for the next turn: longer than this test does.
    scene.options.keep_every = Duration::from_hours(1);
    let log = scene.start().await.unwrap();
    for _ in 0..5 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    scene.store.plan([Fault::BrokenBefore]);
    assert_eq!(
        record(&log, Scene::unknown()).await.map(drop),
        Err(RecordError::Poisoned)
    );
    let deadline = soon();
    while log.health().kept_size < 6 {
        assert!(!deadline.has_passed(), "it waits for its turn");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let kept = std::fs::read_to_string(scene.kept()).unwrap();
    assert_eq!(kept, log.checkpoint().note());
}

#[tokio::test]
async fn two_processes_that_share_a_place_for_checkpoints_are_refused() {
    let scene = shared_scene();
    let one = scene.start().await.unwrap();
    let refused = scene.start().await.err().unwrap();
    assert!(
        matches!(refused, StartError::KeptByAnother { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("kept_checkpoint_dir"),
        "{refused}"
    );
    assert!(one.shutdown(soon()).await);
    let again = scene.start().await.unwrap();
    drop(again);
    scene.start().await.unwrap();
    assert_eq!(scene.store.head().await.unwrap().size, 1);
}

#[tokio::test]
async fn what_a_log_did_is_counted() {
    let scene = shared_scene();
    let log = scene.start().await.unwrap();
    for _ in 0..3 {
        record(&log, Scene::unknown()).await.unwrap();
    }
    scene.store.plan([Fault::Full]);
    record(&log, Scene::unknown()).await.map(drop).unwrap_err();
    let measures = log.measures();
    assert_eq!(
        (measures.batches, measures.entries, measures.turned_away),
        (4, 4, 1)
    );
    assert_eq!(
        (
            measures.exchange_waiting,
            measures.other_waiting,
            measures.queue
        ),
        (0, 0, scene.options.queue)
    );
}
