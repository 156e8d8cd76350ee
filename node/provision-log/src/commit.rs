//! One attempt to commit a batch, and what its outcome means: the three classes of error.
//!
//! *Certainly not committed*: the batch is tried again from the tree before it. *Unknown*: the head is read until our root is there or it
//! isn't, however long a database server is away. *Broken*: nothing is appended any more.

use std::sync::Arc;

use parking_lot::Mutex;
use vrx_storage::{
    AppendError, ChangeError, HeadRow, LeafRow, NotCommitted, Prepared, SealBatch, StorageError,
};
use vrx_tlog::{Hash, Leaf, Tree};

use crate::batch::{CLOCK_TOLERANCE, Job, Refused, Sealed, own_ids};
use crate::deadline::Deadline;
use crate::entry::Draft;
use crate::error::{RecordError, StartError, Unavailable};
use crate::recover;
use crate::writer::{Batch, PAUSE, Writer};

/// What became of one attempt.
pub(crate) enum Attempt {
    /// It stands; `None` when every change was refused and nothing was written.
    Stands(Option<Sealed>),
    /// It isn't known to stand; trying again makes sense.
    Again(RecordError),
    /// Trying again wouldn't help.
    GiveUp(RecordError),
    /// The storage can't be trusted.
    Poison(String),
    /// The log was stopped before its outcome could be learnt.
    Stopped,
}

/// Where the store's transaction leaves what was sealed, or why it wasn't.
type Slot = Arc<Mutex<Option<Result<Sealed, Refused>>>>;

/// An attempt whose outcome isn't certain.
pub(crate) struct Doubt {
    slot: Slot,
    /// Whether the store has ended with it. One that wasn't waited for may take the head even after later attempts; nothing of the
    /// batch is entered twice by that, for it would find their entries.
    ended: bool,
}

impl Doubt {
    /// Where the log stands if this attempt does; `None` when nothing was sealed.
    fn place(&self) -> Option<(u64, Hash)> {
        match &*self.slot.lock() {
            Some(Ok(sealed)) => Some((sealed.tree.size(), sealed.tree.root())),
            _ => None,
        }
    }

    /// The batch as this attempt sealed it.
    fn take(&self) -> Option<Sealed> {
        self.slot.lock().take().and_then(Result::ok)
    }
}

/// Why another process's entries couldn't be taken over.
enum NotFollowed {
    /// The store couldn't be read; that can go away by itself.
    Unread,
    /// What was read isn't this log.
    Fork(String),
}

impl Writer {
    /// Gives the batch to the store once.
    pub(crate) async fn attempt(&mut self, batch: &mut Batch) -> Attempt {
        let now = self.options.clock.now().0;
        if now.saturating_add(CLOCK_TOLERANCE) < self.last_time {
            return Attempt::GiveUp(RecordError::ClockBehind);
        }
        let slot = Slot::default();
        let append = self.store.append(
            (self.tree.size(), self.tree.root()),
            Arc::clone(&batch.items),
            self.seal(batch, now, &slot),
        );
        let outcome = tokio::time::timeout(self.options.store_timeout, append).await;
        if matches!(*slot.lock(), Some(Ok(_))) {
            // It had the head to itself: of the attempts before, those that have ended left nothing that it didn't find.
            batch.doubts.retain(|doubt| !doubt.ended);
        }
        match outcome {
            Ok(Ok(prepared)) => {
                let sealed = slot.lock().take();
                match sealed {
                    Some(Ok(sealed)) => Attempt::Stands(Some(sealed)),
                    _ => self.unsealed(prepared, batch).await,
                }
            }
            Ok(Err(AppendError::NotCommitted(why))) => {
                let refused = slot.lock().take().and_then(Result::err);
                self.not_committed(why, refused, batch).await
            }
            Ok(Err(AppendError::Unknown(why))) => {
                let doubt = Doubt { slot, ended: true };
                self.lost(&why, doubt, batch).await
            }
            Ok(Err(AppendError::Broken(why))) => Attempt::Poison(why),
            Err(_) if self.store.outcome_is_knowable() => {
                let doubt = Doubt { slot, ended: false };
                self.lost("the store didn't answer in time", doubt, batch)
                    .await
            }
            // Whether the store will still commit can't be known: nothing may be appended behind its back.
            Err(_) => Attempt::Poison("the store didn't answer a commit in time".to_owned()),
        }
    }

