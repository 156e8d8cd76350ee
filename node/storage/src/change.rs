//! A change to the register: sealed already, applied inside the batch's transaction.
//!
//! Opaque to whoever carries it: the provision log puts a [`Change`] beside an entry and never looks inside. Both
//! databases apply the same rows.

use vrx_crypto::{KeyId, Tag, TagKind};
use vrx_domain::{DoseId, ErasureId, ImportId, InquiryId, PersonId, Reference, UnixMillis};

use crate::hold::HoldRecord;
use crate::receipts::{KeptReceipt, RecoveredEntry, RecoveryAnswer};
use crate::registry::{ImportCounts, ImportHeader, PeerCheckpoint};
use crate::retention::ErasureRun;

/// What is done to the register together with one log entry. Carries no plaintext of a resident: its rows are sealed.
pub struct Change(pub(crate) Op);

impl Change {
    /// Begins an import; conflicts if its id stands already.
    pub fn create_import(header: ImportHeader) -> Self {
        Self(Op::CreateImport(header))
    }

    /// Approves an import: `by` is the SPIFFE URI of a staff member other than the one who entered it.
    pub fn approve_import(import: ImportId, by: String, at: UnixMillis) -> Self {
        Self(Op::ApproveImport { import, by, at })
    }

    /// Keeps another municipality's newest checkpoint; an older one of the same log than what stands is left out,
    /// without an error. Another log's (a new epoch) takes its place.
    pub fn keep_peer_checkpoint(checkpoint: PeerCheckpoint) -> Self {
        Self(Op::KeepPeerCheckpoint(checkpoint))
    }

    /// Keeps the receipt of an answer; conflicts if one of that place in the provider's log is held already.
    pub fn keep_receipt(receipt: KeptReceipt) -> Self {
        Self(Op::KeepReceipt(Box::new(receipt)))
    }

    /// Remembers that the entry which carries this change stands for a lost one; conflicts if one does already.
    pub fn recover_entry(entry: RecoveredEntry) -> Self {
        Self(Op::RecoverEntry(Box::new(entry)))
    }

    /// Remembers that a member gave back all its receipts of a lost log; conflicts if that is known already.
    pub fn recovery_answered(answer: RecoveryAnswer) -> Self {
        Self(Op::RecoveryAnswered(answer))
    }

    /// Proposes an erasure of these persons, in the place of the proposal named, which nobody has approved. Refused while another one
    /// is open.
    pub fn propose_erasure(
        run: ErasureRun,
        persons: Vec<PersonId>,
        replaces: Option<ErasureId>,
    ) -> Self {
        Self(Op::ProposeErasure {
            run: Box::new(run),
            persons,
            replaces,
        })
    }

    /// Approves an erasure: `by` is the SPIFFE URI of an officer other than the one who proposed it.
    pub fn approve_erasure(run: ErasureId, by: String, at: UnixMillis) -> Self {
        Self(Op::ApproveErasure { run, by, at })
    }

    /// Ends an erasure with its certificate; the entry that carries this change is its record.
    pub fn record_erasure(run: ErasureId, certificate: String) -> Self {
        Self(Op::RecordErasure { run, certificate })
    }

    /// Puts an erasure that the log records, and that stands open in the database, back to its end. Refused where it isn't open.
    pub fn settle_erasure(recorded: ErasureRun) -> Self {
        Self(Op::SettleErasure(Box::new(recorded)))
    }

    /// Places a hold beside those of other references; one of the same reference only gets longer. Refused once an erasure has taken
    /// the person or is at the openings.
    pub fn place_hold(record: HoldRecord) -> Self {
        Self(Op::PlaceHold(Box::new(record)))
    }

    /// Lifts a person's hold of this reference; the others stand.
    pub fn lift_hold(person: PersonId, reference: Reference) -> Self {
        Self(Op::LiftHold(person, reference))
    }

    /// Several changes as one: all are taken or none.
    pub fn all(changes: Vec<Self>) -> Self {
        Self(Op::All(changes.into_iter().map(|c| c.0).collect()))
    }
}

pub(crate) enum Op {
    CreateImport(ImportHeader),
    Chunk(Box<Chunk>),
    ApproveImport {
        import: ImportId,
        by: String,
        at: UnixMillis,
    },
    PutInquiry(SealedInquiry),
    KeepPeerCheckpoint(PeerCheckpoint),
    KeepReceipt(Box<KeptReceipt>),
    RecoverEntry(Box<RecoveredEntry>),
    RecoveryAnswered(RecoveryAnswer),
    ProposeErasure {
        run: Box<ErasureRun>,
        persons: Vec<PersonId>,
        replaces: Option<ErasureId>,
    },
    ApproveErasure {
        run: ErasureId,
        by: String,
        at: UnixMillis,
    },
    RecordErasure {
        run: ErasureId,
        certificate: String,
    },
    SettleErasure(Box<ErasureRun>),
    PlaceHold(Box<HoldRecord>),
    LiftHold(PersonId, Reference),
    All(Vec<Op>),
}

/// At most 500 rows of one import, sealed, each list sorted by its key: a clustered table takes them in order.
pub(crate) struct Chunk {
    pub(crate) import: ImportId,
    pub(crate) counts: ImportCounts,
    pub(crate) persons: Vec<SealedPerson>,
    pub(crate) person_revisions: Vec<SealedPersonRevision>,
    pub(crate) dose_revisions: Vec<SealedDoseRevision>,
    pub(crate) tags: Vec<TagRow>,
}

impl Chunk {
    /// Everybody who has a row in it, once.
    pub(crate) fn owners(&self) -> Vec<PersonId> {
        let persons = self.person_revisions.iter().map(|row| row.person);
        let doses = self.dose_revisions.iter().map(|row| row.person);
        let mut owners: Vec<PersonId> = persons.chain(doses).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

pub(crate) struct SealedPerson {
    pub(crate) id: PersonId,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) number: Vec<u8>,
}

pub(crate) struct SealedPersonRevision {
    pub(crate) person: PersonId,
    pub(crate) revision: u32,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct SealedDoseRevision {
    pub(crate) person: PersonId,
    pub(crate) dose: DoseId,
    pub(crate) revision: u32,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct TagRow {
    pub(crate) kind: TagKind,
    pub(crate) key: KeyId,
    pub(crate) tag: Tag,
    pub(crate) person: PersonId,
}

pub(crate) struct SealedInquiry {
    pub(crate) id: InquiryId,
    pub(crate) expires_at: UnixMillis,
    pub(crate) version: u32,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) body: Vec<u8>,
}
