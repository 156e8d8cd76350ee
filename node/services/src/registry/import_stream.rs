//! What both imports share: bytes in, chunks of rows through the log, refused rows out, nothing held beyond one chunk.
//!
//! A chunk is at most 500 rows, one change and one entry. Rows that were taken stay taken when a later chunk fails; running the
//! file again takes the rest and changes nothing of what is there.

use std::future::Future;

use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use vrx_crypto::TagKind;
use vrx_domain::{Caller, Date, EntryKind, ImportId, Random, Role};
use vrx_storage::{
    CHUNK_ROWS, Change, ChangeError, ImportHeader, ImportKind, PreparedChunk, RegistryStore,
    RowOutcome, RowRefusal, StorageError,
};
use zeroize::Zeroizing;

use super::refusal_words;
use crate::{
    error::ServiceError,
    import::{CsvImport, Encoding, FileError, Layout, ParsedRow, Row},
    policy::check_role,
    record::{Act, NotRecorded, hex, own_deadline, pairs, storage_error},
    tenants::TenantServices,
};

/// How often a chunk is prepared again because somebody changed the same persons meanwhile.
const MAX_CONFLICTS: u32 = 16;

/// How an import is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportRequest {
    /// Read, parse and compare, but write nothing: no row, no entry.
    pub check_only: bool,
    /// The file's encoding, where staff say it; otherwise it is recognised by the header.
    pub encoding: Option<Encoding>,
}

/// What an import says while it runs. Sent through a bounded channel: a caller that doesn't read stops the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportEvent {
    /// How far it is.
    Progress {
        /// Bytes of the file taken in so far.
        bytes: u64,
        /// Rows read so far, refused ones included.
        rows: u64,
    },
    /// A row that wasn't taken.
    Refused(RefusedRow),
}

/// Why a row wasn't taken. Never repeats what stood in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Line of the file, from 1; the header is line 1.
    pub line: u64,
    /// Name of the column, as the layout names it; empty when the row as a whole is at fault.
    pub column: String,
    /// What is wrong, in a word that never changes.
    pub code: &'static str,
    /// What is wrong, in English.
    pub reason: String,
    /// What is wrong, in Japanese.
    pub reason_ja: &'static str,
}

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSummary {
    /// The import to be approved; none if nothing new was entered.
    pub import: Option<ImportId>,
    /// Rows read, without the header.
    pub rows: u64,
    /// Persons or doses entered anew or as a new revision.
    pub entered: u64,
    /// Persons or doses that were there already, unchanged.
    pub unchanged: u64,
    /// Rows refused (for doses: a row is refused when one of its doses is).
    pub refused: u64,
    /// Log entries that this import made: one a chunk.
    pub entries: u64,
}

/// What tells a file of residents from a file of doses.
pub(crate) trait Source {
    /// The file's layout.
    type Layout: Layout + Send;
    /// What the store takes.
    type Row: Send + Sync;
    /// Kind of import.
    const KIND: ImportKind;
    /// The word in the entry's actor fields.
    const ACTION: &'static str;
    /// The column at which the store's refusals point.
    const PERSON_COLUMN: &'static str;

    /// A parser of the file.
    fn parser(encoding: Option<Encoding>, today: Date) -> CsvImport<Self::Layout>;

    /// The store's rows in one row of the file.
    fn rows(row: <Self::Layout as Layout>::Row, random: &dyn Random) -> Vec<Self::Row>;

