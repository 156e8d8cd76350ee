//! One attempt to commit a batch, and what its outcome means: the three classes of error.
//!
//! *Certainly not committed*: the batch is tried again from the tree before it. *Unknown*: the head is read, and our root is there or it
//! isn't. *Broken*: nothing is appended any more.

use std::sync::Arc;

use parking_lot::Mutex;
use vrx_storage::{AppendError, ChangeError, HeadRow, NotCommitted, SealBatch, StorageError};
use vrx_tlog::{Hash, Tree};

use crate::batch::{Job, Sealed};
use crate::deadline::Deadline;
use crate::error::{RecordError, Unavailable};
use crate::recover;
use crate::writer::{Batch, PAUSE, Writer};

/// How far the clock may stand behind the last entry.
const CLOCK_TOLERANCE: u64 = 5_000;

/// What became of one attempt.
pub(crate) enum Attempt {
    /// It stands; `None` when every change was refused and nothing was written.
    Stands(Option<Sealed>),
    /// It certainly doesn't stand; trying again makes sense.
    Again(RecordError),
    /// It certainly doesn't stand, and trying again wouldn't help.
    GiveUp(RecordError),
    /// The storage can't be trusted.
    Poison(String),
}

impl Writer {
    /// Gives the batch to the store once.
    pub(crate) async fn attempt(&mut self, batch: &Batch) -> Attempt {
        let now = self.options.clock.now().0;
        if now.saturating_add(CLOCK_TOLERANCE) < self.last_time {
            return Attempt::GiveUp(RecordError::ClockBehind);
        }
        let expected = (self.tree.size(), self.tree.root());
        let sealed: Arc<Mutex<Option<Sealed>>> = Arc::default();
        let seal = self.seal(batch, now, &sealed);
        let append = self.store.append(expected, Arc::clone(&batch.items), seal);
        let outcome = tokio::time::timeout(self.options.store_timeout, append).await;
        let sealed = sealed.lock().take();
        match outcome {
            Ok(Ok(prepared)) if sealed.is_none() && prepared.results.iter().any(Result::is_ok) => {
                Attempt::Poison("the store committed a batch that wasn't sealed".to_owned())
            }
            Ok(Ok(prepared)) => Attempt::Stands(
                sealed.or_else(|| all_refused(&self.tree, self.last_time, prepared.results)),
            ),
            Ok(Err(AppendError::NotCommitted(why))) => self.not_committed(why, sealed).await,
            Ok(Err(AppendError::Unknown(why))) => {
                tracing::warn!(
                    why,
                    "a commit ended without an answer; the head is read to learn its outcome"
                );
                self.settle(expected, sealed).await
            }
            Ok(Err(AppendError::Broken(why))) => Attempt::Poison(why),
            // Whether the store will still commit can't be known: nothing may be appended behind its back.
            Err(_) => Attempt::Poison("the store didn't answer a commit in time".to_owned()),
        }
    }

    fn seal(&self, batch: &Batch, now: u64, slot: &Arc<Mutex<Option<Sealed>>>) -> SealBatch {
        let newest = self.shared.newest();
        let job = Job {
            tree: self.tree.clone(),
            drafts: Arc::clone(&batch.drafts),
            time: now.max(self.last_time),
            epoch: self.options.epoch,
            checkpoint: (newest.size() > 0).then(|| newest.note().to_owned()),
            keyring: Arc::clone(&self.keyring),
            random: Arc::clone(&self.options.random),
        };
        let slot = Arc::clone(slot);
        Box::new(move |prepared| {
            let (rows, sealed) = job.seal(prepared)?;
            *slot.lock() = Some(sealed);
            Ok(rows)
        })
    }

    /// Certainly rolled back: the writer's tree is still the one before the batch.
    async fn not_committed(&mut self, why: NotCommitted, sealed: Option<Sealed>) -> Attempt {
        match why {
            NotCommitted::Busy => Attempt::Again(RecordError::Unavailable(Unavailable::Busy)),
            NotCommitted::SwapLost => {
                self.settle((self.tree.size(), self.tree.root()), sealed)
                    .await
            }
            NotCommitted::Full => {
                Attempt::GiveUp(RecordError::Unavailable(Unavailable::StorageFull))
            }
            NotCommitted::Closed => {
                Attempt::GiveUp(RecordError::Unavailable(Unavailable::ShuttingDown))
            }
            NotCommitted::Seal(_) | NotCommitted::Mismatch(_) | NotCommitted::Inconsistent(_) => {
                tracing::error!(error = %why, "a batch couldn't be made");
                Attempt::GiveUp(RecordError::Unavailable(Unavailable::Batch))
            }
        }
    }

    /// Learns from the primary's head whether a batch stands: our root is there or it isn't.
    async fn settle(&mut self, expected: (u64, Hash), sealed: Option<Sealed>) -> Attempt {
        let patience = Deadline::after(self.options.store_timeout);
        let mut pause = PAUSE.0;
        let head = loop {
            match patience.wait(self.store.head()).await {
                Ok(Ok(head)) => break head,
                Ok(Err(StorageError::Broken(why))) => return Attempt::Poison(why),
                Ok(Err(error)) if patience.remaining() <= pause => {
                    return Attempt::Poison(format!(
                        "the outcome of a commit can't be learnt: {error}"
                    ));
                }
                Err(_) => {
                    return Attempt::Poison(
                        "the outcome of a commit can't be learnt in time".to_owned(),
                    );
                }
                Ok(Err(_)) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        };
        let again = Attempt::Again(RecordError::Unavailable(Unavailable::Busy));
        if (head.size, head.root) == expected {
            return again;
        }
        if let Some(sealed) = sealed {
            if (head.size, head.root) == (sealed.tree.size(), sealed.tree.root()) {
                return Attempt::Stands(Some(sealed));
            }
            return match self.follow(&head, Some(&sealed)).await {
                Ok(true) => Attempt::Stands(Some(Sealed {
                    tree: self.tree.clone(),
                    time: self.last_time,
                    ..sealed
                })),
                Ok(false) => again,
                Err(why) => Attempt::Poison(why),
            };
        }
        match self.follow(&head, None).await {
            Ok(_) => again,
            Err(why) => Attempt::Poison(why),
        }
    }

    /// Another process appended: takes its tree over, if it continues ours. Says whether our batch is in it.
    async fn follow(&mut self, head: &HeadRow, ours: Option<&Sealed>) -> Result<bool, String> {
        let deadline = Deadline::after(self.options.store_timeout);
        let fork =
            || "the log in the database doesn't continue the one this node has written".to_owned();
        if head.size < self.tree.size() {
            return Err(fork());
        }
        let tree = recover::edge(&*self.store, head, deadline)
            .await
            .map_err(|error| error.to_string())?;
        let snapshot = tree.snapshot();
        let contains = async |size, root| {
            recover::begins_with(&*self.store, &snapshot, size, &root, deadline)
                .await
                .map_err(|error| error.to_string())
        };
        if !contains(self.tree.size(), self.tree.root()).await? {
            return Err(fork());
        }
        let stands = match ours {
            Some(sealed) if sealed.tree.size() <= head.size => {
                contains(sealed.tree.size(), sealed.tree.root()).await?
            }
            _ => false,
        };
        self.tree = tree;
        self.last_time = head.last_time;
        Ok(stands)
    }
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
