//! Promises of [`crate::RegistryStore`] about imports.

use vrx_domain::{Date, DoseOrigin, PersonId, PersonalText, Protection, UnixMillis};

use super::Fixture;
use super::fixture::{CHIEF, CLERK, addressee, dose, dose_row, number, row};
use crate::{
    Adoption, CHUNK_ROWS, Change, ChangeError, DoseRow, EnteredWith, ImportCounts, ImportKind,
    ImportState, RowOutcome, RowRefusal, StorageError,
};

/// Persons and doses alike.
pub async fn what_was_entered_is_not_exchanged_until_another_person_approves(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, [row(1)]).await;
    fixture
        .enter_doses(import, [dose_row(1, 1), dose_row(1, 2)])
        .await;
    let before = fixture.found(1).await;
    assert!(before.approved.is_none() && before.doses.is_empty());
    fixture.approve(import).await.unwrap();
    let after = fixture.found(1).await;
    assert!(
        after
            .approved
            .is_some_and(|person| person.name_kanji.as_str() == "見本　1")
    );
    assert_eq!(
        after
            .doses
            .iter()
            .map(|dose| dose.number.get())
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

/// Four eyes.
pub async fn whoever_entered_an_import_cannot_approve_it(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    let own = Change::approve_import(import, CLERK.to_owned(), UnixMillis(1));
    assert_eq!(fixture.commit(own).await, Err(ChangeError::SamePerson));
    let record = fixture.store.import(import).await.unwrap().unwrap();
    assert_eq!(record.state, ImportState::Entered);
}

/// The second approval and the late chunk are refused.
pub async fn an_import_is_approved_once_and_takes_nothing_after_that(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.approve(import).await.unwrap();
    assert!(matches!(
        fixture.approve(import).await,
        Err(ChangeError::State(_))
    ));
    let late = fixture
        .store
        .prepare_persons(import, [row(1)].into())
        .await
        .unwrap()
        .change
        .unwrap();
    assert!(matches!(
        fixture.commit(late).await,
        Err(ChangeError::State(_))
    ));
    let record = fixture.store.import(import).await.unwrap().unwrap();
    let approved = ImportState::Approved {
        by: CHIEF.to_owned(),
        at: UnixMillis(2_000),
    };
    assert_eq!(record.state, approved);
}

/// Every row is unchanged, and there is nothing to commit; approved or not.
pub async fn running_a_file_again_changes_nothing(fixture: &Fixture) {
    fixture.residents(3, 2).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let again = fixture
        .store
        .prepare_persons(import, [row(0), row(1), row(2)].into())
        .await
        .unwrap();
    assert!(again.change.is_none());
    assert_eq!(again.outcomes, [RowOutcome::Unchanged; 3]);
    let again = fixture
        .store
        .prepare_doses(import, [dose_row(0, 1), dose_row(2, 2)].into())
        .await
        .unwrap();
    assert!(again.change.is_none());
    assert_eq!(again.outcomes, [RowOutcome::Unchanged; 2]);
}

/// Until then the approved state is the one before.
pub async fn a_correction_shows_when_it_is_approved(fixture: &Fixture) {
    fixture.residents(1, 1).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut moved = row(0);
    moved.person.ceased_resident = None;
    let mut corrected = dose_row(0, 1);
    "FA1234".clone_into(&mut corrected.dose.lot_number);
    assert_eq!(
        fixture.enter(import, [moved]).await.outcomes,
        [RowOutcome::Changed]
    );
    let doses = fixture.enter_doses(import, [corrected]).await;
    assert_eq!(doses.outcomes, [RowOutcome::Changed]);
    let before = fixture.found(0).await;
    assert!(
        before
            .approved
            .is_some_and(|person| person.ceased_resident.is_some())
    );
    assert_eq!(
        (
            before.doses[0].lot_number.as_str(),
            before.doses[0].revision
        ),
        ("EW4811", 1)
    );
    fixture.approve(import).await.unwrap();
    let after = fixture.found(0).await;
    assert!(
        after
            .approved
            .is_some_and(|person| person.ceased_resident.is_none())
    );
    assert_eq!(
        (after.doses[0].lot_number.as_str(), after.doses[0].revision),
        ("FA1234", 2)
    );
    assert_eq!(after.doses.len(), 1);
    assert_eq!(after.doses[0].id, before.doses[0].id);
}

/// Waiting for a second person must not expose anybody.
pub async fn protection_counts_from_the_moment_it_is_entered(fixture: &Fixture) {
    fixture.residents(1, 0).await;
    assert!(!fixture.found(0).await.entered_protection);
    let import = fixture.begin(ImportKind::Persons).await;
    let mut protected = row(0);
    let from = Date::from_ymd(2022, 1, 1).unwrap();
    protected.person.protection = Some(Protection { from, until: None });
    fixture.enter(import, [protected]).await;
    let record = fixture.found(0).await;
    assert!(record.entered_protection);
    let later = fixture.begin(ImportKind::Persons).await;
    let mut lifted = row(0);
    lifted.person.address = vrx_domain::PersonalText::new("転居先".to_owned());
    fixture.enter(later, [lifted]).await;
    assert!(
        fixture.found(0).await.entered_protection,
        "not lifted by what nobody approved"
    );
    assert!(record.approved.is_some_and(|person| !person.is_protected()));
    fixture.approve(import).await.unwrap();
    assert!(
        fixture
            .found(0)
            .await
            .approved
            .is_some_and(|person| person.is_protected())
    );
}

/// A line that gives it to somebody else is refused, the others are taken.
pub async fn an_addressee_number_belongs_to_one_person(fixture: &Fixture) {
    fixture.residents(2, 0).await;
    let import = fixture.begin(ImportKind::Persons).await;
    let mut stranger = row(5);
    stranger.person.addressee_number = addressee(1);
    let mut swapped = row(0);
    swapped.person.addressee_number = addressee(1);
    let chunk = fixture.enter(import, [stranger, row(6)]).await;
    let taken = RowOutcome::Refused(RowRefusal::AddresseeTaken);
    assert_eq!(chunk.outcomes, [taken, RowOutcome::Added]);
    assert_eq!(fixture.enter(import, [swapped]).await.outcomes, [taken]);
}

/// The first one counts.
pub async fn a_row_repeated_in_a_chunk_is_refused(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    let repeated = RowOutcome::Refused(RowRefusal::Repeated);
    let chunk = fixture.enter(import, [row(1), row(1), row(2)]).await;
    assert_eq!(
        chunk.outcomes,
        [RowOutcome::Added, repeated, RowOutcome::Added]
    );
    let chunk = fixture
        .enter_doses(import, [dose_row(1, 1), dose_row(1, 1)])
        .await;
    assert_eq!(chunk.outcomes, [RowOutcome::Added, repeated]);
}

/// Two chunks prepared against the same state: the second is to be prepared again.
pub async fn what_was_prepared_too_early_conflicts(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    let store = &fixture.store;
    let one = store
        .prepare_persons(import, [row(1)].into())
        .await
        .unwrap()
        .change
        .unwrap();
    let two = store
        .prepare_persons(import, [row(1), row(2)].into())
        .await
        .unwrap()
        .change
        .unwrap();
    fixture.commit(one).await.unwrap();
    assert!(matches!(
        fixture.commit(two).await,
        Err(ChangeError::Conflict(_))
    ));
    let again = fixture.enter(import, [row(1), row(2)]).await;
    assert_eq!(again.outcomes, [RowOutcome::Unchanged, RowOutcome::Added]);

    let corrected = |lot: &str| {
        let mut row = dose_row(1, 1);
        lot.clone_into(&mut row.dose.lot_number);
        row
    };
    fixture.enter_doses(import, [dose_row(1, 1)]).await;
    let one = store
        .prepare_doses(import, [corrected("A")].into())
        .await
        .unwrap()
        .change
        .unwrap();
    let two = store
        .prepare_doses(import, [corrected("B")].into())
        .await
        .unwrap()
        .change
        .unwrap();
    fixture.commit(one).await.unwrap();
    assert!(matches!(
        fixture.commit(two).await,
        Err(ChangeError::Conflict(_))
    ));
}

/// The ledger's first column is delivered empty: then a voucher that is known here leads to the person.
pub async fn a_dose_finds_its_person_by_addressee_or_voucher(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, [row(1)]).await;
    let by_voucher = |number| DoseRow {
        addressee: None,
        dose: dose(1, number),
    };
    let nobody = RowOutcome::Refused(RowRefusal::NoSuchPerson);
    let early = fixture
        .enter_doses(import, [by_voucher(2), dose_row(7, 1)])
        .await;
    assert_eq!(early.outcomes, [nobody, nobody]);
    assert_eq!(
        fixture.enter_doses(import, [dose_row(1, 1)]).await.outcomes,
        [RowOutcome::Added]
    );
    assert_eq!(
        fixture.enter_doses(import, [by_voucher(2)]).await.outcomes,
        [RowOutcome::Added]
    );
    fixture.approve(import).await.unwrap();
    assert_eq!(fixture.found(1).await.doses.len(), 2);
}

