//! The handle of one tenant's database: opens it, owns its threads, implements the traits.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use vrx_crypto::{Keyring, TagKind};
use vrx_domain::{
    ImportId, IndividualNumber, InquiryId, MunicipalityCode, Random, Tenant, UnixMillis,
};

use super::apply::Applier;
use super::files::{Folder, Identity};
use super::heads::{Heads, subject_head};
use super::lookup::{ApprovedImports, LookupRequest, serve_lookups};
use super::queue::{Queue, serve};
use super::register::{self, Against};
use super::sql::{Access, Sql, failure, int};
use super::writer::{Writer, WriterJob};
use super::{create, log};
use crate::body::encode_inquiry;
use crate::change::{Op, SealedInquiry};
use crate::prepare::{
    Existing, Incoming, Probe, Sealing, prepare_doses, prepare_persons, probe_doses, probe_persons,
};
use crate::registry::{
    Adoption, Counts, DoseRow, ImportRecord, InquiryRecord, PeerCheckpoint, PersonRow,
    PreparedChunk,
};
use crate::sealed::{SealedLookup, inconsistent, open_keys, open_lookup};
use crate::{
    AppendError, BatchItem, CHUNK_ROWS, Change, EntryRow, HeadRow, LeafRow, LogStore, Lookup,
    NotCommitted, PersonStore, Prepared, RegistryStore, SealBatch, StorageError, SubjectHead,
    SubjectTag,
};

/// Lookups that may wait for a reader. More in flight than this is an overload, and said so.
const LOOKUPS: usize = 4_096;
/// Jobs that may wait for the reader of everything else, or for the writer.
const JOBS: usize = 256;
/// Databases up to this size are checked page by page when they are opened; larger ones in the background, by
/// [`SqliteTenant::check_integrity`].
const CHECKED_AT_OPEN: u64 = 64 << 20;

/// What a tenant's database needs to be opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// Folder that holds one folder a tenant.
    pub state_dir: PathBuf,
    /// Whose database.
    pub tenant: Tenant,
    /// The tenant's keys.
    pub keyring: Arc<Keyring>,
    /// Where nonces, ids and decoys come from.
    pub random: Arc<dyn Random>,
}

type ReadJob = Box<dyn FnOnce(&Sql) + Send>;

/// One tenant's database in SQLite: `<state_dir>/<code>/vrx.db`, with `vrx.lock` beside it.
///
/// Dropping it ends its threads without tidying up, as a crash would; [`SqliteTenant::close`] tidies up.
pub struct SqliteTenant {
    options: SqliteOptions,
    /// The municipality code as rows have it.
    key: i64,
    lookups: Arc<Queue<LookupRequest>>,
    reads: Arc<Queue<ReadJob>>,
    /// `None` when opened for reading only.
    writes: Option<Arc<Queue<WriterJob>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    statements: Arc<AtomicU64>,
    /// Held as long as the threads run.
    lock: Mutex<Option<File>>,
}

/// # Opening and closing
impl SqliteTenant {
    /// Makes a new database and opens it. Refused where one stands.
    pub async fn create(options: SqliteOptions) -> Result<Self, StorageError> {
        let folder = Folder::of(&options.state_dir, options.tenant.code);
        let lock = blocking({
            let folder = folder.clone();
            move || {
                folder.make()?;
                let lock = folder.lock()?;
                folder.clear_for_creation()?;
                Ok(lock)
            }
        })
        .await?;
        create::migrate(&folder.unfinished()).await?;
        blocking({
            let (folder, options) = (folder.clone(), options.clone());
            move || {
                create::fill(&folder.unfinished(), &options)?;
                folder.finish_creation()
            }
        })
        .await?;
        blocking(move || Self::start(options, &folder, Some(lock))).await
    }

    /// Opens an existing database, brings its schema up to date, and reads back what the last process hadn't tidied up.
    pub async fn open(options: SqliteOptions) -> Result<Self, StorageError> {
        let folder = Folder::of(&options.state_dir, options.tenant.code);
        let lock = blocking({
            let folder = folder.clone();
            move || {
                folder.check_database()?;
                folder.lock()
            }
        })
        .await?;
        create::migrate(&folder.database()).await?;
        blocking(move || Self::start(options, &folder, Some(lock))).await
    }

    /// Opens an existing database for reading only; works beside a process that serves it. Every write is refused.
    pub async fn open_read_only(options: SqliteOptions) -> Result<Self, StorageError> {
        let folder = Folder::of(&options.state_dir, options.tenant.code);
        blocking(move || {
            folder.check_database()?;
            Self::start(options, &folder, None)
        })
        .await
    }

