//! The resident register's side: imports, approvals, inquiries.
//!
//! Every change takes two steps. *Prepare* reads what stands, compares, and seals, outside any transaction; the
//! resulting [`Change`] is applied by [`crate::LogStore::append`] together with its log entry, and only if nothing has
//! moved underneath ([`crate::ChangeError::Conflict`]: prepare again). So the log's one writer never waits for a cipher
//! over five hundred rows.

use std::sync::Arc;

use async_trait::async_trait;
use vrx_domain::{
    AddresseeNumber, Dose, ImportId, IndividualNumber, InquiryId, MunicipalityCode, Person,
    PersonId, UnixMillis,
};
use zeroize::Zeroizing;

use crate::{Change, ChangeError, StorageError};

/// Most rows in one chunk of an import: one chunk is one log entry.
pub const CHUNK_ROWS: usize = 500;

/// What an import brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// Residents.
    Persons = 1,
    /// Doses from a ledger file.
    Doses = 2,
    /// Doses adopted from another municipality's answer.
    Adoption = 3,
}

/// An import as it begins: who brings what. Everything in it stays *entered* until somebody else approves the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportHeader {
    /// Id.
    pub id: ImportId,
    /// What it brings.
    pub kind: ImportKind,
    /// SPIFFE URI of the staff member who entered it.
    pub entered_by: String,
    /// When.
    pub entered_at: UnixMillis,
    /// Keyed digest of the file (or of the answer adopted). Zeros where there is none.
    pub digest: [u8; 32],
}

/// Where an import stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportState {
    /// Invisible to the exchange.
    Entered,
    /// Exchanged from now on.
    Approved {
        /// SPIFFE URI of the staff member who approved it: never the one who entered it.
        by: String,
        /// When.
        at: UnixMillis,
    },
}

/// Rows of an import by what came of them. Refused rows never reach this room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Persons or doses that were not here before.
    pub added: u64,
    /// Persons or doses that got a new revision.
    pub changed: u64,
    /// Rows that say what stands already. Counted for chunks that wrote something.
    pub unchanged: u64,
}

/// An import as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// As it began.
    pub header: ImportHeader,
    /// Entered or approved.
    pub state: ImportState,
    /// Rows so far.
    pub counts: ImportCounts,
    /// Chunks written so far.
    pub chunks: u32,
    /// Log indexes of the first and the last chunk's entry.
    pub log_range: Option<(u64, u64)>,
}

/// # An import's life, the same in every database
impl ImportRecord {
    /// As it begins.
    pub(crate) fn entered(header: &ImportHeader) -> Self {
        Self {
            header: header.clone(),
            state: ImportState::Entered,
            counts: ImportCounts::default(),
            chunks: 0,
            log_range: None,
        }
    }

    /// Approved once, and never by whoever entered it.
    pub(crate) fn approve(&mut self, by: &str, at: UnixMillis) -> Result<(), ChangeError> {
        if self.state != ImportState::Entered {
            return Err(ChangeError::State("the import is approved already"));
        }
        if self.header.entered_by == by {
            return Err(ChangeError::SamePerson);
        }
        self.state = ImportState::Approved {
            by: by.to_owned(),
            at,
        };
        Ok(())
    }

    /// Takes a chunk's counts, unless the import is approved; `log_index` is the index of the chunk's entry.
    pub(crate) fn add_chunk(
        &mut self,
        counts: &ImportCounts,
        log_index: u64,
    ) -> Result<(), ChangeError> {
        if self.state != ImportState::Entered {
            return Err(ChangeError::State(
                "nothing can be added to an approved import",
            ));
        }
        self.counts.added += counts.added;
        self.counts.changed += counts.changed;
        self.counts.unchanged += counts.unchanged;
        self.chunks = self.chunks.saturating_add(1);
        let first = self.log_range.map_or(log_index, |(first, _)| first);
        self.log_range = Some((first, log_index));
        Ok(())
    }
}

/// One accepted line of a resident file.
pub struct PersonRow {
    /// Individual number (個人番号).
    pub number: IndividualNumber,
    /// Everything else.
    pub person: Person,
}

/// One accepted dose of a ledger file.
pub struct DoseRow {
    /// Addressee number (宛名番号) of the person; where the column was empty, a person who already has a dose under the
    /// same voucher number is looked for.
    pub addressee: Option<AddresseeNumber>,
    /// The dose. `id` is taken only if it is new; `revision` is set by the store. A person's dose is the same one when
    /// dose number, place and voucher number are the same.
    pub dose: Dose,
}

