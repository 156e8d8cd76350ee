//! What a caller gets, and what stands in the log for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vrx_domain::audit::{exchange_content, exchange_subject};
use vrx_domain::{Cause, EntryKind, IndividualNumber, Outcome};
use vrx_provision_log::{Bundles, Deadline, Depth, Entry, RecordError, Subject, Unavailable};
use vrx_storage::{Change, ChangeError};
use vrx_tlog::{CommitTo, Leaf, opens, verify_receipt};

use crate::scene::{NUMBERS, Scene, actor, let_all_wait, record, soon};

#[tokio::test]
async fn an_answer_comes_back_with_a_receipt_that_its_requester_can_check() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let known = log.checkpoint();
    let mut recorded = record(&log, scene.found(NUMBERS[0])).await.unwrap();
    log.prove_from(&mut recorded, known.size(), soon())
        .await
        .unwrap();
    let (answer, receipt, openings) = recorded.into_parts();
    assert_eq!((answer, receipt.log_index), ("the answer", 1));
    let (leaf, checkpoint) = verify_receipt(
        &receipt,
        &scene.verifier_key(),
        Some((known.size(), known.root())),
    )
    .unwrap();
    assert_eq!(
        (leaf.kind, checkpoint.size),
        (EntryKind::Exchange.code(), 2)
    );
    let number = IndividualNumber::parse(NUMBERS[0]).ok().unwrap();
    let subject = exchange_subject(&number, &Cause::Provided);
    assert!(opens(
        &leaf.c_subject,
        openings.k_subject(),
        CommitTo::Subject,
        subject.values()
    ));
    assert!(opens(
        &leaf.c_actor,
        openings.k_actor(),
        CommitTo::Actor,
        actor().values()
    ));
    let content = exchange_content(Outcome::Found, &[1; 32], 0, &[]);
    assert!(opens(
        &leaf.c_content,
        openings.k_content(),
        CommitTo::Content,
        content.values()
    ));
}

#[tokio::test]
async fn the_first_entry_says_whose_log_it_is() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let first = log.reader().entry(0, soon()).await.unwrap().entry;
    assert_eq!(first.leaf.kind, EntryKind::Genesis.code());
    let content = first.opening.unwrap().content;
    let values: Vec<_> = content.values().collect();
    let id = scene.options.tenant.id.to_string();
    assert_eq!(
        values,
        [
            b"tenant".as_slice(),
            id.as_bytes(),
            b"municipality_code",
            b"142051",
            b"epoch",
            b"1"
        ]
    );
}

#[tokio::test]
async fn callers_that_arrive_during_a_flush_share_the_next_one() {
    let scene = Scene::new();
    let log = Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let mut callers = Vec::new();
    for n in 0..700 {
        let entry = if n % 4 == 0 {
            Scene::desk()
        } else {
            scene.found(NUMBERS[n % 3])
        };
        let log = log.clone();
        callers.push(tokio::spawn(async move { record(&log, entry).await }));
    }
    let_all_wait().await;
    let answered = callers.iter().any(tokio::task::JoinHandle::is_finished);
    assert!(!answered, "nobody is answered before the disk has it");
    drop(hold);
    let mut indexes = Vec::new();
    for caller in callers {
        indexes.push(scene.check(caller.await.unwrap().unwrap(), None));
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (1..=700).collect::<Vec<_>>());
    let batches = scene.store.batches();
    assert!(batches.len() <= 8, "{batches:?}");
    assert!(batches.iter().all(|batch| batch.items <= 512));
    assert!(
        log.reader()
            .verify_all(Depth::Openings, &mut |_, _| ())
            .await
            .unwrap()
            .is_whole()
    );
}

