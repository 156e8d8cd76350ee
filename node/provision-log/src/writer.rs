//! The tenant's one writer: takes what arrived while the last flush ran, and gives it to the store as one batch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vrx_crypto::Keyring;
use vrx_domain::EntryKind;
use vrx_storage::{BatchItem, Change, LogStore};
use vrx_tlog::{Leaf, Tree, VerifierKey};

use crate::batch::Sealed;
use crate::checkpoint::SignedCheckpoint;
use crate::commit::{Attempt, Doubt};
use crate::deadline::Deadline;
use crate::entry::Draft;
use crate::error::{RecordError, Unavailable};
use crate::gap::Gap;
use crate::kept;
use crate::look::{HalfWay, Look};
use crate::options::LogOptions;
use crate::shared::Shared;
use crate::tiles::Tiles;

/// First and longest pause before a batch is given to the store again.
pub(crate) const PAUSE: (Duration, Duration) =
    (Duration::from_millis(2), Duration::from_millis(200));

/// An entry on its way to the writer.
pub(crate) struct Pending {
    pub(crate) draft: Draft,
    pub(crate) change: Option<Change>,
    pub(crate) waiting: Waiting,
}

/// The one who waits for an entry; nobody, for the log's own.
pub(crate) struct Waiting {
    pub(crate) deadline: Deadline,
    pub(crate) reply: Option<oneshot::Sender<Result<Committed, RecordError>>>,
}

/// An entry that stands.
pub(crate) struct Committed {
    pub(crate) leaf: Leaf,
    pub(crate) checkpoint: Arc<SignedCheckpoint>,
}

pub(crate) struct Writer {
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) key: VerifierKey,
    pub(crate) options: LogOptions,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tiles: Arc<Tiles>,
    pub(crate) exchange: mpsc::Receiver<Pending>,
    pub(crate) other: mpsc::Receiver<Pending>,
    pub(crate) looks: mpsc::Receiver<Look>,
    pub(crate) stop: CancellationToken,
    pub(crate) finishing: TaskTracker,
    pub(crate) tree: Tree,
    pub(crate) last_time: u64,
    pub(crate) gap: Option<Gap>,
    pub(crate) half_way: Option<HalfWay>,
}

/// What the writer does next.
enum Next {
    Batch(Vec<Pending>),
    Look(Look),
}

/// One batch, until it stands or is given up.
pub(crate) struct Batch {
    pub(crate) items: Arc<[BatchItem]>,
    pub(crate) drafts: Arc<[Draft]>,
    waiting: Vec<Waiting>,
    /// Whether the first item is the entry about the gap.
    names_gap: bool,
    /// Earlier attempts whose outcome isn't certain: one of them may still come to stand.
    pub(crate) doubts: Vec<Doubt>,
}

impl Writer {
    /// Runs until stopped and drained, or poisoned.
    pub(crate) async fn run(mut self) {
        while let Some(next) = self.next().await {
            match next {
                Next::Batch(arrived) => {
                    if let Some(batch) = self.prepare(arrived)
                        && !self.write(batch).await
                    {
                        break;
                    }
                }
                // Who asked may have stopped waiting.
                Next::Look(look) => drop(look.send(self.look().await)),
            }
            if matches!(self.shared.refusal(), Some(RecordError::Poisoned)) {
                break;
            }
        }
        self.exchange.close();
        self.other.close();
        self.looks.close();
        let refusal = self
            .shared
            .refusal()
            .unwrap_or(RecordError::Unavailable(Unavailable::ShuttingDown));
        while let Ok(pending) = self.exchange.try_recv() {
            pending.waiting.refuse(&refusal);
        }
        while let Ok(pending) = self.other.try_recv() {
            pending.waiting.refuse(&refusal);
        }
        self.finishing.close();
        self.finishing.wait().await;
    }

