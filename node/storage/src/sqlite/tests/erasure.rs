//! A file that is rewritten while no node serves it.

use vrx_domain::{Date, RetentionPolicy, UnixMillis};

use super::fresh;
use crate::conformance::{CHIEF, Fixture, retention};
use crate::sqlite::{SqliteRewriting, SqliteTenant};
use crate::{Change, Claimed, RetentionStore, StorageError};

/// Everybody's rows are gone, and the files are still to be rewritten.
async fn erased(fixture: &Fixture) -> Vec<u8> {
    fixture.residents(3, 1).await;
    let persons = fixture.store.spans(None, 100).await.unwrap();
    let due = persons.iter().filter(|person| person.span.ceased.is_some());
    let due: Vec<_> = due.map(|person| person.id).collect();
    let run = retention::run(0);
    let id = run.id;
    for change in [
        Change::propose_erasure(run, due.clone(), None),
        Change::approve_erasure(id, CHIEF.to_owned(), UnixMillis(4_000)),
    ] {
        fixture.commit(change).await.unwrap();
    }
    let today = Date::from_ymd(2030, 1, 1).unwrap();
    let store = &fixture.store;
    let policy = RetentionPolicy::default();
    while let Claimed::Persons(persons) = store.claim(id, policy, today).await.unwrap() {
        let destroyed = store.destroy_keys(id, &persons, policy, today).await;
        destroyed.unwrap();
    }
    while store.delete_rows(id).await.unwrap() {}
    let step = retention::step(0, &[], 0, 0);
    store.blank_openings(id, step).await.unwrap();
    due[0].as_bytes().to_vec()
}

#[tokio::test]
async fn a_file_is_rewritten_when_nobody_serves_it_and_once() {
    let (fixture, keep) = fresh().await;
    let id = erased(&fixture).await;
    let (folder, options) = (keep.folder.path().to_owned(), keep.options.clone());
    let rewrite = |at| {
        let keyring = options.keyring.clone();
        SqliteRewriting::rewrite(folder.clone(), options.tenant, keyring, UnixMillis(at))
    };
    let served = rewrite(5_000).await;
    assert!(matches!(served, Err(StorageError::Locked { .. })));
    keep.sqlite.close().await.unwrap();
    assert_eq!(rewrite(6_000).await, Ok(true));
    assert_eq!(rewrite(7_000).await, Ok(false));
    let file = std::fs::read(keep.database()).unwrap();
    assert!(!file.windows(id.len()).any(|window| window == id));
    let again = SqliteTenant::open(options.clone()).await.unwrap();
    let run = again.erasures().await.unwrap().remove(0);
    assert_eq!(run.rewritten_at, Some(UnixMillis(6_000)));
}
