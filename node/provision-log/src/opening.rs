//! The opening of an entry: what its commitments were made of, sealed, erasable.
//!
//! Plaintext, big-endian, before it is sealed under a key of its own (`vrx_crypto::Context::Opening`, row id = entry id):
//!
//! ```text
//! format u8 = 1 | flags u8 (bit 0: k_subject is kept) | k_subject 32 (zeros when not kept) | k_actor 32 | k_content 32
//! | subject tag 32 (random when not kept) | subject_seq u64, from 1 | previous_index u64 (2^64 - 1: none)
//! | actor fields | subject fields without the first | content fields | zeros
//! fields: count u16, then for each: length u16, bytes
//! ```
//!
//! The zeros bring subject and content together to a multiple of 384 bytes: room for a dozen doses. So the sealed length follows from the
//! request alone; what was found doesn't show in it. The first field of a subject, mostly the individual number, is never in an opening:
//! whoever checks a subject brings it.

use vrx_domain::EntryKind;
use vrx_domain::audit::{
    DESK_ACTOR, EXCHANGE_ACTOR, EXCHANGE_CONTENT, Field, Fields, SecretFields, subject_table,
};
use vrx_storage::{SubjectHead, SubjectTag};
use vrx_tlog::{CommitTo, Leaf, opens};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const SUBJECT_KEPT: u8 = 1;
const NO_PREVIOUS: u64 = u64::MAX;
/// Where `subject_seq` stands; the writer fills it and `previous_index` in, for only it knows them.
const CHAIN_AT: usize = 2 + 3 * 32 + 32;
/// Subject and content fields take a multiple of this.
const PADDED_TO: usize = 384;

/// An entry's opening, opened and found to be the one its leaf commits to. The keys in it stay in it.
pub struct Opening {
    /// Tag of the subject, by which the entries about one person are linked; `None` when the entry is about nobody known.
    pub subject_tag: Option<SubjectTag>,
    /// What stands in the row as the subject: the tag, or the random bytes in its place.
    pub(crate) linked_as: SubjectTag,
    /// This entry's number among the subject's, from 1.
    pub subject_seq: u64,
    /// The subject's entry before this one.
    pub previous_index: Option<u64>,
    /// Who asked, and all that it said.
    pub actor: Fields,
    /// The subject's fields without the first: the true cause of an exchange's outcome, or the action. Empty when not kept.
    pub subject: Fields,
    /// What the one who asked was told.
    pub content: Fields,
    k_subject: Zeroizing<[u8; 32]>,
    c_subject: [u8; 32],
}

impl Opening {
    /// Whether the entry's subject is these fields (made from the individual number, or what stands in its place, and [`Opening::subject`]).
    pub fn is_about(&self, fields: &SecretFields) -> bool {
        self.subject_tag.is_some()
            && opens(
                &self.c_subject,
                &self.k_subject,
                CommitTo::Subject,
                fields.values(),
            )
    }

