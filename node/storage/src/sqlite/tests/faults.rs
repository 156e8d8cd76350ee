//! Full disks, files taken away, batches that end half way.

use std::sync::Arc;

use super::fresh;
use crate::conformance::{Fixture, number};
use crate::{AppendError, BatchItem, ImportKind, Lookup, NotCommitted, PersonRow, StorageError};

fn entries(fixture: &Fixture, count: usize) -> Vec<BatchItem> {
    (0..count)
        .map(|_| BatchItem {
            change: None,
            subject: fixture.nobody(),
        })
        .collect()
}

#[tokio::test]
async fn a_full_database_refuses_and_goes_on_when_there_is_room() {
    let (fixture, keep) = fresh().await;
    fixture.residents(1, 1).await;
    keep.sqlite.limit_pages(Some(0)).await;
    let full = loop {
        let before = fixture.store.head().await.unwrap();
        match fixture.append(entries(&fixture, 100)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(fixture.store.head().await.unwrap(), before);
                break error;
            }
        }
    };
    assert_eq!(full, AppendError::NotCommitted(NotCommitted::Full));
    let import = fixture.header(ImportKind::Persons);
    let rows: Vec<PersonRow> = (100..600)
        .map(|nth| PersonRow {
            number: number(nth),
            person: crate::conformance::person(nth),
        })
        .collect();
    let chunk = fixture
        .store
        .prepare_persons(import.id, rows.into())
        .await
        .unwrap()
        .change
        .unwrap();
    let both = crate::Change::all(vec![crate::Change::create_import(import), chunk]);
    let item = BatchItem {
        change: Some(both),
        subject: fixture.nobody(),
    };
    let full = fixture.append(vec![item]).await;
    assert_eq!(full, Err(AppendError::NotCommitted(NotCommitted::Full)));
    assert!(matches!(
        fixture.store.lookup(&number(0)).await,
        Ok(Lookup::Found(_))
    ));
    assert_eq!(fixture.store.counts().await.unwrap().persons, 1);
    keep.sqlite.limit_pages(None).await;
    fixture.append(entries(&fixture, 100)).await.unwrap();
    keep.sqlite.check_integrity().await.unwrap();
}

#[tokio::test]
async fn a_database_taken_away_or_swapped_is_never_written_to_again() {
    for name in ["vrx.db", "vrx.db-wal"] {
        let (fixture, keep) = fresh().await;
        fixture.append(entries(&fixture, 1)).await.unwrap();
        let path = keep.folder.path().join("142051").join(name);
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).unwrap();
        let gone = fixture.append(entries(&fixture, 1)).await;
        assert!(matches!(gone, Err(AppendError::Broken(_))), "{name}");
        std::fs::copy(&aside, &path).unwrap();
        let copied = fixture.append(entries(&fixture, 1)).await;
        assert!(matches!(copied, Err(AppendError::Broken(_))), "{name}");
        assert!(matches!(
            fixture.store.canary().await,
            Err(StorageError::Broken(_))
        ));
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_when_it_is_opened() {
    let (fixture, keep) = fresh().await;
    fixture.residents(20, 3).await;
    keep.sqlite.close().await.unwrap();
    let path = keep.database();
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4096).skip(8) {
        page[..64].fill(0xa5);
    }
    std::fs::write(&path, &bytes).unwrap();
    let refused = super::SqliteTenant::open(keep.options.clone())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(refused, StorageError::Broken(_) | StorageError::Schema(_)),
        "{refused}"
    );
    std::fs::write(&path, &bytes[..5000]).unwrap();
    assert!(
        super::SqliteTenant::open(keep.options.clone())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_batch_that_ends_half_way_never_was() {
    let (fixture, keep) = fresh().await;
    fixture.residents(1, 1).await;
    let head = fixture.store.head().await.unwrap();
    let import = fixture.header(ImportKind::Persons);
    let id = import.id;
    let items: Arc<[BatchItem]> = vec![BatchItem {
        change: Some(crate::Change::create_import(import)),
        subject: fixture.nobody(),
    }]
    .into();
    let panics = fixture
        .store
        .append(
            (head.size, head.root),
            items,
            Box::new(|_| panic!("as if killed here")),
        )
        .await;
    assert!(matches!(
        panics,
        Err(AppendError::NotCommitted(NotCommitted::Seal(_)))
    ));
    let (fixture, _keep) = keep.crash_and_open(fixture).await;
    assert_eq!(fixture.store.head().await.unwrap(), head);
    assert_eq!(fixture.store.import(id).await.unwrap(), None);
    fixture.append(entries(&fixture, 3)).await.unwrap();
}

#[tokio::test]
async fn whoever_stops_waiting_for_a_batch_stops_nothing() {
    let (fixture, _keep) = fresh().await;
    let head = fixture.store.head().await.unwrap();
    {
        let append = fixture.append(entries(&fixture, 5));
        tokio::pin!(append);
        // Polled until the batch is on its way, then dropped.
        for _ in 0..3 {
            tokio::select! {
                biased;
                _ = &mut append => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    // The writer takes one job after the other: once this one is done, the abandoned batch has come to its end.
    fixture.store.canary().await.unwrap();
    let after = fixture.store.head().await.unwrap();
    assert!(after.size == head.size || after.size == head.size + 5);
    fixture.append(entries(&fixture, 1)).await.unwrap();
}
