//! The handle to a tenant's log: starting it, recording in it, stopping it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vrx_crypto::Keyring;
use vrx_domain::audit::desk_content;
use vrx_domain::{EntryKind, Random};
use vrx_storage::{Change, LogStore, StorageError};

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::entry::{Entry, Subject};
use crate::error::{ReadError, RecordError, StartError, Unavailable};
use crate::gap::Gap;
use crate::kept::{self, Held};
use crate::look::Look;
use crate::measures::Measures;
use crate::options::LogOptions;
use crate::reader::LogReader;
use crate::recorded::Recorded;
use crate::recover::recover;
use crate::shared::{Health, Shared};
use crate::tiles::Tiles;
use crate::verify::Depth;
use crate::writer::{Pending, Waiting, Writer, is_exchange};

/// One tenant's provision log (提供記録), with its one writer.
pub struct ProvisionLog {
    reader: Arc<LogReader>,
    store: Arc<dyn LogStore>,
    random: Arc<dyn Random>,
    epoch: u32,
    shared: Arc<Shared>,
    exchange: mpsc::Sender<Pending>,
    other: mpsc::Sender<Pending>,
    looks: mpsc::Sender<Look>,
    stop: CancellationToken,
    stop_background: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    background: Mutex<Vec<JoinHandle<()>>>,
    /// Let go with the log.
    held: Mutex<Option<Held>>,
}

impl ProvisionLog {
    /// Starts the log: rebuilds the tree, holds it against the head, the last signed checkpoint and the kept one, writes the first entry
    /// of an empty log, keeps the newest checkpoint, and verifies the whole log in the background.
    pub async fn start(
        store: Arc<dyn LogStore>,
        keyring: Arc<Keyring>,
        options: LogOptions,
    ) -> Result<Self, StartError> {
        let first = Self::begin(store.clone(), keyring.clone(), options.clone()).await;
        let Err(StartError::Genesis(error)) = first else {
            return first;
        };
        // Where another process was faster, the log has its first entry, and this one starts on it.
        let head = Deadline::after(options.store_timeout)
            .wait(store.head())
            .await;
        match head.map_err(|_| StartError::Deadline)?? {
            head if head.size > 0 => Self::begin(store, keyring, options).await,
            _ => Err(StartError::Genesis(error)),
        }
    }

    async fn begin(
        store: Arc<dyn LogStore>,
        keyring: Arc<Keyring>,
        options: LogOptions,
    ) -> Result<Self, StartError> {
        let key = options.verifier_key(&keyring.log_public_key())?;
        let held = kept::hold(&options.kept_checkpoint)?;
        let recovered = recover(&*store, &options, &key).await?;
        let checkpoint = Arc::new(SignedCheckpoint::sign(
            recovered.tree.snapshot(),
            recovered.head.last_time,
            &key,
            &keyring,
        ));
        let shared = Arc::new(Shared::new(checkpoint));
        shared.kept(recovered.kept.as_ref().map_or(0, |kept| kept.size));
        let tiles = Arc::new(Tiles::new(Arc::clone(&store)));
        let reader = Arc::new(LogReader::new(
            Arc::clone(&store),
            Arc::clone(&keyring),
            key.clone(),
            Arc::clone(&tiles),
            shared.watch(),
            options.store_timeout,
        ));
        let (exchange, exchange_queue) = mpsc::channel(options.queue.max(1));
        let (other, other_queue) = mpsc::channel(options.queue.max(1));
        let (looks, looks_queue) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let noted = std::fs::read_to_string(kept::gap_path(&options.kept_checkpoint));
        let writer = Writer {
            store: Arc::clone(&store),
            keyring,
            key,
            options: options.clone(),
            shared: Arc::clone(&shared),
            tiles,
            exchange: exchange_queue,
            other: other_queue,
            looks: looks_queue,
            stop: stop.clone(),
            finishing: TaskTracker::new(),
            last_time: recovered.head.last_time,
            tree: recovered.tree,
            gap: noted.ok().as_deref().and_then(Gap::from_line),
            half_way: None,
        };
        let log = Self {
            reader,
            store,
            random: Arc::clone(&options.random),
            epoch: options.epoch,
            shared,
            exchange,
            other,
            looks,
            stop,
            stop_background: CancellationToken::new(),
            tasks: Mutex::new(vec![tokio::spawn(writer.run())]),
            background: Mutex::default(),
            held: Mutex::new(Some(held)),
        };
        if recovered.head.size == 0 {
            log.genesis(&options).await?;
        }
        log.keep_first(&options).await?;
        log.start_background(&options);
        Ok(log)
    }

