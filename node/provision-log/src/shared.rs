//! What the handle, the writer and the background tasks of one log share: its state and its newest checkpoint.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::SignedCheckpoint;
use crate::deadline::Deadline;
use crate::error::{RecordError, Unavailable};
use crate::measures::Counts;
use crate::verify::VerifyReport;

/// Whether the log takes entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    Serving,
    /// The last batch was turned away for a reason that can go away by itself.
    Struggling(RecordError),
    /// The storage can't be trusted; nothing but health is answered until the log was recovered and started anew.
    Poisoned(String),
    /// Shutting down, or down.
    Stopped,
}

/// The log's state for a readiness check and for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes entries.
    pub state: LogState,
    /// Entries in the newest signed checkpoint.
    pub size: u64,
    /// Entries in the checkpoint kept at the second path.
    pub kept_size: u64,
    /// Why the last attempt to keep one failed, if it did.
    pub kept_failure: Option<String>,
    /// Outcome of the last verification of the whole log, once there is one.
    pub verified: Option<VerifyReport>,
}

pub(crate) struct Shared {
    newest: watch::Sender<Arc<SignedCheckpoint>>,
    inner: RwLock<Inner>,
    poisoned: CancellationToken,
    pub(crate) counts: Counts,
}

struct Inner {
    state: LogState,
    kept_size: u64,
    kept_failure: Option<String>,
    verified: Option<VerifyReport>,
    /// Until when the writer may try to learn what became of a commit, once the log was told to stop.
    stop_by: Option<Deadline>,
}

impl Shared {
    pub(crate) fn new(first: Arc<SignedCheckpoint>) -> Self {
        let inner = Inner {
            state: LogState::Serving,
            kept_size: 0,
            kept_failure: None,
            verified: None,
            stop_by: None,
        };
        Self {
            newest: watch::Sender::new(first),
            inner: RwLock::new(inner),
            poisoned: CancellationToken::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn newest(&self) -> Arc<SignedCheckpoint> {
        self.newest.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<SignedCheckpoint>> {
        self.newest.subscribe()
    }

    /// Publishes a checkpoint unless a larger one overtook it: batches are signed in tasks of their own.
    pub(crate) fn publish(&self, checkpoint: &Arc<SignedCheckpoint>) {
        self.newest.send_if_modified(|newest| {
            let newer = checkpoint.size() > newest.size();
            if newer {
                *newest = Arc::clone(checkpoint);
            }
            newer
        });
    }

    pub(crate) fn kept_size(&self) -> u64 {
        self.inner.read().kept_size
    }

    pub(crate) fn kept(&self, size: u64) {
        let mut inner = self.inner.write();
        inner.kept_size = size;
        inner.kept_failure = None;
    }

    pub(crate) fn not_kept(&self, why: String) {
        self.inner.write().kept_failure = Some(why);
    }

    pub(crate) fn verified(&self, report: VerifyReport) {
        self.inner.write().verified = Some(report);
    }

    /// Moves between serving and struggling; poisoned and stopped stay what they are.
    pub(crate) fn serving(&self, trouble: Option<RecordError>) {
        let mut inner = self.inner.write();
        if matches!(inner.state, LogState::Serving | LogState::Struggling(_)) {
            inner.state = trouble.map_or(LogState::Serving, LogState::Struggling);
        }
    }

    pub(crate) fn poison(&self, why: String) {
        let mut inner = self.inner.write();
        if !matches!(inner.state, LogState::Poisoned(_)) {
            inner.state = LogState::Poisoned(why);
        }
        self.poisoned.cancel();
    }

    /// Comes when the log is poisoned.
    pub(crate) async fn poisoned(&self) {
        self.poisoned.cancelled().await;
    }

    pub(crate) fn stop(&self, by: Deadline) {
        let mut inner = self.inner.write();
        inner.stop_by = Some(by);
        if !matches!(inner.state, LogState::Poisoned(_)) {
            inner.state = LogState::Stopped;
        }
    }

    pub(crate) fn stop_by(&self) -> Option<Deadline> {
        self.inner.read().stop_by
    }

    /// Why no entry can be taken at all, if so.
    pub(crate) fn refusal(&self) -> Option<RecordError> {
        match &self.inner.read().state {
            // More would only queue up behind a batch that nobody can vouch for.
            LogState::Struggling(why @ RecordError::Unavailable(Unavailable::Unsettled)) => {
                Some(why.clone())
            }
            LogState::Serving | LogState::Struggling(_) => None,
            LogState::Poisoned(_) => Some(RecordError::Poisoned),
            LogState::Stopped => Some(RecordError::Unavailable(Unavailable::ShuttingDown)),
        }
    }

    pub(crate) fn health(&self) -> Health {
        let size = self.newest.borrow().size();
        let inner = self.inner.read();
        Health {
            state: inner.state.clone(),
            size,
            kept_size: inner.kept_size,
            kept_failure: inner.kept_failure.clone(),
            verified: inner.verified.clone(),
        }
    }
}
