//! Backups of a real tenant with a real log, brought back, spoilt, and older than what was signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::x25519::Identity;
use vrx_domain::audit::{desk_actor, desk_content};
use vrx_domain::{Caller, Clock, EntryKind, Members, Random, Role, SpiffeId, Tenant, UnixMillis};
use vrx_provision_log::{
    Deadline, Depth, Entry, LogOptions, LogReader, MissingKept, ProvisionLog, Subject,
};
use vrx_storage::conformance::{CHIEF, CLERK, dose_row, number, row};
use vrx_storage::copy::{Key, LOG_ENTRY, Row, TABLES, Table, TenantSource, Value};
use vrx_storage::{
    Change, ImportHeader, ImportKind, LogStore, Lookup, LostLog, PersonStore, ReceiptStore,
    SqliteOptions, SqliteReplacement, SqliteSource, SqliteTenant, StorageError,
};
use vrx_testkit::TestTenant;

use super::*;
use crate::failure::ExitCode;

mod older;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A tenant with a log, and the folder for its backups.
struct World {
    tenant: TestTenant,
    backups: tempfile::TempDir,
    identity: Identity,
}

impl World {
    async fn new(entries: usize) -> Self {
        let world = Self {
            tenant: TestTenant::create("142051", Members::default()).await,
            backups: tempfile::tempdir().unwrap(),
            identity: Identity::generate(),
        };
        world.record(entries).await;
        world
    }

    async fn record(&self, entries: usize) {
        let recorded = (0..entries).map(|nth| self.entry(nth));
        for one in futures_util::future::join_all(recorded).await {
            one.unwrap();
        }
    }

    async fn entry(&self, nth: usize) -> Result<(), vrx_provision_log::RecordError> {
        self.change(nth, None).await
    }

    async fn change(
        &self,
        nth: usize,
        change: Option<Change>,
    ) -> Result<(), vrx_provision_log::RecordError> {
        let id =
            SpiffeId::new("vrx.test", self.tenant.tenant().code, Role::Exchange, None).unwrap();
        let caller = Caller {
            id,
            fingerprint: [0; 32],
            spki: [0; 32],
        };
        let entry = Entry {
            kind: EntryKind::Desk,
            actor: desk_actor(&caller, "test"),
            subject: Subject::Unknown,
            content: desk_content(&[("nth", &nth.to_string())]),
        };
        let log = &self.tenant.services.log;
        log.record(entry, change, (), Deadline::after(PATIENCE))
            .await
            .map(drop)
    }

    fn plan(&self) -> BackupPlan {
        BackupPlan {
            folder: self.backups.path().to_owned(),
            recipients: vec![self.identity.to_public()],
            keep: 10,
        }
    }

    fn state_dir(&self) -> PathBuf {
        self.tenant.folder().join("state")
    }

    async fn back_up(&self, at: u64) -> BackedUp {
        let mut source = SqliteSource::open(self.state_dir(), self.tenant.tenant())
            .await
            .unwrap();
        back_up(
            &mut source,
            &self.plan(),
            UnixMillis(1_700_000_000_000 + at * 1000),
        )
        .await
        .unwrap()
    }

    fn log(&self) -> LogOptions {
        let clock: Arc<dyn Clock> = self.tenant.clock.clone();
        let random: Arc<dyn Random> = self.tenant.random.clone();
        let kept = self.tenant.folder().join("kept.checkpoint");
        LogOptions::new(self.tenant.tenant(), "vrx.test", kept, clock, random)
    }

    fn restoring<'a>(
        &'a self,
        backup: &BackedUp,
        log: &'a LogOptions,
        destroyed: &'a Destroyed,
        epoch: Epoch,
    ) -> Restoring<'a> {
        Restoring {
            backup: backup.file.clone(),
            manifest: Manifest::read(&backup.file).unwrap(),
            identity: self.identity.clone(),
            log,
            keyring: &self.tenant.services.keyring,
            destroyed,
            epoch,
        }
    }

    /// Restores into a folder of its own.
    async fn restore(
        &self,
        backup: &BackedUp,
        epoch: Epoch,
        into: &Path,
    ) -> Result<Restored, Failure> {
        let (log, destroyed) = (self.log(), Destroyed::default());
        let mut sink = SqliteReplacement::begin(into.to_owned(), self.tenant.tenant())
            .await
            .unwrap();
        let restored = restore(self.restoring(backup, &log, &destroyed, epoch), &mut sink).await?;
        sink.put_in_place().await.unwrap();
        Ok(restored)
    }

    async fn open(&self, state_dir: &Path) -> Arc<SqliteTenant> {
        let services = &self.tenant.services;
        let random: Arc<dyn Random> = self.tenant.random.clone();
        let options = SqliteOptions {
            state_dir: state_dir.to_owned(),
            tenant: self.tenant.tenant(),
            keyring: Arc::clone(&services.keyring),
            random,
        };
        Arc::new(SqliteTenant::open(options).await.unwrap())
    }
}

