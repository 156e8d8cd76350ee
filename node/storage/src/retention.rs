//! Erasure (消去) as a store does it: persons by what their records say about their end, holds, and the runs.
//!
//! A run is proposed and approved by a [`Change`], with an entry of the log. What follows is done here in bounded steps, each a
//! transaction of its own that can be run again after any crash: persons are *claimed* (found due once more, and no longer
//! found by anybody), their keys destroyed, their rows deleted, openings blanked, the files rewritten. Between claiming and
//! destroying, the caller writes the ids where a restore finds them.
//!
//! [`Change`]: crate::Change

use async_trait::async_trait;
use vrx_crypto::{Context, Keyring};
use vrx_domain::{Date, ErasureId, PersonId, Random, RecordSpan, RetentionPolicy, UnixMillis};

use crate::body::encode_erasure;
use crate::hold::HoldRecord;
use crate::sealed::{inconsistent, open_erasure};
use crate::{ChangeError, StorageError};

/// Persons of one step.
pub const ERASURE_STEP: u32 = 100;
/// Openings of one step.
pub const OPENINGS_STEP: u32 = 512;
/// Persons of one run at most; the next run takes more.
pub const ERASURE_MOST: usize = 20_000;

/// A person by what their records say about their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonSpan {
    /// Who.
    pub id: PersonId,
    /// What the records say.
    pub span: RecordSpan,
    /// Doses, each once.
    pub doses: u32,
}

/// How many of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasureCounts {
    /// Persons with all their rows.
    pub persons: u64,
    /// Their doses.
    pub doses: u64,
    /// Openings of log entries.
    pub openings: u64,
}

/// How far a run is. The numbers stand in sealed bodies: never given to another stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErasureStage {
    /// Waits for a second officer.
    Proposed = 1,
    /// Persons are claimed and their keys destroyed.
    Keys = 2,
    /// Their rows are deleted.
    Rows = 3,
    /// Openings are blanked.
    Openings = 4,
    /// The files are to be rewritten without what was erased.
    Rewriting = 5,
    /// The entry of the log stands, and the certificate.
    Recorded = 6,
}

impl ErasureStage {
    pub(crate) fn of(code: u8) -> Option<Self> {
        [
            Self::Proposed,
            Self::Keys,
            Self::Rows,
            Self::Openings,
            Self::Rewriting,
            Self::Recorded,
        ]
        .into_iter()
        .find(|stage| *stage as u8 == code)
    }
}

/// Blank openings in a few words: how many, and a chain over their places in ascending order, of which each link is the SHA-256
/// of the link before it (32 zeros first) and the next place, a u64, big-endian. One place more, fewer or elsewhere makes another chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blanks {
    /// How many.
    pub count: u64,
    /// The last link.
    pub chain: [u8; 32],
}

/// The blank openings of the entries that a run has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunBlanks {
    /// Those that it found blank.
    pub before: Blanks,
    /// Those and the ones that it blanked.
    pub after: Blanks,
}

/// A run's step over openings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningsStep {
    /// The first entry that was looked at: where the run stands. If it stands elsewhere by now, another process took the step.
    pub from: u64,
    /// What is to be blanked, each with the random bytes that take the place of its subject's tag.
    pub places: Vec<(u64, [u8; 32])>,
    /// The first entry that wasn't looked at.
    pub next: u64,
    /// Where the run's openings end: from there on it goes to its next stage.
    pub until: u64,
    /// All that is blank before `next` once the step is taken; nothing for a run that began without counting.
    pub blanks: Option<RunBlanks>,
}

impl OpeningsStep {
    /// Every place is blanked by the step, or none is: one that was blank by then, or that something kept, is nothing that was decided.
    pub(crate) fn check(&self, blanked: u64) -> Result<(), StorageError> {
        if blanked == self.places.len() as u64 {
            Ok(())
        } else {
            Err(inconsistent("log_entry", "opening_key", &self.from))
        }
    }
}

/// The blank openings of one state of the database, and its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankOpenings {
    /// Their places, ascending.
    pub places: Vec<u64>,
    /// All runs, the newest proposed first.
    pub runs: Vec<ErasureRun>,
}