    /// Compares and seals one chunk.
    fn prepare(
        registry: &dyn RegistryStore,
        import: ImportId,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<PreparedChunk, StorageError>> + Send;
}

/// Takes the file as it comes.
pub(crate) async fn run<S, I>(
    ctx: &TenantServices,
    caller: &Caller,
    request: ImportRequest,
    mut input: I,
    events: mpsc::Sender<ImportEvent>,
) -> Result<ImportSummary, ServiceError>
where
    S: Source,
    <S::Layout as Layout>::Row: Send,
    <S::Layout as Layout>::Columns: Send,
    I: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
{
    check_role(ctx, caller, Role::Staff)?;
    let mut parser = S::parser(request.encoding, ctx.node.clock.today());
    let mut import = Import::<S>::new(ctx, caller, request, events);
    while let Some(bytes) = input.next().await {
        let bytes = bytes?;
        import.digest.update(&*bytes);
        import.bytes = import.bytes.saturating_add(bytes.len() as u64);
        let rows = match parser.push(&bytes) {
            Ok(rows) => rows,
            Err(error) => return Err(import.refuse_file(&error).await),
        };
        import.take(rows, parser.rows()).await?;
    }
    let rows = match parser.finish() {
        Ok(rows) => rows,
        Err(error) => return Err(import.refuse_file(&error).await),
    };
    import.take(rows, parser.rows()).await?;
    import.finish().await
}

/// One row of the chunk being gathered, with the line it came from.
struct Import<'a, S: Source> {
    ctx: &'a TenantServices,
    caller: &'a Caller,
    request: ImportRequest,
    events: mpsc::Sender<ImportEvent>,
    id: ImportId,
    created: bool,
    lines: Vec<u64>,
    rows: Vec<S::Row>,
    digest: Sha256,
    bytes: u64,
    rows_read: u64,
    chunks: u64,
    /// Rows refused since the last entry.
    refused_now: u64,
    summary: ImportSummary,
}

/// What came of one chunk.
#[derive(Default)]
struct ChunkCounts {
    added: u64,
    changed: u64,
    unchanged: u64,
    refused: Vec<RefusedRow>,
}

impl<'a, S: Source> Import<'a, S> {
    fn new(
        ctx: &'a TenantServices,
        caller: &'a Caller,
        request: ImportRequest,
        events: mpsc::Sender<ImportEvent>,
    ) -> Self {
        Self {
            ctx,
            caller,
            request,
            events,
            id: ImportId::random(&*ctx.node.random),
            created: false,
            lines: Vec::with_capacity(CHUNK_ROWS),
            rows: Vec::with_capacity(CHUNK_ROWS),
            digest: Sha256::new(),
            bytes: 0,
            rows_read: 0,
            chunks: 0,
            refused_now: 0,
            summary: ImportSummary {
                import: None,
                rows: 0,
                entered: 0,
                unchanged: 0,
                refused: 0,
                entries: 0,
            },
        }
    }

    async fn take(
        &mut self,
        rows: Vec<Row<<S::Layout as Layout>::Row>>,
        rows_read: u64,
    ) -> Result<(), ServiceError> {
        for row in rows {
            match row {
                Row::Parsed(ParsedRow { line, row }) => {
                    let rows = S::rows(row, &*self.ctx.node.random);
                    // The doses of one row stay together, so that they are taken or refused together.
                    if self.rows.len() + rows.len() > CHUNK_ROWS {
                        self.write_chunk().await?;
                    }
                    self.lines.extend(std::iter::repeat_n(line, rows.len()));
                    self.rows.extend(rows);
                }
                Row::Refused(refused) => {
                    let (code, reason_ja) = refusal_words::of_reason(refused.reason);
                    self.refuse(RefusedRow {
                        line: refused.line,
                        column: refused.column,
                        code,
                        reason: refused.reason.to_string(),
                        reason_ja,
                    })
                    .await?;
                }
            }
        }
        self.rows_read = rows_read;
        Ok(())
    }

    async fn finish(mut self) -> Result<ImportSummary, ServiceError> {
        if !self.rows.is_empty() || self.refused_now > 0 || self.chunks == 0 {
            self.write_chunk().await?;
        }
        self.summary.rows = self.rows_read;
        self.progress().await?;
        Ok(self.summary)
    }