fn nothing_stands(folder: &Path) -> bool {
    !folder.join("142051/vrx.db").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_while_entries_are_written_comes_back_whole() {
    let world = World::new(600).await;
    let (backup, ()) = tokio::join!(world.back_up(0), world.record(300));
    let size = backup.manifest.log.size;
    assert!((601..=901).contains(&size), "{size}");
    let folder = tempfile::tempdir().unwrap();
    // What was written after the backup began was signed and kept: only a new epoch takes such a log.
    world
        .tenant
        .services
        .log
        .shutdown(Deadline::after(PATIENCE))
        .await;
    let kept = world.log().kept_checkpoint;
    let newest = std::fs::read_to_string(&kept).unwrap();
    let restored = if size == 901 {
        world.restore(&backup, Epoch::Same, folder.path()).await
    } else {
        let refused = world.restore(&backup, Epoch::Same, folder.path()).await;
        assert_eq!(refused.err().unwrap().code, ExitCode::StorageRefused);
        assert!(nothing_stands(folder.path()));
        std::fs::remove_file(&kept).unwrap();
        world.restore(&backup, Epoch::Same, folder.path()).await
    };
    restored.unwrap();
    let store = world.open(folder.path()).await;
    let mut options = world.log();
    options.missing_kept = MissingKept::Accept;
    let log_store: Arc<dyn LogStore> = store.clone();
    let reader = LogReader::open(log_store, world.tenant.services.keyring.clone(), &options)
        .await
        .unwrap();
    let report = reader
        .verify_all(Depth::Openings, &mut |_, _| ())
        .await
        .unwrap();
    assert!(report.is_whole(), "{:?}", report.fault);
    assert_eq!(report.entries, size);
    std::fs::write(&kept, newest).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_says_where_the_log_stands_and_nothing_personal() {
    let world = World::new(10).await;
    let backup = world.back_up(0).await;
    let checkpoint = world.tenant.services.log.checkpoint();
    assert_eq!(backup.manifest.log.size, checkpoint.size());
    assert_eq!(backup.manifest.log.root, hex::encode(checkpoint.root()));
    let (sha256, bytes) = file::hash(&backup.file).unwrap();
    assert_eq!(backup.manifest.sha256, hex::encode(sha256));
    assert_eq!(backup.manifest.bytes, bytes);
    assert_eq!(backup.manifest.rows["log_entry"], 11);
    assert_eq!(backup.manifest.rows.len(), TABLES.len());
    let text = std::fs::read(&backup.file).unwrap();
    assert!(text.starts_with(b"age-encryption.org/v1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_a_short_and_a_foreign_backup_are_refused_before_anything_is_replaced() {
    let world = World::new(40).await;
    let backup = world.back_up(0).await;
    let whole = std::fs::read(&backup.file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(Manifest::path(&backup.file)).unwrap();
    let mut spoilt = whole.clone();
    spoilt[whole.len() / 2] ^= 1;
    for bytes in [&spoilt[..], &whole[..whole.len() - 1], &whole[..200], b""] {
        std::fs::write(&backup.file, bytes).unwrap();
        let refused = world
            .restore(&backup, Epoch::Same, folder.path())
            .await
            .err()
            .unwrap();
        assert!(
            refused.message.contains("not the file of its manifest"),
            "{refused}"
        );
        // Whoever changes the file can change its manifest too.
        let (sha256, length) = file::hash(&backup.file).unwrap();
        let mut forged = backup.manifest.clone();
        (forged.sha256, forged.bytes) = (hex::encode(sha256), length);
        forged.write(&backup.file).unwrap();
        let refused = world
            .restore(&backup, Epoch::Same, folder.path())
            .await
            .err()
            .unwrap();
        assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
        assert!(nothing_stands(folder.path()));
        std::fs::write(Manifest::path(&backup.file), &manifest).unwrap();
    }
    std::fs::write(&backup.file, &whole).unwrap();
    let other = World {
        identity: Identity::generate(),
        ..world
    };
    let refused = other
        .restore(&backup, Epoch::Same, folder.path())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    assert!(nothing_stands(folder.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_manifest_names_another_log_is_refused() {
    let world = World::new(20).await;
    let backup = world.back_up(0).await;
    let folder = tempfile::tempdir().unwrap();
    for change in [
        |manifest: &mut Manifest| manifest.log.size += 1,
        |manifest: &mut Manifest| manifest.log.root = hex::encode([0; 32]),
        |manifest: &mut Manifest| manifest.log.epoch = 2,
        |manifest: &mut Manifest| *manifest.rows.get_mut("person").unwrap() += 1,
    ] {
        let mut forged = backup.manifest.clone();
        change(&mut forged);
        forged.write(&backup.file).unwrap();
        let refused = world
            .restore(&backup, Epoch::Same, folder.path())
            .await
            .err()
            .unwrap();
        assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
        assert!(nothing_stands(folder.path()));
    }
}

/// A database whose entry 7 was changed.
struct Damaged(SqliteSource);

#[async_trait::async_trait]
impl TenantSource for Damaged {
    fn tenant(&self) -> Tenant {
        self.0.tenant()
    }
    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError> {
        self.0.count(table).await
    }
    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError> {
        let mut rows = self.0.rows(table, after).await?;
        if table == LOG_ENTRY && after.is_none() {
            let Value::Bytes(leaf) = &mut rows[7].0[5] else {
                panic!("an entry has a leaf");
            };
            leaf[100] ^= 1;
        }
        Ok(rows)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_not_backed_up_and_the_older_backups_stay() {
    let world = World::new(20).await;
    world.back_up(0).await;
    let tenant = world.tenant.tenant();
    let state_dir = world.state_dir();
    let mut source = Damaged(SqliteSource::open(state_dir, tenant).await.unwrap());
    let plan = BackupPlan {
        keep: 1,
        ..world.plan()
    };
    let refused = back_up(&mut source, &plan, UnixMillis(1_700_000_100_000))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code, ExitCode::StorageRefused, "{refused}");
    let mut names: Vec<String> = std::fs::read_dir(&plan.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}"); // a lock, a backup, its manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eleven_generations_ten_stay() {
    let world = World::new(2).await;
    let mut made = Vec::new();
    for at in 0..11 {
        made.push(world.back_up(at).await.file);
    }
    let stays: Vec<bool> = made
        .iter()
        .map(|file| file.exists() && Manifest::path(file).exists())
        .collect();
    assert_eq!(stays, [vec![false], vec![true; 10]].concat());
    assert!(!made[0].exists() && !Manifest::path(&made[0]).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_read_as_age_keygen_writes_it() {
    use age::secrecy::ExposeSecret;
    let key = Identity::generate();
    let text = format!(
        "# created: 2026-11-25\n# public key: {}\n{}\n",
        key.to_public(),
        key.to_string().expose_secret()
    );
    let read = identity(&mut text.as_bytes()).unwrap();
    assert_eq!(read.to_public().to_string(), key.to_public().to_string());
    for wrong in ["", "# nothing\n", "age1abc\n"] {
        assert!(identity(&mut wrong.as_bytes()).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whose_keys_were_destroyed_does_not_come_back() {
    let world = World::new(0).await;
    let id = vrx_domain::ImportId::from_bytes([3; 16]);
    let header = ImportHeader {
        id,
        kind: ImportKind::Persons,
        entered_by: CLERK.to_owned(),
        entered_at: UnixMillis(1_000),
        digest: [7; 32],
    };
    let store = &world.tenant.store;
    world
        .change(0, Some(Change::create_import(header)))
        .await
        .unwrap();
    let rows: Vec<_> = (0..3).map(row).collect();
    let persons = store.prepare_persons(id, rows.into()).await.unwrap();
    world.change(1, persons.change).await.unwrap();
    let doses: Vec<_> = (0..3)
        .flat_map(|nth| [dose_row(nth, 1), dose_row(nth, 2)])
        .collect();
    let doses = store.prepare_doses(id, doses.into()).await.unwrap();
    world.change(2, doses.change).await.unwrap();
    let approve = Change::approve_import(id, CHIEF.to_owned(), UnixMillis(2_000));
    world.change(3, Some(approve)).await.unwrap();
    let backup = world.back_up(0).await;
    let Lookup::Found(gone) = store.lookup(&number(1)).await.unwrap() else {
        panic!("person 1 was entered");
    };
    assert!(
        world
            .tenant
            .services
            .log
            .shutdown(Deadline::after(PATIENCE))
            .await
    );

    let list = world.backups.path().join("destroyed.list");
    std::fs::write(&list, format!("{} {}\n", world.tenant.tenant().id, gone.id)).unwrap();
    let destroyed = Destroyed::read(&list, &world.tenant.tenant(), CutOff::Refuse).unwrap();
    let log = world.log();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = SqliteReplacement::begin(folder.path().to_owned(), world.tenant.tenant())
            .await
            .unwrap();
        let restoring = world.restoring(&backup, &log, &destroyed, Epoch::Same);
        let restored = restore(restoring, &mut sink).await.unwrap();
        assert!(restored.to_string().contains("were left out"), "{restored}");
        sink.put_in_place().await.unwrap();
        let store = world.open(folder.path()).await;
        assert!(matches!(
            store.lookup(&number(1)).await.unwrap(),
            Lookup::Unknown
        ));
        for nth in [0, 2] {
            let Lookup::Found(stays) = store.lookup(&number(nth)).await.unwrap() else {
                panic!("person {nth} stays");
            };
            assert_eq!(stays.doses.len(), 2);
        }
        store.close().await.unwrap();
        let key = gone.id.as_bytes().to_vec();
        let file = std::fs::read(folder.path().join("142051/vrx.db")).unwrap();
        assert!(
            !file.windows(key.len()).any(|window| window == key),
            "an id is left in the file"
        );
    }
}
