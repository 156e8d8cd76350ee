//! A log store in memory that fails as it is told: before the commit, after it, or without saying which.
//!
//! It keeps the promise of [`LogStore::append`] to the letter (all of a batch or nothing), so that what a test sees is the provision log's
//! own doing. [`FaultyLogStore::copy`] is the disk image that somebody puts back later.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use vrx_storage::{
    AppendError, BatchItem, ChangeError, EntryRow, HeadRow, LeafRow, LogStore, MOST_BEHIND,
    NotCommitted, Prepared, SealBatch, StorageError, SubjectHead, SubjectTag,
};

/// SHA-256 of the empty string: the root of an empty log.
const EMPTY_ROOT: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// What goes wrong with one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Busy before anything was done.
    Busy,
    /// Everything was sealed and written, and rolled back before the commit.
    RolledBack,
    /// No room before the commit.
    Full,
    /// It stands, and the answer was lost.
    CommittedUnknown,
    /// It doesn't stand, and that answer was lost.
    LostUnknown,
    /// The storage broke; the batch stands.
    BrokenAfter,
    /// The storage broke; the batch doesn't stand.
    BrokenBefore,
    /// The store never answers; the batch doesn't stand.
    Silence,
    /// The store never answers; the batch stands.
    SilenceAfter,
    /// The answer was lost while the commit was still under way: the batch comes to stand when the next one takes the head.
    CommittedLate,
    /// The store never answers, and takes the head only when the next batch has come: before that one, or behind it.
    Overtaken {
        /// Whether before it.
        first: bool,
    },
    /// The tenant is being moved.
    ReadOnly,
}

/// What one batch was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSeen {
    /// Items in it.
    pub items: usize,
    /// The fault it met.
    pub fault: Fault,
}

#[derive(Clone)]
struct State {
    head: HeadRow,
    entries: Vec<EntryRow>,
    tiles: HashMap<(u8, u64), Vec<u8>>,
    subjects: HashMap<SubjectTag, SubjectHead>,
}

/// A batch that nobody waits for any more, and that still has its turn to come.
struct Overtaken {
    expected: (u64, [u8; 32]),
    items: Arc<[BatchItem]>,
    seal: SealBatch,
    first: bool,
}

/// The store. Shared by `Arc`; a "restart" is a new log over the same store.
pub struct FaultyLogStore {
    state: Mutex<State>,
    plan: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<BatchSeen>>,
    late: Mutex<Option<State>>,
    overtaken: Mutex<Option<Overtaken>>,
    gate: tokio::sync::RwLock<()>,
    knowable: AtomicBool,
    refuse_changes: AtomicBool,
    failing_heads: AtomicU64,
    arrived: AtomicU64,
}

impl Default for FaultyLogStore {
    fn default() -> Self {
        let head = HeadRow {
            size: 0,
            root: EMPTY_ROOT,
            epoch: 1,
            last_time: 0,
            checkpoint: None,
        };
        let state = State {
            head,
            entries: Vec::new(),
            tiles: HashMap::new(),
            subjects: HashMap::new(),
        };
        Self::of(state)
    }
}

