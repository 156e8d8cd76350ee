//! An entry before it has a place in the log: commitments and opening are made in the caller's task, beside the writer.

use vrx_crypto::SecretKey;
use vrx_domain::audit::{Fields, SecretFields};
use vrx_domain::{EntryId, EntryKind, Random};
use vrx_storage::SubjectTag;
use vrx_tlog::{CommitTo, TlogError, commit};
use zeroize::Zeroizing;

use crate::opening::OpeningText;
use crate::recorded::Openings;

/// What is to be recorded (提供記録の一件). The tables of fields stand in `vrx_domain::audit`.
pub struct Entry {
    /// Kind of entry.
    pub kind: EntryKind,
    /// Who asked, and all that it said.
    pub actor: Fields,
    /// About whom, and the true cause.
    pub subject: Subject,
    /// What the one who asked was told.
    pub content: Fields,
}

/// Whom an entry is about.
pub enum Subject {
    /// A person of this tenant's register.
    Known {
        /// The person's tag, which links their entries.
        tag: SubjectTag,
        /// The committed fields, the individual number among them.
        fields: SecretFields,
    },
    /// Nobody, or a number that isn't here: committed over random bytes whose key is forgotten.
    Unknown,
}

/// An entry as the writer takes it.
pub(crate) struct Draft {
    pub(crate) kind: EntryKind,
    pub(crate) entry_id: EntryId,
    pub(crate) tag: SubjectTag,
    pub(crate) c_subject: [u8; 32],
    pub(crate) c_actor: [u8; 32],
    pub(crate) c_content: [u8; 32],
    /// Plaintext of the opening without its chain.
    pub(crate) opening: Zeroizing<Vec<u8>>,
}

impl Entry {
    /// Draws the keys and makes the commitments: the same work whomever the entry is about.
    pub(crate) fn draft(&self, random: &dyn Random) -> Result<(Draft, Openings), TlogError> {
        // One draw for all of it: a system call an entry.
        let mut drawn = Zeroizing::new([0; 16 + 5 * 32]);
        random.fill(&mut *drawn);
        let (entry_id, rest) = drawn
            .split_first_chunk::<16>()
            .ok_or(TlogError::FieldTooLong)?;
        let [random_tag, nobody, keys @ ..] = rest.as_chunks::<32>().0 else {
            return Err(TlogError::FieldTooLong);
        };
        let [k_subject, k_actor, k_content] = keys else {
            return Err(TlogError::FieldTooLong);
        };
        let key = |bytes: &[u8; 32]| SecretKey::from_bytes(Zeroizing::new(*bytes));
        let (k_subject, k_actor, k_content) = (key(k_subject), key(k_actor), key(k_content));

        let (tag, kept, c_subject) = match &self.subject {
            Subject::Known { tag, fields } => (
                *tag,
                Some(fields.without_number()),
                commit(k_subject.expose(), CommitTo::Subject, fields.values())?,
            ),
            Subject::Unknown => (
                SubjectTag(*random_tag),
                None,
                commit(k_subject.expose(), CommitTo::Subject, [nobody.as_slice()])?,
            ),
        };
        let c_actor = commit(k_actor.expose(), CommitTo::Actor, self.actor.values())?;
        let c_content = commit(k_content.expose(), CommitTo::Content, self.content.values())?;
        let nothing_kept = Fields::default();
        let opening = OpeningText {
            k_subject: kept.is_some().then(|| k_subject.expose()),
            k_actor: k_actor.expose(),
            k_content: k_content.expose(),
            tag: &tag,
            actor: &self.actor,
            subject: kept.as_ref().unwrap_or(&nothing_kept),
            content: &self.content,
        }
        .write()
        .ok_or(TlogError::FieldTooLong)?;
        let k_subject = if kept.is_some() {
            k_subject
        } else {
            SecretKey::from_bytes(Zeroizing::new([0; 32]))
        };
        let draft = Draft {
            kind: self.kind,
            entry_id: EntryId::from_bytes(*entry_id),
            tag,
            c_subject,
            c_actor,
            c_content,
            opening,
        };
        Ok((draft, Openings::new(k_subject, k_actor, k_content)))
    }
}