/// An answer taken over is entered like anything else, says where it is from, and is taken over once.
pub async fn adopted_doses_keep_their_origin(fixture: &Fixture) {
    fixture.residents(1, 0).await;
    let yokohama = "141003".parse().unwrap();
    let adopted = |log_index| {
        let mut dose = dose(0, 1);
        dose.origin = DoseOrigin::Adopted {
            from: yokohama,
            log_index,
        };
        dose
    };
    let adoption = |nth, log_index| Adoption {
        import: fixture.header(ImportKind::Adoption),
        number: number(nth),
        doses: vec![adopted(log_index)],
    };
    let stranger = fixture
        .store
        .prepare_adoption(&adoption(9, 4))
        .await
        .unwrap();
    assert!(stranger.change.is_none());
    assert_eq!(
        stranger.outcomes,
        [RowOutcome::Refused(RowRefusal::NoSuchPerson)]
    );
    let first = adoption(0, 4);
    let chunk = fixture.store.prepare_adoption(&first).await.unwrap();
    fixture.commit(chunk.change.unwrap()).await.unwrap();
    assert!(fixture.found(0).await.doses.is_empty());
    fixture.approve(first.import.id).await.unwrap();
    let doses = fixture.found(0).await.doses;
    assert_eq!(
        doses[0].origin,
        DoseOrigin::Adopted {
            from: yokohama,
            log_index: 4
        }
    );
    let again = fixture
        .store
        .prepare_adoption(&adoption(0, 8))
        .await
        .unwrap();
    assert!(again.change.is_none());
    assert_eq!(again.outcomes, [RowOutcome::Unchanged]);
}

