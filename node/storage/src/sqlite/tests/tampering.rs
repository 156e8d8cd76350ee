//! Somebody who can write to the database file moves rows about.

use super::{Keep, fresh};
use crate::conformance::{Fixture, number};
use crate::{ImportKind, Lookup, StorageError};

/// Two residents with two doses each, and the database open to the intruder.
async fn two_residents() -> (Fixture, Keep, Vec<u8>, Vec<u8>) {
    let (fixture, keep) = fresh().await;
    fixture.residents(2, 2).await;
    let (one, two) = (fixture.found(0).await.id, fixture.found(1).await.id);
    (
        fixture,
        keep,
        one.as_bytes().to_vec(),
        two.as_bytes().to_vec(),
    )
}

async fn lookup_fails(fixture: &Fixture, table: &str, column: &str) {
    match fixture.store.lookup(&number(0)).await {
        Err(StorageError::Inconsistent {
            table: t,
            column: c,
            ..
        }) => {
            assert_eq!((t, c), (table, column));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a moved ciphertext was taken for {table}.{column}"),
    }
}

#[tokio::test]
async fn a_tag_pointed_at_another_person_is_noticed() {
    let (fixture, keep, one, two) = two_residents().await;
    let moved = keep
        .intruder()
        .execute(
            "UPDATE person_tag SET person_id = ?2 WHERE kind = 1 AND person_id = ?1",
            (&one, &two),
        )
        .unwrap();
    assert_eq!(moved, 1);
    match fixture.store.lookup(&number(0)).await.unwrap() {
        Lookup::Mismatch { person } => assert_eq!(person.as_bytes().as_slice(), two),
        _ => panic!("the other person was taken for the one asked"),
    }
    let import = fixture.begin(ImportKind::Persons).await;
    let rows = [crate::PersonRow {
        number: number(0),
        person: crate::conformance::person(0),
    }];
    assert!(matches!(
        fixture
            .store
            .prepare_persons(import, rows.into())
            .await
            .err(),
        Some(StorageError::Inconsistent {
            table: "person_tag",
            ..
        })
    ));
}

#[tokio::test]
async fn a_tag_that_leads_nowhere_is_no_decoy() {
    let (fixture, keep, one, _) = two_residents().await;
    keep.intruder()
        .execute("DELETE FROM person WHERE person_id = ?1", [&one])
        .unwrap();
    lookup_fails(&fixture, "person_tag", "person_id").await;
}

#[tokio::test]
async fn ciphertexts_moved_between_persons_do_not_open() {
    for (table, column, opens_as) in [
        ("person", "wrapped_key", "wrapped_key"),
        ("person", "number", "number"),
        ("person_revision", "body", "body"),
        ("dose_revision", "body", "body"),
    ] {
        let (fixture, keep, one, two) = two_residents().await;
        let moved = keep
            .intruder()
            .execute(
                &format!(
                    "UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE person_id = ?2 LIMIT 1)
                     WHERE person_id = ?1"
                ),
                (&one, &two),
            )
            .unwrap();
        assert!(moved > 0);
        lookup_fails(&fixture, table, opens_as).await;
    }
}

#[tokio::test]
async fn key_and_rows_of_another_person_put_together_do_not_open() {
    let (fixture, keep, one, two) = two_residents().await;
    let intruder = keep.intruder();
    intruder
        .execute(
            "UPDATE person SET (wrapped_key, number) = (SELECT wrapped_key, number FROM person WHERE person_id = ?2)
             WHERE person_id = ?1",
            (&one, &two),
        )
        .unwrap();
    lookup_fails(&fixture, "person", "wrapped_key").await;
}

#[tokio::test]
async fn ciphertexts_moved_between_rows_of_one_person_do_not_open() {
    let (fixture, keep, one, _) = two_residents().await;
    keep.intruder()
        .execute(
            "UPDATE dose_revision SET body = (SELECT body FROM dose_revision WHERE person_id = ?1
                                              ORDER BY dose_id DESC LIMIT 1)
             WHERE person_id = ?1",
            [&one],
        )
        .unwrap();
    lookup_fails(&fixture, "dose_revision", "body").await;
}

#[tokio::test]
async fn ciphertexts_moved_between_columns_do_not_open() {
    let (fixture, keep, one, _) = two_residents().await;
    keep.intruder()
        .execute(
            "UPDATE person SET number = wrapped_key WHERE person_id = ?1",
            [&one],
        )
        .unwrap();
    lookup_fails(&fixture, "person", "number").await;
    let (fixture, keep, one, _) = two_residents().await;
    keep.intruder()
        .execute(
            "UPDATE person_revision SET body = (SELECT body FROM dose_revision WHERE person_id = ?1 LIMIT 1)
             WHERE person_id = ?1",
            [&one],
        )
        .unwrap();
    lookup_fails(&fixture, "person_revision", "body").await;
}

