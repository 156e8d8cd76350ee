//! Chunks of an import under way: while one waits for its entry, the next ones are compared and sealed.
//!
//! What comes of a chunk must not depend on how many are under way. Two of them are under way at once only if they share no key
//! (`Source::keys`): then neither sees what the other changes, and all comes out as if one had followed the other. A chunk that
//! shares a key waits until the earlier one has ended.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use vrx_domain::{Caller, EntryKind, ImportId};
use vrx_storage::{
    CHUNK_ROWS, Change, ChangeError, ImportHeader, PreparedChunk, RowOutcome, RowRefusal,
};

use super::import_stream::{ImportRequest, RefusedRow, Source};
use super::refusal_words;
use crate::{
    error::ServiceError,
    record::{Act, NotRecorded, hex, own_deadline, pairs, storage_error},
    tenants::TenantServices,
};

/// Chunks of one import under way at once. More would gain little, and every answer that shares their batch waits for all of them.
const UNDER_WAY: usize = 4;

/// How often a chunk is prepared again because somebody changed the same persons meanwhile.
const MAX_CONFLICTS: u32 = 16;

/// Rows of the chunk being gathered, with the lines they came from.
pub(super) struct Gathered<R> {
    pub(super) rows: Vec<R>,
    lines: Vec<u64>,
    /// Rows refused since the chunk before, without having become rows of the store.
    pub(super) refused: u64,
}

impl<R> Gathered<R> {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::with_capacity(CHUNK_ROWS),
            lines: Vec::with_capacity(CHUNK_ROWS),
            refused: 0,
        }
    }

    pub(super) fn add(&mut self, line: u64, rows: Vec<R>) {
        self.lines.extend(std::iter::repeat_n(line, rows.len()));
        self.rows.extend(rows);
    }

    /// Whether nothing would be recorded of it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.refused == 0
    }
}

/// The keys of one chunk, hashed under a key of this process: nothing of a resident is kept in them. Two values with the same hash cost
/// a wait and nothing else.
pub(crate) struct Keys<'a> {
    hasher: &'a RandomState,
    hashes: HashSet<u64>,
}

impl Keys<'_> {
    pub(crate) fn add(&mut self, key: impl Hash) {
        self.hashes.insert(self.hasher.hash_one(key));
    }
}

/// A chunk, ready to be compared.
pub(super) struct Chunk<R> {
    rows: Arc<[R]>,
    lines: Vec<u64>,
    refused: u64,
    keys: HashSet<u64>,
    /// Bytes of the file up to this chunk, and their keyed digest.
    bytes: u64,
    digest: [u8; 32],
}

impl<R> Chunk<R> {
    pub(super) fn new<S: Source<Row = R>>(
        gathered: Gathered<R>,
        bytes: u64,
        digest: [u8; 32],
        hasher: &RandomState,
    ) -> Self {
        let mut keys = Keys {
            hasher,
            hashes: HashSet::with_capacity(gathered.rows.len()),
        };
        for row in &gathered.rows {
            S::keys(row, &mut keys);
        }
        Self {
            rows: gathered.rows.into(),
            lines: gathered.lines,
            refused: gathered.refused,
            keys: keys.hashes,
            bytes,
            digest,
        }
    }
}

/// What came of one chunk.
#[derive(Default)]
pub(super) struct Written {
    pub(super) added: u64,
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) refused: Vec<RefusedRow>,
    /// Whether an entry stands for it.
    pub(super) recorded: bool,
    /// The import, if anything of the chunk was entered.
    pub(super) import: Option<ImportId>,
}

/// Chunks on their way, the earliest first. Dropped, it takes along what is under way.
pub(super) struct Chunks<S: Source> {
    writer: Arc<Writer>,
    hasher: RandomState,
    under_way: VecDeque<UnderWay>,
    sent: u64,
    source: std::marker::PhantomData<fn() -> S>,
}

struct UnderWay {
    keys: HashSet<u64>,
    task: AbortOnDropHandle<Result<Written, ServiceError>>,
}

impl<S: Source> Chunks<S> {
    pub(super) fn new(ctx: &Arc<TenantServices>, caller: &Caller, request: ImportRequest) -> Self {
        Self {
            writer: Arc::new(Writer {
                ctx: Arc::clone(ctx),
                caller: caller.clone(),
                check_only: request.check_only,
                id: ImportId::random(&*ctx.node.random),
                created: Mutex::new(false),
            }),
            hasher: RandomState::new(),
            under_way: VecDeque::with_capacity(UNDER_WAY),
            sent: 0,
            source: std::marker::PhantomData,
        }
    }

    pub(super) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Chunks sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The earliest chunk's outcome, if it has ended or must end before `chunk` may be sent.
    pub(super) async fn next_before(
        &mut self,
        chunk: &Chunk<S::Row>,
    ) -> Option<Result<Written, ServiceError>> {
        let is_full = self.under_way.len() >= UNDER_WAY;
        let shares_a_key = |earlier: &UnderWay| !earlier.keys.is_disjoint(&chunk.keys);
        let has_ended = |earlier: &UnderWay| earlier.task.is_finished();
        if is_full
            || self.under_way.front().is_some_and(has_ended)
            || self.under_way.iter().any(shares_a_key)
        {
            self.next().await
        } else {
            None
        }
    }

