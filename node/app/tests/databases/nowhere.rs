//! Erased is nowhere: not in the database's files, its write-ahead log and free pages, not in what a restore makes of an older
//! backup, and after the final date in no backup. Ciphertexts say nothing when they are searched for plaintext, so the bytes of
//! the wrapped keys, tags, bodies and openings themselves are searched for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use age::x25519::Identity;
use memchr::memmem;
use tokio::sync::mpsc;
use vrx_crypto::Context;
use vrx_domain::audit::{desk_content, exchange_subject};
use vrx_domain::{
    Caller, Cause, Clock, EntryKind, ImportId, Members, PersonId, Random, Role, SpiffeId,
    UnixMillis,
};
use vrx_node::backup::{
    BackupPlan, CutOff, Destroyed, DestroyedFile, Epoch, Manifest, Restoring, back_up, restore,
};
use vrx_provision_log::{
    Deadline, Depth, Entry, Fault, LogOptions, LogReader, MissingKept, Subject,
};
use vrx_services::TenantServices;
use vrx_services::retention::{Advanced, Earlier, ErasureStage, advance, approve, list, propose};
use vrx_storage::conformance::{CHIEF, CLERK, dose_row, number, row};
use vrx_storage::copy::{TABLES, TenantSource};
use vrx_storage::postgres::{PostgresSource, Rewritten};
use vrx_storage::{
    Change, ImportHeader, ImportKind, Lookup, SqliteOptions, SqliteReplacement, SqliteSource,
    SqliteTenant, SubjectTag, waits_for_rewriting,
};
use vrx_testkit::TestTenant;
use vrx_testkit::postgres::{PostgresServer, ServerOptions, TestDatabase};

use crate::{cluster, owner};

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Residents 0 to 2 are over by then; resident 9 lives here.
pub(crate) const GONE: [u64; 3] = [0, 1, 2];
pub(crate) const STAYS: u64 = 9;
/// The first of January 2030 in Japan.
pub(crate) const THEN: u64 = 1_893_423_600_000;
pub(crate) const DAY: u64 = 24 * 3_600_000;

/// A tenant with residents and an answer about each, its list of what was destroyed, and a folder for backups.
pub(crate) struct Town {
    pub(crate) tenant: TestTenant,
    pub(crate) services: Arc<TenantServices>,
    keyrings: tempfile::TempDir,
    backups: tempfile::TempDir,
    identity: Identity,
}

impl Town {
    pub(crate) async fn new(tenant: TestTenant) -> Self {
        let keyrings = tempfile::tempdir().unwrap();
        let own = &tenant.services;
        let services = Arc::new(TenantServices {
            destroyed: Arc::new(DestroyedFile::new(keyrings.path(), None, own.tenant)),
            ..TenantServices::clone(own)
        });
        let town = Self {
            tenant,
            services,
            keyrings,
            backups: tempfile::tempdir().unwrap(),
            identity: Identity::generate(),
        };
        town.enter().await;
        for nth in GONE.into_iter().chain([STAYS]) {
            town.answer(nth).await;
        }
        town
    }

    pub(crate) async fn record(&self, kind: EntryKind, subject: Subject, change: Option<Change>) {
        let entry = Entry {
            kind,
            actor: desk_content(&[]),
            subject,
            content: desk_content(&[]),
        };
        let log = &self.services.log;
        let recorded = log.record(entry, change, (), Deadline::after(PATIENCE));
        recorded.await.unwrap();
    }

    async fn enter(&self) {
        let id = ImportId::from_bytes([3; 16]);
        let header = ImportHeader {
            id,
            kind: ImportKind::Persons,
            entered_by: CLERK.to_owned(),
            entered_at: UnixMillis(1_000),
            digest: [7; 32],
        };
        let change = |change| self.record(EntryKind::Desk, Subject::Unknown, Some(change));
        change(Change::create_import(header)).await;
        let mut rows: Vec<_> = GONE.into_iter().chain([STAYS]).map(row).collect();
        rows.last_mut().unwrap().person.ceased_resident = None;
        let store = &self.tenant.store;
        let persons = store.prepare_persons(id, rows.into()).await.unwrap();
        change(persons.change.unwrap()).await;
        let doses: Vec<_> = GONE
            .into_iter()
            .chain([STAYS])
            .flat_map(|nth| [dose_row(nth, 1), dose_row(nth, 2)])
            .collect();
        let doses = store.prepare_doses(id, doses.into()).await.unwrap();
        change(doses.change.unwrap()).await;
        let approve = Change::approve_import(id, CHIEF.to_owned(), UnixMillis(2_000));
        change(approve).await;
    }

