//! What a tenant's witnesses said last, and whether it may provide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use vrx_domain::UnixMillis;
use vrx_tlog::WitnessKey;

use super::rules::WitnessRules;
use crate::error::ServiceError;
use crate::ports::AskWitness;

/// A witness says that it has cosigned what this log isn't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// It says that it cosigned a longer log.
    #[error(
        "the witness {witness} says that it has cosigned {theirs} entries of this log, and here are {ours}. If so, entries that were \
         signed are gone, and so is the copy of the checkpoint that would have shown it here. Don't let this log grow. Keep its files, tell the privacy \
         officer, and put the newest database in its place, or restore it and open a new epoch of the log as the manual says \
         (`witnesses`). Only if that witness is known to be wrong, take it out of the configuration"
    )]
    Longer {
        /// Name of the witness.
        witness: String,
        /// Entries that it cosigned.
        theirs: u64,
        /// Entries here.
        ours: u64,
    },
    /// It refuses the proof that the log continues what it cosigned.
    #[error(
        "the witness {witness} says that the first {size} entries that it has cosigned aren't the first {size} of this log. If so, the \
         log was rewritten and signed anew. Don't let this log grow. Keep its files, tell the privacy officer, and put the database that was \
         witnessed in its place, or restore it and open a new epoch of the log as the manual says (`witnesses`). Only if that witness \
         is known to be wrong, take it out of the configuration"
    )]
    Differs {
        /// Name of the witness.
        witness: String,
        /// Entries that it cosigned.
        size: u64,
    },
    /// The checkpoint with a quorum that is kept in the database isn't of this log.
    #[error(
        "the witnesses have cosigned other entries: the first {size} under the checkpoint that is kept with their cosignatures aren't \
         the first {size} of this log, which was rewritten and signed anew. Keep its files, tell the privacy officer, and put the \
         database that was witnessed in its place, or restore it and open a new epoch of the log as the manual says (`witnesses`)"
    )]
    Kept {
        /// Entries under that checkpoint.
        size: u64,
    },
}

/// One tenant's witnesses as they are seen from outside: for metrics and for readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessingSeen {
    /// How old the newest quorum is; before the first one, how long there was none.
    pub age: Duration,
    /// From which age on the tenant doesn't provide.
    pub limit: Duration,
    /// Entries under the newest checkpoint with a quorum; 0 before the first.
    pub size: u64,
    /// Whether it provides.
    pub provides: bool,
    /// Each witness.
    pub witnesses: Vec<WitnessSeen>,
}

impl WitnessingSeen {
    /// Whether the witnesses do what they should: the tenant provides, and its quorum is far younger than the limit.
    pub fn is_well(&self) -> bool {
        self.provides && self.age * WitnessRules::TOLD <= self.limit
    }
}

/// One witness as it is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessSeen {
    /// The name of its key.
    pub name: String,
    /// How often it was asked in vain since the start.
    pub failures: u64,
    /// Whether it says that it has cosigned what this log isn't.
    pub contradicts: bool,
}

/// One tenant's place between its witnesses and the logs that it witnesses.
pub struct Witnessing {
    own: WitnessKey,
    asked: Option<Asked>,
    /// When it was told last of a member's log that it is shown without a proof.
    unproved: Mutex<BTreeMap<String, UnixMillis>>,
}

/// The witnesses that the tenant asks.
pub(super) struct Asked {
    pub(super) rules: WitnessRules,
    pub(super) client: Arc<dyn AskWitness>,
    /// Of each witness of the rules, in their order.
    each: Vec<Each>,
    state: RwLock<State>,
    /// Entries under the newest checkpoint with a quorum.
    size: watch::Sender<u64>,
    /// Somebody waits for a quorum: the next round needn't wait for its time.
    wanted: Notify,
}

#[derive(Default)]
struct Each {
    failures: AtomicU64,
    contradiction: RwLock<Option<Contradiction>>,
}

struct State {
    newest: Option<Cosigned>,
    /// The checkpoint asked about last, with the cosignatures of it so far: a quorum or not.
    held: Option<String>,
    /// From when on the limit counts while there is no quorum.
    since: UnixMillis,
}

/// A checkpoint with a quorum.
#[derive(Debug, Clone)]
pub(super) struct Cosigned {
    /// Entries.
    pub(super) size: u64,
    /// The note with its cosignatures.
    pub(super) note: String,
    /// When the quorum stood: the time of the latest cosignature that made it one, seconds since 1970.
    pub(super) at: u64,
}

impl Witnessing {
    /// A tenant that asks no witness; `own` is its own key as one.
    pub fn none(own: WitnessKey) -> Self {
        Self {
            own,
            asked: None,
            unproved: Mutex::default(),
        }
    }

    /// A tenant with witnesses. Until their first quorum the limit counts from `since`: from when on they were asked in vain.
    pub fn new(
        own: WitnessKey,
        rules: WitnessRules,
        client: Arc<dyn AskWitness>,
        since: UnixMillis,
    ) -> Self {
        let each = rules.places.iter().map(|_| Each::default()).collect();
        let state = State {
            newest: None,
            held: None,
            since,
        };
        Self {
            own,
            asked: Some(Asked {
                rules,
                client,
                each,
                state: RwLock::new(state),
                size: watch::Sender::new(0),
                wanted: Notify::new(),
            }),
            unproved: Mutex::default(),
        }
    }

    /// The key that others check this tenant's cosignatures with.
    pub fn own_key(&self) -> &WitnessKey {
        &self.own
    }