impl FaultyLogStore {
    /// An empty store without faults.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn of(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            plan: Mutex::default(),
            seen: Mutex::default(),
            late: Mutex::default(),
            overtaken: Mutex::default(),
            gate: tokio::sync::RwLock::new(()),
            knowable: AtomicBool::new(false),
            refuse_changes: AtomicBool::new(false),
            failing_heads: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        }
    }

    /// The next batches meet these faults, in order; those after them none.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.plan.lock().extend(faults);
    }

    /// No fault is planned any more.
    pub fn heal(&self) {
        self.plan.lock().clear();
        self.failing_heads.store(0, Ordering::SeqCst);
    }

    /// The next readings of the head fail.
    pub fn fail_heads(&self, count: u64) {
        self.failing_heads.store(count, Ordering::SeqCst);
    }

    /// From now on it is a database server: what became of a batch can be learnt from the head.
    pub fn is_a_server(&self) {
        self.knowable.store(true, Ordering::SeqCst);
    }

    /// Every change is refused from now on, or none.
    pub fn refuse_changes(&self, refuse: bool) {
        self.refuse_changes.store(refuse, Ordering::SeqCst);
    }

    /// Holds every batch back until the guard is dropped.
    pub async fn hold(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Batches that came, whether or not they are let through yet.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    /// The batches so far.
    pub fn batches(&self) -> Vec<BatchSeen> {
        self.seen.lock().clone()
    }

    /// An image of the store as it is now.
    pub fn copy(&self) -> Arc<Self> {
        Arc::new(Self::of(self.state.lock().clone()))
    }

    /// The store goes back to an image of it: a standby took over that hadn't got everything.
    pub fn go_back_to(&self, image: &Self) {
        let then = image.state.lock().clone();
        *self.state.lock() = then;
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.state.lock().head.size
    }

    /// All entries.
    pub fn all_entries(&self) -> Vec<EntryRow> {
        self.state.lock().entries.clone()
    }

    /// Somebody who can write to the database changes an entry's row.
    pub fn tamper(&self, index: usize, change: impl FnOnce(&mut EntryRow)) {
        if let Some(row) = self.state.lock().entries.get_mut(index) {
            change(row);
        }
    }

    /// Somebody who can write to the database changes the head.
    pub fn tamper_head(&self, change: impl FnOnce(&mut HeadRow)) {
        change(&mut self.state.lock().head);
    }

    /// Somebody who can write to the database changes where a subject's list begins.
    pub fn tamper_subject(&self, subject: SubjectTag, head: Option<SubjectHead>) {
        let subjects = &mut self.state.lock().subjects;
        match head {
            Some(head) => subjects.insert(subject, head),
            None => subjects.remove(&subject),
        };
    }

    /// Somebody who can write to the database changes a tile.
    pub fn tamper_tile(&self, level: u8, index: u64, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(tile) = self.state.lock().tiles.get_mut(&(level, index)) {
            change(tile);
        }
    }

    fn run(
        &self,
        expected: (u64, [u8; 32]),
        items: &[BatchItem],
        seal: SealBatch,
        fault: Fault,
    ) -> Result<Prepared, AppendError> {
        let mut state = self.state.lock();
        if let Some(late) = self.late.lock().take() {
            *state = late;
        }
        match fault {
            Fault::ReadOnly => return Err(NotCommitted::ReadOnly.into()),
            Fault::Busy => return Err(NotCommitted::Busy.into()),
            Fault::Full => return Err(NotCommitted::Full.into()),
            Fault::BrokenBefore => {
                return Err(AppendError::Broken("failed fsync (injected)".to_owned()));
            }
            _ => {}
        }
        let behind = match state.head.size.checked_sub(expected.0) {
            Some(0) if state.head.root == expected.1 => 0,
            Some(count @ 1..=MOST_BEHIND) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(NotCommitted::SwapLost.into()),
        };
        let since = state.entries.iter().rev().take(behind).rev();
        let since = since.map(leaf_row).collect();
        let refuse = self.refuse_changes.load(Ordering::SeqCst);
        let results: Vec<Result<(), ChangeError>> = items
            .iter()
            .map(|item| {
                if item.change.is_some() && refuse {
                    Err(ChangeError::Conflict("the row"))
                } else {
                    Ok(())
                }
            })
            .collect();
        let heads = items
            .iter()
            .map(|item| state.subjects.get(&item.subject).copied())
            .collect();
        let prepared = Prepared {
            head: state.head.clone(),
            since,
            results,
            heads,
        };
        if prepared.results.iter().all(Result::is_err) {
            return Ok(prepared);
        }
        let mut next = state.clone();
        let rows = seal(&prepared).map_err(NotCommitted::Seal)?;
        for row in rows.entries {
            if row.index != next.entries.len() as u64 {
                return Err(NotCommitted::Mismatch("indexes have a gap").into());
            }
            let head = SubjectHead {
                seq: row.subject_seq,
                last_index: row.index,
            };
            next.subjects.insert(row.subject, head);
            next.entries.push(row);
        }
        for tile in rows.tiles {
            let stood = next.tiles.insert((tile.level, tile.index), tile.hashes);
            if stood.is_some() {
                return Err(NotCommitted::Mismatch("a tile stands already").into());
            }
        }
        if rows.head.size != next.entries.len() as u64 {
            return Err(NotCommitted::Mismatch("the head has another size").into());
        }
        if rows.head.epoch < state.head.epoch {
            return Err(NotCommitted::Fenced.into());
        }
        next.head = rows.head;
        match fault {
            Fault::RolledBack => Err(NotCommitted::Busy.into()),
            Fault::LostUnknown => Err(AppendError::Unknown(
                "connection lost in COMMIT (injected)".to_owned(),
            )),
            Fault::CommittedLate => {
                *self.late.lock() = Some(next);
                Err(AppendError::Unknown(
                    "connection lost in COMMIT (injected)".to_owned(),
                ))
            }
            Fault::CommittedUnknown => {
                *state = next;
                Err(AppendError::Unknown(
                    "connection lost in COMMIT (injected)".to_owned(),
                ))
            }
            Fault::BrokenAfter => {
                *state = next;
                Err(AppendError::Broken("failed fsync (injected)".to_owned()))
            }
            _ => {
                *state = next;
                Ok(prepared)
            }
        }
    }
}