    fn seal(&self, batch: &Batch, now: u64, slot: &Slot) -> SealBatch {
        let newest = self.shared.newest();
        let job = Job {
            tree: self.tree.clone(),
            drafts: Arc::clone(&batch.drafts),
            now,
            epoch: self.options.epoch,
            checkpoint: (newest.size() > 0).then(|| newest.note().to_owned()),
            keyring: Arc::clone(&self.keyring),
            random: Arc::clone(&self.options.random),
        };
        let slot = Arc::clone(slot);
        Box::new(move |prepared| {
            let (rows, sealed) = match job.seal(prepared) {
                Ok((rows, sealed)) => (Ok(rows), Ok(sealed)),
                Err(refused) => (Err(refused.to_string()), Err(refused)),
            };
            *slot.lock() = Some(sealed);
            rows
        })
    }

    /// The store says that it committed, and never asked for a seal: right only when every change was refused.
    async fn unsealed(&mut self, prepared: Prepared, batch: &mut Batch) -> Attempt {
        if prepared.results.iter().any(Result::is_ok) {
            return Attempt::Poison("the store committed a batch that wasn't sealed".to_owned());
        }
        // Changes that stand from an earlier attempt are refused the second time.
        if !batch.doubts.is_empty() && stands_in(&prepared.since, &batch.drafts) {
            return self.settle(batch).await;
        }
        Attempt::Stands(all_refused(&self.tree, self.last_time, prepared.results))
    }

    /// Rolled back: this attempt certainly doesn't stand.
    async fn not_committed(
        &mut self,
        why: NotCommitted,
        refused: Option<Refused>,
        batch: &mut Batch,
    ) -> Attempt {
        let unavailable = |why| Attempt::GiveUp(RecordError::Unavailable(why));
        match (why, refused) {
            (NotCommitted::Busy, _) => Attempt::Again(RecordError::Unavailable(Unavailable::Busy)),
            (NotCommitted::SwapLost, _)
            | (NotCommitted::Seal(_), Some(Refused::OtherTree | Refused::Standing)) => {
                self.settle(batch).await
            }
            (NotCommitted::Fenced, _) => Attempt::Poison(Refused::Epoch.to_string()),
            (NotCommitted::Seal(_), Some(Refused::Epoch)) => {
                Attempt::Poison(Refused::Epoch.to_string())
            }
            (NotCommitted::ReadOnly, _) => unavailable(Unavailable::Moving),
            (NotCommitted::Full, _) => unavailable(Unavailable::StorageFull),
            (NotCommitted::Closed, _) => unavailable(Unavailable::ShuttingDown),
            (NotCommitted::Seal(_), Some(Refused::ClockBehind)) => {
                Attempt::GiveUp(RecordError::ClockBehind)
            }
            (NotCommitted::Seal(_), Some(Refused::Begun)) => unavailable(Unavailable::Busy),
            (
                why @ (NotCommitted::Seal(_)
                | NotCommitted::Mismatch(_)
                | NotCommitted::Inconsistent(_)),
                _,
            ) => {
                tracing::error!(error = %why, "a batch couldn't be made");
                unavailable(Unavailable::Batch)
            }
        }
    }

    /// The answer to a commit was lost: it may stand or not, and may even come to stand later.
    async fn lost(&mut self, why: &str, doubt: Doubt, batch: &mut Batch) -> Attempt {
        tracing::warn!(
            why,
            "a commit ended without an answer; the head is read to learn its outcome"
        );
        batch.doubts.push(doubt);
        self.settle(batch).await
    }

    /// Learns from the primary's head whether a batch stands: our root is there or it isn't. Even where it isn't, it may still come to
    /// stand until the next attempt has the head's lock; that one then finds it among the entries since.
    async fn settle(&mut self, batch: &mut Batch) -> Attempt {
        let head = match self.read_head().await {
            Ok(head) => head,
            Err(attempt) => return attempt,
        };
        let again = Attempt::Again(RecordError::Unavailable(Unavailable::Busy));
        if (head.size, head.root) == (self.tree.size(), self.tree.root()) {
            return again;
        }
        let is_head = |doubt: &&Doubt| doubt.place() == Some((head.size, head.root));
        if let Some(doubt) = batch.doubts.iter().find(is_head) {
            return Attempt::Stands(doubt.take());
        }
        match self.follow(&head, &batch.doubts).await {
            Ok(Some(sealed)) => Attempt::Stands(Some(Sealed {
                tree: self.tree.clone(),
                time: self.last_time,
                ..sealed
            })),
            Ok(None) | Err(NotFollowed::Unread) => again,
            Err(NotFollowed::Fork(why)) => Attempt::Poison(why),
        }
    }