/// Counts, chunks and the range of log entries; and the sizes an operator sees, without decoys.
pub async fn imports_count_what_they_brought(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, [row(1), row(2)]).await;
    fixture.enter_doses(import, [dose_row(1, 1)]).await;
    let mut changed = row(2);
    changed.person.ceased_resident = None;
    fixture.enter(import, [row(1), changed, row(3)]).await;
    let record = fixture.store.import(import).await.unwrap().unwrap();
    assert_eq!(
        record.counts,
        ImportCounts {
            added: 4,
            changed: 1,
            unchanged: 1
        }
    );
    assert_eq!((record.chunks, record.log_range), (3, Some((1, 3))));
    assert_eq!(record.header.entered_by, CLERK);
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!((counts.persons, counts.dose_revisions), (3, 1));
    assert_eq!((counts.imports, counts.inquiries), (1, 0));
}

/// Approved or not: whoever is asked about sees each entry that brought something of theirs, once, and no other's.
pub async fn a_persons_rows_name_the_entries_they_came_with(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, [row(1), row(2)]).await;
    fixture
        .enter_doses(import, [dose_row(1, 1), dose_row(1, 2), dose_row(2, 1)])
        .await;
    fixture.enter(import, [row(3)]).await;
    fixture.approve(import).await.unwrap();
    let mut changed = row(1);
    changed.person.ceased_resident = None;
    let later = fixture.begin(ImportKind::Persons).await;
    fixture.enter(later, [changed]).await;
    let first = fixture.store.import(import).await.unwrap().unwrap();
    let (from, _) = first.log_range.unwrap();
    let again = fixture.store.import(later).await.unwrap().unwrap();
    let entered = |log_index, revisions, doses| EnteredWith {
        log_index,
        import,
        revisions,
        doses,
    };
    let of = async |nth| {
        let person = fixture.found(nth).await.id;
        fixture.store.entered_with(person).await.unwrap()
    };
    let last = EnteredWith {
        import: later,
        ..entered(again.log_range.unwrap().0, 1, 0)
    };
    assert_eq!(
        of(1).await,
        [entered(from, 1, 0), entered(from + 1, 0, 2), last]
    );
    assert_eq!(of(2).await, [entered(from, 1, 0), entered(from + 1, 0, 1)]);
    assert_eq!(of(3).await, [entered(from + 2, 1, 0)]);
    let nobody = fixture.store.entered_with(PersonId::from_bytes([0; 16]));
    assert_eq!(nobody.await, Ok(Vec::new()));
}

