//! Promises to several processes on one store: each has a handle of its own, where the database can be shared.

use std::sync::Arc;

use vrx_domain::{Date, InquiryId, Protection, UnixMillis};
use zeroize::Zeroizing;

use super::Fixture;
use super::fixture::{dose_row, root, row, seal};
use crate::{BatchItem, ChangeError, ImportKind, InquiryRecord, SubjectHead, SubjectTag};

fn entry(subject: SubjectTag) -> BatchItem {
    BatchItem {
        change: None,
        subject,
    }
}

/// Appends batches of one to four entries, each from where its own last one left the log. Says where each entry stands.
async fn append_many(fixture: &Fixture, batches: usize) -> Vec<(u64, SubjectTag)> {
    let head = fixture.store.head().await.unwrap();
    let mut expected = (head.size, head.root);
    let mut placed = Vec::new();
    for batch in 0..batches {
        let subjects: Vec<_> = (0..=batch % 4).map(|_| fixture.nobody()).collect();
        let items: Arc<[BatchItem]> = subjects.iter().copied().map(entry).collect();
        let seal = seal(subjects.clone());
        let prepared = fixture.store.append(expected, items, seal).await.unwrap();
        assert_eq!(
            prepared.since.len() as u64,
            prepared.head.size - expected.0,
            "what the other handle appended comes along"
        );
        let size = prepared.head.size + subjects.len() as u64;
        placed.extend((prepared.head.size..size).zip(subjects));
        expected = (size, root(size));
    }
    placed
}

/// Without a gap, each entry once and where its writer was told, and no batch between the entries of another.
pub async fn two_handles_append_to_one_order(fixture: &Fixture) {
    let other = fixture.other();
    let (ours, theirs) = tokio::join!(append_many(fixture, 40), append_many(&other, 40));
    let entries = fixture.store.entries(0, 1_000).await.unwrap();
    assert_eq!(entries.len(), ours.len() + theirs.len());
    assert!(
        entries
            .iter()
            .map(|entry| entry.index)
            .eq(0..entries.len() as u64)
    );
    for (index, subject) in ours.into_iter().chain(theirs) {
        assert_eq!(entries[usize::try_from(index).unwrap()].subject, subject);
    }
    let head = fixture.store.head().await.unwrap();
    assert_eq!(head.size, entries.len() as u64);
    assert_eq!(other.store.head().await.unwrap(), head);
    assert_eq!(other.store.entries(0, 1_000).await.unwrap(), entries);
}

/// One handle's batch links to what the other one appended, however they take turns.
pub async fn the_entries_of_a_subject_stay_a_chain_across_handles(fixture: &Fixture) {
    let other = fixture.other();
    let subject = fixture.subject(1);
    for nth in 0..6_u64 {
        let handle = if nth % 2 == 0 { fixture } else { &other };
        let before = nth.checked_sub(1).map(|last_index| SubjectHead {
            seq: nth,
            last_index,
        });
        let prepared = handle.append(vec![entry(subject)]).await.unwrap();
        assert_eq!(prepared.heads, [before]);
    }
    let many = async |handle: &Fixture| {
        for _ in 0..10 {
            handle
                .append(vec![entry(subject), entry(subject)])
                .await
                .unwrap();
        }
    };
    tokio::join!(many(fixture), many(&other));
    let entries = other.store.entries(0, 100).await.unwrap();
    assert!(entries.iter().map(|entry| entry.subject_seq).eq(1..=46));
    let newest = Some(SubjectHead {
        seq: 46,
        last_index: 45,
    });
    for handle in [fixture, &other] {
        assert_eq!(handle.store.subject_head(subject).await.unwrap(), newest);
    }
}

