//! Promises of [`crate::RetentionStore`].

use std::sync::Arc;

use vrx_domain::{
    Date, ErasureId, Hold, HoldGround, PersonId, Reference, RetentionPolicy, UnixMillis,
};

use super::Fixture;
use super::fixture::{CHIEF, CLERK, dose_row, number, row};
use crate::{
    BatchItem, Blanks, Change, ChangeError, Claimed, DoseRow, ErasureCounts, ErasureRun,
    ErasureStage, HoldRecord, ImportKind, Lookup, OpeningsStep, PersonRow, RunBlanks,
};

/// A day on which the sample persons' records are over, and one on which they aren't.
const OVER: (u32, u32, u32) = (2027, 4, 1);
const NOT_OVER: (u32, u32, u32) = (2027, 3, 31);

fn day((year, month, day): (u32, u32, u32)) -> Date {
    Date::from_ymd(year, month, day).unwrap()
}

/// A run by [`CLERK`] over the openings below a place.
pub fn run(openings_below: u64) -> ErasureRun {
    ErasureRun {
        id: ErasureId::from_bytes([3; 16]),
        proposed_by: CLERK.to_owned(),
        proposed_at: UnixMillis(3_000),
        proposed: ErasureCounts::default(),
        openings_below,
        approved: None,
        stage: ErasureStage::Proposed,
        done: ErasureCounts::default(),
        stayed: 0,
        openings_next: 0,
        rewritten_at: None,
        certificate: String::new(),
        entry: None,
        blanks: Some(RunBlanks::default()),
    }
}

/// A step that blanks these openings and ends the run's openings at a place.
pub fn step(from: u64, places: &[(u64, [u8; 32])], next: u64, until: u64) -> OpeningsStep {
    OpeningsStep {
        from,
        places: places.to_vec(),
        next,
        until,
        blanks: None,
    }
}

/// A hold without an end.
pub fn hold(person: PersonId) -> HoldRecord {
    HoldRecord {
        person,
        holds: vec![held_for("kaiji-1", None)],
        subjects: vec![[7; 32]],
    }
}

fn held_for(reference: &str, until: Option<(u32, u32, u32)>) -> Hold {
    Hold {
        until: until.map(day),
        ground: HoldGround::Disclosure,
        reference: Reference::parse(reference).unwrap(),
        placed_by: CHIEF.to_owned(),
        placed_at: UnixMillis(1),
    }
}

/// Proposes a run over everybody who is due, and has it approved.
async fn approved(fixture: &Fixture, run: ErasureRun) -> ErasureId {
    let policy = RetentionPolicy::default();
    let due = fixture.store.spans(None, 1_000).await.unwrap();
    let due = due
        .iter()
        .filter(|person| policy.is_due(&person.span, day(OVER)))
        .map(|person| person.id)
        .collect();
    let id = run.id;
    fixture
        .commit(Change::propose_erasure(run, due, None))
        .await
        .unwrap();
    fixture
        .commit(Change::approve_erasure(
            id,
            CHIEF.to_owned(),
            UnixMillis(4_000),
        ))
        .await
        .unwrap();
    id
}

async fn claim(fixture: &Fixture, id: ErasureId) -> Option<Vec<PersonId>> {
    let policy = RetentionPolicy::default();
    match fixture.store.claim(id, policy, day(OVER)).await.unwrap() {
        Claimed::Persons(persons) => Some(persons),
        Claimed::Nobody => None,
    }
}

/// Erases everybody who is due, and the opening of the first entry: all steps of a run but the files.
pub async fn erase_all_that_is_due(fixture: &Fixture) {
    let id = approved(fixture, run(1)).await;
    erase_persons(fixture, id).await;
    let places = [(0, [1; 32])];
    let step = step(0, &places, 1, 1);
    fixture.store.blank_openings(id, step).await.unwrap();
}

/// Claims, destroys and deletes until only openings are left.
async fn erase_persons(fixture: &Fixture, id: ErasureId) {
    while let Some(persons) = claim(fixture, id).await {
        fixture.store.destroy_keys(&persons).await.unwrap();
    }
    while fixture.store.delete_rows(id).await.unwrap() {}
}

