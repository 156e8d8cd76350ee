//! Checking the whole log from its first entry to the newest signed checkpoint.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use vrx_domain::EntryKind;
use vrx_storage::{EntryRow, LogStore, SubjectHead, SubjectTag};
use vrx_tlog::{Checkpoint, Fsck, Hash, Leaf, TileId};

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::{Fault, ReadError};
use crate::opening::Opening;
use crate::reader::LogReader;
use crate::stored::open;
use crate::tiles;

/// Leaves read at once.
const LEAVES: u32 = 8192;
/// Entries with their openings read at once.
const OPENINGS: u32 = 1024;

/// Ends of subjects' lists read at the same time.
const HEADS: usize = 16;

/// How much of the log is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Leaves, tiles and the root: what the signed checkpoint stands for. At start and in the background.
    Tree,
    /// The openings too: that each opens, is what its leaf commits to, and links to the entry before it of the same subject, and that
    /// each subject's list begins at its newest entry.
    Openings,
}

/// What the verification of a whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Entries in the checkpoint that was checked against.
    pub entries: u64,
    /// Root that the checkpoint was signed for.
    pub root: Hash,
    /// That checkpoint.
    pub checkpoint: String,
    /// Openings that are erased (only counted at [`Depth::Openings`]).
    pub erased: u64,
    /// What is wrong first, if anything: the log is whole when this is empty.
    pub fault: Option<Fault>,
}

impl VerifyReport {
    /// Whether the log is what was signed.
    pub fn is_whole(&self) -> bool {
        self.fault.is_none()
    }
}

/// The state of a verification between two readings: moved to a blocking thread and back.
struct Walk {
    fsck: Fsck,
    tiles: Vec<(TileId, Vec<u8>)>,
    /// Of each subject the newest entry so far.
    chains: HashMap<SubjectTag, SubjectHead>,
    /// Places of blank openings, as ranges: where the first stands, and the one after the last.
    blank: Vec<(u64, u64)>,
    fault: Option<Fault>,
}