/// The whole of a chunk in one batch; a larger one is turned away before any work.
pub async fn a_chunk_of_500_rows_is_entered_whole_and_no_larger_one(fixture: &Fixture) {
    let count = CHUNK_ROWS as u64;
    let import = fixture.begin(ImportKind::Persons).await;
    let persons = |count| -> Vec<_> { (0..count).map(row).collect() };
    let doses = |count| -> Vec<_> { (0..count).map(|nth| dose_row(nth, 1)).collect() };
    let store = &fixture.store;
    let too_many = store.prepare_persons(import, persons(count + 1).into());
    assert!(matches!(
        too_many.await.err(),
        Some(StorageError::Invalid(_))
    ));
    let too_many = store.prepare_doses(import, doses(count + 1).into());
    assert!(matches!(
        too_many.await.err(),
        Some(StorageError::Invalid(_))
    ));
    let entered = fixture.enter(import, persons(count)).await;
    assert_eq!(entered.outcomes, [RowOutcome::Added; CHUNK_ROWS]);
    let entered = fixture.enter_doses(import, doses(count)).await;
    assert_eq!(entered.outcomes, [RowOutcome::Added; CHUNK_ROWS]);
    fixture.approve(import).await.unwrap();
    for nth in [0, count / 2, count - 1] {
        let record = fixture.found(nth).await;
        assert!(record.approved.is_some() && record.doses.len() == 1);
    }
    let again = fixture.enter(import, persons(count)).await;
    assert_eq!(again.outcomes, [RowOutcome::Unchanged; CHUNK_ROWS]);
}

/// Texts are sealed bytes to the database: no character means anything to it.
pub async fn any_text_comes_back_as_it_was_entered(fixture: &Fixture) {
    let texts = [
        "",
        "\0",
        "a\0b",
        "'; DROP TABLE person; --",
        "\\\u{7f}\r\n\t\u{feff}",
        "𠮷野家 髙﨑 邉󠄀",
        &"鵠".repeat(5_000),
    ];
    let import = fixture.begin(ImportKind::Persons).await;
    let rows: Vec<_> = (0..)
        .zip(texts)
        .map(|(nth, text)| {
            let mut row = row(nth);
            row.person.name_kanji = PersonalText::new(text.to_owned());
            row
        })
        .collect();
    fixture.enter(import, rows).await;
    let doses: Vec<_> = (0..)
        .zip(texts)
        .map(|(nth, text)| {
            let mut row = dose_row(nth, 1);
            text.clone_into(&mut row.dose.venue);
            row
        })
        .collect();
    fixture.enter_doses(import, doses).await;
    fixture.approve(import).await.unwrap();
    for (nth, text) in (0..).zip(texts) {
        let record = fixture.found(nth).await;
        assert_eq!(record.approved.unwrap().name_kanji.as_str(), text);
        assert_eq!(record.doses[0].venue, text);
    }
}