async fn stage(fixture: &Fixture) -> ErasureRun {
    fixture.store.erasures().await.unwrap().remove(0)
}

async fn is_unknown(fixture: &Fixture, nth: u64) -> bool {
    matches!(
        fixture.store.lookup(&number(nth)).await.unwrap(),
        Lookup::Unknown
    )
}

/// More than one step of persons; a resident among them stays, with everything.
pub async fn an_erasure_takes_whoever_is_due_and_nobody_else(fixture: &Fixture) {
    fixture.residents(130, 2).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut resident = row(500);
    resident.person.ceased_resident = None;
    fixture.enter(import, [resident]).await;
    fixture.enter_doses(import, [dose_row(500, 1)]).await;
    fixture.approve(import).await.unwrap();
    let policy = RetentionPolicy::default();
    let spans = fixture.store.spans(None, 1_000).await.unwrap();
    assert!(
        spans
            .iter()
            .all(|person| !policy.is_due(&person.span, day(NOT_OVER)))
    );
    let few = fixture.store.spans(Some(spans[1].id), 2).await.unwrap();
    assert_eq!(few, spans[2..4]);

    let id = approved(fixture, run(0)).await;
    let first = claim(fixture, id).await.unwrap();
    assert_eq!(first.len(), 100);
    fixture.store.destroy_keys(&first).await.unwrap();
    erase_persons(fixture, id).await;
    for nth in [0, 64, 129] {
        assert!(is_unknown(fixture, nth).await, "{nth}");
    }
    assert_eq!(fixture.found(500).await.doses.len(), 1);
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!((counts.persons, counts.dose_revisions), (1, 1));
    let run = stage(fixture).await;
    assert_eq!(run.stage, ErasureStage::Openings);
    let done = ErasureCounts {
        persons: 130,
        doses: 260,
        openings: 0,
    };
    assert_eq!((run.done, run.stayed), (done, 0));

    // The same people can come again: as new ones, with tags of their own.
    fixture.residents(2, 1).await;
    assert_eq!(fixture.found(1).await.doses.len(), 1);
}

/// Placed after the approval too, as long as the person's turn hasn't come.
pub async fn whoever_is_on_hold_stays_and_a_hold_can_come_too_late(fixture: &Fixture) {
    fixture.residents(3, 1).await;
    let held = fixture.found(0).await.id;
    let id = approved(fixture, run(0)).await;
    fixture
        .commit(Change::place_hold(hold(held)))
        .await
        .unwrap();
    let claimed = claim(fixture, id).await.unwrap();
    assert!(claimed.len() == 2 && !claimed.contains(&held));
    let late = fixture.commit(Change::place_hold(hold(claimed[0]))).await;
    assert!(matches!(late, Err(ChangeError::State(_))), "{late:?}");
    fixture.store.destroy_keys(&claimed).await.unwrap();
    let gone = fixture.commit(Change::place_hold(hold(claimed[0]))).await;
    assert_eq!(gone, Err(ChangeError::NotFound("the person")));
    erase_persons(fixture, id).await;
    let early = fixture.commit(Change::place_hold(hold(held))).await;
    assert!(matches!(early, Err(ChangeError::State(_))), "{early:?}");
    assert_eq!(stage(fixture).await.stayed, 1);
    assert_eq!(fixture.found(0).await.id, held);
    assert_eq!(fixture.store.holds().await.unwrap(), [hold(held)]);
    let reference = Reference::parse("kaiji-1").unwrap();
    let lift = || fixture.commit(Change::lift_hold(held, reference.clone()));
    lift().await.unwrap();
    assert_eq!(lift().await, Err(ChangeError::NotFound("the hold")));
    assert_eq!(fixture.store.holds().await.unwrap(), []);
}

