//! The handle of one tenant's database: opens it, owns its threads, hands work to them. The traits are in `traits.rs`.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vrx_crypto::Keyring;
use vrx_domain::{Random, Tenant};

use super::apply::Applier;
use super::files::{Folder, Identity};
use super::heads::Heads;
use super::lookup::{ApprovedImports, LookupRequest, serve_lookups};
use super::queue::{Queue, serve};
use super::register;
use super::register_version::RegisterVersion;
use super::sql::{Access, Sql};
use super::writer::{Writer, WriterJob};
use super::{create, log};
use crate::StorageError;

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
    pub(super) options: SqliteOptions,
    /// The municipality code as rows have it.
    pub(super) key: i64,
    pub(super) lookups: Arc<Queue<LookupRequest>>,
    reads: Arc<Queue<ReadJob>>,
    /// `None` when opened for reading only.
    pub(super) writes: Option<Arc<Queue<WriterJob>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    statements: Arc<AtomicU64>,
    #[cfg(test)]
    register: Arc<RegisterVersion>,
    /// Held as long as the threads run.
    lock: Mutex<Option<File>>,
}

/// Takes a tenant's database for one process, and brings its schema up to date. [`StorageError::Locked`] while another has it.
pub(super) async fn take(folder: &Folder) -> Result<File, StorageError> {
    let lock = blocking({
        let folder = folder.clone();
        move || {
            folder.check_database()?;
            let lock = folder.lock()?;
            folder.check_not_moving()?;
            Ok(lock)
        }
    })
    .await?;
    create::migrate(&folder.database()).await?;
    Ok(lock)
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
        let lock = take(&folder).await?;
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

        let register = Arc::new(RegisterVersion::default());
        #[cfg(test)]
        let read_by_tests = Arc::clone(&register);
        let lookups = Queue::new(LOOKUPS);
        for nth in 0..lookup_threads() {
            let (sql, approved) = (open(Access::Read)?, approved.clone());
            let (register, runtime) = (register.clone(), Handle::current());
            threads.push(serve(
                format!("{code}-lookup{nth}"),
                lookups.clone(),
                move |queue| {
                    serve_lookups(&sql, key, &approved, &register, &runtime, queue);
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
                let work = Writer::new(sql, identity, applier, heads, approved, register, size);
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
            #[cfg(test)]
            register: read_by_tests,
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

    /// Waits until no lookup's transaction is open: the next lookup sees what anybody else has written to the file.
    #[cfg(test)]
    pub(super) fn until_nobody_reads(&self) {
        while self.register.nobody_reads().is_none() {}
    }

    /// Lets the database grow by no more than so many pages: a full disk, made to order.
    #[cfg(test)]
    pub(super) async fn limit_pages(&self, more: Option<i64>) {
        self.write(move |writer| {
            let connection = writer.sql.connection();
            let pages: i64 = connection
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .map_err(super::sql::failure)?;
            let limit = more.map_or(i64::from(u32::MAX - 1), |more| pages + more);
            connection
                .query_row(&format!("PRAGMA max_page_count({limit})"), [], |_| Ok(()))
                .map_err(super::sql::failure)
        })
        .await
        .unwrap();
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
    pub(super) async fn read<T: Send + 'static>(
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

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let writes = self.writes.as_ref().ok_or(StorageError::ReadOnly)?;
        let (reply, answer) = oneshot::channel();
        writes.push(Box::new(move |writer| drop(reply.send(work(writer)))))?;
        answer.await.map_err(|_| StorageError::Closed)?
    }
}

/// With spare cores a second thread halves the wait; without, it only takes turns with the first.
fn lookup_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores > 2 { 2 } else { 1 }
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

pub(super) fn write_canary(sql: &Sql, key: i64) -> Result<(), StorageError> {
    sql.run_one(
        "canary",
        "-- write_canary
         UPDATE canary SET written = written + 1 WHERE tenant = ?1",
        [key],
    )
}

pub(super) async fn blocking<T: Send + 'static>(
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
