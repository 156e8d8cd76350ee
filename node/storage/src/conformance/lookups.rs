//! Promises of [`crate::PersonStore`].

use vrx_domain::{Date, Person, Protection};

use super::Fixture;
use super::fixture::{number, row};
use crate::{BatchItem, ImportKind, Lookup, PersonRow};

/// In an empty register and in a full one.
pub async fn an_unknown_number_is_unknown(fixture: &Fixture) {
    assert!(matches!(
        fixture.store.lookup(&number(1)).await,
        Ok(Lookup::Unknown)
    ));
    fixture.residents(20, 1).await;
    for nth in 100..120 {
        assert!(matches!(
            fixture.store.lookup(&number(nth)).await,
            Ok(Lookup::Unknown)
        ));
    }
}

/// Batching mixes nobody up.
pub async fn many_lookups_at_once_each_get_their_own_person(fixture: &Fixture) {
    fixture.residents(100, 2).await;
    let mut tasks = tokio::task::JoinSet::new();
    for nth in 0..200 {
        let store = fixture.store.clone();
        tasks.spawn(async move { (nth, store.lookup(&number(nth)).await.unwrap()) });
    }
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (nth, Lookup::Found(record)) if nth < 100 => {
                let name = format!("見本　{nth}");
                assert!(
                    record
                        .approved
                        .is_some_and(|p| p.name_kanji.as_str() == name)
                );
                let voucher = format!("{nth:010}");
                assert_eq!(record.doses.len(), 2);
                assert!(
                    record
                        .doses
                        .iter()
                        .all(|dose| dose.voucher.as_str() == voucher)
                );
            }
            (nth, Lookup::Unknown) => assert!(nth >= 100),
            (nth, _) => panic!("{nth} was answered wrongly"),
        }
    }
}

/// The services decide what to say of them: nothing.
pub async fn a_person_entered_only_is_found_without_an_approved_state(fixture: &Fixture) {
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, [row(3)]).await;
    let record = fixture.found(3).await;
    assert!(record.approved.is_none() && !record.entered_protection);
}

/// Doseless, still resident, protected, entered only, unknown, or asked for a second time: nobody can tell by the work.
pub async fn whoever_is_asked_for_the_number_of_statements_is_the_same(fixture: &Fixture) {
    fixture.residents(4, 3).await;
    let person = |nth, change: fn(&mut Person)| {
        let mut row = row(nth);
        change(&mut row.person);
        row
    };
    let rows: [PersonRow; 3] = [
        person(10, |_| {}),
        person(11, |p| p.ceased_resident = None),
        person(12, |p| {
            let from = Date::from_ymd(2022, 1, 1).unwrap();
            p.protection = Some(Protection { from, until: None });
        }),
    ];
    let import = fixture.begin(ImportKind::Persons).await;
    fixture.enter(import, rows).await;
    fixture.approve(import).await.unwrap();
    let entered = fixture.begin(ImportKind::Persons).await;
    fixture.enter(entered, [person(13, |_| {})]).await;
    // The first lookup after an approval may also read what was approved, whoever is asked for.
    statements_of(fixture, 2).await;
    let provided = statements_of(fixture, 1).await;
    assert!(provided > 0, "the statements are counted");
    for nth in [10, 11, 12, 13, 999, 1] {
        assert_eq!(statements_of(fixture, nth).await, provided, "person {nth}");
    }
}

async fn statements_of(fixture: &Fixture, nth: u64) -> u64 {
    let before = fixture.store.statements();
    drop(fixture.store.lookup(&number(nth)).await.unwrap());
    let subject = fixture.subject(nth);
    let item = BatchItem {
        change: None,
        subject,
    };
    fixture.append(vec![item]).await.unwrap();
    fixture.store.statements() - before
}