/// Each matter has its own hold: none is shortened or lifted by another's, and an erasure looks at all of them.
pub async fn holds_of_different_references_stand_side_by_side(fixture: &Fixture) {
    fixture.residents(2, 1).await;
    let held = fixture.found(0).await.id;
    let place = |reference: &str, until, subject| {
        fixture.commit(Change::place_hold(HoldRecord {
            person: held,
            holds: vec![held_for(reference, until)],
            subjects: vec![[subject; 32]],
        }))
    };
    let lift = |reference: &str| {
        fixture.commit(Change::lift_hold(
            held,
            Reference::parse(reference).unwrap(),
        ))
    };
    place("soshou-1", None, 1).await.unwrap();
    place("kaiji-2", Some(NOT_OVER), 2).await.unwrap();
    let both = HoldRecord {
        person: held,
        holds: vec![
            held_for("soshou-1", None),
            held_for("kaiji-2", Some(NOT_OVER)),
        ],
        subjects: vec![[1; 32], [2; 32]],
    };
    assert_eq!(fixture.store.holds().await.unwrap(), [both]);

    for (reference, until) in [("soshou-1", OVER), ("kaiji-2", (2027, 3, 30))] {
        let shorter = place(reference, Some(until), 1).await;
        assert!(matches!(shorter, Err(ChangeError::State(_))), "{shorter:?}");
    }
    place("kaiji-2", Some(OVER), 1).await.unwrap();
    assert_eq!(
        lift("kaiji-3").await,
        Err(ChangeError::NotFound("the hold"))
    );
    let id = approved(fixture, run(0)).await;
    let claimed = claim(fixture, id).await.unwrap();
    assert!(claimed.len() == 1 && !claimed.contains(&held));
    lift("kaiji-2").await.unwrap();
    let left = fixture.store.holds().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].holds, [held_for("soshou-1", None)]);
    lift("soshou-1").await.unwrap();
    assert_eq!(fixture.store.holds().await.unwrap(), []);
}

/// Until then nothing is claimed; afterwards another can't be proposed over it.
pub async fn an_erasure_is_approved_once_and_by_another_officer(fixture: &Fixture) {
    fixture.residents(1, 1).await;
    let person = fixture.found(0).await.id;
    let propose = |byte, replaces: Option<u8>| {
        let mut run = run(0);
        run.id = ErasureId::from_bytes([byte; 16]);
        let replaces = replaces.map(|byte| ErasureId::from_bytes([byte; 16]));
        fixture.commit(Change::propose_erasure(run, vec![person], replaces))
    };
    let approve = |byte, by: &str| {
        let id = ErasureId::from_bytes([byte; 16]);
        fixture.commit(Change::approve_erasure(id, by.to_owned(), UnixMillis(5)))
    };
    let nothing = propose(1, Some(9)).await;
    assert_eq!(nothing, Err(ChangeError::NotFound("the proposal")));
    propose(1, None).await.unwrap();
    for other in [None, Some(9)] {
        let second = propose(2, other).await;
        assert!(matches!(second, Err(ChangeError::State(_))), "{second:?}");
    }
    // Another proposal takes the place of one that nobody approved, when it says so.
    propose(2, Some(1)).await.unwrap();
    assert_eq!(
        approve(1, CHIEF).await,
        Err(ChangeError::NotFound("the erasure"))
    );
    assert_eq!(claim(fixture, ErasureId::from_bytes([2; 16])).await, None);
    assert_eq!(approve(2, CLERK).await, Err(ChangeError::SamePerson));
    approve(2, CHIEF).await.unwrap();
    assert!(matches!(
        approve(2, CHIEF).await,
        Err(ChangeError::State(_))
    ));
    assert!(matches!(
        propose(3, Some(2)).await,
        Err(ChangeError::State(_))
    ));
    let early = Change::record_erasure(ErasureId::from_bytes([2; 16]), "note".to_owned());
    assert!(matches!(
        fixture.commit(early).await,
        Err(ChangeError::State(_))
    ));
}