/// In its very next lookup, also of somebody whom it has just looked up.
pub async fn what_one_handle_approves_the_other_shows_at_once(fixture: &Fixture) {
    let other = fixture.other();
    fixture.residents(2, 1).await;
    for (one, two, nth) in [(fixture, &other, 0), (&other, fixture, 1)] {
        assert_eq!(two.found(nth).await.doses.len(), 1);
        let import = one.begin(ImportKind::Persons).await;
        let mut returned = row(nth);
        returned.person.ceased_resident = None;
        one.enter(import, [returned]).await;
        one.enter_doses(import, [dose_row(nth, 2)]).await;
        let before = two.found(nth).await;
        assert!(before.approved.unwrap().ceased_resident.is_some());
        assert_eq!(before.doses.len(), 1);
        one.approve(import).await.unwrap();
        let after = two.found(nth).await;
        assert!(after.approved.unwrap().ceased_resident.is_none());
        assert_eq!(after.doses.len(), 2);
    }
}

/// Nobody is exposed by a process that hasn't heard of it yet.
pub async fn protection_entered_through_one_handle_counts_for_the_other(fixture: &Fixture) {
    let other = fixture.other();
    fixture.residents(1, 0).await;
    assert!(!other.found(0).await.entered_protection);
    let import = fixture.begin(ImportKind::Persons).await;
    let mut protected = row(0);
    let from = Date::from_ymd(2022, 1, 1).unwrap();
    protected.person.protection = Some(Protection { from, until: None });
    fixture.enter(import, [protected]).await;
    assert!(other.found(0).await.entered_protection);
}

/// The other's row stands, this one is prepared again.
pub async fn what_one_handle_prepared_conflicts_with_what_the_other_committed(fixture: &Fixture) {
    let other = fixture.other();
    fixture.residents(1, 0).await;
    let moved = |address: &str| {
        let mut row = row(0);
        row.person.address = vrx_domain::PersonalText::new(address.to_owned());
        row
    };
    let (first, second) = (
        fixture.begin(ImportKind::Persons).await,
        other.begin(ImportKind::Persons).await,
    );
    let early = fixture
        .store
        .prepare_persons(first, [moved("鵠沼")].into())
        .await
        .unwrap();
    other.enter(second, [moved("辻堂")]).await;
    assert!(matches!(
        fixture.commit(early.change.unwrap()).await,
        Err(ChangeError::Conflict(_))
    ));
    other.approve(second).await.unwrap();
    let address = fixture.found(0).await.approved.unwrap().address;
    assert_eq!(address.as_str(), "辻堂");
}

/// The second one is told that it is done.
pub async fn an_import_approved_through_both_handles_is_approved_once(fixture: &Fixture) {
    let other = fixture.other();
    for nth in 0..5 {
        let import = fixture.begin(ImportKind::Persons).await;
        fixture.enter(import, [row(nth)]).await;
        let (one, two) = tokio::join!(fixture.approve(import), other.approve(import));
        assert!(
            matches!(
                (&one, &two),
                (Ok(()), Err(ChangeError::State(_))) | (Err(ChangeError::State(_)), Ok(()))
            ),
            "{one:?} {two:?}"
        );
    }
}

/// Of two who finish the same inquiry, one has to look again.
pub async fn an_inquiry_is_finished_through_one_of_two_handles(fixture: &Fixture) {
    let other = fixture.other();
    let put = async |handle: &Fixture, version: u32, body: &[u8]| {
        let inquiry = InquiryRecord {
            id: InquiryId::from_bytes([5; 16]),
            expires_at: UnixMillis(100),
            version,
            body: Zeroizing::new(body.to_vec()),
        };
        let change = handle.store.prepare_inquiry(&inquiry).await.unwrap();
        handle.commit(change).await
    };
    put(fixture, 1, b"asked").await.unwrap();
    let (one, two) = tokio::join!(put(fixture, 2, b"one"), put(&other, 2, b"two"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let id = InquiryId::from_bytes([5; 16]);
    for handle in [fixture, &other] {
        let stored = handle.store.inquiry(id, UnixMillis(99)).await.unwrap();
        let expected: &[u8] = if one.is_ok() { b"one" } else { b"two" };
        assert_eq!(stored.unwrap().body.as_slice(), expected);
    }
}
