//! What both imports share: bytes in, chunks of rows through the log, refused rows out, nothing held beyond the few chunks under way.
//!
//! A chunk is at most 500 rows, one change and one entry (`import_chunks`). Rows that were taken stay taken when another chunk
//! fails; running the file again takes the rest and changes nothing of what is there.

use std::future::Future;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use vrx_crypto::{Drawn, Keyring, TagKind};
use vrx_domain::{Caller, Date, ImportId, Random, Role};
use vrx_storage::{CHUNK_ROWS, ImportKind, PreparedChunk, RegistryStore, StorageError};
use zeroize::Zeroizing;

use super::import_chunks::{Chunk, Chunks, Gathered, Keys, Written};
use super::refusal_words;
use crate::{
    error::ServiceError,
    import::{CsvImport, Encoding, FileError, Layout, ParsedRow, Row},
    policy::check_role,
    tenants::TenantServices,
};

/// Random bytes drawn at once for the ids of doses.
const DRAWN: usize = 1_024;

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

/// The action of the entries of an import of residents, a chunk each.
pub(crate) const PERSONS_ACTION: &str = "import-persons";
/// The action of the entries of an import of doses, a chunk each.
pub(crate) const DOSES_ACTION: &str = "import-doses";

/// What tells a file of residents from a file of doses.
pub(crate) trait Source: 'static {
    /// The file's layout.
    type Layout: Layout + Send;
    /// What the store takes.
    type Row: Send + Sync + 'static;
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

    /// Everything by which what comes of one row can depend on another row of the file.
    fn keys(row: &Self::Row, keys: &mut Keys<'_>);

    /// Compares and seals one chunk.
    fn prepare(
        registry: &dyn RegistryStore,
        import: ImportId,
        rows: Arc<[Self::Row]>,
    ) -> impl Future<Output = Result<PreparedChunk, StorageError>> + Send;
}

/// Takes the file as it comes.
pub(crate) async fn run<S, I>(
    ctx: &Arc<TenantServices>,
    caller: &Caller,
    request: ImportRequest,
    input: I,
    events: mpsc::Sender<ImportEvent>,
) -> Result<ImportSummary, ServiceError>
where
    S: Source,
    <S::Layout as Layout>::Row: Send,
    <S::Layout as Layout>::Columns: Send,
    I: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
{
    check_role(ctx, caller, Role::Staff)?;
    let parser = S::parser(request.encoding, ctx.node.clock.today());
    let mut import = Import::<S>::new(ctx, caller, request, events);
    let result = import.read(parser, input).await;
    // However it ends: what is under way comes to its end first, so that the caller's next look sees it.
    import.chunks.settle().await;
    result.map(|()| import.summary)
}

struct Import<S: Source> {
    events: mpsc::Sender<ImportEvent>,
    chunks: Chunks<S>,
    /// The chunk being gathered.
    gathered: Gathered<S::Row>,
    keyring: Arc<Keyring>,
    random: Arc<dyn Random>,
    digest: Sha256,
    bytes: u64,
    rows_read: u64,
    summary: ImportSummary,
}

impl<S: Source> Import<S> {
    fn new(
        ctx: &Arc<TenantServices>,
        caller: &Caller,
        request: ImportRequest,
        events: mpsc::Sender<ImportEvent>,
    ) -> Self {
        Self {
            events,
            chunks: Chunks::new(ctx, caller, request),
            gathered: Gathered::new(),
            keyring: Arc::clone(&ctx.keyring),
            random: Arc::clone(&ctx.node.random),
            digest: Sha256::new(),
            bytes: 0,
            rows_read: 0,
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

    async fn read<I>(
        &mut self,
        mut parser: CsvImport<S::Layout>,
        mut input: I,
    ) -> Result<(), ServiceError>
    where
        I: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
    {
        while let Some(bytes) = input.next().await {
            let bytes = bytes?;
            self.digest.update(&*bytes);
            self.bytes = self.bytes.saturating_add(bytes.len() as u64);
            let rows = match parser.push(&bytes) {
                Ok(rows) => rows,
                Err(error) => return Err(self.refuse_file(&error).await),
            };
            self.take(rows, parser.rows()).await?;
        }
        let rows = match parser.finish() {
            Ok(rows) => rows,
            Err(error) => return Err(self.refuse_file(&error).await),
        };
        self.take(rows, parser.rows()).await?;
        self.finish().await
    }

    async fn take(
        &mut self,
        rows: Vec<Row<<S::Layout as Layout>::Row>>,
        rows_read: u64,
    ) -> Result<(), ServiceError> {
        let random = Arc::clone(&self.random);
        let random = Drawn::new(&*random, DRAWN);
        for row in rows {
            match row {
                Row::Parsed(ParsedRow { line, row }) => {
                    let rows = S::rows(row, &random);
                    // The doses of one row stay together, so that they are taken or refused together.
                    if self.gathered.rows.len() + rows.len() > CHUNK_ROWS {
                        self.send_chunk().await?;
                    }
                    self.gathered.add(line, rows);
                }
                Row::Refused(refused) => {
                    let (code, reason_ja) = refusal_words::of_reason(refused.reason);
                    self.gathered.refused += 1;
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

    async fn finish(&mut self) -> Result<(), ServiceError> {
        if !self.gathered.is_empty() || self.chunks.sent() == 0 {
            self.send_chunk().await?;
        }
        while let Some(written) = self.chunks.next().await {
            self.report(written?).await?;
        }
        self.summary.rows = self.rows_read;
        self.progress().await
    }

    /// Sends the gathered rows on their way, once there is room for them and nothing under way that they depend on; tells of what
    /// has ended meanwhile.
    async fn send_chunk(&mut self) -> Result<(), ServiceError> {
        let gathered = std::mem::replace(&mut self.gathered, Gathered::new());
        let chunk = Chunk::new::<S>(
            gathered,
            self.bytes,
            self.keyed_digest(),
            self.chunks.hasher(),
        );
        while let Some(written) = self.chunks.next_before(&chunk).await {
            self.report(written?).await?;
        }
        self.chunks.send(chunk);
        Ok(())
    }

    /// Counts what came of a chunk, and tells of the rows that the store refused.
    async fn report(&mut self, written: Written) -> Result<(), ServiceError> {
        self.summary.entered += written.added + written.changed;
        self.summary.unchanged += written.unchanged;
        self.summary.entries += u64::from(written.recorded);
        if let Some(import) = written.import {
            self.summary.import = Some(import);
        }
        for refused in written.refused {
            self.refuse(refused).await?;
        }
        self.progress().await
    }

    /// The digest of the bytes so far under the tenant's tag key: a plain one would let anybody who reads the log try out the
    /// rows of a short file. The value can't be that of a person's tag: it is longer than a number.
    fn keyed_digest(&self) -> [u8; 32] {
        let mut value = b"import-file".to_vec();
        value.extend_from_slice(&self.digest.clone().finalize());
        self.keyring.tags(TagKind::Subject, &value).active().1.0
    }

    async fn refuse(&mut self, row: RefusedRow) -> Result<(), ServiceError> {
        self.summary.refused += 1;
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

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