    /// Whether there are witnesses to ask.
    pub fn has_witnesses(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether the tenant may provide now: it has no witnesses, or none of them contradicts its log and the newest quorum is young enough.
    pub fn check(&self, now: UnixMillis) -> Result<(), ServiceError> {
        match &self.asked {
            Some(asked) if !asked.provides(now) => Err(ServiceError::unavailable()),
            _ => Ok(()),
        }
    }

    /// What is seen from outside; nothing of a tenant without witnesses.
    pub fn seen(&self, now: UnixMillis) -> Option<WitnessingSeen> {
        let asked = self.asked.as_ref()?;
        let witnesses = asked.rules.witnesses().zip(&asked.each);
        let witnesses = witnesses.map(|((key, _), each)| WitnessSeen {
            name: key.name().to_owned(),
            failures: each.failures.load(Ordering::Relaxed),
            contradicts: each.contradiction.read().is_some(),
        });
        Some(WitnessingSeen {
            age: asked.age(now),
            limit: asked.rules.limit,
            size: asked.newest_size(),
            provides: asked.provides(now),
            witnesses: witnesses.collect(),
        })
    }

    /// The newest checkpoint with a quorum, with its cosignatures.
    pub fn newest_note(&self) -> Option<String> {
        let state = self.asked.as_ref()?.state.read();
        state.newest.as_ref().map(|newest| newest.note.clone())
    }

    /// A checkpoint of this text with the cosignatures that are held of it, if there are any.
    pub(crate) fn cosigned_note(&self, text: &str) -> Option<String> {
        let state = self.asked.as_ref()?.state.read();
        let newest = state.newest.as_ref().map(|newest| &newest.note);
        let is_of_text = |note: &&String| note.split("\n\n").next() == Some(text);
        newest
            .filter(is_of_text)
            .or_else(|| state.held.as_ref().filter(is_of_text))
            .cloned()
    }

    /// Waits until a checkpoint with a quorum has more than `index` entries, however long; has the witnesses asked at once. Gives the
    /// note; nothing, at once, of a tenant without witnesses.
    pub(crate) async fn covering(&self, index: u64) -> Option<String> {
        let asked = self.asked.as_ref()?;
        let mut size = asked.size.subscribe();
        if *size.borrow_and_update() <= index {
            asked.wanted.notify_one();
        }
        // The sender lives as long as this.
        size.wait_for(|size| *size > index).await.ok()?;
        self.newest_note()
    }

    /// Whether it is to be told of this log that it is shown without a proof: once in so many milliseconds. Only members' logs come
    /// here, so there are few.
    pub(super) fn tells_unproved(&self, origin: &str, now: UnixMillis, period_ms: u64) -> bool {
        let mut told = self.unproved.lock();
        let again = told
            .get(origin)
            .is_none_or(|last| now.0 >= last.0.saturating_add(period_ms));
        if again {
            told.insert(origin.to_owned(), now);
        }
        again
    }

    pub(super) fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }
}

impl Asked {
    /// How old the newest quorum is. A witness's clock that is ahead makes it no younger than now.
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        let state = self.state.read();
        let since = match &state.newest {
            Some(newest) => newest.at.saturating_mul(1_000),
            None => state.since.0,
        };
        Duration::from_millis(now.0.saturating_sub(since))
    }

    pub(super) fn newest_size(&self) -> u64 {
        let state = self.state.read();
        state.newest.as_ref().map_or(0, |newest| newest.size)
    }

    pub(super) fn provides(&self, now: UnixMillis) -> bool {
        self.age(now) <= self.rules.limit && self.contradiction().is_none()
    }

    /// What a witness says against the log, if any does.
    pub(super) fn contradiction(&self) -> Option<Contradiction> {
        let mut each = self.each.iter();
        each.find_map(|each| each.contradiction.read().clone())
    }

    /// A checkpoint with a quorum that is durable. An older one than the newest changes nothing.
    pub(super) fn reached(&self, cosigned: Cosigned) {
        let mut state = self.state.write();
        let is_newer = |newest: &Cosigned| {
            (cosigned.size, cosigned.at, cosigned.note.len())
                > (newest.size, newest.at, newest.note.len())
        };
        if state.newest.as_ref().is_none_or(is_newer) {
            let size = cosigned.size;
            state.newest = Some(cosigned);
            drop(state);
            self.size.send_modify(|newest| *newest = size.max(*newest));
        }
    }

    /// Under other rules there was a quorum at this time (seconds since 1970): the limit counts from then, if it counted from before.
    pub(super) fn had_quorum(&self, at: u64, now: UnixMillis) {
        let mut state = self.state.write();
        let at = UnixMillis(at.saturating_mul(1_000)).min(now);
        state.since = state.since.max(at);
    }

    /// Waits until somebody waits for a quorum.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// What came of asking so far.
    pub(super) fn hold(&self, note: String) {
        self.state.write().held = Some(note);
    }

    pub(super) fn agreed(&self, nth: usize) {
        if let Some(each) = self.each.get(nth) {
            *each.contradiction.write() = None;
        }
    }

    pub(super) fn failed(&self, nth: usize) {
        if let Some(each) = self.each.get(nth) {
            each.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether that is news.
    pub(super) fn contradicted(&self, nth: usize, contradiction: Contradiction) -> bool {
        self.failed(nth);
        self.each.get(nth).is_some_and(|each| {
            let before = each.contradiction.write().replace(contradiction);
            before.is_none()
        })
    }
}