    /// Reads an opening's plaintext and holds it against the leaf; `None` when it isn't one or isn't the leaf's.
    pub(crate) fn read(plaintext: &[u8], leaf: &Leaf) -> Option<Self> {
        let mut rest = plaintext;
        let [format, flags] = take(&mut rest)?;
        let k_subject = Zeroizing::new(take::<32>(&mut rest)?);
        let k_actor = Zeroizing::new(take::<32>(&mut rest)?);
        let k_content = Zeroizing::new(take::<32>(&mut rest)?);
        let tag = SubjectTag(take(&mut rest)?);
        let subject_seq = u64::from_be_bytes(take(&mut rest)?);
        let previous = u64::from_be_bytes(take(&mut rest)?);
        let (actor, subject, content) =
            (fields(&mut rest)?, fields(&mut rest)?, fields(&mut rest)?);
        let well_formed =
            format == FORMAT && flags & !SUBJECT_KEPT == 0 && rest.iter().all(|byte| *byte == 0);
        let committed = opens(
            &leaf.c_actor,
            &k_actor,
            CommitTo::Actor,
            actor.iter().map(Vec::as_slice),
        ) && opens(
            &leaf.c_content,
            &k_content,
            CommitTo::Content,
            content.iter().map(Vec::as_slice),
        );
        if !well_formed || !committed {
            return None;
        }
        let exchange = leaf.kind == EntryKind::Exchange.code();
        let actor_names = if exchange { EXCHANGE_ACTOR } else { DESK_ACTOR };
        // The first field isn't kept; the next one of all but exchange entries is the action.
        let action = subject.first().map_or(&[][..], Vec::as_slice);
        let action = std::str::from_utf8(action).unwrap_or_default();
        let subject_names = subject_table(leaf.kind, action);
        let content_names: &[&'static str] = if exchange {
            EXCHANGE_CONTENT
        } else {
            &["name", "value"]
        };
        Some(Self {
            subject_tag: (flags & SUBJECT_KEPT != 0).then_some(tag),
            linked_as: tag,
            subject_seq,
            previous_index: (previous != NO_PREVIOUS).then_some(previous),
            actor: named(actor_names, actor),
            subject: named(subject_names.get(1..).unwrap_or_default(), subject),
            content: named(content_names, content),
            k_subject,
            c_subject: leaf.c_subject,
        })
    }
}

/// What the caller's task writes of an opening; the writer adds the chain.
pub(crate) struct OpeningText<'a> {
    pub(crate) k_subject: Option<&'a [u8; 32]>,
    pub(crate) k_actor: &'a [u8; 32],
    pub(crate) k_content: &'a [u8; 32],
    pub(crate) tag: &'a SubjectTag,
    pub(crate) actor: &'a Fields,
    pub(crate) subject: &'a Fields,
    pub(crate) content: &'a Fields,
}

impl OpeningText<'_> {
    /// The plaintext without its chain; `None` when a list or a field is longer than its prefix can say.
    pub(crate) fn write(&self) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(Vec::with_capacity(
            CHAIN_AT + 16 + length(self.actor) + 2 * PADDED_TO,
        ));
        out.extend_from_slice(&[
            FORMAT,
            if self.k_subject.is_some() {
                SUBJECT_KEPT
            } else {
                0
            },
        ]);
        out.extend_from_slice(self.k_subject.unwrap_or(&[0; 32]));
        out.extend_from_slice(self.k_actor);
        out.extend_from_slice(self.k_content);
        out.extend_from_slice(&self.tag.0);
        out.extend_from_slice(&[0; 16]);
        put(&mut out, self.actor)?;
        let padded = (length(self.subject) + length(self.content)).next_multiple_of(PADDED_TO);
        let end = out.len() + padded;
        put(&mut out, self.subject)?;
        put(&mut out, self.content)?;
        out.resize(end, 0);
        Some(out)
    }
}

/// Fills the chain into a plaintext: this entry follows `before`, the subject's newest one. Returns its number.
pub(crate) fn link(plaintext: &mut [u8], before: Option<SubjectHead>) -> u64 {
    let seq = before.map_or(1, |head| head.seq + 1);
    let previous = before.map_or(NO_PREVIOUS, |head| head.last_index);
    if let Some(chain) = plaintext.get_mut(CHAIN_AT..CHAIN_AT + 16) {
        let (seq_bytes, previous_bytes) = chain.split_at_mut(8);
        seq_bytes.copy_from_slice(&seq.to_be_bytes());
        previous_bytes.copy_from_slice(&previous.to_be_bytes());
    }
    seq
}

fn length(fields: &Fields) -> usize {
    2 + fields.values().map(|value| 2 + value.len()).sum::<usize>()
}