    /// Compares, seals and records the rows gathered; tells of those that the store refused.
    async fn write_chunk(&mut self) -> Result<(), ServiceError> {
        let mut conflicts = 0;
        let counts = loop {
            match self.try_write().await {
                Ok(counts) => break counts,
                Err(NotRecorded::Change(ChangeError::Conflict(_))) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                }
                Err(error) => return Err(error.into_service()),
            }
        };
        self.rows.clear();
        self.lines.clear();
        self.refused_now = 0;
        self.chunks += 1;
        self.summary.entered += counts.added + counts.changed;
        self.summary.unchanged += counts.unchanged;
        for refused in counts.refused {
            self.summary.refused += 1;
            self.send(ImportEvent::Refused(refused)).await?;
        }
        self.progress().await
    }

    async fn try_write(&mut self) -> Result<ChunkCounts, NotRecorded> {
        let prepared = if self.rows.is_empty() {
            PreparedChunk {
                change: None,
                outcomes: Vec::new(),
            }
        } else {
            S::prepare(&*self.ctx.registry, self.id, &self.rows)
                .await
                .map_err(|error| NotRecorded::Service(storage_error(self.ctx, &error)))?
        };
        let counts = self.count(&prepared.outcomes);
        if self.request.check_only {
            return Ok(counts);
        }
        let digest = self.keyed_digest();
        let change = prepared.change.map(|chunk| {
            if self.created {
                return chunk;
            }
            let header = ImportHeader {
                id: self.id,
                kind: S::KIND,
                entered_by: self.caller.id.to_string(),
                entered_at: self.ctx.node.clock.now(),
                digest,
            };
            Change::all(vec![Change::create_import(header), chunk])
        });
        let writes = change.is_some();
        let refused = self.refused_now + counts.refused.len() as u64;
        let content = [
            ("import", self.id.to_string()),
            ("chunk", self.chunks.to_string()),
            ("bytes", self.bytes.to_string()),
            ("keyed_digest", hex(&digest)),
            ("added", counts.added.to_string()),
            ("changed", counts.changed.to_string()),
            ("unchanged", counts.unchanged.to_string()),
            ("refused", refused.to_string()),
        ];
        let act = Act {
            kind: EntryKind::Desk,
            caller: self.caller,
            action: S::ACTION,
            about: None,
            content: &pairs(&content),
        };
        act.record(self.ctx, change, (), own_deadline()).await?;
        self.summary.entries += 1;
        if writes {
            self.created = true;
            self.summary.import = Some(self.id);
        }
        Ok(counts)
    }

    fn count(&self, outcomes: &[RowOutcome]) -> ChunkCounts {
        let mut counts = ChunkCounts::default();
        for (outcome, line) in outcomes.iter().zip(&self.lines) {
            match outcome {
                RowOutcome::Added => counts.added += 1,
                RowOutcome::Changed => counts.changed += 1,
                RowOutcome::Unchanged => counts.unchanged += 1,
                RowOutcome::Refused(refusal) => {
                    // A row with several doses is one row to whoever reads the list.
                    if counts.refused.last().is_none_or(|last| last.line != *line) {
                        counts.refused.push(refused_row::<S>(*line, *refusal));
                    }
                }
            }
        }
        counts
    }

    /// The digest of the bytes so far under the tenant's tag key: a plain one would let anybody who reads the log try out the
    /// rows of a short file. The value can't be that of a person's tag: it is longer than a number.
    fn keyed_digest(&self) -> [u8; 32] {
        let mut value = b"import-file".to_vec();
        value.extend_from_slice(&self.digest.clone().finalize());
        self.ctx.keyring.tags(TagKind::Subject, &value).active().1.0
    }

    async fn refuse(&mut self, row: RefusedRow) -> Result<(), ServiceError> {
        self.summary.refused += 1;
        self.refused_now += 1;
        self.send(ImportEvent::Refused(row)).await
    }

    /// The header can't be understood: no row of the file can.
    async fn refuse_file(&mut self, error: &FileError) -> ServiceError {
        let row = RefusedRow {
            line: 1,
            column: String::new(),
            code: "header",
            reason: error.to_string(),
            reason_ja: "見出し行が所定の様式ではありません",
        };
        if let Err(gone) = self.send(ImportEvent::Refused(row)).await {
            return gone;
        }
        ServiceError::InvalidArgument {
            field: "file",
            why: "has a header that isn't the layout's",
        }
    }

    async fn progress(&mut self) -> Result<(), ServiceError> {
        let event = ImportEvent::Progress {
            bytes: self.bytes,
            rows: self.rows_read,
        };
        self.send(event).await
    }

    async fn send(&mut self, event: ImportEvent) -> Result<(), ServiceError> {
        let sent = self.events.send(event).await;
        sent.map_err(|_| {
            ServiceError::FailedPrecondition("the caller stopped listening to the import")
        })
    }
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

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
