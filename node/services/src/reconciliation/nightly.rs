//! The requester's task: looks once an hour which providers are due, and reconciles with them, at night where it can wait.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use vrx_domain::{MunicipalityCode, UnixMillis};

use super::{NotReconciled, Reconciled, pair::Pair};
use crate::{
    background::Background,
    tenants::{TenantServices, Tenants},
};

/// How often the task looks who is due.
const TICK: Duration = Duration::from_hours(1);
/// How many tenants are worked on at the same time; each goes through its providers one by one.
const AT_A_TIME: usize = 4;
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Where a receipt waits: at night after so long, at any hour after so much longer. Joined within 24 hours either way.
const WITH_RECEIPTS_MS: (u64, u64) = (12 * HOUR_MS, 20 * HOUR_MS);
/// Where none does, an entry that nobody asked for may still stand there.
const WITHOUT_RECEIPTS_MS: (u64, u64) = (6 * 24 * HOUR_MS, 8 * 24 * HOUR_MS);
/// Japan's hours in which nobody waits at a desk.
const NIGHT: std::ops::Range<u64> = 1..5;

/// The node's running reconciliations.
pub struct Nightly(Background);

impl Nightly {
    /// Starts them.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        Self(Background::start("reconciling with providers", |stop| {
            run(tenants, stop)
        }))
    }

    /// Ends them and waits. Call it before the logs shut down.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// May be left off anywhere: how far a pair is moves on with one entry, after everything else about it.
async fn run(tenants: Arc<Tenants>, stop: CancellationToken) {
    let seen = Mutex::new(HashMap::new());
    while stop
        .run_until_cancelled(tokio::time::sleep(TICK))
        .await
        .is_some()
    {
        let due: Vec<_> = tenants
            .iter()
            .map(|tenant| tenant_due(tenant, &seen))
            .collect();
        let all = stream::iter(due)
            .buffer_unordered(AT_A_TIME)
            .for_each(|()| std::future::ready(()));
        stop.run_until_cancelled(all).await;
    }
}

/// What this process has seen of each pair.
type Seen = Mutex<HashMap<(MunicipalityCode, MunicipalityCode), SeenPair>>;

#[derive(Debug, Clone, Copy, Default)]
struct SeenPair {
    /// When it last had an alarm of something overdue: one a day is enough.
    alarmed: Option<UnixMillis>,
    /// Since when every try came to no proof.
    unproved: Option<UnixMillis>,
}

impl SeenPair {
    /// Takes in what a try at `now` came to.
    fn tried(&mut self, outcome: &Result<Reconciled, NotReconciled>, now: UnixMillis) {
        self.unproved = match outcome {
            Err(NotReconciled::Unproved) => self.unproved.or(Some(now)),
            _ => None,
        };
    }

    fn may_alarm(&self, now: UnixMillis) -> bool {
        self.alarmed
            .is_none_or(|last| now.0 >= last.0.saturating_add(24 * HOUR_MS))
    }
}

/// Reconciles a tenant with every provider that is due.
async fn tenant_due(ctx: &TenantServices, seen: &Seen) {
    let own = ctx.tenant.code;
    // One reading of the own log serves all.
    let mut asked = None;
    for member in ctx.node.members.iter().filter(|member| member.code != own) {
        let member_code = member.code;
        let outcome = async {
            let pair = Pair::of(ctx, member)?;
            let standing = pair.standing().await?;
            let waits = pair.first_unjoined().await?.map(|kept| kept.entered_at);
            if !is_due(ctx.node.clock.now(), standing.at, waits) {
                return Ok(None);
            }
            let reconciled = pair.reconcile(&mut asked).await;
            let now = ctx.node.clock.now();
            let this = {
                let mut seen = seen.lock();
                let this = seen.entry((own, member_code)).or_default();
                this.tried(&reconciled, now);
                *this
            };
            if this.may_alarm(now) && pair.alarm_when_overdue(this.unproved).await? {
                seen.lock().entry((own, member_code)).or_default().alarmed = Some(now);
            }
            reconciled.map(Some)
        };
        match outcome.await {
            Ok(None) => {}
            Ok(Some(done)) => {
                tracing::info!(
                    tenant = %own, member = %member_code, provisions = done.provisions,
                    receipts = done.receipts, differences = done.differences, "reconciled with a provider"
                );
            }
            Err(error) => {
                let error: NotReconciled = error;
                tracing::warn!(tenant = %own, member = %member_code, %error, "a provider can't be reconciled with yet");
            }
        }
    }
}

/// Whether a pair that was reconciled `last`, and whose oldest open receipt came at `waits`, is to be reconciled now.
fn is_due(now: UnixMillis, last: UnixMillis, waits: Option<UnixMillis>) -> bool {
    let (since, (at_night, at_any_hour)) = match waits {
        Some(entered) => (entered.0.max(last.0), WITH_RECEIPTS_MS),
        None => (last.0, WITHOUT_RECEIPTS_MS),
    };
    let age = now.0.saturating_sub(since);
    let hour_in_japan = (now.0 / HOUR_MS + 9) % 24;
    age >= at_any_hour || (age >= at_night && NIGHT.contains(&hour_in_japan))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOON;

    const DAY: u64 = 24 * HOUR_MS;

    #[test]
    fn a_receipt_waits_for_the_night_and_never_for_a_whole_day() {
        let (noon, entered) = (NOON, UnixMillis(NOON - HOUR_MS));
        let due = |now: u64, last: u64| is_due(UnixMillis(now), UnixMillis(last), Some(entered));
        assert!(!due(noon, 0));
        assert!(!due(noon + 8 * HOUR_MS, 0), "evening");
        assert!(due(noon + 14 * HOUR_MS, 0), "two at night");
        assert!(
            due(noon + 19 * HOUR_MS, 0),
            "after a night without an answer"
        );
        // A receipt that stays open though the pair was reconciled: its request is still on its way.
        assert!(!due(noon + 14 * HOUR_MS, noon + 13 * HOUR_MS));
    }

    #[test]
    fn the_time_without_a_proof_counts_from_the_first_of_the_tries_that_came_to_none() {
        let mut pair = SeenPair::default();
        let mut tried = |outcome, at| {
            pair.tried(&Err(outcome), UnixMillis(at));
            pair.unproved
        };
        assert_eq!(tried(NotReconciled::Behind, 1), None);
        assert_eq!(tried(NotReconciled::Unproved, 2), Some(UnixMillis(2)));
        assert_eq!(tried(NotReconciled::Unproved, 3), Some(UnixMillis(2)));
        assert_eq!(tried(NotReconciled::Behind, 4), None);
        assert_eq!(tried(NotReconciled::Unproved, 5), Some(UnixMillis(5)));
        pair.alarmed = Some(UnixMillis(NOON));
        assert!(!pair.may_alarm(UnixMillis(NOON + DAY - 1)));
        assert!(pair.may_alarm(UnixMillis(NOON + DAY)));
    }

    #[test]
    fn whoever_was_never_asked_is_looked_at_once_a_week() {
        let due = |now: u64, last: u64| is_due(UnixMillis(now), UnixMillis(last), None);
        assert!(due(NOON, 0));
        assert!(!due(NOON, NOON - 7 * DAY));
        assert!(due(NOON + 14 * HOUR_MS, NOON - 6 * DAY));
        assert!(due(NOON, NOON - 8 * DAY));
    }
}