    /// An entry as an answer about a resident leaves it.
    pub(crate) async fn answer(&self, nth: u64) {
        let tags = self
            .services
            .keyring
            .tags(vrx_crypto::TagKind::Subject, number(nth).digits());
        let subject = Subject::Known {
            tag: SubjectTag(tags.active().1.0),
            fields: exchange_subject(&number(nth), &Cause::Provided),
        };
        self.record(EntryKind::Exchange, subject, None).await;
    }

    pub(crate) async fn person(&self, nth: u64) -> Option<PersonId> {
        match self.tenant.store.lookup(&number(nth)).await.unwrap() {
            Lookup::Found(record) => Some(record.id),
            Lookup::Unknown => None,
            Lookup::Mismatch { .. } => panic!("a tag leads astray"),
        }
    }

    pub(crate) fn officer(&self, name: &str) -> Caller {
        let code = self.services.tenant.code;
        Caller {
            id: SpiffeId::new("vrx.test", code, Role::Officer, Some(name)).unwrap(),
            fingerprint: [0; 32],
            spki: [0; 32],
        }
    }

    /// Both clocks end, two officers decide.
    pub(crate) async fn decide(&self) {
        self.tenant.clock.set(UnixMillis(THEN));
        let (progress, _) = mpsc::channel(1);
        let (mori, kato) = (self.officer("mori"), self.officer("kato"));
        let deadline = || Deadline::after(PATIENCE);
        let proposed = propose(&self.services, &mori, Earlier::Stands, progress, deadline()).await;
        let proposed = proposed.unwrap().into_parts().0;
        assert_eq!(
            (proposed.plan.counts.persons, proposed.plan.counts.doses),
            (3, 6)
        );
        approve(&self.services, &kato, proposed.id, deadline())
            .await
            .unwrap();
    }

    pub(crate) async fn work(&self) -> Advanced {
        loop {
            match advance(&self.services).await.unwrap() {
                Advanced::Step => {}
                other => return other,
            }
        }
    }

    /// What must be nowhere: the bytes of these people's rows, as they stand in the database.
    async fn planted(&self, source: &mut dyn TenantSource) -> Planted {
        let mut persons = Vec::new();
        for nth in GONE {
            persons.push(self.person(nth).await.unwrap());
        }
        let mut planted = Planted {
            needles: persons.iter().map(|id| id.as_bytes().to_vec()).collect(),
            wrapped: Vec::new(),
            bodies: Vec::new(),
        };
        for table in TABLES {
            for row in source.rows(table, None).await.unwrap() {
                let owner = table.person.and_then(|column| row.bytes(column));
                let owner = owner.and_then(|id| persons.iter().find(|own| own.as_bytes() == id));
                let taken: &[usize] = match (table.name, owner) {
                    ("person", Some(owner)) => {
                        planted
                            .wrapped
                            .push((*owner, row.bytes(1).unwrap().to_vec()));
                        &[1, 2]
                    }
                    ("person_revision", Some(owner)) => {
                        planted
                            .bodies
                            .push((*owner, row.bytes(4).unwrap().to_vec()));
                        &[4]
                    }
                    ("dose_revision", Some(_)) => &[5],
                    ("person_tag", Some(_)) => &[2],
                    ("log_entry", _) if row.unsigned(2) == Some(1) => &[3, 6, 7],
                    _ => &[],
                };
                for column in taken {
                    // A long value may go on elsewhere; its beginning is as good as a name.
                    let bytes = row.bytes(*column).unwrap();
                    planted.needles.push(bytes[..bytes.len().min(40)].to_vec());
                }
            }
        }
        assert_eq!(planted.wrapped.len(), 3);
        planted
    }

    async fn back_up(&self, source: &mut dyn TenantSource, now: u64) -> PathBuf {
        let plan = BackupPlan {
            folder: self.backups.path().to_owned(),
            recipients: vec![self.identity.to_public()],
            keep: 10,
        };
        back_up(source, &plan, UnixMillis(now)).await.unwrap().file
    }

    /// The folder of the list of what was destroyed.
    pub(crate) fn keyrings(&self) -> &Path {
        self.keyrings.path()
    }