    /// Starts on a chunk.
    pub(super) fn send(&mut self, mut chunk: Chunk<S::Row>) {
        let keys = std::mem::take(&mut chunk.keys);
        let (writer, number) = (Arc::clone(&self.writer), self.sent);
        let work = async move { writer.write::<S>(&chunk, number).await };
        let task = tokio::spawn(work.in_current_span());
        self.under_way.push_back(UnderWay {
            keys,
            task: AbortOnDropHandle::new(task),
        });
        self.sent += 1;
    }

    /// The earliest chunk's outcome; `None` when none is under way.
    pub(super) async fn next(&mut self) -> Option<Result<Written, ServiceError>> {
        let UnderWay { task, .. } = self.under_way.pop_front()?;
        let ended = task.await;
        Some(
            ended
                .unwrap_or_else(|_| Err(self.writer.ctx.internal("a chunk of an import panicked"))),
        )
    }

    /// Waits for all that is under way, whatever comes of it.
    pub(super) async fn settle(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// What all chunks of one import share.
struct Writer {
    ctx: Arc<TenantServices>,
    caller: Caller,
    check_only: bool,
    id: ImportId,
    /// Whether the import stands: whoever enters its first rows creates it, the others wait for that.
    created: Mutex<bool>,
}

impl Writer {
    /// Compares, seals and records a chunk.
    async fn write<S: Source>(
        &self,
        chunk: &Chunk<S::Row>,
        number: u64,
    ) -> Result<Written, ServiceError> {
        let mut conflicts = 0;
        loop {
            match self.try_write::<S>(chunk, number).await {
                Ok(written) => return Ok(written),
                Err(NotRecorded::Change(ChangeError::Conflict(_))) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                }
                Err(error) => return Err(error.into_service()),
            }
        }
    }

    async fn try_write<S: Source>(
        &self,
        chunk: &Chunk<S::Row>,
        number: u64,
    ) -> Result<Written, NotRecorded> {
        let prepared = if chunk.rows.is_empty() {
            PreparedChunk {
                change: None,
                outcomes: Vec::new(),
            }
        } else {
            S::prepare(&*self.ctx.registry, self.id, Arc::clone(&chunk.rows))
                .await
                .map_err(|error| NotRecorded::Service(storage_error(&self.ctx, &error)))?
        };
        let mut written = count::<S>(&prepared.outcomes, &chunk.lines);
        if self.check_only {
            return Ok(written);
        }
        let mut first = None;
        let change = match prepared.change {
            None => None,
            Some(rows) => {
                written.import = Some(self.id);
                let created = self.created.lock().await;
                if *created {
                    Some(rows)
                } else {
                    first = Some(created);
                    let header = ImportHeader {
                        id: self.id,
                        kind: S::KIND,
                        entered_by: self.caller.id.to_string(),
                        entered_at: self.ctx.node.clock.now(),
                        digest: chunk.digest,
                    };
                    Some(Change::all(vec![Change::create_import(header), rows]))
                }
            }
        };
        let refused = chunk.refused + written.refused.len() as u64;
        let content = [
            ("import", self.id.to_string()),
            ("chunk", number.to_string()),
            ("bytes", chunk.bytes.to_string()),
            ("keyed_digest", hex(&chunk.digest)),
            ("added", written.added.to_string()),
            ("changed", written.changed.to_string()),
            ("unchanged", written.unchanged.to_string()),
            ("refused", refused.to_string()),
        ];
        let act = Act {
            kind: EntryKind::Desk,
            caller: &self.caller,
            action: S::ACTION,
            about: None,
            content: &pairs(&content),
        };
        act.record(&self.ctx, change, (), own_deadline()).await?;
        written.recorded = true;
        if let Some(mut created) = first {
            *created = true;
        }
        Ok(written)
    }
}

fn count<S: Source>(outcomes: &[RowOutcome], lines: &[u64]) -> Written {
    let mut written = Written::default();
    for (outcome, line) in outcomes.iter().zip(lines) {
        match outcome {
            RowOutcome::Added => written.added += 1,
            RowOutcome::Changed => written.changed += 1,
            RowOutcome::Unchanged => written.unchanged += 1,
            RowOutcome::Refused(refusal) => {
                // A row with several doses is one row to whoever reads the list.
                if written.refused.last().is_none_or(|last| last.line != *line) {
                    written.refused.push(refused_row::<S>(*line, *refusal));
                }
            }
        }
    }
    written
}

fn refused_row<S: Source>(line: u64, refusal: RowRefusal) -> RefusedRow {
    let (code, reason, reason_ja) = refusal_words::of_refusal(refusal);
    RefusedRow {
        line,
        column: S::PERSON_COLUMN.to_owned(),
        code,
        reason: reason.to_owned(),
        reason_ja,
    }
}