/// One erasure, from its proposal on (消去記録).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRun {
    /// Its id.
    pub id: ErasureId,
    /// SPIFFE URI of the officer who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: UnixMillis,
    /// What was counted then.
    pub proposed: ErasureCounts,
    /// Openings of entries before this place in the log go.
    pub openings_below: u64,
    /// Who approved it, and when.
    pub approved: Option<(String, UnixMillis)>,
    /// How far it is.
    pub stage: ErasureStage,
    /// What was erased so far.
    pub done: ErasureCounts,
    /// Persons who were listed and stayed: on hold, or no longer due, when their turn came.
    pub stayed: u64,
    /// The first entry whose opening hasn't been looked at.
    pub openings_next: u64,
    /// When the files were rewritten without what was erased.
    pub rewritten_at: Option<UnixMillis>,
    /// The signed certificate (消去証明書); empty until the end.
    pub certificate: String,
    /// The entry that records the run.
    pub entry: Option<u64>,
    /// What is blank before `openings_next`; nothing in a run that was begun without counting.
    pub blanks: Option<RunBlanks>,
}

/// # A run's life, the same in every database
impl ErasureRun {
    /// Whether it still has something to do.
    pub fn is_open(&self) -> bool {
        self.stage != ErasureStage::Recorded
    }

    /// Approved once, and never by whoever proposed it.
    pub(crate) fn approve(&mut self, by: &str, at: UnixMillis) -> Result<(), ChangeError> {
        if self.stage != ErasureStage::Proposed {
            return Err(ChangeError::State("the erasure is approved already"));
        }
        if self.proposed_by == by {
            return Err(ChangeError::SamePerson);
        }
        self.approved = Some((by.to_owned(), at));
        self.stage = ErasureStage::Keys;
        Ok(())
    }

    /// Recorded once, when its files were rewritten.
    pub(crate) fn record(&mut self, certificate: &str, entry: u64) -> Result<(), ChangeError> {
        if self.stage != ErasureStage::Rewriting || self.rewritten_at.is_none() {
            return Err(ChangeError::State("the erasure isn't at its end"));
        }
        certificate.clone_into(&mut self.certificate);
        self.entry = Some(entry);
        self.stage = ErasureStage::Recorded;
        Ok(())
    }

    /// Whether the run stands where a step over openings begins.
    pub(crate) fn stands_at(&self, step: &OpeningsStep) -> bool {
        self.stage == ErasureStage::Openings && self.openings_next == step.from
    }

    /// Goes on by a step that has blanked so many openings.
    pub(crate) fn went_on(&mut self, step: &OpeningsStep, blanked: u64) {
        self.done.openings += blanked;
        self.openings_next = step.next;
        self.blanks = step.blanks;
        if self.openings_next >= step.until {
            self.stage = ErasureStage::Rewriting;
        }
    }

    /// Which of these is the proposal that another one takes the place of; refused while an erasure is under way, or over a proposal
    /// that whoever proposes didn't mean.
    pub(crate) fn gives_way(
        runs: &[Self],
        replaces: Option<ErasureId>,
    ) -> Result<Option<ErasureId>, ChangeError> {
        let mut open = runs.iter().filter(|run| run.is_open());
        let Some(first) = open.next() else {
            return match replaces {
                None => Ok(None),
                Some(_) => Err(ChangeError::NotFound("the proposal")),
            };
        };
        if first.stage != ErasureStage::Proposed || open.next().is_some() {
            return Err(ChangeError::State("an erasure is under way"));
        }
        match replaces {
            Some(id) if id == first.id => Ok(Some(id)),
            _ => Err(ChangeError::State(PROPOSED)),
        }
    }

    /// Once more what the log says that it is: at its end.
    pub(crate) fn settle(&mut self, recorded: &Self) -> Result<(), ChangeError> {
        if !self.is_open() || recorded.is_open() {
            return Err(ChangeError::State("the erasure is at its end"));
        }
        *self = Self {
            rewritten_at: self.rewritten_at,
            ..recorded.clone()
        };
        Ok(())
    }
}

/// What was erased before, by a list outside of the database.
pub trait ErasedBefore: Send + Sync {
    /// Persons.
    fn persons(&self) -> Vec<PersonId>;

    /// Openings of an epoch of the log: ranges from one place to before another.
    fn openings(&self, epoch: u32) -> Vec<(u64, u64)>;

    /// Whether an erasure can have taken the opening of this leaf; if not, it stays, whatever the list says.
    fn could_be_erased(&self, leaf: &[u8]) -> bool;
}

/// What was erased again of what had come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasedAgain {
    /// Rows of persons.
    pub rows: u64,
    /// Openings of log entries.
    pub openings: u64,
}