#[tokio::test]
async fn at_most_64_entries_of_a_batch_are_not_the_exchanges() {
    let scene = Scene::new();
    let log = Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let (log, entry) = (log.clone(), Scene::desk());
            tokio::spawn(async move { record(&log, entry).await })
        })
        .collect();
    let_all_wait().await;
    drop(hold);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert!(scene.store.batches().iter().all(|batch| batch.items <= 64));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let mut scene = Scene::new();
    scene.options.queue = 2;
    let log = Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let mut waiting = Vec::new();
    // The writer takes what the queue holds and waits for the disk; then the queue fills again.
    for _ in 0..2 {
        for _ in 0..4 {
            let (log, entry) = (log.clone(), Scene::unknown());
            waiting.push(tokio::spawn(
                async move { record(&log, entry).await.map(drop) },
            ));
        }
        let_all_wait().await;
    }
    let refused = record(&log, Scene::unknown()).await.map(drop);
    assert_eq!(
        refused,
        Err(RecordError::Unavailable(Unavailable::QueueFull))
    );
    drop(hold);
    let mut stood = 0;
    for one in waiting {
        stood += u64::from(one.await.unwrap().is_ok());
    }
    assert_eq!(scene.store.size(), 1 + stood);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_gets_no_entry() {
    let scene = Scene::new();
    let log = Arc::new(scene.start().await.unwrap());
    let hold = scene.store.hold().await;
    let first = tokio::spawn({
        let (log, entry) = (log.clone(), Scene::unknown());
        async move { record(&log, entry).await.map(drop) }
    });
    let_all_wait().await;
    let late = log
        .record(
            Scene::unknown(),
            None,
            (),
            Deadline::after(Duration::from_millis(10)),
        )
        .await
        .map(drop);
    assert_eq!(late, Err(RecordError::DeadlineExceeded));
    let gone = tokio::spawn({
        let (log, entry) = (log.clone(), Scene::unknown());
        async move { record(&log, entry).await.map(drop) }
    });
    let_all_wait().await;
    gone.abort();
    drop(hold);
    first.await.unwrap().unwrap();
    record(&log, Scene::unknown()).await.unwrap();
    assert_eq!(scene.store.size(), 3);
}

#[tokio::test]
async fn a_refused_change_has_no_entry_and_does_not_touch_its_neighbours() {
    let scene = Scene::new();
    let log = Arc::new(scene.start().await.unwrap());
    scene.store.refuse_changes(true);
    let hold = scene.store.hold().await;
    let with_change = tokio::spawn({
        let (log, entry) = (log.clone(), Scene::desk());
        async move {
            log.record(entry, Some(Change::all(Vec::new())), (), soon())
                .await
                .map(drop)
        }
    });
    let neighbour = tokio::spawn({
        let (log, entry) = (log.clone(), Scene::unknown());
        async move { record(&log, entry).await }
    });
    let_all_wait().await;
    drop(hold);
    assert_eq!(
        with_change.await.unwrap(),
        Err(RecordError::Refused(ChangeError::Conflict("the row")))
    );
    scene.check(neighbour.await.unwrap().unwrap(), None);
    let alone = log
        .record(Scene::desk(), Some(Change::all(Vec::new())), (), soon())
        .await
        .map(drop);
    assert_eq!(
        alone,
        Err(RecordError::Refused(ChangeError::Conflict("the row")))
    );
    assert_eq!(scene.store.size(), 2);
    scene.store.refuse_changes(false);
    log.record(Scene::desk(), Some(Change::all(Vec::new())), (), soon())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_entries_about_one_person_are_a_chain_that_only_its_number_opens() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for number in [NUMBERS[0], NUMBERS[1], NUMBERS[0], NUMBERS[0]] {
        record(&log, scene.found(number)).await.unwrap();
        record(&log, Scene::unknown()).await.unwrap();
    }
    let head = log
        .reader()
        .subject_head(scene.tag(NUMBERS[0]), soon())
        .await
        .unwrap()
        .unwrap();
    let (mut at, mut history) = (Some(head.last_index), Vec::new());
    while let Some(index) = at {
        let opening = log
            .reader()
            .entry(index, soon())
            .await
            .unwrap()
            .entry
            .opening
            .unwrap();
        let number = |text| IndividualNumber::parse(text).ok().unwrap();
        assert!(opening.is_about(&exchange_subject(&number(NUMBERS[0]), &Cause::Provided)));
        assert!(!opening.is_about(&exchange_subject(&number(NUMBERS[1]), &Cause::Provided)));
        assert!(!opening.is_about(&exchange_subject(&number(NUMBERS[0]), &Cause::NoDoses)));
        history.push((index, opening.subject_seq));
        at = opening.previous_index;
    }
    assert_eq!(history, [(7, 3), (5, 2), (1, 1)]);
    let unknown = log
        .reader()
        .entry(2, soon())
        .await
        .unwrap()
        .entry
        .opening
        .unwrap();
    assert!(unknown.subject_tag.is_none() && unknown.subject.0.is_empty());
    assert!(unknown.actor.values().eq(actor().values()));
}

