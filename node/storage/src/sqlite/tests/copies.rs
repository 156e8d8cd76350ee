//! A tenant's copy out of a database and into another, and a database that is being moved.

use std::path::Path;

use async_trait::async_trait;
use vrx_domain::{InquiryId, MunicipalityCode, Tenant, TenantId, UnixMillis};
use zeroize::Zeroizing;

use super::{Keep, fresh};
use crate::conformance::{CHIEF, Fixture, dose_row, number, receipts, retention, row, witness};
use crate::copy::{
    Key, LOG_ENTRY, Next, Row, RowCounts, StreamReader, StreamWriter, TABLES, Table, TenantSink,
    TenantSource, Value, compare, copy, read_all,
};
use crate::sqlite::{SqliteMoving, SqliteReplacement, SqliteSource, SqliteTenant};
use crate::{
    BatchItem, Change, ImportKind, InquiryRecord, LogStore, Lookup, PeerCheckpoint, PersonStore,
    StorageError,
};

/// More rows than one reading takes, and at least one in every table.
async fn filled() -> (Fixture, Keep) {
    let (fixture, keep) = fresh().await;
    let import = fixture.begin(ImportKind::Persons).await;
    for from in [0, 400] {
        let rows: Vec<_> = (from..from + 400).map(row).collect();
        fixture.enter(import, rows).await;
    }
    let doses: Vec<_> = (0..200)
        .flat_map(|nth| [dose_row(nth, 1), dose_row(nth, 2)])
        .collect();
    fixture.enter_doses(import, doses).await;
    fixture.approve(import).await.unwrap();
    let inquiry = InquiryRecord {
        id: InquiryId::from_bytes([5; 16]),
        expires_at: UnixMillis(9_000),
        version: 1,
        body: Zeroizing::new(b"asked".to_vec()),
    };
    let inquiry = fixture.store.prepare_inquiry(&inquiry).await.unwrap();
    fixture.commit(inquiry).await.unwrap();
    let peer: MunicipalityCode = "141003".parse().unwrap();
    let checkpoint = Change::keep_peer_checkpoint(PeerCheckpoint {
        peer,
        size: 7,
        note: "a note\n".to_owned(),
    });
    fixture.commit(checkpoint).await.unwrap();
    for change in [
        Change::keep_receipt(receipts::receipt(7)),
        Change::recover_entry(receipts::recovered(8, 9)),
        Change::recovery_answered(receipts::answer("141003")),
    ] {
        fixture.commit(change).await.unwrap();
    }
    let store = &fixture.store;
    let swapped = store.swap_witnessed(None, witness::witnessed(7, 1)).await;
    assert!(swapped.unwrap());
    let cosigned = witness::cosigned(7, "a witness");
    store.keep_cosigned(cosigned).await.unwrap();
    let persons = fixture.store.spans(None, 3).await.unwrap();
    let listed = persons.iter().map(|person| person.id).collect();
    for change in [
        Change::propose_erasure(retention::run(0), listed, None),
        Change::place_hold(retention::hold(persons[0].id)),
    ] {
        fixture.commit(change).await.unwrap();
    }
    let about = |nth| BatchItem {
        change: None,
        subject: fixture.subject(nth),
    };
    for _ in 0..2 {
        fixture.append((0..300).map(about).collect()).await.unwrap();
    }
    for insert in [
        "INSERT INTO log_tile (tenant, level, idx, hashes) VALUES (142051, 0, 0, zeroblob(8192)), (142051, 0, 1, zeroblob(8192))",
        "INSERT INTO lost_log (tenant, origin, from_index, signed_size) VALUES (142051, 'vrx.test/municipality/142051/log/1', 5, 0)",
    ] {
        keep.intruder().execute(insert, []).unwrap();
    }
    (fixture, keep)
}

async fn source(keep: &Keep) -> SqliteSource {
    SqliteSource::open(keep.folder.path().to_owned(), keep.options.tenant)
        .await
        .unwrap()
}

