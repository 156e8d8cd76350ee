//! The entries about one person, from the newest back to the first, along the links that their openings hold.
//!
//! A link says where the entry before it stands and which of the person's entries that is. So one that was taken away, was emptied or
//! leads elsewhere shows: its number is missing. Past it the walk goes on with the next older row that carries the person's tag.

use vrx_storage::SubjectTag;
use vrx_tlog::Hash;

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::ReadError;
use crate::reader::LogReader;
use crate::stored::StoredEntry;

/// Rows looked at in one reading for the tag of a person, past an entry that is missing.
const ROWS: u32 = 1024;

/// One step back in a person's history.
pub enum Step {
    /// The next older entry, which is the one that the newer one links to.
    Entry(Box<StoredEntry>),
    /// Entries that were there once and can't be read.
    Missing {
        /// How many.
        count: u64,
        /// Which of the person's entries the oldest of them is, counted from 1.
        first_seq: u64,
        /// Where the newest of them stands or stood, as the entry after it says.
        last_index: u64,
        /// Its leaf is there and its opening is empty: it was erased.
        erased: bool,
    },
}

/// Walks back from an entry about a person.
pub struct SubjectWalk {
    tag: SubjectTag,
    next: Option<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    seq: u64,
    index: u64,
}

/// What stands where a link leads.
enum Linked {
    Here(Box<StoredEntry>),
    Erased,
    Not,
}

impl SubjectWalk {
    /// A walk whose first step is the entry at `index`, the person's `seq`-th.
    pub fn from(tag: SubjectTag, seq: u64, index: u64) -> Self {
        let next = (seq > 0).then_some(Link { seq, index });
        Self { tag, next }
    }

    /// The next older entry; `None` after the person's first.
    pub async fn step(
        &mut self,
        reader: &LogReader,
        deadline: Deadline,
    ) -> Result<Option<Step>, ReadError> {
        let Some(link) = self.next else {
            return Ok(None);
        };
        let erased = match self.linked(reader, link, deadline).await? {
            Linked::Here(entry) => {
                self.next = before(&entry);
                return Ok(Some(Step::Entry(entry)));
            }
            Linked::Erased => true,
            Linked::Not => false,
        };
        self.next = self.next_with_tag(reader, link, deadline).await?;
        let first_seq = self.next.map_or(1, |older| older.seq + 1);
        Ok(Some(Step::Missing {
            count: (link.seq + 1).saturating_sub(first_seq),
            first_seq,
            last_index: link.index,
            erased,
        }))
    }

    /// The entry that the link leads to, if it is there, opens, and is the one that the link says.
    async fn linked(
        &self,
        reader: &LogReader,
        link: Link,
        deadline: Deadline,
    ) -> Result<Linked, ReadError> {
        let entry = match reader.entries(link.index, 1, deadline).await {
            Ok(entries) => entries.into_iter().next(),
            Err(ReadError::Leaf(_) | ReadError::Opening(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(entry) = entry.filter(|entry| entry.leaf.index == link.index) else {
            return Ok(Linked::Not);
        };
        let Some(opening) = &entry.opening else {
            return Ok(Linked::Erased);
        };
        let is_the_one = opening.subject_tag == Some(self.tag)
            && opening.subject_seq == link.seq
            && (link.seq == 1) == opening.previous_index.is_none()
            && opening
                .previous_index
                .is_none_or(|older| older < link.index);
        Ok(if is_the_one {
            Linked::Here(Box::new(entry))
        } else {
            Linked::Not
        })
    }

    /// The newest entry of the person before a missing one, found by the rows' own tags, each believed only when its opening agrees.
    async fn next_with_tag(
        &self,
        reader: &LogReader,
        missing: Link,
        deadline: Deadline,
    ) -> Result<Option<Link>, ReadError> {
        let mut until = missing.index;
        while until > 0 {
            let from = until.saturating_sub(u64::from(ROWS));
            let count = u32::try_from(until - from).unwrap_or(ROWS);
            let rows = deadline.wait(reader.store().entries(from, count)).await??;
            for row in rows.iter().rev().filter(|row| row.index < until) {
                let link = Link {
                    seq: row.subject_seq,
                    index: row.index,
                };
                if row.subject == self.tag
                    && (1..missing.seq).contains(&link.seq)
                    && matches!(self.linked(reader, link, deadline).await?, Linked::Here(_))
                {
                    return Ok(Some(link));
                }
            }
            until = from;
        }
        Ok(None)
    }
}

/// Where an entry links back to.
fn before(entry: &StoredEntry) -> Option<Link> {
    let opening = entry.opening.as_ref()?;
    Some(Link {
        seq: opening.subject_seq.checked_sub(1)?,
        index: opening.previous_index?,
    })
}

impl LogReader {
    /// The root over the log's first `size` entries; a smaller log's root stays what it was for ever.
    pub async fn root_at(
        &self,
        size: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Hash, ReadError> {
        if size > checkpoint.size() {
            return Err(ReadError::OutOfRange);
        }
        let snapshot = checkpoint.snapshot();
        let tiles = self
            .tiles()
            .load(&snapshot.missing_for_root_at(size), deadline)
            .await?;
        Ok(snapshot.root_at(size, &tiles)?)
    }
}