/// What came of one row, in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    /// Not here before.
    Added,
    /// Differs from the newest state, entered or approved: a new revision.
    Changed,
    /// Says what stands already.
    Unchanged,
    /// Not in the change: see why.
    Refused(RowRefusal),
}

/// Why a row can't be taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowRefusal {
    /// No person here has this addressee or voucher number.
    NoSuchPerson,
    /// The addressee number belongs to a person with another individual number.
    AddresseeTaken,
    /// The same person or dose stands in an earlier row of this chunk.
    Repeated,
}

/// A prepared chunk.
pub struct PreparedChunk {
    /// To be given to [`crate::LogStore::append`]; `None` when no row adds or changes anything.
    pub change: Option<Change>,
    /// One a row, in the order of the rows.
    pub outcomes: Vec<RowOutcome>,
}

/// An adoption: doses of another municipality's answer, to be kept here with their origin.
pub struct Adoption {
    /// Import that carries them; kind [`ImportKind::Adoption`].
    pub import: ImportHeader,
    /// Whose doses they are. The person must stand here already, entered or approved.
    pub number: IndividualNumber,
    /// The doses, each with `DoseOrigin::Adopted`.
    pub doses: Vec<Dose>,
}

/// An inquiry's row. `body` is encoded by the services; it is sealed under a key of the row's own, so that forgetting
/// the key forgets the inquiry.
pub struct InquiryRecord {
    /// Id.
    pub id: InquiryId,
    /// When the row is deleted.
    pub expires_at: UnixMillis,
    /// Counts the times it was written, from 1: [`Change`]s that replace it name the one they saw.
    pub version: u32,
    /// What the services keep in it.
    pub body: Zeroizing<Vec<u8>>,
}

/// The newest checkpoint seen of another municipality's log. Public and signed, so it isn't sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCheckpoint {
    /// Whose log.
    pub peer: MunicipalityCode,
    /// Entries it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

/// Sizes, for operators: no personal data. Decoys aren't counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Persons, entered or approved.
    pub persons: u64,
    /// Revisions of doses, entered or approved.
    pub dose_revisions: u64,
    /// Imports.
    pub imports: u64,
    /// Inquiries kept.
    pub inquiries: u64,
}

/// One entry of the log with which rows of a person came. The rows name it in plain: whoever may write to the database can
/// change that, so the entry itself has to bear it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnteredWith {
    /// Its place in the log.
    pub log_index: u64,
    /// The import that the rows belong to; it is sealed in them too.
    pub import: ImportId,
    /// Revisions of the person (宛名基本情報) that came with it.
    pub revisions: u64,
    /// Revisions of the person's doses (接種記録) that came with it.
    pub doses: u64,
}

/// Preparing changes to a tenant's register, and reading what isn't a resident.
#[async_trait]
pub trait RegistryStore: Send + Sync {
    /// Prepares at most [`CHUNK_ROWS`] residents.
    async fn prepare_persons(
        &self,
        import: ImportId,
        rows: Arc<[PersonRow]>,
    ) -> Result<PreparedChunk, StorageError>;

    /// Prepares at most [`CHUNK_ROWS`] doses.
    async fn prepare_doses(
        &self,
        import: ImportId,
        rows: Arc<[DoseRow]>,
    ) -> Result<PreparedChunk, StorageError>;

    /// Prepares an adoption: the change creates the import and adds its doses; outcomes are one a dose.
    async fn prepare_adoption(&self, adoption: &Adoption) -> Result<PreparedChunk, StorageError>;

    /// One import.
    async fn import(&self, id: ImportId) -> Result<Option<ImportRecord>, StorageError>;

    /// All imports, the newest entered first.
    async fn imports(&self) -> Result<Vec<ImportRecord>, StorageError>;

    /// The entries with which a person's rows came, the oldest first.
    async fn entered_with(&self, person: PersonId) -> Result<Vec<EnteredWith>, StorageError>;

    /// Seals an inquiry for writing: version 1 inserts; any later one replaces the version before it.
    async fn prepare_inquiry(&self, inquiry: &InquiryRecord) -> Result<Change, StorageError>;

    /// One inquiry, unless it has expired.
    async fn inquiry(
        &self,
        id: InquiryId,
        now: UnixMillis,
    ) -> Result<Option<InquiryRecord>, StorageError>;

    /// Deletes what has expired; returns how many rows.
    async fn expire_inquiries(&self, now: UnixMillis) -> Result<u64, StorageError>;

    /// The newest checkpoint kept of another municipality's log.
    async fn peer_checkpoint(
        &self,
        peer: MunicipalityCode,
    ) -> Result<Option<PeerCheckpoint>, StorageError>;

    /// Sizes.
    async fn counts(&self) -> Result<Counts, StorageError>;
}