async fn target(folder: &Path) -> SqliteReplacement {
    SqliteReplacement::begin(folder.to_owned(), Fixture::tenant())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_copy_is_the_same_rows_and_serves_like_its_source() {
    let (fixture, keep) = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let mut to = target(folder.path()).await;
    copy(&mut source(&keep).await, &mut to, &mut |_, _| Ok(()))
        .await
        .unwrap();
    let counts = compare(&mut source(&keep).await, &mut to, &mut |_, _| Ok(()))
        .await
        .unwrap();
    for (table, rows) in counts.iter() {
        assert!(rows > 0, "{}", table.name);
        assert_eq!(to.count(table).await.unwrap(), rows, "{}", table.name);
    }
    assert_eq!(to.put_in_place().await.unwrap(), None);

    let mut options = keep.options.clone();
    options.state_dir = folder.path().to_owned();
    let copied = SqliteTenant::open(options).await.unwrap();
    assert_eq!(
        copied.head().await.unwrap(),
        fixture.store.head().await.unwrap()
    );
    for nth in [0, 250, 799] {
        let (Lookup::Found(here), there) = (
            copied.lookup(&number(nth)).await.unwrap(),
            fixture.found(nth).await,
        ) else {
            panic!("{nth} isn't in the copy");
        };
        assert_eq!(here.doses.len(), there.doses.len());
        let subject = fixture.subject(nth);
        assert_eq!(
            copied.subject_head(subject).await.unwrap(),
            fixture.store.subject_head(subject).await.unwrap()
        );
    }
    copied.close().await.unwrap();
}

#[tokio::test]
async fn a_source_sees_the_state_in_which_it_was_opened() {
    let (fixture, keep) = filled().await;
    let mut before = source(&keep).await;
    let head = fixture.store.head().await.unwrap();
    fixture.residents_more().await;
    let counts = read_all(&mut before, &mut |_, _| Ok(())).await.unwrap();
    assert_eq!(counts.of(LOG_ENTRY), head.size);
    let now = read_all(&mut source(&keep).await, &mut |_, _| Ok(()))
        .await
        .unwrap();
    assert!(now.of(TABLES[1]) > counts.of(TABLES[1]));
}

/// A sink that ends after so many rows of one table.
struct Ending<'a> {
    sink: &'a mut SqliteReplacement,
    table: &'static Table,
    after: usize,
}

#[async_trait]
impl TenantSource for Ending<'_> {
    fn tenant(&self) -> Tenant {
        self.sink.tenant()
    }
    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.sink.count(table).await
    }
    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        self.sink.rows(table, after).await
    }
}

