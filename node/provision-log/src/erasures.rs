//! The erasures that a log records, read from the log itself: no table of the database is asked, for whoever writes the database can
//! put a row back. The leaves are hashed on the way, and what they say counts only when they lead to the signed root.

use std::collections::BTreeMap;

use tokio::sync::Mutex;
use vrx_domain::EntryKind;
use vrx_domain::audit::Fields;
use vrx_storage::{Blanks, LeafRow, RunBlanks};
use vrx_tlog::Fsck;

use crate::deadline::Deadline;
use crate::error::ReadError;
use crate::reader::LogReader;

/// Leaves read at once.
const LEAVES: u32 = 8192;

/// An entry that records an erasure (消去記録).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureEntry {
    /// Place in the log.
    pub index: u64,
    said: BTreeMap<String, String>,
}

impl ErasureEntry {
    /// The entry at a place, by the fields of its content; `None` when it names no erasure.
    pub(crate) fn new(index: u64, content: &Fields) -> Option<Self> {
        let values: Vec<String> = content
            .values()
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        let said: BTreeMap<String, String> = values
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.clone(), pair.last()?.clone())))
            .collect();
        let entry = Self { index, said };
        (!entry.said("erasure").is_empty()).then_some(entry)
    }

    /// A field of its content; empty when it has none of that name.
    pub fn said(&self, name: &str) -> &str {
        self.said.get(name).map_or("", String::as_str)
    }

    /// A number of its content; 0 when it has none of that name.
    pub fn count(&self, name: &str) -> u64 {
        self.said(name).parse().unwrap_or(0)
    }

    /// What is blank is told of the entries before this place. An entry of before that was told stands after all that it blanked.
    pub fn openings_below(&self) -> u64 {
        self.said("openings_below").parse().unwrap_or(self.index)
    }

    /// What was blank before and after; `None` in an entry of before that was told.
    pub fn blanks(&self) -> Option<RunBlanks> {
        let blanks = |count, chain| {
            let mut blanks = Blanks {
                count: self.said(count).parse().ok()?,
                chain: [0; 32],
            };
            hex::decode_to_slice(self.said(chain), &mut blanks.chain).ok()?;
            Some(blanks)
        };
        Some(RunBlanks {
            before: blanks("blanked_before", "blanked_before_sha256")?,
            after: blanks("blanked", "blanked_sha256")?,
        })
    }
}

/// All of them, among the first entries of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedErasures {
    /// How many entries were looked at.
    pub size: u64,
    /// In the log's order.
    pub entries: Vec<ErasureEntry>,
}

impl RecordedErasures {
    /// The entry that records an erasure.
    pub fn of(&self, erasure: &str) -> Option<&ErasureEntry> {
        self.entries
            .iter()
            .find(|entry| entry.said("erasure") == erasure)
    }
}

/// How far the log was looked at.
#[derive(Default)]
pub(crate) struct Looked {
    fsck: Fsck,
    /// Kind of entry, by place, of those found and not yet read.
    found: Vec<u64>,
    entries: Vec<ErasureEntry>,
}

/// What a reader remembers of it, so that the next one who asks reads on from there.
pub(crate) type ErasuresSoFar = Mutex<Looked>;

impl LogReader {
    /// The erasures that the log records, up to its newest signed checkpoint. The first call reads every leaf, the next ones what
    /// came since. A leaf that isn't the log's, and a record that was emptied, are errors: whoever asks can't know what was erased.
    pub async fn erasures(&self, deadline: Deadline) -> Result<RecordedErasures, ReadError> {
        let mut looked = deadline.wait(self.erasures_so_far().lock()).await?;
        let read = self.look_on(&mut looked, deadline).await;
        if matches!(read, Err(ReadError::Astray)) {
            *looked = Looked::default();
        }
        read?;
        Ok(RecordedErasures {
            size: looked.fsck.entries(),
            entries: looked.entries.clone(),
        })
    }

    async fn look_on(&self, looked: &mut Looked, deadline: Deadline) -> Result<(), ReadError> {
        let checkpoint = self.checkpoint();
        while looked.fsck.entries() < checkpoint.size() {
            let from = looked.fsck.entries();
            let left = u32::try_from(checkpoint.size() - from).unwrap_or(u32::MAX);
            let rows = deadline
                .wait(self.store().leaves(from, LEAVES.min(left)))
                .await??;
            if rows.is_empty() {
                return Err(ReadError::Astray);
            }
            // Thousands of hashes: not on a thread that others wait for.
            let fsck = std::mem::take(&mut looked.fsck);
            let hashed = tokio::task::spawn_blocking(move || hash(fsck, &rows)).await;
            let (fsck, found) = hashed.map_err(|_| ReadError::Astray)??;
            looked.fsck = fsck;
            looked.found.extend(found);
        }
        if looked.fsck.entries() == checkpoint.size() && looked.fsck.root() != checkpoint.root() {
            return Err(ReadError::Astray);
        }
        while let Some(index) = looked.found.first().copied() {
            let entry = self.entries(index, 1, deadline).await?.into_iter().next();
            let opening = entry
                .and_then(|entry| entry.opening)
                .ok_or(ReadError::Opening(index))?;
            looked
                .entries
                .extend(ErasureEntry::new(index, &opening.content));
            looked.found.remove(0);
        }
        Ok(())
    }
}

fn hash(mut fsck: Fsck, rows: &[LeafRow]) -> Result<(Fsck, Vec<u64>), ReadError> {
    let mut found = Vec::new();
    for row in rows {
        let leaf = fsck.leaf(&row.leaf).map_err(|_| ReadError::Astray)?;
        if leaf.kind == EntryKind::Erasure.code() {
            found.push(leaf.index);
        }
    }
    drop(fsck.take_full_tiles());
    Ok((fsck, found))
}
