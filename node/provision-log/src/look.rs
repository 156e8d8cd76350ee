//! A look at the head without an entry: what a process that writes nothing learns of the others, and of a database that went back.
//!
//! An append finds both by itself. A process that is idle would find them only with its next entry: its readers would see an older log
//! than there is, and a database that lacks the newest entries of *others* would be gone on from. So the canary asks the writer to look,
//! between two batches: nothing races with it, and what it finds is held against the tree that this node has signed. The kept
//! checkpoint needs no look of its own, for it is never newer than that tree.

use std::sync::Arc;

use tokio::sync::oneshot;
use vrx_storage::{HeadRow, LeafRow, StorageError};
use vrx_tlog::{Hash, Leaf, Tree, leaf_hash};

use crate::batch::Refused;
use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::{RecordError, Unavailable};
use crate::writer::Writer;

/// Who asked for a look, and waits for what was found.
pub(crate) type Look = oneshot::Sender<Result<(), RecordError>>;

/// Entries of others that were read and not yet held against a head: more of them came than one look takes over.
pub(crate) struct HalfWay {
    /// Where this node's own tree ended when the first of them was read.
    from: (u64, Hash),
    tree: Tree,
}

/// What a look found.
enum Found {
    /// The head is where this node's tree ends.
    Same,
    /// Others went on, and all that they wrote is read: this node's tree, grown to the head.
    Ahead(Box<Tree>),
    /// Others went on further than one look reads.
    FurtherAhead(HalfWay),
}

/// Why nothing was found.
enum Blind {
    /// The store couldn't be read; that can go away by itself.
    Unread(RecordError),
    /// The database isn't this log's any more.
    Lost(String),
}

impl Writer {
    /// Looks at the head once, and takes over what others appended.
    pub(crate) async fn look(&mut self) -> Result<(), RecordError> {
        let deadline = Deadline::after(self.options.store_timeout);
        match self.found(deadline).await {
            Ok((head, Found::Ahead(tree))) => {
                let others = head.size - self.tree.size();
                tracing::debug!(others, size = head.size, "other processes went on");
                self.tree = *tree;
                self.last_time = head.last_time;
                self.publish_followed();
                Ok(())
            }
            Ok((_, Found::FurtherAhead(half_way))) => {
                self.half_way = Some(half_way);
                Ok(())
            }
            Ok((_, Found::Same)) => {
                // A batch that followed others and was then turned away has left it to us.
                if self.shared.newest().size() < self.tree.size() {
                    self.publish_followed();
                }
                Ok(())
            }
            Err(Blind::Unread(error)) => Err(error),
            Err(Blind::Lost(why)) => {
                self.poison_idle(why).await;
                Err(RecordError::Poisoned)
            }
        }
    }

    async fn found(&mut self, deadline: Deadline) -> Result<(HeadRow, Found), Blind> {
        let head = deadline.wait(self.store.head()).await;
        let head = head.map_err(|_| away())?.map_err(unread)?;
        if head.size > 0 && head.epoch != self.options.epoch {
            return Err(Blind::Lost(Refused::Epoch.to_string()));
        }
        let own = (self.tree.size(), self.tree.root());
        if own == (head.size, head.root) {
            return Ok((head, Found::Same));
        }
        if head.size <= own.0 {
            return Err(Blind::Lost(went_back(own.0, head.size)));
        }
        let begun = self.half_way.take().filter(|half| half.from == own);
        let tree = begun.map_or_else(|| self.tree.clone(), |half| half.tree);
        let count = head.size.saturating_sub(tree.size());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let count = count.min(self.options.max_followed.max(1));
        let from = tree.size();
        let rows = deadline.wait(self.store.leaves(from, count)).await;
        let rows = rows.map_err(|_| away())?.map_err(unread)?;
        if u32::try_from(rows.len()) != Ok(count) {
            return Err(Blind::Lost(astray(own.0, head.size)));
        }
        // Tens of thousands of hashes at most: a moment, but not on a thread that others wait for.
        let grown = tokio::task::spawn_blocking(move || grow(tree, &rows)).await;
        let tree = grown
            .map_err(|_| away())?
            .ok_or_else(|| Blind::Lost(astray(own.0, head.size)))?;
        if tree.size() < head.size {
            let half_way = HalfWay { from: own, tree };
            return Ok((head, Found::FurtherAhead(half_way)));
        }
        if (tree.size(), tree.root()) != (head.size, head.root) {
            return Err(Blind::Lost(astray(own.0, head.size)));
        }
        Ok((head, Found::Ahead(Box::new(tree))))
    }

    /// Readers, and the kept copy, get a checkpoint of what was taken over.
    fn publish_followed(&self) {
        let snapshot = self.tree.snapshot();
        self.tiles.remember(snapshot.recent_tiles());
        let checkpoint = SignedCheckpoint::sign(snapshot, self.last_time, &self.key, &self.keyring);
        self.shared.publish(&Arc::new(checkpoint));
    }
}

/// The tree with these leaves at its end; `None` when they don't belong there.
fn grow(mut tree: Tree, rows: &[LeafRow]) -> Option<Tree> {
    for row in rows {
        let index = tree.size();
        let is_next = |leaf: Leaf| leaf.index == index && row.index == index;
        if !Leaf::decode(&row.leaf).is_ok_and(is_next) {
            return None;
        }
        tree.append(leaf_hash(&row.leaf));
    }
    // Whoever appended these entries stored the tiles that they filled.
    drop(tree.take_full_tiles());
    Some(tree)
}

fn away() -> Blind {
    Blind::Unread(RecordError::DeadlineExceeded)
}

fn unread(error: StorageError) -> Blind {
    match error {
        StorageError::Broken(why) => Blind::Lost(why),
        _ => Blind::Unread(RecordError::Unavailable(Unavailable::Busy)),
    }
}

/// The head isn't ahead of what this node has signed, and isn't that.
fn went_back(signed: u64, found: u64) -> String {
    format!(
        "{NOT_OURS}: {signed} entries are signed, the database has {found}, and they aren't those. A server without the newest \
         entries has taken over, or an older copy was put back. {REMEDY}"
    )
}

/// The head is ahead, and the entries up to it don't lead there from what this node has signed.
fn astray(signed: u64, found: u64) -> String {
    format!(
        "{NOT_OURS}: {signed} entries are signed, the database has {found}, and they don't go on from those. A server without the \
         newest entries has taken over and was written to, or somebody changed the database. {REMEDY}"
    )
}

const NOT_OURS: &str =
    "the log in the database doesn't continue the one this node has written or seen";

const REMEDY: &str = "Stop this process, keep everything, and put the newest database in its place, or open a new epoch of the \
                      log as the manual says";
