//! Promises of [`crate::LogStore`].

use std::sync::Arc;

use super::Fixture;
use super::fixture::{CHIEF, root, rows, seal};
use crate::{
    AppendError, BatchItem, Change, ChangeError, ImportKind, MOST_BEHIND, NotCommitted,
    SubjectHead, TileRow,
};
use vrx_domain::{ImportId, UnixMillis};

fn entry(subject: crate::SubjectTag) -> BatchItem {
    BatchItem {
        change: None,
        subject,
    }
}

/// Approving an import that isn't there is always refused.
fn refused() -> Change {
    Change::approve_import(
        ImportId::from_bytes([9; 16]),
        CHIEF.to_owned(),
        UnixMillis(1),
    )
}

/// Size nought, the root of nothing, no checkpoint.
pub async fn a_new_log_is_empty(fixture: &Fixture) {
    let head = fixture.store.head().await.unwrap();
    assert_eq!((head.size, head.last_time, head.checkpoint), (0, 0, None));
    assert_eq!(
        head.root[..4],
        [0xe3, 0xb0, 0xc4, 0x42],
        "SHA-256 of the empty string"
    );
    assert_eq!(fixture.store.leaves(0, 10).await.unwrap(), []);
}

/// Entries, leaves and head of a batch stand, in the order of its items.
pub async fn a_batch_stands_whole_and_in_order(fixture: &Fixture) {
    let subjects: Vec<_> = (0..300).map(|_| fixture.nobody()).collect();
    fixture
        .append(subjects[..1].iter().map(|s| entry(*s)).collect())
        .await
        .unwrap();
    fixture
        .append(subjects[1..].iter().map(|s| entry(*s)).collect())
        .await
        .unwrap();
    let head = fixture.store.head().await.unwrap();
    assert_eq!(
        (head.size, head.root, head.last_time),
        (300, root(300), 300)
    );
    assert_eq!(head.checkpoint.as_deref(), Some("checkpoint before 300"));
    let entries = fixture.store.entries(0, 1_000).await.unwrap();
    assert_eq!(
        entries.iter().map(|e| e.subject).collect::<Vec<_>>(),
        subjects
    );
    assert!(entries.iter().map(|e| e.index).eq(0..300));
    assert_eq!(
        (entries[7].opening.len(), entries[7].opening_key.len()),
        (600, 77)
    );
    let leaves = fixture.store.leaves(298, 10).await.unwrap();
    assert!(leaves.iter().map(|leaf| leaf.index).eq(298..300));
    assert_eq!(leaves[1].leaf, entries[299].leaf);
    assert_eq!(fixture.store.entries(5, 2).await.unwrap(), entries[5..7]);
}

/// Another root at the same size and a head that went back don't get in.
pub async fn a_swap_that_is_lost_writes_nothing(fixture: &Fixture) {
    fixture.append(vec![entry(fixture.nobody())]).await.unwrap();
    let after = fixture.store.head().await.unwrap();
    for expected in [(1, [9; 32]), (2, root(1))] {
        let items: Arc<[BatchItem]> = vec![entry(fixture.nobody())].into();
        let seal = seal(vec![items[0].subject]);
        let lost = fixture.store.append(expected, items, seal).await;
        assert_eq!(lost, Err(AppendError::NotCommitted(NotCommitted::SwapLost)));
    }
    assert_eq!(fixture.store.head().await.unwrap(), after);
    assert_eq!(fixture.store.entries(0, 10).await.unwrap().len(), 1);
}

/// Its indexes and its changes count from the head that is there, and the leaves of the others come with it.
pub async fn a_batch_goes_onto_what_others_appended_meanwhile(fixture: &Fixture) {
    let old = fixture.store.head().await.unwrap();
    let others: Vec<_> = (0..300).map(|_| entry(fixture.nobody())).collect();
    fixture.append(others).await.unwrap();
    let import = fixture.header(ImportKind::Persons);
    let id = import.id;
    let item = BatchItem {
        change: Some(Change::create_import(import)),
        subject: fixture.nobody(),
    };
    let seal = seal(vec![item.subject]);
    let prepared = fixture
        .store
        .append((old.size, old.root), vec![item].into(), seal)
        .await
        .unwrap();
    assert_eq!((prepared.head.size, prepared.head.root), (300, root(300)));
    assert_eq!(
        prepared.since,
        fixture.store.leaves(0, 300).await.unwrap(),
        "the leaves in between"
    );
    let head = fixture.store.head().await.unwrap();
    assert_eq!((head.size, head.root), (301, root(301)));
    assert!(fixture.store.import(id).await.unwrap().is_some());
}

