//! The task that carries approved erasures out, beside the node's other jobs.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::account::{LOG_FAULT, check_list};
use super::replay::alarm;
use super::run::{Advanced, advance};
use crate::{
    background::Background,
    tenants::{TenantServices, Tenants},
};

/// How often it is looked whether there's something to do.
const TICK: Duration = Duration::from_secs(5);
/// How often it is looked whether the operator has rewritten the files.
const TICK_WAITING: Duration = Duration::from_secs(1);
/// How many tenants are looked at in one tick.
const A_TICK: usize = 64;
/// Between two steps: the exchange goes first.
const PAUSE: Duration = Duration::from_millis(20);

/// The node's running erasures.
pub struct Erasures(Background);

impl Erasures {
    /// Starts the task.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        Self(Background::start("erasures", |stop| work(tenants, stop)))
    }

    /// Ends it after the step that runs. What is left goes on with the next start.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

async fn work(tenants: Arc<Tenants>, stop: CancellationToken) {
    let mut from = 0;
    // Whose erasure waits for the operator, who is told once.
    let mut told = BTreeSet::new();
    // Whose list was looked at, and of whose log it was said that it isn't whole: once in this process.
    let (mut looked_at, mut alarmed) = (BTreeSet::new(), BTreeSet::new());
    while stop
        .run_until_cancelled(tokio::time::sleep(if told.is_empty() {
            TICK
        } else {
            TICK_WAITING
        }))
        .await
        .is_some()
    {
        for tenant in tenants.iter().skip(from).take(A_TICK) {
            let code = tenant.tenant.code;
            if !looked_at.contains(&code) && check_list(tenant).await.is_ok() {
                looked_at.insert(code);
            }
            let ended = until_idle(tenant, &stop).await;
            if ended == Some(Advanced::Stopped)
                && !alarmed.contains(&code)
                && alarm(tenant, LOG_FAULT, &[], None).await.is_ok()
            {
                alarmed.insert(code);
            }
            if ended != Some(Advanced::WaitsForOperator) {
                told.remove(&code);
            } else if told.insert(code) {
                tracing::warn!(tenant = %code, "an erasure waits for its files to be rewritten: run `vrx-node erase finish`");
            }
        }
        from = if from + A_TICK < tenants.iter().count() {
            from + A_TICK
        } else {
            0
        };
    }
}

/// Where the work ended; nothing when it was told to end, or failed.
async fn until_idle(tenant: &TenantServices, stop: &CancellationToken) -> Option<Advanced> {
    while !stop.is_cancelled() {
        match advance(tenant).await {
            Ok(Advanced::Step) => {
                let paused = stop.run_until_cancelled(tokio::time::sleep(PAUSE));
                paused.await?;
            }
            Ok(idle) => return Some(idle),
            Err(error) => {
                tracing::warn!(tenant = %tenant.tenant.code, %error, "an erasure waits; its next step is tried again");
                return None;
            }
        }
    }
    None
}