impl LogReader {
    /// Checks the whole log up to its newest signed checkpoint. `progress` is told (checked, of) after each reading. Each reading has the
    /// store's patience as its deadline; the whole takes as long as the log is.
    pub async fn verify_all(
        &self,
        depth: Depth,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<VerifyReport, ReadError> {
        let checkpoint = self.checkpoint();
        let mut walk = Walk {
            fsck: Fsck::new(),
            tiles: Vec::new(),
            chains: HashMap::new(),
            blank: Vec::new(),
            fault: None,
        };
        while walk.fault.is_none() && walk.fsck.entries() < checkpoint.size() {
            let deadline = Deadline::after(self.patience());
            let from = walk.fsck.entries();
            let left = u32::try_from(checkpoint.size() - from).unwrap_or(u32::MAX);
            walk = match depth {
                Depth::Tree => {
                    let rows = deadline
                        .wait(self.store().leaves(from, LEAVES.min(left)))
                        .await??;
                    let leaves: Vec<[u8; 134]> = rows.into_iter().map(|row| row.leaf).collect();
                    blocking(walk, move |walk| {
                        for leaf in &leaves {
                            walk.leaf(leaf);
                        }
                    })
                    .await
                }
                Depth::Openings => {
                    let rows = deadline
                        .wait(self.store().entries(from, OPENINGS.min(left)))
                        .await??;
                    let keyring = Arc::clone(self.keyring());
                    blocking(walk, move |walk| {
                        for row in &rows {
                            walk.entry(row, &keyring);
                        }
                    })
                    .await
                }
            };
            walk.compare_tiles(&**self.store(), deadline).await?;
            if walk.fault.is_none() && walk.fsck.entries() == from {
                break; // Fewer entries than the checkpoint says: the end says so.
            }
            progress(walk.fsck.entries(), checkpoint.size());
        }
        if walk.fault.is_none() {
            walk.fault = self.wrong_head(&walk.chains, checkpoint.size()).await?;
        }
        Ok(walk.report(&checkpoint, self.verifier_key().name()))
    }

    /// A subject whose list doesn't begin at its newest entry: whoever reads it from there would miss what is behind, or the way.
    async fn wrong_head(
        &self,
        chains: &HashMap<SubjectTag, SubjectHead>,
        size: u64,
    ) -> Result<Option<Fault>, ReadError> {
        let heads = chains.iter().map(|(tag, newest)| async move {
            let deadline = Deadline::after(self.patience());
            let head = self.subject_head(*tag, deadline).await?;
            let is_right = match head {
                Some(head) if head == *newest => true,
                // An entry that came since; this verification ends before it.
                Some(head) if head.last_index >= size && head.seq > newest.seq => {
                    self.is_entry_of(*tag, head, deadline).await?
                }
                _ => false,
            };
            Ok::<_, ReadError>((!is_right).then_some(Fault::Head(newest.last_index)))
        });
        let heads: Vec<_> = heads.collect();
        let mut heads = stream::iter(heads).buffer_unordered(HEADS);
        while let Some(fault) = heads.try_next().await? {
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    /// Whether the entry at the head's place is the subject's and says so itself.
    async fn is_entry_of(
        &self,
        tag: SubjectTag,
        head: SubjectHead,
        deadline: Deadline,
    ) -> Result<bool, ReadError> {
        let rows = deadline.wait(self.store().entries(head.last_index, 1));
        let rows = rows.await??;
        let Some(row) = rows.first().filter(|row| row.index == head.last_index) else {
            return Ok(false);
        };
        let leaf = Leaf::decode(&row.leaf)?;
        let opening = open(row, &leaf, self.keyring()).ok().flatten();
        Ok(opening.is_some_and(|opening| {
            opening.subject_tag == Some(tag) && opening.subject_seq == head.seq
        }))
    }
}

impl Walk {
    fn leaf(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if let Err(fault) = self.fsck.leaf(bytes) {
            self.fault = Some(fault.into());
        }
        self.tiles.extend(self.fsck.take_full_tiles());
    }

    fn entry(&mut self, row: &EntryRow, keyring: &vrx_crypto::Keyring) {
        self.leaf(&row.leaf);
        let Ok(leaf) = Leaf::decode(&row.leaf) else {
            return;
        };
        if self.fault.is_some() {
            return;
        }
        if (row.entry_id, row.kind) != (leaf.entry_id, leaf.kind) {
            self.fault = Some(Fault::Row(leaf.index));
            return;
        }
        match open(row, &leaf, keyring) {
            Err(_) => self.fault = Some(Fault::Opening(leaf.index)),
            Ok(None) if !is_erasable(leaf.kind) => self.fault = Some(Fault::Blank(leaf.index)),
            Ok(None) => self.blank(leaf.index),
            Ok(Some(opening)) => {
                if (row.subject, row.subject_seq) != (opening.linked_as, opening.subject_seq) {
                    self.fault = Some(Fault::Row(leaf.index));
                } else if !self.continues(&opening, leaf.index) {
                    self.fault = Some(Fault::Chain(leaf.index));
                }
            }
        }
    }

    fn blank(&mut self, index: u64) {
        match self.blank.last_mut() {
            Some((_, below)) if *below == index => *below += 1,
            _ => self.blank.push((index, index + 1)),
        }
    }

    /// Whether an entry links to the one before it of the same subject: the newest that is there, or one whose opening is blank.
    fn continues(&mut self, opening: &Opening, index: u64) -> bool {
        let Some(tag) = opening.subject_tag else {
            return true;
        };
        let newest = SubjectHead {
            seq: opening.subject_seq,
            last_index: index,
        };
        let before = self.chains.insert(tag, newest);
        let seq = before.map_or(0, |before| before.seq);
        let last = before.map(|before| before.last_index);
        match opening.previous_index {
            previous if previous == last => opening.subject_seq == seq + 1,
            Some(previous) => {
                // Between the two stand blank ones, one at least for each number that is left out.
                let is_newer = last.is_none_or(|last| previous > last);
                is_newer && self.is_blank(previous) && opening.subject_seq > seq + 1
            }
            None => false,
        }
    }

    fn is_blank(&self, index: u64) -> bool {
        let after = self.blank.partition_point(|(from, _)| *from <= index);
        let range = after.checked_sub(1).and_then(|nth| self.blank.get(nth));
        range.is_some_and(|(_, below)| index < *below)
    }

    async fn compare_tiles(
        &mut self,
        store: &dyn LogStore,
        deadline: Deadline,
    ) -> Result<(), ReadError> {
        let made = std::mem::take(&mut self.tiles);
        let ids: Vec<TileId> = made.iter().map(|(id, _)| *id).collect();
        let stored = match tiles::read(store, &ids, deadline).await {
            Err(ReadError::TileMissing(id)) => {
                self.fault.get_or_insert(Fault::Tile(id));
                return Ok(());
            }
            other => other?,
        };
        let wrong = made
            .iter()
            .zip(&stored)
            .find(|(made, stored)| made != stored);
        if let Some(((id, _), _)) = wrong {
            self.fault.get_or_insert(Fault::Tile(*id));
        }
        Ok(())
    }

    fn report(self, checkpoint: &SignedCheckpoint, origin: &str) -> VerifyReport {
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let fault = match self.fault {
            Some(fault) => Some(fault),
            None => self
                .fsck
                .finish(&Checkpoint {
                    origin: origin.to_owned(),
                    size,
                    root,
                })
                .err()
                .map(Fault::from),
        };
        VerifyReport {
            entries: size,
            root,
            checkpoint: checkpoint.note().to_owned(),
            erased: self.blank.iter().map(|(from, below)| below - from).sum(),
            fault,
        }
    }
}

/// Whether erasures take the openings of a kind: those about people.
pub fn is_erasable(kind: u8) -> bool {
    [EntryKind::Exchange, EntryKind::Inquiry, EntryKind::Desk]
        .iter()
        .any(|of_people| of_people.code() == kind)
}

/// Hashing and opening thousands of entries would hold up the runtime's threads.
async fn blocking(walk: Walk, work: impl FnOnce(&mut Walk) + Send + 'static) -> Walk {
    let lost = Walk {
        fsck: Fsck::new(),
        tiles: Vec::new(),
        chains: HashMap::new(),
        blank: Vec::new(),
        fault: Some(Fault::Leaf(vrx_tlog::FsckError::Root)),
    };
    let task = tokio::task::spawn_blocking(move || {
        let mut walk = walk;
        work(&mut walk);
        walk
    });
    task.await.unwrap_or(lost)
}