/// Whoever is that far behind has to read the log anew.
pub async fn a_batch_too_far_behind_loses_the_swap(fixture: &Fixture) {
    let old = fixture.store.head().await.unwrap();
    let mut left = MOST_BEHIND;
    while left > 0 {
        let count = left.min(8_192);
        let others = (0..count).map(|_| entry(fixture.nobody())).collect();
        fixture.append(others).await.unwrap();
        left -= count;
    }
    let subject = fixture.nobody();
    let append = || {
        let items = vec![entry(subject)].into();
        fixture
            .store
            .append((old.size, old.root), items, seal(vec![subject]))
    };
    let last = append().await.unwrap();
    assert_eq!(last.since.len() as u64, MOST_BEHIND);
    assert_eq!(
        append().await,
        Err(AppendError::NotCommitted(NotCommitted::SwapLost))
    );
}

/// A writer of an earlier epoch writes nothing into a later one.
pub async fn a_batch_of_an_earlier_epoch_is_fenced(fixture: &Fixture) {
    let in_epoch = |epoch: u32, subject: crate::SubjectTag| -> crate::SealBatch {
        Box::new(move |prepared| {
            let mut rows = rows(&[subject], prepared);
            rows.head.epoch = epoch;
            Ok(rows)
        })
    };
    let head = fixture.store.head().await.unwrap();
    let append = |epoch| {
        let subject = fixture.nobody();
        let items = vec![entry(subject)].into();
        fixture
            .store
            .append((head.size, head.root), items, in_epoch(epoch, subject))
    };
    append(2).await.unwrap();
    assert_eq!(
        append(1).await,
        Err(AppendError::NotCommitted(NotCommitted::Fenced))
    );
    append(2).await.unwrap();
    let head = fixture.store.head().await.unwrap();
    assert_eq!((head.size, head.epoch), (2, 2));
}

/// Changes of a batch that can't be sealed are undone with it.
pub async fn a_seal_that_refuses_leaves_no_trace(fixture: &Fixture) {
    let header = fixture.header(ImportKind::Persons);
    let id = header.id;
    let item = BatchItem {
        change: Some(Change::create_import(header)),
        subject: fixture.nobody(),
    };
    let head = fixture.store.head().await.unwrap();
    let refused = fixture
        .store
        .append(
            (head.size, head.root),
            vec![item].into(),
            Box::new(|_| Err("no".to_owned())),
        )
        .await;
    assert_eq!(
        refused,
        Err(AppendError::NotCommitted(NotCommitted::Seal(
            "no".to_owned()
        )))
    );
    assert_eq!(fixture.store.import(id).await.unwrap(), None);
    assert_eq!(fixture.store.head().await.unwrap(), head);
    fixture.append(vec![entry(fixture.nobody())]).await.unwrap();
}

/// An index that isn't the next one, a subject of somebody else, a head of another size.
pub async fn rows_that_do_not_fit_the_batch_are_refused(fixture: &Fixture) {
    let head = fixture.store.head().await.unwrap();
    let spoils: [fn(&mut crate::BatchRows); 4] = [
        |rows| rows.entries[0].index = 5,
        |rows| rows.entries[0].subject.0[0] ^= 1,
        |rows| rows.head.size = 9,
        |rows| rows.entries.clear(),
    ];
    for spoil in spoils {
        let subject = fixture.nobody();
        let refused = fixture
            .store
            .append(
                (head.size, head.root),
                vec![entry(subject)].into(),
                Box::new(move |prepared| {
                    let mut rows = rows(&[subject], prepared);
                    spoil(&mut rows);
                    Ok(rows)
                }),
            )
            .await;
        assert!(matches!(
            refused,
            Err(AppendError::NotCommitted(NotCommitted::Mismatch(_)))
        ));
    }
    assert_eq!(fixture.store.head().await.unwrap(), head);
}