    fn start(
        options: SqliteOptions,
        folder: &Folder,
        lock: Option<File>,
    ) -> Result<Self, StorageError> {
        let statements = Arc::new(AtomicU64::new(0));
        let path = folder.database();
        let key = i64::from(options.tenant.code.as_u32());
        let open = |access| Sql::open(&path, access, statements.clone());
        // The writer's connection first: it makes the shared memory that readers need.
        let writer = lock.is_some().then(|| open(Access::Write)).transpose()?;
        let reader = open(Access::Read)?;
        check_owner(&reader, key, &options)?;
        let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= CHECKED_AT_OPEN);
        if small {
            quick_check(&reader)?;
        }
        let approved = Arc::new(ApprovedImports::new(register::approved_imports(
            &reader,
            key,
            &options.keyring,
        )?));
        let code = options.tenant.code;
        let mut threads = Vec::new();

        let lookups = Queue::new(LOOKUPS);
        for nth in 0..lookup_threads() {
            let (sql, approved) = (open(Access::Read)?, approved.clone());
            threads.push(serve(
                format!("{code}-lookup{nth}"),
                lookups.clone(),
                move |queue| {
                    serve_lookups(&sql, key, &approved, queue);
                },
            )?);
        }
        let writes = match writer {
            None => None,
            Some(sql) => {
                let heads = Heads::rebuild(&sql, key)?;
                let size = log::head(&sql, key)?.size;
                // A first write, so that the write-ahead log exists and its identity can be noted.
                write_canary(&sql, key)?;
                let identity = Identity::of(folder)?;
                let applier = Applier {
                    tenant: key,
                    keyring: options.keyring.clone(),
                    random: options.random.clone(),
                };
                let writes = Queue::new(JOBS);
                let work = Writer::new(sql, identity, applier, heads, approved, size);
                threads.push(serve(format!("{code}-writer"), writes.clone(), |queue| {
                    work.serve(queue);
                })?);
                Some(writes)
            }
        };
        let reads = Queue::<ReadJob>::new(JOBS);
        threads.push(serve(
            format!("{code}-reader"),
            reads.clone(),
            move |queue| {
                let mut jobs = Vec::new();
                while queue.take(1, &mut jobs).is_some() {
                    jobs.drain(..).for_each(|job| job(&reader));
                }
            },
        )?);
        Ok(Self {
            options,
            key,
            lookups,
            reads,
            writes,
            threads: Mutex::new(threads),
            statements,
            lock: Mutex::new(lock),
        })
    }

    /// Writes what is still in memory, empties the write-ahead log, ends the threads and gives the lock back.
    pub async fn close(&self) -> Result<(), StorageError> {
        if self.writes.is_some() {
            match self
                .write(|writer| {
                    writer.finish();
                    Ok(())
                })
                .await
            {
                Ok(()) | Err(StorageError::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        self.close_queues();
        let threads = std::mem::take(&mut *self.threads.lock());
        blocking(move || {
            join(threads);
            Ok(())
        })
        .await?;
        self.lock.lock().take();
        Ok(())
    }

    /// Statements run since the database was opened, by all its connections.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Checks every page of the database. Takes seconds for a gigabyte; runs beside everything else.
    pub async fn check_integrity(&self) -> Result<(), StorageError> {
        self.read(quick_check).await
    }

    fn close_queues(&self) {
        self.lookups.close();
        self.reads.close();
        if let Some(writes) = &self.writes {
            writes.close();
        }
    }
}

impl Drop for SqliteTenant {
    fn drop(&mut self) {
        self.close_queues();
        join(std::mem::take(&mut *self.threads.lock()));
    }
}

/// # Handing work to the threads
impl SqliteTenant {
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sql) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.reads.push(Box::new(move |sql| {
            // Whoever asked may have gone meanwhile.
            drop(reply.send(sql.snapshot(work)));
        }))?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let writes = self.writes.as_ref().ok_or(StorageError::ReadOnly)?;
        let (reply, answer) = oneshot::channel();
        writes.push(Box::new(move |writer| drop(reply.send(work(writer)))))?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    fn sealing(&self) -> Sealing<'_> {
        Sealing {
            tenant: &self.options.tenant.id,
            keyring: &self.options.keyring,
            random: &*self.options.random,
        }
    }

    /// Reads whom the probes lead to; gives the probes back.
    async fn existing(
        &self,
        probes: Vec<Probe>,
        against: Against,
    ) -> Result<(Vec<Probe>, Existing), StorageError> {
        let key = self.key;
        self.read(move |sql| {
            let existing = register::existing(sql, key, &probes, against)?;
            Ok((probes, existing))
        })
        .await
    }
}

