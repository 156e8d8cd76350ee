//! Sealing one batch: what runs inside the store's transaction, between the changes and the COMMIT.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vrx_crypto::{Drawn, Keyring};
use vrx_domain::{EntryKind, Random};
use vrx_storage::{
    BatchRows, ChangeError, EntryRow, HeadRow, Prepared, SubjectHead, SubjectTag, TileRow,
};
use vrx_tlog::{Leaf, Tree, leaf_hash};
use zeroize::Zeroizing;

use crate::entry::Draft;
use crate::opening;

/// How far the clock may stand behind the last entry, milliseconds.
pub(crate) const CLOCK_TOLERANCE: u64 = 5_000;
/// Random bytes that sealing one opening takes: its key and two nonces.
const PER_OPENING: usize = 32 + 2 * 12;

/// All that sealing needs. It owns a clone of the tree: a batch that doesn't come to stand leaves the writer's own untouched.
pub(crate) struct Job {
    pub(crate) tree: Tree,
    pub(crate) drafts: Arc<[Draft]>,
    /// The time, milliseconds since 1970. The entries get that of the last entry where that is later.
    pub(crate) now: u64,
    pub(crate) epoch: u32,
    /// The newest signed checkpoint, stored beside the head.
    pub(crate) checkpoint: Option<String>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) random: Arc<dyn Random>,
}

/// Why a batch wasn't sealed. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The log is in another epoch than this writer.
    #[error(
        "another epoch of this log was opened; this process may write no more. Start it anew with the configuration of that epoch"
    )]
    Epoch,
    /// The entries that others added don't lead from this writer's tree to the head.
    #[error("the entries since don't lead from this writer's tree to the head")]
    OtherTree,
    /// This very batch stands among them: an earlier attempt came through after all.
    #[error("the batch stands already")]
    Standing,
    /// A first entry isn't due.
    #[error("the log has begun")]
    Begun,
    /// The clock stands too far behind the last entry.
    #[error("the clock is behind the log's last entry")]
    ClockBehind,
    /// An opening couldn't be sealed, or the store gave the wrong number of results.
    #[error("{0}")]
    Failed(String),
}

/// A batch as it was sealed: true once the transaction committed, nothing before.
pub(crate) struct Sealed {
    pub(crate) tree: Tree,
    pub(crate) time: u64,
    /// One for each draft: the leaf, or why its change was refused.
    pub(crate) entries: Vec<Result<Leaf, ChangeError>>,
}

impl Job {
    /// Goes on from the head that the store found: assigns indexes, links subjects, seals openings, grows the tree.
    pub(crate) fn seal(mut self, prepared: &Prepared) -> Result<(BatchRows, Sealed), Refused> {
        self.catch_up(prepared)?;
        let time = self.now.max(prepared.head.last_time);
        let key_epoch = self.keyring.log_key_id().0;
        // Entries of the same subject in one batch follow each other, not the head that the store found before the batch.
        let mut newest: HashMap<SubjectTag, SubjectHead> = HashMap::new();
        let mut rows = Vec::with_capacity(self.drafts.len());
        let mut entries = Vec::with_capacity(self.drafts.len());
        let random = Drawn::new(&*self.random, self.drafts.len() * PER_OPENING);
        let mut plaintext = Zeroizing::new(Vec::with_capacity(2048));
        if prepared.results.len() != self.drafts.len() || prepared.heads.len() != self.drafts.len()
        {
            return Err(Refused::Failed(
                "the store prepared another number of items than it was given".to_owned(),
            ));
        }
        for ((draft, result), head) in self
            .drafts
            .iter()
            .zip(&prepared.results)
            .zip(&prepared.heads)
        {
            if let Err(refused) = result {
                entries.push(Err(refused.clone()));
                continue;
            }
            let index = self.tree.size();
            let leaf = Leaf {
                kind: draft.kind.code(),
                index,
                time,
                entry_id: *draft.entry_id.as_bytes(),
                key_epoch,
                c_subject: draft.c_subject,
                c_actor: draft.c_actor,
                c_content: draft.c_content,
            };
            let bytes = leaf.encode();
            self.tree.append(leaf_hash(&bytes));

            plaintext.clear();
            plaintext.extend_from_slice(&draft.opening);
            let seq = opening::link(&mut plaintext, newest.get(&draft.tag).copied().or(*head));
            newest.insert(
                draft.tag,
                SubjectHead {
                    seq,
                    last_index: index,
                },
            );
            let sealed = self
                .keyring
                .seal_opening(&random, draft.entry_id, &plaintext);
            let sealed = sealed.map_err(|error| {
                Refused::Failed(format!("an opening couldn't be sealed: {error}"))
            })?;
            rows.push(EntryRow {
                index,
                entry_id: leaf.entry_id,
                kind: leaf.kind,
                leaf: bytes,
                opening_key: sealed.wrapped_key.into_bytes(),
                opening: sealed.body.into_bytes(),
                subject: draft.tag,
                subject_seq: seq,
            });
            entries.push(Ok(leaf));
        }
        let tiles = self.tree.take_full_tiles().into_iter();
        let tiles = tiles
            .map(|(id, hashes)| TileRow {
                level: id.level,
                index: id.index,
                hashes,
            })
            .collect();
        let head = HeadRow {
            size: self.tree.size(),
            root: self.tree.root(),
            epoch: self.epoch,
            last_time: time,
            checkpoint: self.checkpoint,
        };
        Ok((
            BatchRows {
                entries: rows,
                tiles,
                head,
            },
            Sealed {
                tree: self.tree,
                time,
                entries,
            },
        ))
    }

    /// Takes over what others added since, if it leads to the head: nothing is ever built on a tree that was only read.
    fn catch_up(&mut self, prepared: &Prepared) -> Result<(), Refused> {
        let head = &prepared.head;
        if head.size > 0 && head.epoch != self.epoch {
            return Err(Refused::Epoch);
        }
        if !prepared.since.is_empty() {
            let ours = own_ids(&self.drafts);
            for row in &prepared.since {
                let leaf = Leaf::decode(&row.leaf).map_err(|_| Refused::OtherTree)?;
                if ours.contains(&leaf.entry_id) {
                    return Err(Refused::Standing);
                }
                self.tree.append(leaf_hash(&row.leaf));
            }
            // Whoever appended these entries stored the tiles that they filled.
            drop(self.tree.take_full_tiles());
        }
        if (self.tree.size(), self.tree.root()) != (head.size, head.root) {
            return Err(Refused::OtherTree);
        }
        let genesis = |draft: &Draft| draft.kind == EntryKind::Genesis;
        if head.size > 0 && self.drafts.iter().any(genesis) {
            return Err(Refused::Begun);
        }
        if self.now.saturating_add(CLOCK_TOLERANCE) < head.last_time {
            return Err(Refused::ClockBehind);
        }
        Ok(())
    }
}

/// What the entries of a batch are told apart by from all others.
pub(crate) fn own_ids(drafts: &[Draft]) -> HashSet<[u8; 16]> {
    let id = |draft: &Draft| *draft.entry_id.as_bytes();
    drafts.iter().map(id).collect()
}