/// The others of its batch stand, with indexes that leave no gap.
pub async fn a_refused_change_gets_no_entry_and_spares_the_others(fixture: &Fixture) {
    let header = fixture.header(ImportKind::Persons);
    let id = header.id;
    let half_refused = Change::all(vec![
        Change::create_import(fixture.header(ImportKind::Doses)),
        refused(),
    ]);
    let items = vec![
        entry(fixture.nobody()),
        BatchItem {
            change: Some(refused()),
            subject: fixture.nobody(),
        },
        BatchItem {
            change: Some(half_refused),
            subject: fixture.nobody(),
        },
        BatchItem {
            change: Some(Change::create_import(header)),
            subject: fixture.nobody(),
        },
    ];
    let prepared = fixture.append(items).await.unwrap();
    let not_found = Err(ChangeError::NotFound("the import"));
    assert_eq!(
        prepared.results,
        [Ok(()), not_found.clone(), not_found, Ok(())]
    );
    assert_eq!(fixture.store.head().await.unwrap().size, 2);
    let imports = fixture.store.imports().await.unwrap();
    assert_eq!(
        imports.iter().map(|i| i.header.id).collect::<Vec<_>>(),
        [id]
    );
}

/// Nothing is written, and the answer says why.
pub async fn a_batch_in_which_every_change_is_refused_is_not_sealed(fixture: &Fixture) {
    let head = fixture.store.head().await.unwrap();
    let item = BatchItem {
        change: Some(refused()),
        subject: fixture.nobody(),
    };
    let prepared = fixture
        .store
        .append(
            (head.size, head.root),
            vec![item].into(),
            Box::new(|_| Err("called".to_owned())),
        )
        .await
        .unwrap();
    assert_eq!(prepared.results, [Err(ChangeError::NotFound("the import"))]);
    assert_eq!(fixture.store.head().await.unwrap(), head);
}

/// The list of a subject's entries can be walked from its newest.
pub async fn heads_of_subjects_follow_their_entries(fixture: &Fixture) {
    let (ours, other) = (fixture.subject(1), fixture.subject(2));
    assert_eq!(fixture.store.subject_head(ours).await.unwrap(), None);
    let first = fixture
        .append(vec![entry(ours), entry(other), entry(ours)])
        .await
        .unwrap();
    assert_eq!(
        first.heads,
        [None, None, None],
        "a batch shows what stood before it"
    );
    let second = fixture
        .append(vec![entry(other), entry(ours)])
        .await
        .unwrap();
    let (of_other, of_ours) = (
        SubjectHead {
            seq: 1,
            last_index: 1,
        },
        SubjectHead {
            seq: 2,
            last_index: 2,
        },
    );
    assert_eq!(second.heads, [Some(of_other), Some(of_ours)]);
    let newest = SubjectHead {
        seq: 3,
        last_index: 4,
    };
    assert_eq!(
        fixture.store.subject_head(ours).await.unwrap(),
        Some(newest)
    );
}

/// Full tiles come back in the order asked, and one that isn't there as nothing.
pub async fn tiles_are_kept(fixture: &Fixture) {
    let head = fixture.store.head().await.unwrap();
    let subject = fixture.nobody();
    let seal: crate::SealBatch = Box::new(move |prepared| {
        let mut rows = rows(&[subject], prepared);
        rows.tiles = vec![
            TileRow {
                level: 0,
                index: 0,
                hashes: vec![1; 8192],
            },
            TileRow {
                level: 1,
                index: 0,
                hashes: vec![2; 8192],
            },
        ];
        Ok(rows)
    });
    let items = vec![entry(subject)].into();
    fixture
        .store
        .append((head.size, head.root), items, seal)
        .await
        .unwrap();
    let tiles = fixture
        .store
        .tiles(&[(1, 0), (0, 1), (0, 0)])
        .await
        .unwrap();
    assert_eq!(tiles, [Some(vec![2; 8192]), None, Some(vec![1; 8192])]);
}

/// A write beside the log leaves the log as it is.
pub async fn the_canary_needs_no_entry(fixture: &Fixture) {
    let head = fixture.store.head().await.unwrap();
    fixture.store.canary().await.unwrap();
    assert_eq!(fixture.store.head().await.unwrap(), head);
}
