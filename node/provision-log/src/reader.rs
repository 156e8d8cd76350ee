//! Reading a log: entries with their openings and proofs, by the node that serves it or from a database that lies still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vrx_crypto::Keyring;
use vrx_domain::UnixMillis;
use vrx_storage::{EntryRow, LogStore, SubjectHead, SubjectTag};
use vrx_tlog::{Hash, Leaf, Receipt, VerifierKey};

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::erasures::ErasuresSoFar;
use crate::error::{ReadError, StartError};
use crate::options::LogOptions;
use crate::recover::recover;
use crate::stored::{Outline, ProvedEntry, ReadEntry, StoredEntry, open};
use crate::tiles::Tiles;

/// Reads one tenant's log.
pub struct LogReader {
    store: Arc<dyn LogStore>,
    keyring: Arc<Keyring>,
    key: VerifierKey,
    tiles: Arc<Tiles>,
    newest: watch::Receiver<Arc<SignedCheckpoint>>,
    patience: Duration,
    erasures: ErasuresSoFar,
}

impl LogReader {
    /// Opens a log that no writer of this process serves, and never adds to it: offline verification and export. The same checks as at a
    /// start; the checkpoint is signed for what the database holds.
    pub async fn open(
        store: Arc<dyn LogStore>,
        keyring: Arc<Keyring>,
        options: &LogOptions,
    ) -> Result<Self, StartError> {
        let key = options.verifier_key(&keyring.log_public_key())?;
        let recovered = recover(&*store, options, &key).await?;
        let checkpoint = SignedCheckpoint::sign(
            recovered.tree.snapshot(),
            recovered.head.last_time,
            &key,
            &keyring,
        );
        let newest = watch::Sender::new(Arc::new(checkpoint)).subscribe();
        let tiles = Arc::new(Tiles::new(Arc::clone(&store)));
        Ok(Self::new(
            store,
            keyring,
            key,
            tiles,
            newest,
            options.store_timeout,
        ))
    }

    pub(crate) fn new(
        store: Arc<dyn LogStore>,
        keyring: Arc<Keyring>,
        key: VerifierKey,
        tiles: Arc<Tiles>,
        newest: watch::Receiver<Arc<SignedCheckpoint>>,
        patience: Duration,
    ) -> Self {
        Self {
            store,
            keyring,
            key,
            tiles,
            newest,
            patience,
            erasures: ErasuresSoFar::default(),
        }
    }

    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> Arc<SignedCheckpoint> {
        self.newest.borrow().clone()
    }

