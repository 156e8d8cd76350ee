//! Sealing one batch: what runs inside the store's transaction, between the changes and the COMMIT.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vrx_crypto::Keyring;
use vrx_domain::Random;
use vrx_storage::{
    BatchRows, ChangeError, EntryRow, HeadRow, Prepared, SubjectHead, SubjectTag, TileRow,
};
use vrx_tlog::{Leaf, Tree, leaf_hash};
use zeroize::Zeroizing;

use crate::entry::Draft;
use crate::opening;

/// Random bytes that sealing one opening takes: its key and two nonces.
const PER_OPENING: usize = 32 + 2 * 12;

/// All that sealing needs. It owns a clone of the tree: a batch that doesn't come to stand leaves the writer's own untouched.
pub(crate) struct Job {
    pub(crate) tree: Tree,
    pub(crate) drafts: Arc<[Draft]>,
    /// `max(last entry, now)`, milliseconds.
    pub(crate) time: u64,
    pub(crate) epoch: u32,
    /// The newest signed checkpoint, stored beside the head.
    pub(crate) checkpoint: Option<String>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) random: Arc<dyn Random>,
}

/// A batch as it was sealed: true once the transaction committed, nothing before.
pub(crate) struct Sealed {
    pub(crate) tree: Tree,
    pub(crate) time: u64,
    /// One for each draft: the leaf, or why its change was refused.
    pub(crate) entries: Vec<Result<Leaf, ChangeError>>,
}

impl Job {
    /// Assigns indexes, links subjects, seals openings, grows the tree.
    pub(crate) fn seal(mut self, prepared: &Prepared) -> Result<(BatchRows, Sealed), String> {
        let key_epoch = self.keyring.log_key_id().0;
        // Entries of the same subject in one batch follow each other, not the head that the store found before the batch.
        let mut newest: HashMap<SubjectTag, SubjectHead> = HashMap::new();
        let mut rows = Vec::with_capacity(self.drafts.len());
        let mut entries = Vec::with_capacity(self.drafts.len());
        let random = Drawn::new(&*self.random, self.drafts.len() * PER_OPENING);
        let mut plaintext = Zeroizing::new(Vec::with_capacity(2048));
        if prepared.results.len() != self.drafts.len() || prepared.heads.len() != self.drafts.len()
        {
            return Err("the store prepared another number of items than it was given".to_owned());
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
                time: self.time,
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
            let sealed =
                sealed.map_err(|error| format!("an opening couldn't be sealed: {error}"))?;
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
            last_time: self.time,
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
                time: self.time,
                entries,
            },
        ))
    }
}

/// Randomness for one batch, drawn from the source at once: a system call a batch instead of three an entry. Beyond it the source is asked.
struct Drawn<'a> {
    source: &'a dyn Random,
    /// Bytes not given out yet; each is given out once.
    left: Mutex<Zeroizing<Vec<u8>>>,
}

impl<'a> Drawn<'a> {
    fn new(source: &'a dyn Random, bytes: usize) -> Self {
        let mut left = Zeroizing::new(vec![0; bytes]);
        source.fill(&mut left);
        Self {
            source,
            left: Mutex::new(left),
        }
    }
}

impl Random for Drawn<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        let mut left = self.left.lock();
        let Some(keep) = left.len().checked_sub(bytes.len()) else {
            return self.source.fill(bytes);
        };
        if let Some(drawn) = left.get(keep..) {
            bytes.copy_from_slice(drawn);
        }
        left.truncate(keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Mutex<u8>);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *self.0.lock() += 1;
                *byte = *self.0.lock();
            }
        }
    }

    #[test]
    fn no_random_byte_is_given_out_twice_and_the_source_is_asked_when_none_are_left() {
        let source = Counting(Mutex::new(0));
        let drawn = Drawn::new(&source, 10);
        let mut seen = Vec::new();
        for len in [4, 5, 3, 1, 7] {
            let mut bytes = vec![0; len];
            drawn.fill(&mut bytes);
            seen.extend(bytes);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=20).collect::<Vec<u8>>());
    }
}