    pub(crate) fn destroyed(&self) -> Destroyed {
        let list = Destroyed::path(self.keyrings.path());
        Destroyed::read(&list, &self.services.tenant, CutOff::Refuse).unwrap()
    }

    /// Brings an older backup back, elsewhere.
    async fn restore(&self, backup: PathBuf) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let tenant = self.services.tenant;
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
            (self.tenant.clock.clone(), self.tenant.random.clone());
        let kept = folder.path().join("kept.checkpoint");
        let log = LogOptions::new(tenant, "vrx.test", kept, clock, random);
        let destroyed = self.destroyed();
        let restoring = Restoring {
            manifest: Manifest::read(&backup).unwrap(),
            backup,
            identity: self.identity.clone(),
            log: &log,
            keyring: &self.services.keyring,
            destroyed: &destroyed,
            epoch: Epoch::Same,
        };
        let mut sink = SqliteReplacement::begin(folder.path().join("state"), tenant)
            .await
            .unwrap();
        let restored = restore(restoring, &mut sink).await.unwrap();
        assert!(restored.to_string().contains("8 openings"), "{restored}");
        sink.put_in_place().await.unwrap();
        self.assert_list_explains(&folder, log, &destroyed).await;
        folder
    }

    /// The log there doesn't say what was erased after it; the list does.
    async fn assert_list_explains(
        &self,
        folder: &tempfile::TempDir,
        mut log: LogOptions,
        destroyed: &Destroyed,
    ) {
        let keyring = &self.services.keyring;
        let options = SqliteOptions {
            state_dir: folder.path().join("state"),
            tenant: self.services.tenant,
            keyring: Arc::clone(keyring),
            random: self.tenant.random.clone(),
        };
        let store = Arc::new(SqliteTenant::open_read_only(options).await.unwrap());
        log.missing_kept = MissingKept::Accept;
        let reader = LogReader::open(store.clone(), Arc::clone(keyring), &log).await;
        let reader = reader.unwrap();
        let fault = async |listed| {
            let deadline = Deadline::after(PATIENCE);
            reader
                .verify_blanks(&*store, listed, deadline)
                .await
                .unwrap()
        };
        let listed = destroyed.openings(1);
        assert_eq!(fault(&listed).await, None);
        assert!(matches!(fault(&[]).await, Some(Fault::Blanks { .. })));
        drop(reader);
        store.close().await.unwrap();
    }

    /// Everything after the erasure, but the files of the database itself.
    async fn assert_over(&self, planted: &Planted, older: PathBuf, source: &mut dyn TenantSource) {
        for nth in GONE {
            assert_eq!(self.person(nth).await, None);
        }
        assert!(self.person(STAYS).await.is_some());
        let report = self.services.log.reader();
        let report = report.verify_all(Depth::Openings, &mut |_, _| {}).await;
        let report = report.unwrap();
        assert_eq!(report.fault, None);
        assert!(report.erased >= 4);
        let officer = self.officer("mori");
        let runs = list(&self.services, &officer, Deadline::after(PATIENCE)).await;
        let run = runs.unwrap().into_parts().0.runs.remove(0);
        assert_eq!(run.stage, ErasureStage::Recorded);
        assert_eq!(run.done.persons, 3);
        self.assert_opens_with_nothing_left(planted, source).await;

        let restored = self.restore(older.clone()).await;
        assert_eq!(planted.found_in(restored.path()), Vec::<usize>::new());
        // The final date: the older backup goes when one is made that late, however few there are.
        assert!(older.exists());
        self.back_up(source, THEN + 35 * DAY).await;
        assert!(!older.exists() && !Manifest::path(&older).exists());
    }

    /// The sealed bodies of before open with the keys of before, and with none that is left.
    async fn assert_opens_with_nothing_left(
        &self,
        planted: &Planted,
        source: &mut dyn TenantSource,
    ) {
        let (keyring, tenant) = (&self.services.keyring, self.services.tenant.id);
        let persons = TABLES.iter().find(|table| table.name == "person").unwrap();
        let mut left = Vec::new();
        for row in source.rows(persons, None).await.unwrap() {
            let id = PersonId::from_bytes(row.bytes(0).unwrap().try_into().unwrap());
            left.push(
                keyring
                    .unwrap_person_key(id, row.bytes(1).unwrap())
                    .unwrap(),
            );
        }
        assert!(left.len() > 1);
        for (owner, body) in &planted.bodies {
            let opens = |key: &vrx_crypto::PersonKey| {
                key.open(
                    &tenant,
                    Context::PersonBody,
                    *owner.as_bytes(),
                    *owner,
                    body,
                )
                .is_ok()
            };
            let (_, wrapped) = planted.wrapped.iter().find(|(id, _)| id == owner).unwrap();
            let own = keyring.unwrap_person_key(*owner, wrapped).unwrap();
            assert!(opens(&own), "with the key of before");
            assert!(!left.iter().any(opens));
            assert!(
                keyring
                    .open_record(Context::PersonBody, *owner.as_bytes(), body)
                    .is_err()
            );
        }
    }
}

