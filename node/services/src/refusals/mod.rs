//! Refused calls are entries too: one each up to 60 a minute and caller, then one a caller and minute with counts.

mod window;

use std::sync::Arc;

use parking_lot::Mutex;
use vrx_domain::{
    Caller, Clock, EntryKind, UnixMillis,
    audit::{desk_actor, desk_content},
};
use vrx_provision_log::{Deadline, Entry, ProvisionLog, Subject};

use self::window::{Due, Minutes, OnlyCounted, Verdict, Who};
use crate::{error::ServiceError, record::OWN_TIME};

/// Counts and records refusals of one tenant.
pub struct Refusals {
    log: Arc<ProvisionLog>,
    clock: Arc<dyn Clock>,
    /// Stands as the actor where callers are counted together: the node itself.
    node: Caller,
    minutes: Mutex<Minutes<Caller>>,
}

impl Refusals {
    /// Refusals of the tenant that owns `log`; `node` is the tenant's own exchange identity.
    pub fn new(log: Arc<ProvisionLog>, clock: Arc<dyn Clock>, node: Caller) -> Self {
        Self {
            log,
            clock,
            node,
            minutes: Mutex::new(Minutes::new()),
        }
    }

    /// Records that `caller` got `error`. Call it once for every error returned to a caller whose identity was understood and
    /// whose tenant is here; it picks those that are refusals (`Unavailable`, `DeadlineExceeded` and `Internal` aren't) and
    /// waits until the entry is durable or the log says no. Never fails: the caller is told of `error` either way.
    pub async fn note(&self, caller: &Caller, error: &ServiceError) {
        let only_counted = match error {
            ServiceError::InvalidArgument { .. }
            | ServiceError::PermissionDenied
            | ServiceError::NotFound
            | ServiceError::FailedPrecondition(_)
            | ServiceError::Damaged { .. } => OnlyCounted::No,
            // Whoever calls too often would otherwise fill the log by it.
            ServiceError::ResourceExhausted { .. } => OnlyCounted::Yes,
            ServiceError::Unavailable { .. }
            | ServiceError::DeadlineExceeded
            | ServiceError::Internal { .. } => return,
        };
        let reason = (error.code(), error.field().unwrap_or_default());
        let minute = minute_of(self.clock.now());
        let uri = caller.id.to_string();
        let verdict = self
            .minutes
            .lock()
            .take(minute, uri, caller, reason, only_counted);
        if verdict == Verdict::Entry {
            let content = desk_content(&[("reason", reason.0), ("field", reason.1)]);
            if !self.record(caller, content).await {
                tracing::warn!(reason = reason.0, "a refusal couldn't be recorded");
            }
        }
    }

    /// Records the counts of minutes that are over. Called by the node's jobs every few seconds.
    pub(crate) async fn record_due(&self) {
        self.minutes.lock().turn(minute_of(self.clock.now()));
        self.drain().await;
    }

    /// Records all counts, of the running minute too: the node stops.
    pub(crate) async fn record_all(&self) {
        self.minutes.lock().close();
        self.drain().await;
    }

    async fn drain(&self) {
        let mut due = self.minutes.lock().take_due().into_iter();
        for counts in due.by_ref() {
            if !self.record_counts(&counts).await {
                // The log takes nothing now: all that is left waits for the next round.
                let mut minutes = self.minutes.lock();
                minutes.give_back(counts);
                due.for_each(|counts| minutes.give_back(counts));
                return;
            }
        }
    }

    async fn record_counts(&self, due: &Due<Caller>) -> bool {
        let minute = UnixMillis(due.minute.saturating_mul(60_000)).to_rfc3339_jst();
        let mut content = vec![("minute".to_owned(), minute)];
        for ((reason, field), count) in &due.counts {
            let name = if field.is_empty() {
                (*reason).to_owned()
            } else {
                format!("{reason}:{field}")
            };
            content.push((name, count.to_string()));
        }
        if due.who == Who::Others {
            content.push(("callers".to_owned(), "many".to_owned()));
        }
        let pairs: Vec<_> = content
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let caller = match &due.who {
            Who::Caller(caller) => caller,
            Who::Others => &self.node,
        };
        self.record(caller, desk_content(&pairs)).await
    }

    async fn record(&self, caller: &Caller, content: vrx_domain::Fields) -> bool {
        let entry = Entry {
            kind: EntryKind::Control,
            actor: desk_actor(caller, "refused"),
            subject: Subject::Unknown,
            content,
        };
        self.log
            .record(entry, None, (), Deadline::after(OWN_TIME))
            .await
            .is_ok()
    }
}

fn minute_of(now: UnixMillis) -> u64 {
    now.0 / 60_000
}
