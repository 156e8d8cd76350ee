//! Readiness: every few seconds, what every answer needs is tried for real.
//!
//! A round tries a bounded number of tenants, in turn, so that a node of many doesn't wear its databases out with trying: up
//! to `A_ROUND` tenants each is tried in every round. A tenant is ready when its own last song was well; the node is when
//! any song of its last round was: one municipality's trouble takes the others off no load balancer.
//!
//! Each song looks at the head of the tenant's log in the database too: a process that is idle learns by it what others wrote,
//! and of a database that lacks what this node has signed before it would write there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use vrx_crypto::{Context, Keyring};
use vrx_domain::{Clock, MunicipalityCode, Random};
use vrx_provision_log::{Deadline, ProvisionLog};
use vrx_services::witnesses::Witnessing;
use vrx_transport::Readiness;

use crate::compose::{Node, World};

/// How often.
const PERIOD: Duration = Duration::from_secs(2);
/// How long the disk may take before the node says that it isn't ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many tenants are tried at the same time.
const A_ROUND: usize = 32;

/// The canaries of a node's tenants.
pub struct Canaries {
    canaries: Vec<Canary>,
    /// The first one of the next round.
    next: usize,
}

/// What one tenant's canary tries.
struct Canary {
    tenant: MunicipalityCode,
    /// The keys: something is sealed and opened.
    keyring: Arc<Keyring>,
    /// The log and its database: a row is written and synced beside the log, and the log's head looked at.
    log: Arc<ProvisionLog>,
    /// Its witnesses: without a quorum for too long nothing is provided.
    witnesses: Arc<Witnessing>,
    /// The time, by which that is told.
    clock: Arc<dyn Clock>,
    /// Nonces.
    random: Arc<dyn Random>,
    /// How its last song was.
    is_well: bool,
}

impl Canaries {
    /// One for each tenant, all taken for well.
    pub fn of(node: &Node, world: &World) -> Self {
        let canaries = node.tenants.iter().map(|tenant| Canary {
            tenant: tenant.tenant.code,
            keyring: Arc::clone(&tenant.keyring),
            log: Arc::clone(&tenant.log),
            witnesses: Arc::clone(&tenant.witnesses),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            is_well: true,
        });
        Self {
            canaries: canaries.collect(),
            next: 0,
        }
    }

    /// Tries every tenant once. The error names the first that isn't well; it is for the node's own log.
    pub async fn sing(&self, readiness: &Readiness) -> Result<(), String> {
        let mut songs = stream::iter(&self.canaries)
            .map(|canary| async move { (canary.tenant, canary.sing().await) })
            .buffer_unordered(A_ROUND);
        while let Some((tenant, song)) = songs.next().await {
            song.map_err(|why| format!("{tenant}: {why}"))?;
            readiness.tenant_ready(tenant).await;
        }
        for canary in &self.canaries {
            canary.say_witnessed(readiness).await;
        }
        readiness.ready().await;
        Ok(())
    }

    /// Sings until stopped, and keeps readiness what the last songs were.
    pub async fn keep_singing(mut self, readiness: Readiness, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(PERIOD))
            .await
            .is_some()
        {
            self.round(&readiness).await;
        }
        readiness.not_ready().await;
        for canary in &self.canaries {
            readiness.tenant_not_ready(canary.tenant).await;
        }
    }

    async fn round(&mut self, readiness: &Readiness) {
        let count = self.canaries.len().min(A_ROUND);
        let places = (0..count).map(|step| (self.next + step) % self.canaries.len().max(1));
        let places: Vec<usize> = places.collect();
        self.next = (self.next + count) % self.canaries.len().max(1);
        let canaries = &self.canaries;
        let songs = places
            .into_iter()
            .filter_map(|place| Some((place, canaries.get(place)?)))
            .map(|(place, canary)| async move { (place, canary.sing_witnessed().await) });
        let songs = join_all(songs).await;
        let mut any_is_well = false;
        for (place, song) in songs {
            let Some(canary) = self.canaries.get_mut(place) else {
                continue;
            };
            any_is_well |= song.is_ok();
            canary.heard(song, readiness).await;
        }
        if any_is_well {
            readiness.ready().await;
        } else {
            readiness.not_ready().await;
        }
    }
}

impl Canary {
    /// A node may start without a quorum, to get one; it isn't ready then.
    async fn sing_witnessed(&self) -> Result<(), String> {
        self.sing().await?;
        let witnessed = self.witnesses.check(self.clock.now());
        witnessed.map_err(|_| {
            "its witnesses haven't cosigned its log for too long, or one of them contradicts it"
                .to_owned()
        })
    }

    async fn sing(&self) -> Result<(), String> {
        let song = b"canary";
        let sealed = self
            .keyring
            .seal_record(&*self.random, Context::PageToken, [0; 16], song);
        let sealed = sealed.map_err(|error| format!("the keys can't seal: {error}"))?;
        let opened = self
            .keyring
            .open_record(Context::PageToken, [0; 16], sealed.as_bytes());
        if !opened.is_ok_and(|opened| opened.as_slice() == song) {
            return Err("the keys don't open what they seal".to_owned());
        }
        self.log
            .canary(Deadline::after(PATIENCE))
            .await
            .map_err(|error| error.to_string())
    }

    /// Of a tenant with witnesses, whether they do what they should.
    async fn say_witnessed(&self, readiness: &Readiness) {
        if let Some(seen) = self.witnesses.seen(self.clock.now()) {
            readiness.witnessed(self.tenant, seen.is_well()).await;
        }
    }

    async fn heard(&mut self, song: Result<(), String>, readiness: &Readiness) {
        self.say_witnessed(readiness).await;
        let tenant = self.tenant;
        match &song {
            Ok(()) => {
                if !self.is_well {
                    tracing::info!(%tenant, "the tenant is ready again");
                }
                readiness.tenant_ready(tenant).await;
            }
            Err(why) => {
                if self.is_well {
                    tracing::error!(
                        %tenant,
                        why,
                        "the tenant is not ready: it answers UNAVAILABLE until this is mended"
                    );
                }
                readiness.tenant_not_ready(tenant).await;
            }
        }
        self.is_well = song.is_ok();
    }
}
