//! Work that no caller waits for: one owned task that ends when told.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    background::Background,
    tenants::{TenantServices, Tenants},
};

/// How often the jobs look whether there's something to do.
const TICK: Duration = Duration::from_secs(5);
/// How many tenants' kept answers are looked through at one tick.
const A_TICK: usize = 64;
/// How many tenants are worked on at the same time.
const AT_A_TIME: usize = 16;

/// The node's running jobs: expiry of kept answers, counts of refusals.
pub struct Jobs(Background);

impl Jobs {
    /// Starts them.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        Self(Background::start("the node's jobs", |stop| {
            run(tenants, stop)
        }))
    }

    /// Ends them and waits: the last counts of refusals are recorded before this returns. Call it when no more calls come in
    /// and before the logs shut down.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

async fn run(tenants: Arc<Tenants>, stop: CancellationToken) {
    let mut turn = Turn::default();
    while stop
        .run_until_cancelled(tokio::time::sleep(TICK))
        .await
        .is_some()
    {
        each(tenants.iter(), |tenant| tenant.refusals.record_due()).await;
        each(turn.next(&tenants), expire).await;
    }
    each(tenants.iter(), |tenant| tenant.refusals.record_all()).await;
}

/// Whose kept answers are looked through next. Asking the databases of all of a thousand tenants at every tick would be most
/// of what an idle node does.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    fn next<'a>(&mut self, tenants: &'a Tenants) -> impl Iterator<Item = &'a Arc<TenantServices>> {
        let from = self.0;
        let count = tenants.iter().count();
        self.0 = if from + A_TICK < count {
            from + A_TICK
        } else {
            0
        };
        tenants.iter().skip(from).take(A_TICK)
    }
}

/// Does something for each of these tenants, a few at a time: one whose database stalls holds up nobody else's.
async fn each<'a, F: Future<Output = ()>>(
    tenants: impl Iterator<Item = &'a Arc<TenantServices>>,
    job: impl Fn(&'a TenantServices) -> F,
) {
    stream::iter(tenants)
        .for_each_concurrent(AT_A_TIME, |tenant| job(tenant))
        .await;
}

async fn expire(tenant: &TenantServices) {
    match tenant
        .registry
        .expire_inquiries(tenant.node.clock.now())
        .await
    {
        Ok(0) => {}
        Ok(expired) => {
            tracing::info!(tenant = %tenant.tenant.code, expired, "kept answers expired");
        }
        Err(error) => {
            tracing::warn!(tenant = %tenant.tenant.code, %error, "kept answers couldn't be expired");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ServiceError,
        testing::{World, size, staff},
    };

    #[tokio::test]
    async fn the_last_counts_are_recorded_when_the_jobs_end() {
        let world = World::new().await;
        let tenants = Arc::new(Tenants::new([
            Arc::clone(&world.provider),
            Arc::clone(&world.requester),
        ]));
        let jobs = Jobs::start(tenants);
        let error = ServiceError::ResourceExhausted {
            retry: ServiceError::RETRY,
        };
        world
            .provider
            .refusals
            .note(&staff(&world.provider, "sato"), &error)
            .await;
        let before = size(&world.provider);
        jobs.shutdown().await;
        assert_eq!(size(&world.provider), before + 1);
    }
}