    /// The key that others check this log with; its name is the log's origin.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Consistency proof from the first `old` entries to a checkpoint of this log.
    pub async fn consistency(
        &self,
        old: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Vec<Hash>, ReadError> {
        if old > checkpoint.size() {
            return Err(ReadError::OutOfRange);
        }
        let snapshot = checkpoint.snapshot();
        let tiles = self
            .tiles
            .load(&snapshot.missing_for_consistency(old), deadline)
            .await?;
        Ok(snapshot.consistency(old, &tiles)?)
    }

    /// Audit path of an entry to a checkpoint of this log.
    pub async fn inclusion(
        &self,
        index: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Vec<Hash>, ReadError> {
        if index >= checkpoint.size() {
            return Err(ReadError::OutOfRange);
        }
        let snapshot = checkpoint.snapshot();
        let tiles = self
            .tiles
            .load(&snapshot.missing_for_inclusion(index), deadline)
            .await?;
        Ok(snapshot.inclusion(index, &tiles)?)
    }

    /// Consistency proof from the first `old` entries to the first `new` ones of this log.
    pub async fn consistency_within(
        &self,
        old: u64,
        new: u64,
        deadline: Deadline,
    ) -> Result<Vec<Hash>, ReadError> {
        let checkpoint = self.checkpoint();
        if old > new || new > checkpoint.size() {
            return Err(ReadError::OutOfRange);
        }
        let snapshot = checkpoint.snapshot();
        let missing = snapshot.missing_for_consistency_within(old, new);
        let tiles = self.tiles.load(&missing, deadline).await?;
        Ok(snapshot.consistency_within(old, new, &tiles)?)
    }

    /// Audit path of an entry to the tree of the first `size` entries.
    pub async fn inclusion_within(
        &self,
        index: u64,
        size: u64,
        deadline: Deadline,
    ) -> Result<Vec<Hash>, ReadError> {
        let checkpoint = self.checkpoint();
        if index >= size || size > checkpoint.size() {
            return Err(ReadError::OutOfRange);
        }
        let snapshot = checkpoint.snapshot();
        let missing = snapshot.missing_for_inclusion_within(index, size);
        let tiles = self.tiles.load(&missing, deadline).await?;
        Ok(snapshot.inclusion_within(index, size, &tiles)?)
    }

    /// Whether a receipt of another epoch of this log, whose checkpoint has `size` entries, goes past the same nodes as this log has over
    /// its first `shared` entries, as far as its path says anything about them.
    pub async fn shares_beginning(
        &self,
        shared: u64,
        receipt: &Receipt,
        size: u64,
        deadline: Deadline,
    ) -> Result<bool, ReadError> {
        let checkpoint = self.checkpoint();
        let snapshot = checkpoint.snapshot();
        let place = (receipt.log_index, size);
        let missing = snapshot.missing_for_shared_path(shared, place.0, place.1);
        let tiles = self.tiles.load(&missing, deadline).await?;
        Ok(snapshot.shares_path(shared, place, &receipt.inclusion_proof, &tiles)?)
    }

    /// One entry with its opening and the proof that it stands under the newest checkpoint.
    pub async fn entry(&self, index: u64, deadline: Deadline) -> Result<ProvedEntry, ReadError> {
        self.entry_under(index, &self.checkpoint(), deadline).await
    }

    /// The same under a checkpoint of this log.
    pub async fn entry_under(
        &self,
        index: u64,
        checkpoint: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<ProvedEntry, ReadError> {
        let tree = (checkpoint.size(), checkpoint.root());
        self.entry_in(index, tree, checkpoint.note(), deadline)
            .await
    }

    /// The same in the tree of this size and root, of which `note` speaks: one that others have signed too, for instance.
    pub async fn entry_in(
        &self,
        index: u64,
        (size, root): (u64, Hash),
        note: &str,
        deadline: Deadline,
    ) -> Result<ProvedEntry, ReadError> {
        let (row, receipt) = self.proved(index, (size, root), note, deadline).await?;
        Ok(ProvedEntry {
            entry: self.read(&row)?,
            receipt,
        })
    }

    /// The leaf at `index` with the proof that it stands under the newest checkpoint, whatever became of its opening.
    pub async fn leaf(&self, index: u64, deadline: Deadline) -> Result<(Leaf, Receipt), ReadError> {
        let newest = self.checkpoint();
        let tree = (newest.size(), newest.root());
        let (row, receipt) = self.proved(index, tree, newest.note(), deadline).await?;
        Ok((Leaf::decode(&row.leaf)?, receipt))
    }

    async fn proved(
        &self,
        index: u64,
        (size, root): (u64, Hash),
        note: &str,
        deadline: Deadline,
    ) -> Result<(EntryRow, Receipt), ReadError> {
        let inclusion_proof = self.inclusion_within(index, size, deadline).await?;
        let rows = deadline.wait(self.store.entries(index, 1)).await??;
        let row = rows
            .into_iter()
            .next()
            .filter(|row| row.index == index)
            .ok_or(ReadError::OutOfRange)?;
        let leaf_hash = vrx_tlog::leaf_hash(&row.leaf);
        vrx_tlog::verify_inclusion(index, size, &leaf_hash, &inclusion_proof, &root)?;
        let receipt = Receipt {
            log_index: index,
            leaf: row.leaf,
            checkpoint: note.to_owned(),
            inclusion_proof,
            consistency_proof: Vec::new(),
        };
        Ok((row, receipt))
    }

    /// Up to `count` entries from index `from`, ascending, none beyond the newest checkpoint.
    pub async fn entries(
        &self,
        from: u64,
        count: u32,
        deadline: Deadline,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        self.entries_if(from, count, deadline, |_| true).await
    }

    /// The same as [`LogReader::entries`], with the openings of those alone whose leaf `opens` says yes to; the others' are `None`.
    pub async fn entries_if(
        &self,
        from: u64,
        count: u32,
        deadline: Deadline,
        opens: impl Fn(&Leaf) -> bool,
    ) -> Result<Vec<StoredEntry>, ReadError> {
        let entries = self.entries_apart(from, count, deadline, opens).await?;
        let whole = |entry| match entry {
            ReadEntry::Whole(entry) => Ok(entry),
            ReadEntry::Damaged(leaf) => Err(ReadError::Opening(leaf.index)),
        };
        entries.into_iter().map(whole).collect()
    }

    /// The same as [`LogReader::entries_if`], with damaged openings told apart: one of them doesn't end the reading.
    pub async fn entries_apart(
        &self,
        from: u64,
        count: u32,
        deadline: Deadline,
        opens: impl Fn(&Leaf) -> bool,
    ) -> Result<Vec<ReadEntry>, ReadError> {
        let size = self.checkpoint().size();
        let left = u32::try_from(size.saturating_sub(from)).unwrap_or(u32::MAX);
        if left == 0 || count == 0 {
            return Ok(Vec::new());
        }
        let rows = deadline
            .wait(self.store.entries(from, count.min(left)))
            .await??;
        let read = |row: &EntryRow| {
            let leaf = Leaf::decode(&row.leaf)?;
            if !opens(&leaf) {
                let opening = None;
                return Ok(ReadEntry::Whole(StoredEntry { leaf, opening }));
            }
            Ok(match open(row, &leaf, &self.keyring) {
                Ok(opening) => ReadEntry::Whole(StoredEntry { leaf, opening }),
                Err(_) => ReadEntry::Damaged(leaf),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Up to `count` entries from index `from`, ascending, none of them opened.
    pub async fn outlines(
        &self,
        from: u64,
        count: u32,
        deadline: Deadline,
    ) -> Result<Vec<Outline>, ReadError> {
        let rows = deadline.wait(self.store.entries(from, count)).await??;
        rows.iter()
            .map(|row| {
                Ok(Outline {
                    index: row.index,
                    time: UnixMillis(Leaf::decode(&row.leaf)?.time),
                    kind: row.kind,
                    subject: row.subject,
                    has_opening: !row.opening_key.is_empty(),
                })
            })
            .collect()
    }

    /// The newest entry about a subject; the openings link back from there.
    pub async fn subject_head(
        &self,
        tag: SubjectTag,
        deadline: Deadline,
    ) -> Result<Option<SubjectHead>, ReadError> {
        Ok(deadline.wait(self.store.subject_head(tag)).await??)
    }

    fn read(&self, row: &EntryRow) -> Result<StoredEntry, ReadError> {
        let leaf = Leaf::decode(&row.leaf)?;
        Ok(StoredEntry {
            leaf,
            opening: open(row, &leaf, &self.keyring)?,
        })
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    pub(crate) fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    pub(crate) fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    pub(crate) fn erasures_so_far(&self) -> &ErasuresSoFar {
        &self.erasures
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }
}