    /// Takes an entry, the change that belongs to it, and the answer. The answer comes back when both are durable, with its receipt;
    /// on every error it is dropped.
    pub async fn record<T>(
        &self,
        entry: Entry,
        change: Option<Change>,
        answer: T,
        deadline: Deadline,
    ) -> Result<Recorded<T>, RecordError> {
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        let (draft, openings) = entry
            .draft(&*self.random)
            .map_err(|_| RecordError::TooLong)?;
        let (reply, done) = oneshot::channel();
        let pending = Pending {
            draft,
            change,
            waiting: Waiting {
                deadline,
                reply: Some(reply),
            },
        };
        let lane = if is_exchange(entry.kind) {
            &self.exchange
        } else {
            &self.other
        };
        lane.try_send(pending).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => RecordError::Unavailable(Unavailable::QueueFull),
            mpsc::error::TrySendError::Closed(_) => self.closed(),
        })?;
        let reply = deadline
            .wait(done)
            .await
            .map_err(|_| RecordError::DeadlineExceeded)?;
        let committed = reply.map_err(|_| self.closed())??;
        let checkpoint = committed.checkpoint;
        // The newest batch is proved from memory; only after another process overtook us are tiles read.
        let inclusion = self
            .reader
            .inclusion(committed.leaf.index, &checkpoint, deadline)
            .await;
        let inclusion = inclusion.map_err(|error| match error {
            ReadError::DeadlineExceeded => RecordError::DeadlineExceeded,
            _ => RecordError::Unavailable(Unavailable::Batch),
        })?;
        Ok(Recorded::new(
            answer,
            committed.leaf,
            checkpoint,
            inclusion,
            openings,
        ))
    }

    /// Puts the consistency proof from the checkpoint that the requester knows (`known` entries, 0 for none) into the receipt. A size that
    /// this log never had is [`ReadError::OutOfRange`]; the receipt then stays without one, and the requester sees that by itself.
    pub async fn prove_from<T>(
        &self,
        recorded: &mut Recorded<T>,
        known: u64,
        deadline: Deadline,
    ) -> Result<(), ReadError> {
        let checkpoint = Arc::clone(recorded.checkpoint());
        let proof = self
            .reader
            .consistency(known, &checkpoint, deadline)
            .await?;
        recorded.set_consistency(proof);
        Ok(())
    }

    /// Reading: entries, proofs, verification, export.
    pub fn reader(&self) -> &Arc<LogReader> {
        &self.reader
    }

    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> Arc<SignedCheckpoint> {
        self.shared.newest()
    }

    /// The log's state.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// What the log has done and has before it.
    pub fn measures(&self) -> Measures {
        let waiting = |lane: &mpsc::Sender<Pending>| lane.max_capacity() - lane.capacity();
        self.shared.counts.measures(
            self.epoch,
            self.exchange.max_capacity(),
            waiting(&self.exchange),
            waiting(&self.other),
        )
    }

    /// Looks at the head in the database, between two batches: entries of other processes are taken over if they continue this log, and a
    /// checkpoint of them is signed; a head that isn't where this node's log goes on poisons the log. Of more entries than
    /// [`LogOptions::max_followed`] the rest is left to the next look.
    pub async fn look(&self, deadline: Deadline) -> Result<(), RecordError> {
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        let (reply, found) = oneshot::channel();
        let asked = deadline.wait(self.looks.send(reply)).await;
        let asked = asked.map_err(|_| RecordError::DeadlineExceeded)?;
        asked.map_err(|_| self.closed())?;
        let found = deadline.wait(found).await;
        let found = found.map_err(|_| RecordError::DeadlineExceeded)?;
        found.map_err(|_| self.closed())?
    }

    /// Writes and syncs a row beside the log, if the log isn't poisoned, and looks at the head: what readiness rests on.
    pub async fn canary(&self, deadline: Deadline) -> Result<(), RecordError> {
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        match deadline.wait(self.store.canary()).await {
            Ok(Ok(())) => self.look(deadline).await,
            Ok(Err(StorageError::Full)) => Err(RecordError::Unavailable(Unavailable::StorageFull)),
            Ok(Err(_)) => Err(RecordError::Unavailable(Unavailable::Busy)),
            Err(_) => Err(RecordError::DeadlineExceeded),
        }
    }

    /// Takes nothing more, writes what waits, keeps the newest checkpoint. Says whether all of that was done by the deadline.
    pub async fn shutdown(&self, deadline: Deadline) -> bool {
        // The other half is for what stands to be signed and kept.
        self.shared.stop(Deadline::after(deadline.remaining() / 2));
        self.stop.cancel();
        let (tasks, background) = (take(&self.tasks), take(&self.background));
        let drained = join(tasks, deadline).await;
        self.stop_background.cancel();
        let ended = join(background, deadline).await && drained;
        if ended {
            // Nothing is kept any more: a later process may.
            drop(self.held.lock().take());
        }
        ended
    }

    /// The first entry: whose log this is.
    async fn genesis(&self, options: &LogOptions) -> Result<(), StartError> {
        let (id, code, epoch) = (
            options.tenant.id.to_string(),
            options.tenant.code.to_string(),
            options.epoch.to_string(),
        );
        let entry = Entry {
            kind: EntryKind::Genesis,
            actor: options.own_actor("genesis")?,
            subject: Subject::Unknown,
            content: desk_content(&[
                ("tenant", &id),
                ("municipality_code", &code),
                ("epoch", &epoch),
            ]),
        };
        let recorded = self
            .record(entry, None, (), Deadline::after(options.store_timeout))
            .await;
        recorded.map(drop).map_err(StartError::Genesis)
    }

    /// Before anybody is answered, the second path works and holds the log as it starts.
    async fn keep_first(&self, options: &LogOptions) -> Result<(), StartError> {
        let checkpoint = self.shared.newest();
        let path = options.kept_checkpoint.clone();
        let kept = kept::write_in_background(path.clone(), checkpoint.note().to_owned()).await;
        kept.map_err(|why| StartError::Kept {
            path: path.display().to_string(),
            why,
        })?;
        self.shared.kept(checkpoint.size());
        Ok(())
    }

    fn start_background(&self, options: &LogOptions) {
        let keep = kept::keep(
            self.shared.watch(),
            options.kept_checkpoint.clone(),
            options.keep_every,
            Arc::clone(&self.shared),
            self.stop_background.clone(),
        );
        let (reader, shared, stop) = (
            Arc::clone(&self.reader),
            Arc::clone(&self.shared),
            self.stop_background.clone(),
        );
        let verify = async move {
            let mut silent = |_, _| ();
            let report = tokio::select! {
                report = reader.verify_all(Depth::Tree, &mut silent) => report,
                () = stop.cancelled() => return,
            };
            match report {
                Ok(report) => {
                    if let Some(fault) = &report.fault {
                        tracing::error!(%fault, "the stored log isn't what was signed: the log is poisoned");
                        shared.poison(fault.to_string());
                    }
                    shared.verified(report);
                }
                Err(error) => {
                    tracing::warn!(%error, "the log couldn't be verified in the background");
                }
            }
        };
        self.background
            .lock()
            .extend([tokio::spawn(keep), tokio::spawn(verify)]);
    }

    /// Why the writer no longer listens.
    fn closed(&self) -> RecordError {
        self.shared.refusal().unwrap_or(RecordError::Poisoned)
    }
}

impl Drop for ProvisionLog {
    /// A handle that is dropped without a shutdown leaves no task behind; what waits is still written.
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_background.cancel();
    }
}

fn take(tasks: &Mutex<Vec<JoinHandle<()>>>) -> Vec<JoinHandle<()>> {
    std::mem::take(&mut *tasks.lock())
}

async fn join(tasks: Vec<JoinHandle<()>>, deadline: Deadline) -> bool {
    let mut all = true;
    for task in tasks {
        all &= matches!(deadline.wait(task).await, Ok(Ok(())));
    }
    all
}