fn put(out: &mut Vec<u8>, fields: &Fields) -> Option<()> {
    out.extend_from_slice(&u16::try_from(fields.0.len()).ok()?.to_be_bytes());
    for value in fields.values() {
        out.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
        out.extend_from_slice(value);
    }
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn fields(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = u16::from_be_bytes(take(rest)?);
    (0..count)
        .map(|_| {
            let len = usize::from(u16::from_be_bytes(take(rest)?));
            let (value, tail) = rest.split_at_checked(len)?;
            *rest = tail;
            Some(value.to_vec())
        })
        .collect()
}

/// Names come from the table of the kind; lists of pairs repeat theirs.
fn named(names: &[&'static str], values: Vec<Vec<u8>>) -> Fields {
    let names = names
        .iter()
        .copied()
        .chain(std::iter::repeat_n(["name", "value"], usize::from(u16::MAX)).flatten());
    let names: Vec<&'static str> = if values.is_empty() {
        Vec::new()
    } else {
        names.take(values.len()).collect()
    };
    Fields(
        names
            .into_iter()
            .zip(values)
            .map(|(name, value)| Field { name, value })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrx_tlog::commit;

    fn list(values: &[&[u8]]) -> Fields {
        Fields(
            values
                .iter()
                .map(|value| Field {
                    name: "f",
                    value: value.to_vec(),
                })
                .collect(),
        )
    }

    fn text(subject: &Fields, content: &Fields) -> Zeroizing<Vec<u8>> {
        let (actor, tag) = (list(&[b"caller", b"x"]), SubjectTag([9; 32]));
        let text = OpeningText {
            k_subject: Some(&[1; 32]),
            k_actor: &[2; 32],
            k_content: &[3; 32],
            tag: &tag,
            actor: &actor,
            subject,
            content,
        };
        text.write().unwrap()
    }

    fn leaf(content: &Fields) -> Leaf {
        let actor = list(&[b"caller", b"x"]);
        Leaf {
            kind: 1,
            index: 5,
            time: 1,
            entry_id: [0; 16],
            key_epoch: 1,
            c_subject: [0; 32],
            c_actor: commit(&[2; 32], CommitTo::Actor, actor.values()).unwrap(),
            c_content: commit(&[3; 32], CommitTo::Content, content.values()).unwrap(),
        }
    }

    #[test]
    fn an_opening_is_read_back_with_its_chain() {
        let content = list(&[b"found", b"hash", b"0", b"ids"]);
        let mut plain = text(&list(&[b"provided"]), &content);
        assert_eq!(
            link(
                &mut plain,
                Some(SubjectHead {
                    seq: 4,
                    last_index: 2
                })
            ),
            5
        );
        let opening = Opening::read(&plain, &leaf(&content)).unwrap();
        assert_eq!((opening.subject_seq, opening.previous_index), (5, Some(2)));
        assert_eq!(opening.subject_tag, Some(SubjectTag([9; 32])));
        assert_eq!(opening.subject.get("cause"), Some(b"provided".as_slice()));
        assert_eq!(opening.content.get("outcome"), Some(b"found".as_slice()));
        assert_eq!(opening.actor.get("caller"), Some(b"caller".as_slice()));
    }

    #[test]
    fn what_was_found_does_not_show_in_the_length() {
        let eight_doses = [7; 8 * 16];
        let found = text(
            &list(&[b"provided"]),
            &list(&[b"found", &[1; 32], b"4294967295", &eight_doses]),
        );
        let nothing = text(&list(&[]), &list(&[b"nothing", &[1; 32], b"0", b""]));
        let withheld = text(
            &list(&[b"not-moved-out"]),
            &list(&[b"nothing", &[1; 32], b"0", b""]),
        );
        assert_eq!(
            (found.len(), nothing.len()),
            (nothing.len(), withheld.len())
        );
    }

    #[test]
    fn a_cut_changed_or_foreign_opening_is_refused() {
        let content = list(&[b"found", b"hash", b"0", b"ids"]);
        let mut plain = text(&list(&[b"provided"]), &content);
        link(&mut plain, None);
        assert!(Opening::read(&plain, &leaf(&content)).is_some());
        assert!(Opening::read(&plain, &leaf(&list(&[b"nothing"]))).is_none());
        for cut in 0..194 {
            assert!(Opening::read(&plain[..cut], &leaf(&content)).is_none());
        }
        let last = plain.len() - 1;
        plain[last] = 1;
        assert!(Opening::read(&plain, &leaf(&content)).is_none());
    }
}