    /// Waits for an entry and takes all that came with it, or for a wish to look at the head; `None` when the log was stopped and is
    /// drained.
    async fn next(&mut self) -> Option<Next> {
        let first = loop {
            let stopping = self.exchange.is_closed();
            tokio::select! {
                biased;
                // Seldom, and one reading long: a load that never ends must not put it off for ever.
                Some(look) = self.looks.recv() => return Some(Next::Look(look)),
                Some(pending) = self.exchange.recv() => break pending,
                Some(pending) = self.other.recv() => break pending,
                () = self.stop.cancelled(), if !stopping => {
                    self.exchange.close();
                    self.other.close();
                    self.looks.close();
                }
                else => return None,
            }
        };
        let mut arrived = vec![first];
        while arrived.len() < self.options.max_other {
            let Ok(pending) = self.other.try_recv() else {
                break;
            };
            arrived.push(pending);
        }
        // One place is left for the entry about a gap.
        while arrived.len() + usize::from(self.gap.is_some()) < self.options.max_batch {
            let Ok(pending) = self.exchange.try_recv() else {
                break;
            };
            arrived.push(pending);
        }
        Some(Next::Batch(arrived))
    }

    /// Drops what nobody waits for any more, before it gets a place in the log.
    fn prepare(&self, arrived: Vec<Pending>) -> Option<Batch> {
        let mut items = Vec::with_capacity(arrived.len() + 1);
        let mut drafts = Vec::with_capacity(arrived.len() + 1);
        let mut waiting = Vec::with_capacity(arrived.len() + 1);
        let gap = self.gap_entry();
        let names_gap = gap.is_some();
        for pending in gap.into_iter().chain(arrived) {
            if pending.waiting.is_gone() {
                continue;
            }
            if pending.waiting.deadline.has_passed() {
                pending.waiting.refuse(&RecordError::DeadlineExceeded);
                continue;
            }
            items.push(BatchItem {
                change: pending.change,
                subject: pending.draft.tag,
            });
            drafts.push(pending.draft);
            waiting.push(pending.waiting);
        }
        let somebody = waiting.len() > usize::from(names_gap);
        somebody.then(|| Batch {
            items: items.into(),
            drafts: drafts.into(),
            waiting,
            names_gap,
            doubts: Vec::new(),
        })
    }

    fn gap_entry(&self) -> Option<Pending> {
        let actor = self.options.own_actor(Gap::ACTION).ok()?;
        let entry = self.gap.as_ref()?.entry(actor, self.options.clock.now().0);
        let (draft, _) = entry.draft(&*self.options.random).ok()?;
        let deadline = Deadline::after(self.options.store_timeout);
        Some(Pending {
            draft,
            change: None,
            waiting: Waiting {
                deadline,
                reply: None,
            },
        })
    }