#[async_trait]
impl TenantSink for Ending<'_> {
    async fn last(&mut self, table: &'static Table) -> Result<Option<Key>, StorageError> {
        self.sink.last(table).await
    }
    async fn put(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StorageError> {
        if table != self.table {
            return self.sink.put(table, rows).await;
        }
        let rows = &rows[..rows.len().min(self.after)];
        self.after -= rows.len();
        self.sink.put(table, rows).await?;
        if self.after == 0 {
            Err(StorageError::Closed)
        } else {
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_copy_that_ended_in_any_table_goes_on_where_it_ended() {
    let (_fixture, keep) = filled().await;
    for table in TABLES {
        for after in [0, 1, 150] {
            let folder = tempfile::tempdir().unwrap();
            let mut to = target(folder.path()).await;
            let mut ending = Ending {
                sink: &mut to,
                table,
                after,
            };
            let ended = copy(&mut source(&keep).await, &mut ending, &mut |_, _| Ok(())).await;
            // A table shorter than that is copied whole.
            assert!(
                ended.is_err() || source(&keep).await.count(table).await.unwrap() < after as u64
            );
            copy(&mut source(&keep).await, &mut to, &mut |_, _| Ok(()))
                .await
                .unwrap();
            compare(&mut source(&keep).await, &mut to, &mut |_, _| Ok(()))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_row_that_is_missing_changed_or_added_is_found_by_the_comparison() {
    let (_fixture, keep) = filled().await;
    for spoil in [
        "DELETE FROM person_tag WHERE tag = (SELECT min(tag) FROM person_tag)",
        "DELETE FROM log_entry WHERE idx = (SELECT max(idx) FROM log_entry)",
        "UPDATE dose_revision SET log_index = log_index + 1 WHERE person_id = (SELECT max(person_id) FROM dose_revision)",
        "INSERT INTO log_tile (tenant, level, idx, hashes) VALUES (142051, 1, 0, zeroblob(8192))",
        "UPDATE log_head SET checkpoint = NULL",
        "UPDATE person SET number = zeroblob(3) WHERE person_id = (SELECT max(person_id) FROM person)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut to = target(folder.path()).await;
        copy(&mut source(&keep).await, &mut to, &mut |_, _| Ok(()))
            .await
            .unwrap();
        let file = folder.path().join("142051/vrx.db.restored");
        let intruder = rusqlite::Connection::open(&file).unwrap();
        assert!(intruder.execute(spoil, []).unwrap() > 0, "{spoil}");
        let compared = compare(&mut source(&keep).await, &mut to, &mut |_, _| Ok(())).await;
        assert!(
            matches!(compared, Err(StorageError::Inconsistent { .. })),
            "{spoil}"
        );
    }
}

#[tokio::test]
async fn a_copy_of_another_tenant_is_refused() {
    let (_fixture, keep) = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let other = Tenant {
        id: TenantId::from_bytes([2; 16]),
        ..Fixture::tenant()
    };
    let mut to = SqliteReplacement::begin(folder.path().to_owned(), other)
        .await
        .unwrap();
    let copied = copy(&mut source(&keep).await, &mut to, &mut |_, _| Ok(())).await;
    assert_eq!(copied, Err(StorageError::OtherTenant));
    let meta = Row(vec![Value::Bytes(vec![1; 16]), Value::Integer(16)]);
    assert_eq!(
        to.put(TABLES[0], &[meta]).await,
        Err(StorageError::OtherTenant)
    );
    let opened = SqliteSource::open(keep.folder.path().to_owned(), other).await;
    assert_eq!(opened.err(), Some(StorageError::OtherTenant));
}

#[tokio::test]
async fn what_stood_there_is_moved_aside_with_its_write_ahead_log() {
    let (fixture, keep) = filled().await;
    let mut before = source(&keep).await;
    let folder = keep.folder.path().to_owned();
    let refused = SqliteReplacement::begin(folder.clone(), keep.options.tenant).await;
    assert!(
        matches!(refused.err(), Some(StorageError::Locked { .. })),
        "it is being served"
    );
    let Keep {
        sqlite,
        folder: _held,
        ..
    } = keep;
    drop(fixture);
    drop(sqlite); // as after a crash: the write-ahead log stays
    let mut to = target(&folder).await;
    copy(&mut before, &mut to, &mut |_, _| Ok(()))
        .await
        .unwrap();
    let aside = to.put_in_place().await.unwrap().unwrap();
    assert!(aside.ends_with("vrx.db.replaced-0") && aside.exists());
    assert!(!folder.join("142051/vrx.db-wal").exists());
    let mut now = SqliteSource::open(folder, Fixture::tenant()).await.unwrap();
    compare(&mut before, &mut now, &mut |_, _| Ok(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_being_moved_is_served_again_only_when_it_is_given_back() {
    let (fixture, keep) = fresh().await;
    let begin = || {
        SqliteMoving::begin(
            keep.folder.path().to_owned(),
            keep.options.tenant,
            "cluster".to_owned(),
        )
    };
    assert!(matches!(
        begin().await.err(),
        Some(StorageError::Locked { .. })
    ));
    fixture.store.canary().await.unwrap();
    keep.sqlite.close().await.unwrap();
    drop(begin().await.unwrap());
    let refused = SqliteTenant::open(keep.options.clone()).await.err();
    assert!(
        matches!(refused, Some(StorageError::Place { .. })),
        "{refused:?}"
    );
    let refused =
        SqliteReplacement::begin(keep.folder.path().to_owned(), keep.options.tenant).await;
    assert!(matches!(refused.err(), Some(StorageError::Place { .. })));
    source(&keep).await;
    begin().await.unwrap().abandon().await.unwrap();
    SqliteTenant::open(keep.options.clone()).await.unwrap();
}

#[tokio::test]
async fn a_stream_carries_the_same_rows() {
    let (_fixture, keep) = filled().await;
    let mut from = source(&keep).await;
    let mut writer = StreamWriter::begin(Vec::new(), &from.tenant()).unwrap();
    read_all(&mut from, &mut |table, rows| {
        writer.rows(table, rows).map_err(|_| StorageError::Full)
    })
    .await
    .unwrap();
    let (bytes, written) = writer.end().unwrap();
    let mut reader = StreamReader::begin(bytes.as_slice()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut to = target(folder.path()).await;
    let counts: RowCounts = loop {
        match reader.next().unwrap() {
            Next::Rows(table, rows) => to.put(table, &rows).await.unwrap(),
            Next::End(counts) => break counts,
        }
    };
    assert_eq!(counts, written);
    compare(&mut from, &mut to, &mut |_, _| Ok(()))
        .await
        .unwrap();
}

impl Fixture {
    /// Three more residents, by another import.
    async fn residents_more(&self) {
        let import = self.begin(ImportKind::Persons).await;
        self.enter(import, [row(900), row(901), row(902)]).await;
        let approve = Change::approve_import(import, CHIEF.to_owned(), UnixMillis(3_000));
        self.commit(approve).await.unwrap();
    }
}
