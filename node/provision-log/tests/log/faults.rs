//! Commits that fail, commits whose outcome is lost, storage that breaks: never a receipt without its leaf, never two logs.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use vrx_domain::EntryKind;
use vrx_provision_log::{Depth, LogState, ProvisionLog, RecordError, Recorded, Unavailable};
use vrx_tlog::verify_consistency;

use crate::faulty_log_store::Fault;
use crate::scene::{NUMBERS, Scene, record, soon};

#[tokio::test]
async fn a_commit_that_failed_is_tried_again_and_stands_once() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for fault in [Fault::Busy, Fault::RolledBack, Fault::LostUnknown] {
        let before = scene.store.size();
        scene.store.plan([fault]);
        let recorded = record(&log, scene.found(NUMBERS[0])).await.unwrap();
        scene.check(recorded, None);
        assert_eq!(scene.store.size(), before + 1, "{fault:?}");
    }
    assert_eq!(log.health().state, LogState::Serving);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_by_its_root() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    scene.store.plan([Fault::CommittedUnknown]);
    scene.store.fail_heads(3);
    let recorded = record(&log, scene.found(NUMBERS[0])).await.unwrap();
    assert_eq!(scene.check(recorded, None), 1);
    assert_eq!(scene.store.size(), 2);
    scene.check(record(&log, scene.found(NUMBERS[0])).await.unwrap(), None);
    assert!(
        log.reader()
            .verify_all(Depth::Openings, &mut |_, _| ())
            .await
            .unwrap()
            .is_whole()
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_log_resumes_when_there_is_room() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    scene.store.plan([Fault::Full, Fault::Full]);
    for _ in 0..2 {
        let refused = record(&log, Scene::unknown()).await.map(drop);
        assert_eq!(
            refused,
            Err(RecordError::Unavailable(Unavailable::StorageFull))
        );
    }
    assert!(matches!(log.health().state, LogState::Struggling(_)));
    scene.check(record(&log, Scene::unknown()).await.unwrap(), None);
    assert_eq!(log.health().state, LogState::Serving);
    let gap = log.reader().entry(1, soon()).await.unwrap().entry;
    let content = gap.opening.unwrap().content;
    let values: Vec<_> = content
        .values()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert_eq!(
        (gap.leaf.kind, values[6].as_str(), values[7].as_str()),
        (EntryKind::Control.code(), "refused", "2")
    );
}

#[tokio::test]
async fn broken_storage_poisons_the_log_until_it_is_started_anew() {
    for fault in [Fault::BrokenBefore, Fault::BrokenAfter] {
        let scene = Scene::new();
        let log = scene.start().await.unwrap();
        scene.check(record(&log, scene.found(NUMBERS[0])).await.unwrap(), None);
        scene.store.plan([fault]);
        assert_eq!(
            record(&log, Scene::unknown()).await.map(drop),
            Err(RecordError::Poisoned)
        );
        assert_eq!(
            record(&log, Scene::unknown()).await.map(drop),
            Err(RecordError::Poisoned)
        );
        assert_eq!(log.canary(soon()).await, Err(RecordError::Poisoned));
        assert!(matches!(log.health().state, LogState::Poisoned(_)));
        assert!(log.shutdown(soon()).await);

        let log = scene.start().await.unwrap();
        scene.check(record(&log, scene.found(NUMBERS[0])).await.unwrap(), None);
        // The gap is named even after the restart.
        let rows = scene.store.all_entries();
        assert_eq!(
            rows.iter()
                .filter(|row| row.kind == EntryKind::Control.code())
                .count(),
            1,
            "{fault:?}"
        );
        assert!(
            log.reader()
                .verify_all(Depth::Openings, &mut |_, _| ())
                .await
                .unwrap()
                .is_whole()
        );
    }
}

#[tokio::test]
async fn a_store_that_never_answers_poisons_the_log_and_callers_leave_at_their_deadlines() {
    let mut scene = Scene::new();
    scene.options.store_timeout = Duration::from_millis(200);
    let log = scene.start().await.unwrap();
    scene.store.plan([Fault::Silence]);
    let short = vrx_provision_log::Deadline::after(Duration::from_millis(50));
    assert_eq!(
        log.record(Scene::unknown(), None, (), short)
            .await
            .map(drop),
        Err(RecordError::DeadlineExceeded)
    );
    assert_eq!(
        record(&log, Scene::unknown()).await.map(drop),
        Err(RecordError::Poisoned)
    );
}

