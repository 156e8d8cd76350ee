//! Promises about inquiries (照会) and what is kept of other municipalities' logs.

use vrx_domain::{InquiryId, UnixMillis};
use zeroize::Zeroizing;

use super::Fixture;
use crate::{Change, ChangeError, InquiryRecord, PeerCheckpoint};

fn inquiry(version: u32, expires_at: u64, body: &[u8]) -> InquiryRecord {
    InquiryRecord {
        id: InquiryId::from_bytes([5; 16]),
        expires_at: UnixMillis(expires_at),
        version,
        body: Zeroizing::new(body.to_vec()),
    }
}

async fn put(fixture: &Fixture, record: InquiryRecord) -> Result<(), ChangeError> {
    let change = fixture.store.prepare_inquiry(&record).await.unwrap();
    fixture.commit(change).await
}

/// So two who finish the same inquiry don't overwrite each other.
pub async fn an_inquiry_is_replaced_only_by_who_saw_its_last_version(fixture: &Fixture) {
    put(fixture, inquiry(1, 100, b"asked")).await.unwrap();
    assert!(matches!(
        put(fixture, inquiry(1, 100, b"x")).await,
        Err(ChangeError::Conflict(_))
    ));
    assert!(matches!(
        put(fixture, inquiry(3, 100, b"x")).await,
        Err(ChangeError::Conflict(_))
    ));
    put(fixture, inquiry(2, 100, b"answered")).await.unwrap();
    assert!(matches!(
        put(fixture, inquiry(2, 100, b"x")).await,
        Err(ChangeError::Conflict(_))
    ));
    let id = InquiryId::from_bytes([5; 16]);
    let found = fixture
        .store
        .inquiry(id, UnixMillis(99))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.version, found.expires_at.0, found.body.as_slice()),
        (2, 100, &b"answered"[..])
    );
}

/// From its instant on, whether or not it has been deleted yet.
pub async fn an_expired_inquiry_is_gone(fixture: &Fixture) {
    put(fixture, inquiry(1, 100, b"asked")).await.unwrap();
    let id = InquiryId::from_bytes([5; 16]);
    assert!(
        fixture
            .store
            .inquiry(id, UnixMillis(100))
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        fixture
            .store
            .expire_inquiries(UnixMillis(99))
            .await
            .unwrap(),
        0
    );
    assert_eq!(fixture.store.counts().await.unwrap().inquiries, 1);
    assert_eq!(
        fixture
            .store
            .expire_inquiries(UnixMillis(100))
            .await
            .unwrap(),
        1
    );
    assert_eq!(fixture.store.counts().await.unwrap().inquiries, 0);
    assert!(
        fixture
            .store
            .inquiry(id, UnixMillis(1))
            .await
            .unwrap()
            .is_none()
    );
}

/// An older one is left out; another municipality's is another row.
pub async fn a_checkpoint_of_a_peer_never_goes_back(fixture: &Fixture) {
    let keep = |peer: &str, size: u64| PeerCheckpoint {
        peer: peer.parse().unwrap(),
        size,
        note: format!("a log\n{size}\n"),
    };
    for (peer, size) in [("141003", 5), ("141003", 9), ("141003", 7), ("011002", 1)] {
        fixture
            .commit(Change::keep_peer_checkpoint(keep(peer, size)))
            .await
            .unwrap();
    }
    let kept = fixture
        .store
        .peer_checkpoint("141003".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(kept, Some(keep("141003", 9)));
    // A new epoch is another log, however short: what is known of the old one says nothing about it.
    let new_log = PeerCheckpoint {
        note: "another log\n2\n".to_owned(),
        ..keep("141003", 2)
    };
    fixture
        .commit(Change::keep_peer_checkpoint(new_log.clone()))
        .await
        .unwrap();
    let kept = fixture
        .store
        .peer_checkpoint("141003".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(kept, Some(new_log));
    let other = fixture
        .store
        .peer_checkpoint("131016".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(other, None);
}

/// Each inquiry has its own instant.
pub async fn what_expires_takes_nothing_else_along(fixture: &Fixture) {
    let ids = [1, 2, 3].map(|byte| InquiryId::from_bytes([byte; 16]));
    for (id, expires_at) in ids.into_iter().zip([100, 101, 300]) {
        let record = InquiryRecord {
            id,
            ..inquiry(1, expires_at, b"asked")
        };
        put(fixture, record).await.unwrap();
    }
    let expire = async |now| fixture.store.expire_inquiries(UnixMillis(now)).await;
    assert_eq!(expire(101).await, Ok(2));
    assert_eq!(expire(101).await, Ok(0));
    let left = async |id| fixture.store.inquiry(id, UnixMillis(1)).await.unwrap();
    assert!(left(ids[0]).await.is_none() && left(ids[1]).await.is_none());
    assert_eq!(left(ids[2]).await.unwrap().body.as_slice(), b"asked");
}

/// Up to what a signed 64-bit column holds.
pub async fn the_largest_times_and_sizes_come_back(fixture: &Fixture) {
    let largest = i64::MAX.unsigned_abs();
    put(fixture, inquiry(1, largest, b"asked")).await.unwrap();
    let id = InquiryId::from_bytes([5; 16]);
    let found = fixture.store.inquiry(id, UnixMillis(largest - 1)).await;
    assert_eq!(found.unwrap().unwrap().expires_at, UnixMillis(largest));
    let found = fixture.store.inquiry(id, UnixMillis(largest)).await;
    assert!(found.unwrap().is_none());
    let kept = PeerCheckpoint {
        peer: "141003".parse().unwrap(),
        size: largest,
        note: "note".to_owned(),
    };
    let keep = Change::keep_peer_checkpoint(kept.clone());
    fixture.commit(keep).await.unwrap();
    let found = fixture.store.peer_checkpoint(kept.peer).await.unwrap();
    assert_eq!(found, Some(kept));
}