/// As after a crash between any two of them.
pub async fn a_step_that_is_run_again_does_nothing_more(fixture: &Fixture) {
    fixture.residents(3, 1).await;
    let id = approved(fixture, run(0)).await;
    let claimed = claim(fixture, id).await.unwrap();
    assert_eq!(claim(fixture, id).await, Some(claimed.clone()));
    // Claimed and not yet destroyed: nothing, as for anybody unknown.
    assert!(is_unknown(fixture, 0).await);
    assert_eq!(fixture.store.counts().await.unwrap().persons, 3);
    fixture.store.destroy_keys(&claimed).await.unwrap();
    fixture.store.destroy_keys(&claimed).await.unwrap();
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!((counts.persons, counts.dose_revisions), (0, 3));
    assert!(is_unknown(fixture, 0).await);
    assert!(!fixture.store.delete_rows(id).await.unwrap(), "not yet");
    assert_eq!(fixture.store.counts().await.unwrap().dose_revisions, 3);
    assert_eq!(claim(fixture, id).await, None);
    while fixture.store.delete_rows(id).await.unwrap() {}
    assert!(!fixture.store.delete_rows(id).await.unwrap());
    assert_eq!(fixture.store.counts().await.unwrap().dose_revisions, 0);
    assert_eq!(stage(fixture).await.done.persons, 3);
    // Nobody is destroyed who wasn't claimed.
    fixture.residents(1, 0).await;
    let other = fixture.found(0).await.id;
    fixture.store.destroy_keys(&[other]).await.unwrap();
    assert_eq!(fixture.found(0).await.id, other);
}

/// Whether the person is claimed or gone.
pub async fn what_was_prepared_before_a_person_was_taken_conflicts(fixture: &Fixture) {
    fixture.residents(1, 1).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut moved = row(0);
    moved.person.address = vrx_domain::PersonalText::new("転居先".to_owned());
    let moved: Arc<[PersonRow]> = [moved].into();
    let dose: Arc<[DoseRow]> = [dose_row(0, 2)].into();
    let prepare = async || {
        let persons = fixture
            .store
            .prepare_persons(import, Arc::clone(&moved))
            .await;
        let doses = fixture.store.prepare_doses(import, Arc::clone(&dose)).await;
        [persons, doses].map(|chunk| chunk.unwrap().change.unwrap())
    };
    let (early, late) = (prepare().await, prepare().await);
    let id = approved(fixture, run(0)).await;
    let claimed = claim(fixture, id).await.unwrap();
    for change in early {
        assert!(matches!(
            fixture.commit(change).await,
            Err(ChangeError::Conflict(_))
        ));
    }
    fixture.store.destroy_keys(&claimed).await.unwrap();
    erase_persons(fixture, id).await;
    for change in late {
        assert!(matches!(
            fixture.commit(change).await,
            Err(ChangeError::Conflict(_))
        ));
    }
    assert_eq!(fixture.store.counts().await.unwrap().dose_revisions, 0);
}

/// Entered is enough: nothing is erased under what waits for approval.
pub async fn whoever_came_back_before_their_turn_stays(fixture: &Fixture) {
    fixture.residents(2, 1).await;
    let id = approved(fixture, run(0)).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut back = row(1);
    back.person.ceased_resident = None;
    fixture.enter(import, [back]).await;
    erase_persons(fixture, id).await;
    assert!(is_unknown(fixture, 0).await);
    assert_eq!(fixture.found(1).await.doses.len(), 1);
    let run = stage(fixture).await;
    assert_eq!((run.done.persons, run.stayed), (1, 1));
}