    /// The head, however long the store is away: nothing can be appended meanwhile, and new callers are told so. Where the outcome of a
    /// commit can't be known from it, only as long as the store's patience.
    async fn read_head(&self) -> Result<HeadRow, Attempt> {
        let knowable = self.store.outcome_is_knowable();
        let patience = Deadline::after(self.options.store_timeout);
        let mut told = patience;
        let mut pause = PAUSE.0;
        let stopped = self.stopped();
        tokio::pin!(stopped);
        loop {
            let within = if knowable {
                Deadline::after(self.options.store_timeout)
            } else {
                patience
            };
            let read = tokio::select! {
                read = within.wait(self.store.head()) => read,
                () = &mut stopped => return Err(Attempt::Stopped),
            };
            let why = match read {
                Ok(Ok(head)) => {
                    self.shared.serving(None);
                    return Ok(head);
                }
                Ok(Err(StorageError::Broken(why))) => return Err(Attempt::Poison(why)),
                Ok(Err(error)) => error.to_string(),
                Err(passed) => passed.to_string(),
            };
            if !knowable && patience.remaining() <= pause {
                return Err(Attempt::Poison(format!(
                    "the outcome of a commit can't be learnt: {why}"
                )));
            }
            let away = RecordError::Unavailable(Unavailable::Unsettled);
            self.shared.serving(Some(away));
            if told.has_passed() {
                tracing::warn!(why, "the outcome of a commit still can't be learnt");
                told = Deadline::after(self.options.store_timeout);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut stopped => return Err(Attempt::Stopped),
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Comes when the log was told to stop and has had the time that its shutdown leaves for open questions.
    async fn stopped(&self) {
        self.stop.cancelled().await;
        let by = self.shared.stop_by();
        let by = by.unwrap_or_else(|| Deadline::after(self.options.store_timeout));
        tokio::time::sleep_until(by.instant()).await;
    }

    /// Another process appended: takes its tree over, if it continues ours. Gives the batch if it is in there, by one of its attempts.
    async fn follow(
        &mut self,
        head: &HeadRow,
        ours: &[Doubt],
    ) -> Result<Option<Sealed>, NotFollowed> {
        let deadline = Deadline::after(self.options.store_timeout);
        let fork = || {
            NotFollowed::Fork(
                "the log in the database doesn't continue the one this node has written".to_owned(),
            )
        };
        if head.size > 0 && head.epoch != self.options.epoch {
            return Err(NotFollowed::Fork(Refused::Epoch.to_string()));
        }
        if head.size < self.tree.size() {
            return Err(fork());
        }
        let tree = recover::edge(&*self.store, head, deadline).await?;
        let snapshot = tree.snapshot();
        let contains = async |size, root| {
            recover::begins_with(&*self.store, &snapshot, size, &root, deadline).await
        };
        if !contains(self.tree.size(), self.tree.root()).await? {
            return Err(fork());
        }
        let mut stands = None;
        for doubt in ours {
            if let Some((size, root)) = doubt.place()
                && size <= head.size
                && contains(size, root).await?
            {
                stands = doubt.take();
                break;
            }
        }
        self.tree = tree;
        self.last_time = head.last_time;
        Ok(stands)
    }
}

impl From<StartError> for NotFollowed {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Storage(
                error @ (StorageError::Broken(_)
                | StorageError::Inconsistent { .. }
                | StorageError::OtherTenant),
            ) => Self::Fork(error.to_string()),
            StartError::Storage(_) | StartError::Deadline => Self::Unread,
            other => Self::Fork(other.to_string()),
        }
    }
}

/// Whether an entry of these drafts is among the leaves.
fn stands_in(since: &[LeafRow], drafts: &[Draft]) -> bool {
    let ours = own_ids(drafts);
    let id = |row: &LeafRow| Leaf::decode(&row.leaf).ok().map(|leaf| leaf.entry_id);
    since.iter().filter_map(id).any(|id| ours.contains(&id))
}

/// The outcome of a batch in which every change was refused: nothing was written, everybody is told why.
fn all_refused(tree: &Tree, time: u64, results: Vec<Result<(), ChangeError>>) -> Option<Sealed> {
    let entries = results
        .into_iter()
        .map(|result| result.err().map(Err))
        .collect::<Option<Vec<_>>>()?;
    Some(Sealed {
        tree: tree.clone(),
        time,
        entries,
    })
}