    /// Gives the batch to the store until it stands, nobody waits any more, or the storage broke. False when the log was stopped before
    /// it could be learnt what became of the batch.
    async fn write(&mut self, mut batch: Batch) -> bool {
        let mut pause = PAUSE.0;
        loop {
            match self.attempt(&mut batch).await {
                Attempt::Stands(sealed) => {
                    self.stands(batch, sealed);
                    return true;
                }
                Attempt::GiveUp(error) => {
                    self.turn_away(batch, &error);
                    return true;
                }
                Attempt::Poison(why) => {
                    self.poison(batch, why).await;
                    return true;
                }
                Attempt::Stopped => {
                    self.turn_away(batch, &RecordError::DeadlineExceeded);
                    return false;
                }
                Attempt::Again(error) => {
                    let patient = batch
                        .waiting
                        .iter()
                        .filter(|waiting| waiting.reply.is_some() && !waiting.is_gone());
                    let latest = patient.map(|waiting| waiting.deadline).max();
                    if latest.is_none_or(|latest| latest.remaining() <= pause) {
                        self.turn_away(batch, &error);
                        return true;
                    }
                    self.shared.serving(Some(error));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// The batch is on the disk. From here on nothing can take it back.
    fn stands(&mut self, batch: Batch, sealed: Option<Sealed>) {
        let Some(sealed) = sealed else { return };
        let own = sealed.entries.iter().filter(|entry| entry.is_ok()).count();
        let grew = sealed.tree.size() > self.tree.size() || own > 0;
        self.tree = sealed.tree;
        self.last_time = sealed.time;
        self.shared.serving(None);
        if batch.names_gap && matches!(sealed.entries.first(), Some(Ok(_))) {
            self.gap = None;
            let marker = kept::gap_path(&self.options.kept_checkpoint);
            drop(tokio::task::spawn_blocking(move || {
                std::fs::remove_file(marker)
            }));
        }
        let replies = batch.waiting.into_iter().zip(sealed.entries).collect();
        if own > 0 {
            self.shared.counts.batch(own as u64);
        }
        if !grew {
            answer(replies, &self.shared.newest());
            return;
        }
        let snapshot = self.tree.snapshot();
        self.tiles.remember(snapshot.recent_tiles());
        let (shared, keyring, key, time) = (
            Arc::clone(&self.shared),
            Arc::clone(&self.keyring),
            self.key.clone(),
            self.last_time,
        );
        let finish = move || {
            let checkpoint = Arc::new(SignedCheckpoint::sign(snapshot, time, &key, &keyring));
            shared.publish(&checkpoint);
            answer(replies, &checkpoint);
        };
        // Nobody waits: sign here, without the detour. Somebody waits: the next batch goes first, another thread signs.
        if self.exchange.is_empty() && self.other.is_empty() {
            finish();
        } else {
            self.finishing.spawn(async move { finish() });
        }
    }

    fn turn_away(&mut self, batch: Batch, error: &RecordError) {
        // Of what may still come to stand nobody is told that it doesn't.
        let error = if batch.doubts.is_empty() {
            error
        } else {
            &RecordError::DeadlineExceeded
        };
        let turned_away = batch.waiting.len() - usize::from(batch.names_gap);
        tracing::warn!(error = %error, entries = turned_away, "entries were turned away");
        self.shared.serving(Some(error.clone()));
        self.shared.counts.turned_away(turned_away as u64);
        self.note_gap(&error.to_string(), turned_away);
        for waiting in batch.waiting {
            waiting.refuse(error);
        }
    }

    async fn poison(&mut self, batch: Batch, why: String) {
        let turned_away = batch.waiting.len() - usize::from(batch.names_gap);
        self.shared.counts.turned_away(turned_away as u64);
        self.note_gap(&why, turned_away);
        self.tell_poison(why);
        for waiting in batch.waiting {
            waiting.refuse(&RecordError::Poisoned);
        }
        self.leave_gap().await;
    }

    /// The same when nobody waits for an entry.
    pub(crate) async fn poison_idle(&mut self, why: String) {
        self.note_gap(&why, 0);
        self.tell_poison(why);
        self.leave_gap().await;
    }

    fn tell_poison(&self, why: String) {
        tracing::error!(
            tenant = %self.options.tenant.code,
            why,
            "the log's storage can't be trusted: the log is poisoned"
        );
        self.shared.poison(why);
    }

    /// Leaves the gap where the log finds it that is started after recovery.
    async fn leave_gap(&self) {
        if let Some(gap) = &self.gap {
            let marker = kept::gap_path(&self.options.kept_checkpoint);
            if let Err(why) = kept::write_in_background(marker, gap.to_line()).await {
                tracing::warn!(why, "the gap couldn't be noted beside the kept checkpoint");
            }
        }
    }

    fn note_gap(&mut self, why: &str, turned_away: usize) {
        let now = self.options.clock.now().0;
        let gap = self.gap.get_or_insert_with(|| Gap {
            from: now,
            why: why.to_owned(),
            refused: 0,
        });
        gap.refused += turned_away as u64;
    }
}

impl Waiting {
    fn is_gone(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn refuse(self, error: &RecordError) {
        self.send(Err(error.clone()));
    }

    fn send(self, result: Result<Committed, RecordError>) {
        if let Some(reply) = self.reply {
            // Who went away meanwhile gets nothing: the entry stands, the answer was never sent.
            drop(reply.send(result));
        }
    }
}

fn answer(
    replies: Vec<(Waiting, Result<Leaf, vrx_storage::ChangeError>)>,
    checkpoint: &Arc<SignedCheckpoint>,
) {
    for (waiting, entry) in replies {
        waiting.send(match entry {
            Ok(leaf) => Ok(Committed {
                leaf,
                checkpoint: Arc::clone(checkpoint),
            }),
            Err(refused) => Err(RecordError::Refused(refused)),
        });
    }
}

/// Whether an entry goes through the lane of the exchange.
pub(crate) fn is_exchange(kind: EntryKind) -> bool {
    kind == EntryKind::Exchange
}