/// The subject's next entry begins a history.
pub async fn a_blanked_opening_leaves_its_leaf_and_nobodys_history(fixture: &Fixture) {
    let about = |nth| BatchItem {
        change: None,
        subject: fixture.subject(nth),
    };
    fixture
        .append(vec![about(1), about(2), about(1)])
        .await
        .unwrap();
    let before = fixture.store.entries(0, 9).await.unwrap();
    let head = fixture.store.head().await.unwrap();
    let id = approved(fixture, run(3)).await;
    erase_persons(fixture, id).await;
    let places = [(0, [1; 32]), (2, [2; 32])];
    let store = &fixture.store;
    let mut first = step(0, &places, 2, 3);
    first.blanks = Some(RunBlanks {
        before: Blanks::default(),
        after: Blanks {
            count: 2,
            chain: [5; 32],
        },
    });
    store.blank_openings(id, first.clone()).await.unwrap();
    let stands = stage(fixture).await;
    assert_eq!((stands.openings_next, stands.blanks), (2, first.blanks));
    // Another process took it meanwhile.
    store.blank_openings(id, first).await.unwrap();
    assert_eq!(stage(fixture).await, stands);
    let last = step(2, &places, 3, 3);
    store.blank_openings(id, last).await.unwrap();
    let blanks = store.blanks().await.unwrap();
    assert_eq!(blanks.places, [0, 2]);
    let ranges = vec![(0, 1), (1, 3), (900, 901)];
    assert_eq!(store.standing_openings(ranges).await.unwrap(), [1]);
    assert_eq!(blanks.runs, store.erasures().await.unwrap());
    let after = fixture.store.entries(0, 3).await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.leaf, before.entry_id), (after.leaf, after.entry_id));
        let blanked = before.index != 1;
        assert_eq!(after.opening_key.is_empty(), blanked);
        assert_eq!(after.opening.is_empty(), blanked);
        assert_eq!(after.subject != before.subject, blanked);
    }
    assert_eq!(
        fixture.store.subject_head(fixture.subject(1)).await,
        Ok(None)
    );
    let other = fixture
        .store
        .subject_head(fixture.subject(2))
        .await
        .unwrap();
    assert_eq!(other.map(|head| head.last_index), Some(1));
    let run = stage(fixture).await;
    assert_eq!((run.stage, run.done.openings), (ErasureStage::Rewriting, 2));
    assert_eq!(fixture.store.leaves(0, 3).await.unwrap().len(), 3);
    assert!(fixture.store.head().await.unwrap().size > head.size);
    let prepared = fixture.append(vec![about(1)]).await.unwrap();
    assert_eq!(prepared.heads, [None]);
}

/// Back at its beginning by another hand; it ends as the log says, and nobody else's list is touched meanwhile.
pub async fn an_erasure_that_was_put_back_is_settled_once(fixture: &Fixture) {
    fixture.residents(2, 1).await;
    let person = fixture.found(0).await.id;
    let id = approved(fixture, run(0)).await;
    let mut recorded = stage(fixture).await;
    let settle = |run: &ErasureRun| fixture.commit(Change::settle_erasure(run.clone()));
    assert!(matches!(
        settle(&recorded).await,
        Err(ChangeError::State(_))
    ));
    recorded.stage = ErasureStage::Recorded;
    recorded.entry = Some(7);
    "note".clone_into(&mut recorded.certificate);
    settle(&recorded).await.unwrap();
    assert_eq!(stage(fixture).await, recorded);
    assert_eq!(claim(fixture, id).await, None);
    assert!(matches!(
        settle(&recorded).await,
        Err(ChangeError::State(_))
    ));
    assert_eq!(fixture.found(0).await.id, person);
}

/// Claimed is about to go; back by another hand is not.
pub async fn whoever_has_a_key_here_is_told_but_the_claimed(fixture: &Fixture) {
    fixture.residents(3, 1).await;
    let mut ids = Vec::new();
    for nth in 0..3 {
        ids.push(fixture.found(nth).await.id);
    }
    ids.sort_unstable();
    let mut asked = ids.clone();
    asked.push(PersonId::from_bytes([9; 16]));
    let standing = async || {
        let mut found = fixture.store.standing(asked.clone()).await.unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(standing().await, ids);
    let id = approved(fixture, run(0)).await;
    assert_eq!(standing().await, ids, "their turn hasn't come");
    let claimed = claim(fixture, id).await.unwrap();
    assert_eq!(standing().await, []);
    fixture.store.destroy_keys(&claimed).await.unwrap();
    assert_eq!(standing().await, []);
}