fn leaf_row(row: &EntryRow) -> LeafRow {
    LeafRow {
        index: row.index,
        leaf: row.leaf,
    }
}

#[async_trait]
impl LogStore for FaultyLogStore {
    async fn head(&self) -> Result<HeadRow, StorageError> {
        let fails = |left: u64| left.checked_sub(1);
        if self
            .failing_heads
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
            .is_ok()
        {
            return Err(StorageError::Busy);
        }
        Ok(self.state.lock().head.clone())
    }

    async fn append(
        &self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.read().await;
        let fault = self.plan.lock().pop_front().unwrap_or(Fault::None);
        self.seen.lock().push(BatchSeen {
            items: items.len(),
            fault,
        });
        if fault == Fault::Silence {
            std::future::pending::<()>().await;
        }
        if let Fault::Overtaken { first } = fault {
            *self.overtaken.lock() = Some(Overtaken {
                expected,
                items,
                seal,
                first,
            });
            return std::future::pending().await;
        }
        // A real store answers from another thread.
        tokio::task::yield_now().await;
        let turn = |batch: Option<Overtaken>| {
            batch.map(|late| self.run(late.expected, &late.items, late.seal, Fault::None))
        };
        let overtaken = self.overtaken.lock().take();
        let (before, behind) = match overtaken {
            Some(batch) if batch.first => (Some(batch), None),
            other => (None, other),
        };
        // What became of them nobody learns from the store.
        drop(turn(before));
        let outcome = self.run(expected, &items, seal, fault);
        drop(turn(behind));
        if fault == Fault::SilenceAfter {
            std::future::pending::<()>().await;
        }
        outcome
    }

    fn outcome_is_knowable(&self) -> bool {
        self.knowable.load(Ordering::SeqCst)
    }

    async fn leaves(&self, from: u64, count: u32) -> Result<Vec<LeafRow>, StorageError> {
        let rows = self.entries(from, count).await?;
        Ok(rows.iter().map(leaf_row).collect())
    }

    async fn tiles(&self, ids: &[(u8, u64)]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let state = self.state.lock();
        Ok(ids.iter().map(|id| state.tiles.get(id).cloned()).collect())
    }

    async fn entries(&self, from: u64, count: u32) -> Result<Vec<EntryRow>, StorageError> {
        let state = self.state.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(state
            .entries
            .iter()
            .skip(from)
            .take(count as usize)
            .cloned()
            .collect())
    }

    async fn subject_head(&self, subject: SubjectTag) -> Result<Option<SubjectHead>, StorageError> {
        Ok(self.state.lock().subjects.get(&subject).copied())
    }

    async fn canary(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