#[async_trait]
impl PersonStore for SqliteTenant {
    async fn lookup(&self, number: &IndividualNumber) -> Result<Lookup, StorageError> {
        let keyring = &self.options.keyring;
        let mut decoy = [0; 16];
        self.options.random.fill(&mut decoy);
        let tags = keyring.tags(TagKind::Number, number.digits());
        let (reply, answer) = oneshot::channel();
        self.lookups.push(LookupRequest { tags, decoy, reply })?;
        let found: SealedLookup = answer.await.map_err(|_| StorageError::Closed)??;
        open_lookup(keyring, &self.options.tenant.id, number, &found)
    }
}

#[async_trait]
impl RegistryStore for SqliteTenant {
    async fn prepare_persons(
        &self,
        import: ImportId,
        rows: &[PersonRow],
    ) -> Result<PreparedChunk, StorageError> {
        check_rows(rows.len())?;
        let probes = probe_persons(&self.sealing(), rows);
        let (probes, existing) = self.existing(probes, Against::Person).await?;
        prepare_persons(&self.sealing(), import, rows, &probes, &existing)
    }

    async fn prepare_doses(
        &self,
        import: ImportId,
        rows: &[DoseRow],
    ) -> Result<PreparedChunk, StorageError> {
        check_rows(rows.len())?;
        let probes = probe_doses(&self.sealing(), rows);
        let (probes, existing) = self.existing(probes, Against::Doses).await?;
        let pairs = probes.chunks_exact(2).zip(existing.found.chunks_exact(2));
        let incoming = rows.iter().zip(pairs).filter_map(|(row, (probes, found))| {
            Some(Incoming {
                owner: *found.first()?,
                dose: &row.dose,
                voucher: &probes.last()?.tags,
                voucher_owner: *found.last()?,
            })
        });
        prepare_doses(&self.sealing(), import, incoming, &existing)
    }

    async fn prepare_adoption(&self, adoption: &Adoption) -> Result<PreparedChunk, StorageError> {
        check_rows(adoption.doses.len())?;
        let sealing = self.sealing();
        let keyring = &self.options.keyring;
        // One probe for the person, then one a voucher.
        let tags = keyring.tags(TagKind::Number, adoption.number.digits());
        let mut probes = vec![Probe {
            kind: TagKind::Number,
            tags,
        }];
        probes.extend(adoption.doses.iter().map(|dose| Probe {
            kind: TagKind::Voucher,
            tags: keyring.tags(TagKind::Voucher, &crate::prepare::voucher_value(dose)),
        }));
        let (probes, existing) = self.existing(probes, Against::Doses).await?;
        let owner = existing.found.first().copied().flatten();
        if let Some(id) = owner {
            let standing = existing
                .persons
                .get(&id)
                .ok_or_else(|| inconsistent("person", "person_id", &id))?;
            let (_, number) = open_keys(keyring, &standing.row)?;
            if !number.ct_eq(&adoption.number) {
                return Err(inconsistent("person_tag", "person_id", &id));
            }
        }
        let vouchers = probes.iter().zip(&existing.found).skip(1);
        let incoming = adoption
            .doses
            .iter()
            .zip(vouchers)
            .map(|(dose, (probe, found))| Incoming {
                owner,
                dose,
                voucher: &probe.tags,
                voucher_owner: *found,
            });
        let prepared = prepare_doses(&sealing, adoption.import.id, incoming, &existing)?;
        let change = prepared
            .change
            .map(|chunk| Change::all(vec![Change::create_import(adoption.import.clone()), chunk]));
        Ok(PreparedChunk { change, ..prepared })
    }

