//! Life cycle, and what is kept across a crash.

use super::fresh;
use crate::conformance::{dose, number};
use crate::{
    AppendError, BatchItem, LogStore, Lookup, NotCommitted, PersonStore, SqliteTenant,
    StorageError, SubjectHead,
};
use vrx_domain::DoseOrigin;

#[tokio::test]
async fn a_crash_loses_no_entry_and_no_head_of_a_subject() {
    let (fixture, keep) = fresh().await;
    fixture.residents(2, 1).await;
    let subject = fixture.subject(1);
    fixture
        .append(vec![BatchItem {
            change: None,
            subject,
        }])
        .await
        .unwrap();
    let head = fixture.store.head().await.unwrap();
    let (fixture, _keep) = keep.crash_and_open(fixture).await;
    assert_eq!(fixture.store.head().await.unwrap(), head);
    let next = fixture
        .append(vec![BatchItem {
            change: None,
            subject,
        }])
        .await
        .unwrap();
    let expected = SubjectHead {
        seq: 1,
        last_index: head.size - 1,
    };
    assert_eq!(next.heads, [Some(expected)]);
    assert_eq!(
        fixture.found(1).await.doses.len(),
        1,
        "approvals are read back"
    );
}

#[tokio::test]
async fn heads_stay_right_while_they_are_written_behind() {
    let (fixture, keep) = fresh().await;
    let subjects: Vec<_> = (0..400).map(|nth| fixture.subject(nth)).collect();
    // Past what is gathered in memory, so that some stand in the table, some are being written, some wait.
    for _ in 0..25 {
        let mut items: Vec<BatchItem> = subjects
            .iter()
            .map(|subject| BatchItem {
                change: None,
                subject: *subject,
            })
            .collect();
        items.extend((0..600).map(|_| BatchItem {
            change: None,
            subject: fixture.nobody(),
        }));
        fixture.append(items).await.unwrap();
    }
    let last = |nth: u64| {
        Some(SubjectHead {
            seq: 25,
            last_index: 24 * 1_000 + nth,
        })
    };
    assert_eq!(
        fixture.store.subject_head(subjects[7]).await.unwrap(),
        last(7)
    );
    let (fixture, keep) = keep.crash_and_open(fixture).await;
    assert_eq!(
        fixture.store.subject_head(subjects[399]).await.unwrap(),
        last(399)
    );
    keep.sqlite.close().await.unwrap();
    let reopened = SqliteTenant::open_read_only(keep.options.clone())
        .await
        .unwrap();
    assert_eq!(reopened.subject_head(subjects[0]).await.unwrap(), last(0));
    let written: i64 = keep
        .intruder()
        .query_row("SELECT count(*) FROM subject_head", [], |row| row.get(0))
        .unwrap();
    assert_eq!(written, 400 + 25 * 600);
}

#[tokio::test]
async fn a_database_is_created_once_and_opened_by_its_own_tenant_alone() {
    let (_fixture, keep) = fresh().await;
    assert!(matches!(
        SqliteTenant::open(keep.options.clone()).await.err(),
        Some(StorageError::Locked { .. })
    ));
    keep.sqlite.close().await.unwrap();
    assert!(matches!(
        SqliteTenant::create(keep.options.clone()).await.err(),
        Some(StorageError::Place { .. })
    ));
    let mut other = keep.options.clone();
    other.tenant.id = vrx_domain::TenantId::from_bytes([2; 16]);
    assert_eq!(
        SqliteTenant::open(other).await.err(),
        Some(StorageError::OtherTenant)
    );
    let again = SqliteTenant::open(keep.options.clone()).await.unwrap();
    again.check_integrity().await.unwrap();
    again.close().await.unwrap();
    let mut elsewhere = keep.options.clone();
    elsewhere.state_dir = keep.folder.path().join("nowhere");
    assert!(matches!(
        SqliteTenant::open(elsewhere).await.err(),
        Some(StorageError::Place { .. })
    ));
}

#[tokio::test]
async fn a_reader_beside_the_serving_process_sees_the_log_and_writes_nothing() {
    let (fixture, keep) = fresh().await;
    fixture.residents(1, 1).await;
    let reader = SqliteTenant::open_read_only(keep.options.clone())
        .await
        .unwrap();
    let head = fixture.store.head().await.unwrap();
    assert_eq!(reader.head().await.unwrap(), head);
    assert_eq!(
        reader.entries(0, 100).await.unwrap().len() as u64,
        head.size
    );
    assert!(matches!(
        reader.lookup(&number(0)).await,
        Ok(Lookup::Found(_))
    ));
    assert_eq!(reader.canary().await, Err(StorageError::ReadOnly));
    let item = BatchItem {
        change: None,
        subject: fixture.nobody(),
    };
    let refused = reader.append(
        (head.size, head.root),
        vec![item].into(),
        Box::new(|_| Err(String::new())),
    );
    assert_eq!(
        refused.await,
        Err(AppendError::NotCommitted(NotCommitted::Closed))
    );
}

#[tokio::test]
async fn a_closed_handle_says_so() {
    let (fixture, keep) = fresh().await;
    keep.sqlite.close().await.unwrap();
    assert_eq!(fixture.store.head().await, Err(StorageError::Closed));
    assert_eq!(
        fixture.store.lookup(&number(1)).await.err(),
        Some(StorageError::Closed)
    );
    assert_eq!(fixture.store.canary().await, Err(StorageError::Closed));
    keep.sqlite.close().await.unwrap();
}

#[tokio::test]
async fn files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (fixture, keep) = fresh().await;
    fixture.residents(1, 1).await;
    let folder = keep.folder.path().join("142051");
    assert_eq!(
        std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[tokio::test]
async fn nothing_of_a_resident_stands_in_the_files() {
    let (fixture, keep) = fresh().await;
    fixture.residents(3, 2).await;
    let mut adopted = dose(0, 5);
    adopted.origin = DoseOrigin::Adopted {
        from: "141003".parse().unwrap(),
        log_index: 1,
    };
    keep.sqlite.close().await.unwrap();
    let needles = [
        String::from_utf8(number(1).digits().to_vec()).unwrap(),
        "見本".to_owned(),
        "EW4811".to_owned(),
        "0000000001".to_owned(),
    ];
    for file in std::fs::read_dir(keep.folder.path().join("142051")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for needle in &needles {
            let found = bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes());
            assert!(!found, "{needle}");
        }
    }
    drop(adopted);
    drop(fixture.random);
}