#[tokio::test]
async fn what_was_found_shows_neither_in_lengths_nor_in_the_plain_columns() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let number = IndividualNumber::parse(NUMBERS[2]).ok().unwrap();
    let withheld = Entry {
        kind: EntryKind::Exchange,
        actor: actor(),
        subject: Subject::Known {
            tag: scene.tag(NUMBERS[2]),
            fields: exchange_subject(&number, &Cause::NoDoses),
        },
        content: exchange_content(Outcome::Nothing, &[2; 32], 0, &[]),
    };
    for entry in [scene.found(NUMBERS[0]), Scene::unknown(), withheld] {
        record(&log, entry).await.unwrap();
    }
    let rows = scene.store.all_entries();
    let shape = |n: usize| {
        (
            rows[n].opening.len(),
            rows[n].opening_key.len(),
            rows[n].kind,
        )
    };
    assert_eq!((shape(1), shape(1)), (shape(2), shape(3)));
    for row in &rows {
        for bytes in [row.leaf.as_slice(), &row.opening, &row.opening_key] {
            assert!(
                NUMBERS
                    .iter()
                    .all(|number| !bytes.windows(12).any(|window| window == number.as_bytes()))
            );
        }
        let entry = vrx_domain::EntryId::from_bytes(row.entry_id);
        let plain = scene
            .keyring
            .open_opening(entry, &row.opening_key, &row.opening)
            .ok()
            .unwrap();
        assert!(
            NUMBERS
                .iter()
                .all(|number| !plain.windows(12).any(|window| window == number.as_bytes()))
        );
    }
}

#[tokio::test]
async fn time_never_goes_back_in_the_log_and_a_clock_far_behind_is_refused() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    record(&log, Scene::unknown()).await.unwrap();
    let at = scene.clock.0.fetch_sub(4_000, Ordering::SeqCst);
    let recorded = record(&log, Scene::unknown()).await.unwrap();
    assert_eq!(recorded.leaf().time, at);
    scene.clock.0.store(at - 5_001, Ordering::SeqCst);
    assert_eq!(
        record(&log, Scene::unknown()).await.map(drop),
        Err(RecordError::ClockBehind)
    );
    scene.clock.0.store(at + 10, Ordering::SeqCst);
    // The entry that names the gap stands in front of the next one.
    let after = record(&log, Scene::unknown()).await.unwrap();
    assert_eq!((after.leaf().time, after.log_index()), (at + 10, 4));
    let gap = log.reader().entry(3, soon()).await.unwrap().entry;
    assert_eq!(gap.leaf.kind, EntryKind::Control.code());
    assert_eq!(
        gap.opening.unwrap().actor.get("action"),
        Some(b"log-gap".as_slice())
    );
}

#[tokio::test]
async fn receipts_prove_from_any_size_that_the_log_ever_had() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    let mut sizes = vec![
        (0, vrx_tlog::EMPTY_ROOT),
        (log.checkpoint().size(), log.checkpoint().root()),
    ];
    for n in 0..600 {
        let recorded = record(&log, scene.found(NUMBERS[n % 3])).await.unwrap();
        sizes.push((recorded.checkpoint().size(), recorded.checkpoint().root()));
    }
    for known in sizes.iter().step_by(7) {
        let mut recorded = record(&log, Scene::unknown()).await.unwrap();
        log.prove_from(&mut recorded, known.0, soon())
            .await
            .unwrap();
        scene.check(recorded, Some(*known));
    }
    let mut recorded = record(&log, Scene::unknown()).await.unwrap();
    assert!(
        log.prove_from(&mut recorded, 1_000_000, soon())
            .await
            .is_err()
    );
    let old = log.reader().entry(3, soon()).await.unwrap();
    assert!(verify_receipt(&old.receipt, &scene.verifier_key(), None).is_ok());
}