    async fn import(&self, id: ImportId) -> Result<Option<ImportRecord>, StorageError> {
        let (key, keyring) = (self.key, self.options.keyring.clone());
        self.read(move |sql| register::import(sql, key, &keyring, id))
            .await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StorageError> {
        let (key, keyring) = (self.key, self.options.keyring.clone());
        self.read(move |sql| register::imports(sql, key, &keyring))
            .await
    }

    async fn prepare_inquiry(&self, inquiry: &InquiryRecord) -> Result<Change, StorageError> {
        let plain = encode_inquiry(inquiry.version, inquiry.expires_at, &inquiry.body);
        let sealed = self
            .options
            .keyring
            .seal_inquiry(&*self.options.random, inquiry.id, &plain)
            .map_err(|error| StorageError::Keyring(error.to_string()))?;
        Ok(Change(Op::PutInquiry(SealedInquiry {
            id: inquiry.id,
            expires_at: inquiry.expires_at,
            version: inquiry.version,
            wrapped_key: sealed.wrapped_key.into_bytes(),
            body: sealed.body.into_bytes(),
        })))
    }

    async fn inquiry(
        &self,
        id: InquiryId,
        now: UnixMillis,
    ) -> Result<Option<InquiryRecord>, StorageError> {
        let key = self.key;
        let row = self
            .read(move |sql| register::inquiry(sql, key, id, now))
            .await?;
        row.map(|row| row.open(&self.options.keyring, id))
            .transpose()
    }

    async fn expire_inquiries(&self, now: UnixMillis) -> Result<u64, StorageError> {
        let key = self.key;
        let expire = move |sql: &Sql| {
            sql.run(
                "-- expire_inquiries
                 DELETE FROM inquiry WHERE tenant = ?1 AND expires_at <= ?2",
                (key, int(now.0)),
            )
            .map(|count| count as u64)
            .map_err(failure)
        };
        self.write(move |writer| writer.write_aside(expire)).await
    }

    async fn peer_checkpoint(
        &self,
        peer: MunicipalityCode,
    ) -> Result<Option<PeerCheckpoint>, StorageError> {
        let key = self.key;
        self.read(move |sql| register::peer_checkpoint(sql, key, peer))
            .await
    }

    async fn counts(&self) -> Result<Counts, StorageError> {
        let key = self.key;
        self.read(move |sql| register::counts(sql, key)).await
    }
}

#[async_trait]
impl LogStore for SqliteTenant {
    async fn head(&self) -> Result<HeadRow, StorageError> {
        let key = self.key;
        self.read(move |sql| log::head(sql, key)).await
    }

    async fn append(
        &self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        let closed = || AppendError::from(NotCommitted::Closed);
        let writes = self.writes.as_ref().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        writes
            .push(Box::new(move |writer| {
                drop(reply.send(writer.append(expected, &items, seal)));
            }))
            .map_err(|error| match error {
                StorageError::Busy => NotCommitted::Busy.into(),
                _ => closed(),
            })?;
        // The thread ended with the batch in its hands: only the file knows.
        let ended = || AppendError::Unknown("the writer's thread ended".to_owned());
        answer.await.map_err(|_| ended())?
    }

    async fn leaves(&self, from: u64, count: u32) -> Result<Vec<LeafRow>, StorageError> {
        let key = self.key;
        self.read(move |sql| log::leaves(sql, key, from, count))
            .await
    }

    async fn tiles(&self, ids: &[(u8, u64)]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let (key, ids) = (self.key, ids.to_vec());
        self.read(move |sql| ids.into_iter().map(|id| log::tile(sql, key, id)).collect())
            .await
    }

    async fn entries(&self, from: u64, count: u32) -> Result<Vec<EntryRow>, StorageError> {
        let key = self.key;
        self.read(move |sql| log::entries(sql, key, from, count))
            .await
    }

    async fn subject_head(&self, subject: SubjectTag) -> Result<Option<SubjectHead>, StorageError> {
        let key = self.key;
        self.read(move |sql| subject_head(sql, key, &subject)).await
    }

    async fn canary(&self) -> Result<(), StorageError> {
        self.write(|writer| {
            let key = writer.tenant;
            writer.write_aside(|sql| write_canary(sql, key))
        })
        .await
    }
}

/// With spare cores a second thread halves the wait; without, it only takes turns with the first.
fn lookup_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores > 2 { 2 } else { 1 }
}

fn check_rows(count: usize) -> Result<(), StorageError> {
    if count <= CHUNK_ROWS {
        Ok(())
    } else {
        Err(StorageError::Invalid("a chunk has at most 500 rows"))
    }
}

/// The file must be this tenant's: by its code, by its id, and of this version's schema.
fn check_owner(sql: &Sql, key: i64, options: &SqliteOptions) -> Result<(), StorageError> {
    create::check_schema(sql)?;
    let uuid: Option<[u8; 16]> = sql.row(
        "tenant_meta",
        "-- tenant_meta
         SELECT tenant_uuid FROM tenant_meta WHERE tenant = ?1",
        [key],
        |row| row.get(0),
    )?;
    if uuid == Some(*options.tenant.id.as_bytes()) {
        Ok(())
    } else {
        Err(StorageError::OtherTenant)
    }
}

fn quick_check(sql: &Sql) -> Result<(), StorageError> {
    let found: Option<String> = sql.row("sqlite_schema", "PRAGMA quick_check(1)", [], |row| {
        row.get(0)
    })?;
    if found.as_deref() == Some("ok") {
        Ok(())
    } else {
        Err(StorageError::Broken(
            "a page or a row is damaged (quick_check)".to_owned(),
        ))
    }
}

fn write_canary(sql: &Sql, key: i64) -> Result<(), StorageError> {
    sql.run_one(
        "canary",
        "-- write_canary
         UPDATE canary SET written = written + 1 WHERE tenant = ?1",
        [key],
    )
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StorageError::Closed)?
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the database panicked");
        }
    }
}