#[tokio::test]
async fn a_caller_that_leaves_while_its_batch_is_committed_has_its_entry() {
    let scene = Scene::new();
    let log = Arc::new(scene.start().await.unwrap());
    let before = scene.store.arrived();
    let held = scene.store.hold().await;
    let leaving = {
        let (log, entry) = (Arc::clone(&log), scene.found(NUMBERS[0]));
        tokio::spawn(async move { record(&log, entry).await.map(drop) })
    };
    while scene.store.arrived() == before {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.is_err(), "it left");
    drop(held);
    let index = scene.check(record(&log, scene.found(NUMBERS[0])).await.unwrap(), None);
    assert_eq!(index, 2, "behind the entry of the one that left");
    one_log(&scene, Vec::new(), &log).await;
}

#[tokio::test]
async fn a_store_that_stays_busy_is_given_up_at_the_callers_deadline() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    scene.store.plan([Fault::Busy; 1000]);
    let short = vrx_provision_log::Deadline::after(Duration::from_millis(150));
    let refused = log
        .record(Scene::unknown(), None, (), short)
        .await
        .map(drop);
    assert!(matches!(
        refused,
        Err(RecordError::DeadlineExceeded | RecordError::Unavailable(Unavailable::Busy))
    ));
    scene.store.heal();
    scene.check(record(&log, Scene::unknown()).await.unwrap(), None);
}

/// Every receipt is in the recovered log, every checkpoint that was ever shown begins it, and no chain has a gap.
pub(crate) async fn one_log(scene: &Scene, held: Vec<Recorded<&'static str>>, log: &ProvisionLog) {
    let newest = log.reader().checkpoint();
    for recorded in held {
        let shown = recorded.checkpoint().clone();
        let larger = if shown.size() > newest.size() {
            shown.clone()
        } else {
            newest.clone()
        };
        let smaller = if shown.size() > newest.size() {
            newest.clone()
        } else {
            shown
        };
        let proof = log
            .reader()
            .consistency(smaller.size(), &larger, soon())
            .await
            .unwrap();
        verify_consistency(
            smaller.size(),
            larger.size(),
            &smaller.root(),
            &larger.root(),
            &proof,
        )
        .unwrap();
        scene.check(recorded, None);
    }
    let report = log
        .reader()
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .unwrap();
    assert!(report.is_whole(), "{report:?}");
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        2 => Just(Fault::Busy),
        2 => Just(Fault::RolledBack),
        1 => Just(Fault::Full),
        2 => Just(Fault::CommittedUnknown),
        2 => Just(Fault::LostUnknown),
        1 => Just(Fault::BrokenAfter),
        1 => Just(Fault::BrokenBefore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_fails_every_receipt_is_in_the_recovered_log(
        faults in prop::collection::vec(fault(), 0..40),
        waves in prop::collection::vec(1_usize..30, 1..8),
        heads in 0_u64..3,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let scene = Scene::new();
            let mut log = Arc::new(scene.start().await.unwrap());
            scene.store.plan(faults);
            let mut held = Vec::new();
            for wave in waves {
                scene.store.fail_heads(heads);
                let callers: Vec<_> = (0..wave)
                    .map(|n| {
                        let entry = if n % 5 == 0 { Scene::desk() } else { scene.found(NUMBERS[n % 3]) };
                        let log = log.clone();
                        tokio::spawn(async move { record(&log, entry).await })
                    })
                    .collect();
                for caller in callers {
                    held.extend(caller.await.unwrap());
                }
                if matches!(log.health().state, LogState::Poisoned(_)) {
                    scene.store.fail_heads(0);
                    log.shutdown(soon()).await;
                    log = Arc::new(scene.start().await.unwrap());
                }
            }
            scene.store.heal();
            log.shutdown(soon()).await;
            let log = scene.start().await.unwrap();
            one_log(&scene, held, &log).await;
        });
    }
}
