//! Several processes on one log, and a database server that goes away: one order, nothing twice, nothing lost, and no poison for what passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vrx_domain::{Clock, EntryKind, Random};
use vrx_provision_log::{Deadline, Health, LogState, ProvisionLog, RecordError, Unavailable};
use vrx_storage::{Change, LogStore};

use crate::faults::one_log;
use crate::faulty_log_store::Fault;
use crate::scene::{FakeClock, NUMBERS, Scene, Seeded, record, soon};

const UNSETTLED: RecordError = RecordError::Unavailable(Unavailable::Unsettled);

/// A tenant whose store is a database server.
pub(crate) fn shared_scene() -> Scene {
    let scene = Scene::new();
    scene.store.is_a_server();
    scene
}

/// Another process on the scene's store. Each keeps its checkpoints on its own disk.
pub(crate) async fn another(scene: &Scene, name: &str) -> ProvisionLog {
    let mut options = scene.options.clone();
    options.kept_checkpoint = scene.folder.path().join(name);
    options.missing_kept = vrx_provision_log::MissingKept::Accept;
    ProvisionLog::start(scene.store.clone(), scene.keyring.clone(), options)
        .await
        .unwrap()
}

async fn until(log: &ProvisionLog, what: impl Fn(&Health) -> bool) {
    let deadline = soon();
    while !what(&log.health()) {
        assert!(!deadline.has_passed(), "{:?}", log.health());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn two_processes_on_one_log_write_one_log() {
    let scene = shared_scene();
    let one = Arc::new(scene.start().await.unwrap());
    let two = Arc::new(another(&scene, "second").await);
    let mut callers = Vec::new();
    for n in 0..120 {
        let (log, entry) = (
            if n % 2 == 0 { one.clone() } else { two.clone() },
            scene.found(NUMBERS[n % 3]),
        );
        callers.push(tokio::spawn(async move { record(&log, entry).await }));
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut held = Vec::new();
    for caller in callers {
        held.push(caller.await.unwrap().unwrap());
    }
    assert_eq!(scene.store.size(), 121);
    one_log(&scene, held, &one).await;
}

#[tokio::test]
async fn a_process_that_is_behind_needs_one_batch_and_no_second_try() {
    let scene = shared_scene();
    let one = scene.start().await.unwrap();
    let two = another(&scene, "second").await;
    let mut held = Vec::new();
    // Past a tile that the other one filled, and past one that both filled.
    for count in [300, 1, 210, 700] {
        for n in 0..count {
            held.push(record(&one, scene.found(NUMBERS[n % 3])).await.unwrap());
        }
        let before = scene.store.batches().len();
        held.push(record(&two, scene.found(NUMBERS[0])).await.unwrap());
        assert_eq!(scene.store.batches().len(), before + 1);
    }
    one_log(&scene, held, &two).await;
}

#[tokio::test]
async fn two_first_starts_at_once_write_one_first_entry() {
    let scene = shared_scene();
    let (one, two) = tokio::join!(another(&scene, "first"), another(&scene, "second"));
    assert_eq!(scene.store.size(), 1);
    let held = vec![
        record(&one, Scene::unknown()).await.unwrap(),
        record(&two, Scene::unknown()).await.unwrap(),
    ];
    one_log(&scene, held, &one).await;
}

#[tokio::test]
async fn time_never_goes_back_between_two_clocks_and_one_far_behind_is_refused() {
    let scene = shared_scene();
    let one = scene.start().await.unwrap();
    let mut ahead = scene.options.clone();
    ahead.kept_checkpoint = scene.folder.path().join("second");
    ahead.missing_kept = vrx_provision_log::MissingKept::Accept;
    let clock = Arc::new(FakeClock(AtomicU64::new(scene.clock.now().0 + 4_000)));
    ahead.clock = clock.clone();
    let two = ProvisionLog::start(scene.store.clone(), scene.keyring.clone(), ahead)
        .await
        .unwrap();
    let first = record(&two, Scene::unknown()).await.unwrap().leaf().time;
    let second = record(&one, Scene::unknown()).await.unwrap().leaf().time;
    assert_eq!((first, second), (clock.now().0, clock.now().0));
    clock.0.fetch_add(1_001, Ordering::SeqCst);
    record(&two, Scene::unknown()).await.unwrap();
    assert_eq!(
        record(&one, Scene::unknown()).await.map(drop),
        Err(RecordError::ClockBehind)
    );
}

#[tokio::test]
async fn a_commit_that_lands_after_the_head_was_read_stands_once() {
    let scene = shared_scene();
    let log = scene.start().await.unwrap();
    for faults in [
        vec![Fault::CommittedLate],
        vec![Fault::LostUnknown, Fault::CommittedLate],
        vec![Fault::CommittedLate, Fault::Busy, Fault::Full],
    ] {
        let before = scene.store.size();
        scene.store.plan(faults);
        let recorded = record(&log, scene.found(NUMBERS[0])).await;
        scene.store.heal();
        if let Ok(recorded) = recorded {
            scene.check(recorded, None);
            assert_eq!(scene.store.size(), before + 1);
        } else {
            // Given up with the batch in doubt: nobody is told that it doesn't stand.
            assert_eq!(recorded.map(drop), Err(RecordError::DeadlineExceeded));
        }
    }
    let mut ids: Vec<_> = scene
        .store
        .all_entries()
        .iter()
        .map(|row| row.entry_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, scene.store.size());
}

#[tokio::test]
async fn a_change_that_landed_late_is_not_told_refused() {
    let scene = shared_scene();
    let log = Arc::new(scene.start().await.unwrap());
    scene.store.plan([Fault::CommittedLate]);
    scene.store.fail_heads(u64::MAX);
    let caller = tokio::spawn({
        let log = log.clone();
        async move {
            log.record(Scene::desk(), Some(Change::all(Vec::new())), (), soon())
                .await
        }
    });
    until(&log, |health| {
        health.state == LogState::Struggling(UNSETTLED)
    })
    .await;
    // What is done already can't be done again.
    scene.store.refuse_changes(true);
    scene.store.heal();
    assert_eq!(scene.check(caller.await.unwrap().unwrap(), None), 1);
    assert_eq!(scene.store.size(), 2);
}

#[tokio::test]
async fn a_database_that_is_away_for_long_is_waited_for_and_poisons_nothing() {
    for (fault, stands) in [(Fault::CommittedUnknown, 1), (Fault::LostUnknown, 0)] {
        let mut scene = shared_scene();
        scene.options.store_timeout = Duration::from_millis(100);
        let log = scene.start().await.unwrap();
        scene.store.plan([fault]);
        scene.store.fail_heads(u64::MAX);
        // Longer than the store's patience.
        let caller = Deadline::after(Duration::from_millis(400));
        assert_eq!(
            log.record(Scene::unknown(), None, (), caller)
                .await
                .map(drop),
            Err(RecordError::DeadlineExceeded)
        );
        assert_eq!(log.health().state, LogState::Struggling(UNSETTLED));
        assert_eq!(
            record(&log, Scene::unknown()).await.map(drop),
            Err(UNSETTLED)
        );
        scene.store.heal();
        until(&log, |health| {
            health.state != LogState::Struggling(UNSETTLED)
        })
        .await;
        assert_eq!(scene.store.size(), 1 + stands);
        let after = record(&log, Scene::unknown()).await.unwrap();
        one_log(&scene, vec![after], &log).await;
    }
}

#[tokio::test]
async fn a_server_that_never_answers_a_commit_is_asked_what_became_of_it() {
    for fault in [
        Fault::Silence,
        Fault::SilenceAfter,
        Fault::Overtaken { first: true },
        Fault::Overtaken { first: false },
    ] {
        let mut scene = shared_scene();
        scene.options.store_timeout = Duration::from_millis(100);
        let log = scene.start().await.unwrap();
        scene.store.plan([fault]);
        let recorded = record(&log, scene.found(NUMBERS[1])).await.unwrap();
        assert_eq!((scene.check(recorded, None), scene.store.size()), (1, 2));
        assert_eq!(log.health().state, LogState::Serving, "{fault:?}");
        let after = record(&log, Scene::unknown()).await.unwrap();
        one_log(&scene, vec![after], &log).await;
        assert_eq!(scene.store.size(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn a_shutdown_while_the_outcome_is_unknown_ends_by_its_deadline() {
    let scene = shared_scene();
    let log = Arc::new(scene.start().await.unwrap());
    scene.store.plan([Fault::CommittedUnknown]);
    scene.store.fail_heads(u64::MAX);
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let log = log.clone();
            let patient = Deadline::after(Duration::from_mins(1));
            tokio::spawn(async move {
                log.record(Scene::unknown(), None, (), patient)
                    .await
                    .map(drop)
            })
        })
        .collect();
    until(&log, |health| {
        health.state == LogState::Struggling(UNSETTLED)
    })
    .await;
    let deadline = Deadline::after(Duration::from_millis(600));
    assert!(log.shutdown(deadline).await, "all tasks have ended");
    for caller in callers {
        let told = caller.await.unwrap();
        assert!(
            matches!(
                told,
                Err(RecordError::DeadlineExceeded
                    | RecordError::Unavailable(Unavailable::ShuttingDown | Unavailable::Unsettled))
            ),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_head_that_went_back_behind_what_was_signed_is_refused() {
    for appended_since in [0, 20] {
        let scene = shared_scene();
        let one = scene.start().await.unwrap();
        let image = scene.store.copy();
        for _ in 0..10 {
            record(&one, Scene::unknown()).await.unwrap();
        }
        scene.store.go_back_to(&image);
        // A process that saw none of it goes on from the older head.
        let two = another(&scene, "second").await;
        for _ in 0..appended_since {
            record(&two, Scene::unknown()).await.unwrap();
        }
        assert_eq!(
            record(&one, Scene::unknown()).await.map(drop),
            Err(RecordError::Poisoned)
        );
        assert_eq!(scene.store.size(), 1 + appended_since);
        record(&two, Scene::unknown()).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_of_an_earlier_epoch_writes_nothing_more_and_says_why() {
    for appended_since in [false, true] {
        let scene = shared_scene();
        let log = scene.start().await.unwrap();
        if appended_since {
            let other = another(&scene, "second").await;
            record(&other, Scene::unknown()).await.unwrap();
        }
        scene.store.tamper_head(|head| head.epoch = 2);
        let before = scene.store.size();
        assert_eq!(
            record(&log, Scene::unknown()).await.map(drop),
            Err(RecordError::Poisoned)
        );
        let LogState::Poisoned(why) = log.health().state else {
            panic!("{:?}", log.health());
        };
        assert!(why.contains("another epoch"), "{why}");
        assert_eq!(scene.store.size(), before);
    }
}

#[tokio::test]
async fn a_tenant_that_is_being_moved_is_refused_and_goes_on_when_it_was_not() {
    let scene = shared_scene();
    let log = scene.start().await.unwrap();
    scene.store.plan([Fault::ReadOnly]);
    assert_eq!(
        record(&log, Scene::unknown()).await.map(drop),
        Err(RecordError::Unavailable(Unavailable::Moving))
    );
    record(&log, Scene::unknown()).await.unwrap();
}

/// What a database server does to a batch, most often nothing.
fn mishap(random: &Seeded) -> Fault {
    match below(random, 20) {
        0 | 1 => Fault::Busy,
        2 => Fault::RolledBack,
        3 => Fault::Full,
        4 => Fault::CommittedUnknown,
        5 => Fault::LostUnknown,
        6 | 7 => Fault::CommittedLate,
        8 => Fault::ReadOnly,
        9 => Fault::Silence,
        10 => Fault::SilenceAfter,
        11 | 12 => Fault::Overtaken { first: true },
        13 => Fault::Overtaken { first: false },
        _ => Fault::None,
    }
}

fn below(random: &Seeded, limit: u8) -> u8 {
    let mut byte = [0];
    random.fill(&mut byte);
    byte[0] % limit
}

#[tokio::test]
async fn whatever_a_server_does_to_two_processes_they_write_one_log_and_nothing_twice() {
    for seed in 0..16 {
        let random = Seeded::new(seed);
        let mut scene = shared_scene();
        scene.options.store_timeout = Duration::from_millis(40);
        let logs = [
            Arc::new(scene.start().await.unwrap()),
            Arc::new(another(&scene, "second").await),
        ];
        let (mut held, mut unclear) = (Vec::new(), 0);
        for _ in 0..6 {
            scene.store.plan((0..8).map(|_| mishap(&random)));
            scene.store.fail_heads(u64::from(below(&random, 4)));
            let mut callers = Vec::new();
            for n in 0..usize::from(below(&random, 90)) {
                let log = logs[usize::from(below(&random, 2))].clone();
                let entry = scene.found(NUMBERS[n % 3]);
                callers.push(tokio::spawn(async move { record(&log, entry).await }));
                if below(&random, 8) == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for log in &logs {
                let looked = log.look(soon()).await;
                assert_ne!(looked, Err(RecordError::Poisoned), "seed {seed}");
            }
            for caller in callers {
                match caller.await.unwrap() {
                    Ok(recorded) => held.push(recorded),
                    Err(RecordError::DeadlineExceeded) => unclear += 1,
                    Err(error) => assert!(
                        matches!(error, RecordError::Unavailable(_)),
                        "seed {seed}: {error}"
                    ),
                }
            }
        }
        scene.store.heal();
        for log in &logs {
            held.push(record(log, Scene::unknown()).await.unwrap());
            assert_eq!(log.health().state, LogState::Serving, "seed {seed}");
        }
        let rows = scene.store.all_entries();
        assert!(rows.iter().map(|row| row.index).eq(0..rows.len() as u64));
        let mut ids: Vec<_> = rows.iter().map(|row| row.entry_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "seed {seed}: an entry stands twice");
        let asked_for = rows
            .iter()
            .filter(|row| row.kind == EntryKind::Exchange.code())
            .count();
        // Who was told of a refusal has no entry.
        let told = held.len()..=held.len() + unclear;
        assert!(
            told.contains(&asked_for),
            "seed {seed}: {told:?} {asked_for}"
        );
        assert_eq!(scene.store.head().await.unwrap().size, rows.len() as u64);
        one_log(&scene, held, &logs[0]).await;
    }
}
