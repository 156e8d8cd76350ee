//! A node's connections to one cluster: some for whoever comes, and lanes that a tenant's hot work always takes, so that each
//! tenant's plans are kept on one connection for lookups and one for batches, not on all of them.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::cluster::{PostgresLimits, Way};

/// Statements kept on a lane's connection: those of 1,024 tenants' lookups, or of 512 tenants' batches.
const KEPT: usize = 1_024;

/// Below this many connections there are no lanes: a lane that waits would keep too much from the others.
const LANES_FROM: u32 = 4;

/// All connections of this process, in pools.
pub(super) struct Pools {
    any: PgPool,
    lookups: Vec<PgPool>,
    batches: Vec<PgPool>,
}

impl Pools {
    /// Of the connections allowed, a quarter are lanes for lookups, half are lanes for batches, which wait for the disk; the rest
    /// is for all other work. `make` gives the options that all pools have in common.
    pub(super) fn new(
        limits: &PostgresLimits,
        primary: &PgConnectOptions,
        make: impl Fn() -> PgPoolOptions,
    ) -> Self {
        let all = limits.connections;
        let (lookups, batches) = if all < LANES_FROM {
            (0, 0)
        } else {
            (all / 4, all / 2)
        };
        let pool = |size: u32, options: PgConnectOptions| {
            make()
                .max_connections(size)
                .acquire_timeout(limits.acquire)
                .idle_timeout(Duration::from_mins(10))
                .max_lifetime(Duration::from_mins(30))
                .connect_lazy_with(options)
        };
        let lane = |_| pool(1, lane_options(primary));
        Self {
            any: pool(all - lookups - batches, primary.clone()),
            lookups: (0..lookups).map(lane).collect(),
            batches: (0..batches).map(lane).collect(),
        }
    }

    /// The pool that work of a kind takes for a tenant.
    pub(super) fn of(&self, way: Way, tenant: i32) -> &PgPool {
        let lanes = match way {
            Way::Any => return &self.any,
            Way::Lookups => &self.lookups,
            Way::Batches => &self.batches,
        };
        lanes.get(place(tenant, lanes.len())).unwrap_or(&self.any)
    }

    /// All of them lead to this host from their next connection on.
    pub(super) fn lead_to(&self, primary: &PgConnectOptions) {
        self.any.set_connect_options(primary.clone());
        for lane in self.lookups.iter().chain(&self.batches) {
            lane.set_connect_options(lane_options(primary));
        }
    }

    /// Connections open now, and how many of them wait for work.
    pub(super) fn connections(&self) -> (u32, usize) {
        self.all().fold((0, 0), |(size, idle), pool| {
            (size + pool.size(), idle + pool.num_idle())
        })
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        for pool in self.all() {
            pool.close().await;
        }
    }

    fn all(&self) -> impl Iterator<Item = &PgPool> {
        std::iter::once(&self.any)
            .chain(&self.lookups)
            .chain(&self.batches)
    }
}

fn lane_options(primary: &PgConnectOptions) -> PgConnectOptions {
    primary.clone().statement_cache_capacity(KEPT)
}

/// Spreads codes, whose neighbours are neighbours, over the lanes.
fn place(tenant: i32, lanes: usize) -> usize {
    let mixed = tenant.unsigned_abs().wrapping_mul(0x9e37_79b1) >> 8;
    usize::try_from(mixed).unwrap_or(0) % lanes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefectures_codes_spread_over_the_lanes() {
        let mut counts = [0_u32; 4];
        for code in (141_003..142_003).step_by(10) {
            counts[place(code, 4)] += 1;
        }
        assert!(counts.iter().all(|count| *count >= 15), "{counts:?}");
    }
}