/// What claiming came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// These persons are claimed; their keys are to be destroyed once their ids stand outside the database. Perhaps none: all
    /// of the step stayed.
    Persons(Vec<PersonId>),
    /// Nobody is left.
    Nobody,
}

/// Erasing and what stands in its way.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Up to `count` persons after an id, by id.
    async fn spans(
        &self,
        after: Option<PersonId>,
        count: u32,
    ) -> Result<Vec<PersonSpan>, StorageError>;

    /// The holds that stand, in force or not: one record a person.
    async fn holds(&self) -> Result<Vec<HoldRecord>, StorageError>;

    /// All runs, the newest proposed first.
    async fn erasures(&self) -> Result<Vec<ErasureRun>, StorageError>;

    /// Claims up to [`ERASURE_STEP`] persons of an approved run: those that were claimed before and still have keys, or the next
    /// ones. All of them, whatever the list says, are due by this policy today by their own sealed records, and not on hold. From
    /// then on no number leads to them.
    async fn claim(
        &self,
        run: ErasureId,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Claimed, StorageError>;

    /// Destroys the keys of claimed persons, the rows that hold them, with their sealed numbers, and counts them. Asks once more whether
    /// each is due; who isn't stays, with their tags.
    async fn destroy_keys(
        &self,
        run: ErasureId,
        persons: &[PersonId],
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<(), StorageError>;

    /// Deletes the rows of up to [`ERASURE_STEP`] persons whose keys are destroyed; says whether any may be left. A listed person who
    /// has a key goes back to the beginning of the list, and the run to its stage of keys. A step that there isn't is
    /// [`StorageError::Inconsistent`].
    async fn delete_rows(&self, run: ErasureId) -> Result<bool, StorageError>;

    /// Blanks openings, and goes on to the run's next stage at their end. Does nothing where the run doesn't stand at the step.
    async fn blank_openings(&self, run: ErasureId, step: OpeningsStep) -> Result<(), StorageError>;

    /// All openings that are blank, and the runs, in one state. Reads the whole log once, without its openings.
    async fn blanks(&self) -> Result<BlankOpenings, StorageError>;

    /// Those of these persons who have a key here. Whoever an open run has claimed isn't among them: it is about to destroy it.
    async fn standing(&self, persons: Vec<PersonId>) -> Result<Vec<PersonId>, StorageError>;

    /// The places of openings in these ranges, each from one place to before another, that aren't blank.
    async fn standing_openings(&self, ranges: Vec<(u64, u64)>) -> Result<Vec<u64>, StorageError>;

    /// Rewrites the files without what was erased, where this process may. `false`: they are larger than a serving node
    /// rewrites, or another role owns them; the operator's verb does it.
    async fn rewrite(&self, run: ErasureId, now: UnixMillis) -> Result<bool, StorageError>;
}

/// Whether a run, by the sealed body of its row, waits for its files to be rewritten. One that doesn't open doesn't.
pub fn waits_for_rewriting(keyring: &Keyring, id: &[u8; 16], body: &[u8]) -> bool {
    open_erasure(keyring, ErasureId::from_bytes(*id), None, body)
        .is_ok_and(|run| run.stage == ErasureStage::Rewriting)
}

/// Seals a run's body.
pub(crate) fn seal_run(
    keyring: &Keyring,
    random: &dyn Random,
    run: &ErasureRun,
) -> Result<Vec<u8>, StorageError> {
    let plain = encode_erasure(run)
        .map_err(|_| StorageError::Invalid("a field of the erasure is too long"))?;
    keyring
        .seal_record(random, Context::ErasureRun, *run.id.as_bytes(), &plain)
        .map(vrx_crypto::Sealed::into_bytes)
        .map_err(|error| StorageError::Keyring(error.to_string()))
}

/// Puts the newest proposed first.
pub(crate) fn newest_first(mut runs: Vec<ErasureRun>) -> Vec<ErasureRun> {
    runs.sort_by_key(|run| (std::cmp::Reverse(run.proposed_at), run.id));
    runs
}

/// What a chunk conflicts with when an erasure has taken somebody in it: prepared again, it finds nobody.
pub(crate) const TAKEN: &str = "a person";
/// What a hold comes too late for.
pub(crate) const TOO_LATE: &str = "an erasure has taken this person's records already";
/// What a second proposal comes too early for.
pub(crate) const PROPOSED: &str = "another proposal waits for approval";
/// What a hold has to wait for.
pub(crate) const AT_OPENINGS: &str =
    "openings are being erased just now; place the hold when that is over";