#[tokio::test]
async fn a_revision_renumbered_or_given_to_another_import_does_not_open() {
    for change in [
        "UPDATE person_revision SET revision = 7 WHERE person_id = ?1",
        "UPDATE person_revision SET import_id = zeroblob(16) WHERE person_id = ?1",
    ] {
        let (fixture, keep, one, _) = two_residents().await;
        keep.intruder().execute(change, [&one]).unwrap();
        lookup_fails(&fixture, "person_revision", "body").await;
    }
    for change in [
        "UPDATE dose_revision SET revision = 7 WHERE person_id = ?1",
        "UPDATE dose_revision SET import_id = zeroblob(16) WHERE person_id = ?1",
    ] {
        let (fixture, keep, one, _) = two_residents().await;
        keep.intruder().execute(change, [&one]).unwrap();
        lookup_fails(&fixture, "dose_revision", "body").await;
    }
}

#[tokio::test]
async fn ciphertexts_of_another_tenant_do_not_open() {
    let (ours, ours_keep, one, _) = two_residents().await;
    // The same residents, ids and randomness; another tenant with the same keys, as after a copied keyring.
    let (theirs, theirs_keep) = super::fresh_for(vrx_domain::TenantId::from_bytes([2; 16])).await;
    theirs.residents(2, 2).await;
    theirs_keep.sqlite.close().await.unwrap();
    let their_one = theirs_keep.person_of_first_tag();
    let intruder = ours_keep.intruder();
    let path = theirs_keep.database();
    intruder
        .execute("ATTACH ?1 AS theirs", [path.to_str().unwrap()])
        .unwrap();
    intruder
        .execute(
            "UPDATE main.person SET (wrapped_key, number) =
                 (SELECT wrapped_key, number FROM theirs.person WHERE person_id = ?2)
             WHERE person_id = ?1",
            (&one, &their_one),
        )
        .unwrap();
    lookup_fails(&ours, "person", "wrapped_key").await;
}

#[tokio::test]
async fn an_import_is_not_approved_by_copying_another_ones_state() {
    let (fixture, keep, ..) = two_residents().await;
    let entered = fixture.begin(ImportKind::Persons).await;
    keep.intruder()
        .execute(
            "UPDATE import SET body = (SELECT body FROM import WHERE import_id <> ?1 LIMIT 1)
             WHERE import_id = ?1",
            [entered.as_bytes()],
        )
        .unwrap();
    assert!(matches!(
        fixture.store.import(entered).await,
        Err(StorageError::Inconsistent {
            table: "import",
            ..
        })
    ));
}

#[tokio::test]
async fn an_error_names_the_row_and_never_a_value() {
    let (fixture, keep, one, _) = two_residents().await;
    keep.intruder()
        .execute(
            "UPDATE person SET number = zeroblob(40) WHERE person_id = ?1",
            [&one],
        )
        .unwrap();
    let error = fixture.store.lookup(&number(0)).await.err().unwrap();
    let id = vrx_domain::PersonId::from_bytes(one.try_into().unwrap());
    assert_eq!(
        error.to_string(),
        format!("inconsistent row: table person, column number, row {id}")
    );
}

#[tokio::test]
async fn a_row_that_says_claimed_gets_nobody_erased_who_isnt_due_or_is_on_hold() {
    let (fixture, keep, one, two) = two_residents().await;
    let (held, other) = (fixture.found(0).await.id, fixture.found(1).await.id);
    let run = crate::conformance::retention::run(0);
    let id = run.id;
    let hold = crate::conformance::retention::hold(held);
    for change in [
        crate::Change::place_hold(hold),
        crate::Change::propose_erasure(run, Vec::new(), None),
        crate::Change::approve_erasure(
            id,
            crate::conformance::CHIEF.to_owned(),
            vrx_domain::UnixMillis(5),
        ),
    ] {
        fixture.commit(change).await.unwrap();
    }
    for person in [one, two] {
        let added = keep.intruder().execute(
            "INSERT INTO erasure_person (tenant, person_id, step) VALUES (142051, ?1, 1)",
            [person],
        );
        assert_eq!(added.unwrap(), 1);
    }
    // Both were residents a moment ago: nobody is due.
    let policy = vrx_domain::RetentionPolicy::default();
    let today = "2022-01-01".parse().unwrap();
    let claimed = fixture.store.claim(id, policy, today).await.unwrap();
    assert!(matches!(claimed, crate::Claimed::Persons(list) if list.is_empty()));
    assert_eq!(fixture.found(0).await.id, held);
    assert_eq!(fixture.found(1).await.id, other);
}