/// Bytes to be searched for, and what they were.
struct Planted {
    needles: Vec<Vec<u8>>,
    wrapped: Vec<(PersonId, Vec<u8>)>,
    bodies: Vec<(PersonId, Vec<u8>)>,
}

impl Planted {
    /// Which of them stand in a file of a folder, by their places.
    fn found_in(&self, folder: &Path) -> Vec<usize> {
        let mut found = Vec::new();
        for file in files(folder) {
            // A file may go while the server works.
            let Ok(bytes) = fs::read(&file) else { continue };
            let there = self.needles.iter().enumerate();
            let there = there.filter(|(_, needle)| memmem::find(&bytes, needle).is_some());
            found.extend(there.map(|(nth, _)| nth));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn all(&self) -> Vec<usize> {
        (0..self.needles.len()).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_nowhere_in_sqlite() {
    let town = Town::new(TestTenant::create("142051", Members::default()).await).await;
    let folder = town.tenant.folder().to_owned();
    let source = || async {
        SqliteSource::open(folder.join("state"), town.services.tenant)
            .await
            .unwrap()
    };
    let planted = town.planted(&mut source().await).await;
    let older = town.back_up(&mut source().await, THEN - DAY).await;
    assert_eq!(planted.found_in(&folder), planted.all(), "they are there");
    town.decide().await;
    assert_eq!(town.work().await, Advanced::Idle);
    assert_eq!(planted.found_in(&folder), Vec::<usize>::new());
    town.assert_over(&planted, older, &mut source().await).await;
    let Town { tenant, .. } = town;
    let folder = tenant.close().await;
    assert_eq!(planted.found_in(folder.path()), Vec::<usize>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_nowhere_in_postgresql() {
    let options = ServerOptions::default()
        .setting("wal_recycle", "off")
        .setting("autovacuum", "off");
    let server = tokio::task::spawn_blocking(move || Arc::new(PostgresServer::start(options)))
        .await
        .unwrap();
    let database = TestDatabase::on(&server);
    let mut owner = owner(&database).await;
    let cluster = cluster(&database).await;
    let tenant = TestTenant::create_in(cluster.clone(), &mut owner, "142051", Members::default());
    let town = Town::new(tenant.await).await;
    let source = || async {
        PostgresSource::open(&cluster, town.services.tenant)
            .await
            .unwrap()
    };
    let planted = town.planted(&mut source().await).await;
    let older = town.back_up(&mut source().await, THEN - DAY).await;
    let data = server.data_folder();
    database.sql("CHECKPOINT");
    assert_eq!(planted.found_in(&data), planted.all(), "they are there");
    town.decide().await;
    assert_eq!(town.work().await, Advanced::WaitsForOperator);
    for nth in GONE {
        assert_eq!(town.person(nth).await, None);
    }
    database.sql("CHECKPOINT");
    // Deleted, and still in the pages: that is why the erasure isn't recorded yet.
    assert!(!planted.found_in(&data.join("base")).is_empty());
    let keyring = Arc::clone(&town.services.keyring);
    let waits = move |id: &[u8; 16], body: &[u8]| waits_for_rewriting(&keyring, id, body);
    let now = UnixMillis(THEN);
    let rewritten = owner.rewrite_erased(town.services.tenant, &waits, now);
    assert!(matches!(rewritten.await.unwrap(), Rewritten::Tables { .. }));
    let again = owner.rewrite_erased(town.services.tenant, &waits, now);
    assert_eq!(again.await.unwrap(), Rewritten::Nothing);
    assert_eq!(town.work().await, Advanced::Idle);
    // The administrator's part: the write-ahead log of before goes.
    for statement in ["CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT"] {
        database.sql(statement);
    }
    assert_eq!(planted.found_in(&data), Vec::<usize>::new());
    town.assert_over(&planted, older, &mut source().await).await;
    town.tenant.close().await;
}