#[tokio::test]
async fn an_export_is_a_log_that_hashes_to_its_checkpoint() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    for n in 0..300 {
        record(&log, scene.found(NUMBERS[n % 3])).await.unwrap();
    }
    let folder = scene.folder.path().join("export");
    let exported = log
        .reader()
        .export(&folder, Bundles::Write, &mut |_, _| ())
        .await
        .unwrap();
    assert_eq!((exported.entries, exported.tiles), (301, 3));
    let mut fsck = vrx_tlog::Fsck::new();
    for file in ["tile/entries/000", "tile/entries/001.p/45"] {
        let bundle = std::fs::read(folder.join(file)).unwrap();
        for leaf in vrx_tlog::read_entry_bundle(&bundle).unwrap() {
            assert_eq!(leaf.len(), Leaf::LEN);
            fsck.leaf(leaf).unwrap();
        }
    }
    assert_eq!(
        fsck.take_full_tiles()[0].1,
        std::fs::read(folder.join("tile/0/000")).unwrap()
    );
    assert_eq!(
        std::fs::read(folder.join("tile/0/001.p/45")).unwrap().len(),
        45 * 32
    );
    assert_eq!(
        std::fs::read(folder.join("tile/1/000.p/1")).unwrap().len(),
        32
    );
    let note = std::fs::read_to_string(folder.join("checkpoint")).unwrap();
    let key = scene.verifier_key();
    fsck.finish(&vrx_tlog::Checkpoint::open(&note, &key, key.name()).unwrap())
        .unwrap();

    let bare = scene.folder.path().join("bare");
    log.reader()
        .export(&bare, Bundles::Leave, &mut |_, _| ())
        .await
        .unwrap();
    assert!(!bare.join("tile/entries").exists());
    assert_eq!(mode(&folder), 0o700);
    for file in ["checkpoint", "tile/0/000", "tile/entries/000"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_export_goes_on_from_an_earlier_one_of_its_kind_and_into_no_other_folder() {
    let scene = Scene::new();
    let log = scene.start().await.unwrap();
    record(&log, scene.found(NUMBERS[0])).await.unwrap();
    let at = |name: &str| scene.folder.path().join(name);
    let kinds = [("bare", Bundles::Leave), ("entries", Bundles::Write)];
    for (name, bundles) in kinds {
        let to = at(name);
        log.reader()
            .export(&to, bundles, &mut |_, _| ())
            .await
            .unwrap();
    }
    record(&log, scene.found(NUMBERS[1])).await.unwrap();
    for (name, other) in [("bare", Bundles::Write), ("entries", Bundles::Leave)] {
        let refused = log.reader().export(&at(name), other, &mut |_, _| ()).await;
        assert!(refused.unwrap_err().to_string().contains("--entries"));
        assert!(at(name).join("tile/0/000.p/2").exists(), "nothing changed");
    }
    for (name, bundles) in kinds {
        let to = at(name);
        log.reader()
            .export(&to, bundles, &mut |_, _| ())
            .await
            .unwrap();
        assert!(to.join("tile/0/000.p/3").exists());
        assert!(!to.join("tile/0/000.p/2").exists(), "what is left is stale");
        assert!(!to.join("tile/entries/000.p/2").exists());
    }
    for (file, what) in [
        ("notes.txt", "notes.txt"),
        ("tile/0/001", "tile/0/001"),
        ("checkpoint", "another log"),
    ] {
        let to = at(&format!("with-{what}").replace('/', "-"));
        log.reader()
            .export(&to, Bundles::Leave, &mut |_, _| ())
            .await
            .unwrap();
        std::fs::write(to.join(file), "other").unwrap();
        let refused = log
            .reader()
            .export(&to, Bundles::Leave, &mut |_, _| ())
            .await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(what), "{said}");
    }
    let foreign = at("foreign");
    std::fs::create_dir_all(foreign.join("tile/0")).unwrap();
    let reader = log.reader();
    reader
        .export(&foreign, Bundles::Leave, &mut |_, _| ())
        .await
        .unwrap();
    std::fs::remove_file(foreign.join("checkpoint")).unwrap();
    let unsigned = reader
        .export(&foreign, Bundles::Leave, &mut |_, _| ())
        .await;
    let said = unsigned.unwrap_err().to_string();
    assert!(said.contains("without a checkpoint"), "{said}");
}
