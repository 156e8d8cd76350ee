//! What was erased and stands in the database again: somebody put an older copy of it back by hand. A node doesn't serve that, and
//! the operator has it erased again, in place.

use std::fmt;

use vrx_domain::{Date, PersonId, Tenant};
use vrx_storage::postgres::{PostgresOwner, PostgresUrl};
use vrx_storage::{
    ErasedAgain, ErasedBefore, ErasureRun, ErasureStage, SqliteRewriting, TenantStore,
};

use crate::backup::{CutOff, Destroyed, could_be_erased, make_equal};
use crate::compose::{World, epoch_of};
use crate::config::{Config, TenantConfig};
use crate::failure::Failure;
use crate::migrate::owner_of;
use crate::stores::{cluster_of, storage_failure};
use crate::tenant_id;

/// Reads the lists of what was destroyed, and refuses a database that holds any of it: a person with a key, an opening that isn't
/// blank. What an erasure that is under way is about to destroy is on the list too, and isn't meant.
pub async fn check(
    config: &Config,
    tenant: Tenant,
    store: &dyn TenantStore,
    today: Date,
) -> Result<(), Failure> {
    let lists = Destroyed::paths(&config.keyring_dir, config.backup.dir.as_deref());
    let equal = tokio::task::spawn_blocking(move || make_equal(&lists, &tenant)).await;
    match equal.map_err(|_| Failure::internal("a thread that waits for a disk panicked"))? {
        Ok(added) => {
            for (path, lines) in added {
                let path = path.display();
                tracing::warn!(tenant = %tenant.code, %path, lines, "the list of what was destroyed lacked what another one has: it was added");
            }
        }
        Err(failure) => {
            tracing::warn!(tenant = %tenant.code, error = %failure.message, "the lists of what was destroyed aren't equal");
        }
    }
    let destroyed = read(config, &tenant).await?;
    refuse(&destroyed, tenant, store, today).await
}

/// Refuses a database that holds any of this.
pub async fn refuse(
    destroyed: &Destroyed,
    tenant: Tenant,
    store: &dyn TenantStore,
    today: Date,
) -> Result<(), Failure> {
    if destroyed.is_empty() {
        return Ok(());
    }
    let persons = store.standing(destroyed.persons()).await;
    let persons = persons.map_err(storage_failure)?.len();
    let listed = destroyed.openings(epoch_of(store).await?);
    let places = store.standing_openings(listed).await;
    let places = places.map_err(storage_failure)?;
    let runs = store.erasures().await.map_err(storage_failure)?;
    let mut openings = 0;
    for place in places {
        if runs.iter().any(|run| will_blank(run, place)) {
            continue;
        }
        let leaves = store.leaves(place, 1).await.map_err(storage_failure)?;
        let leaf = leaves.first().filter(|row| row.index == place);
        openings += usize::from(leaf.is_some_and(|row| could_be_erased(&row.leaf, today)));
    }
    if persons == 0 && openings == 0 {
        return Ok(());
    }
    Err(Failure::storage(format!(
        "what was erased stands in the database again: {persons} persons and {openings} openings of the log that are on \
         destroyed.list. An older copy of the database was put back; nothing is served. Put the newest one in its place, or restore a \
         backup; if there is none, have them erased again: `vrx-node erase again --config FILE --tenant {}`",
        tenant.code
    )))
}

/// Whether a run is under way that hasn't come to this opening yet.
fn will_blank(run: &ErasureRun, place: u64) -> bool {
    let is_under_way = [
        ErasureStage::Keys,
        ErasureStage::Rows,
        ErasureStage::Openings,
    ]
    .contains(&run.stage);
    is_under_way && (run.openings_next..run.openings_below).contains(&place)
}

async fn read(config: &Config, tenant: &Tenant) -> Result<Destroyed, Failure> {
    let lists = Destroyed::paths(&config.keyring_dir, config.backup.dir.as_deref());
    let tenant = *tenant;
    tokio::task::spawn_blocking(move || Destroyed::read_all(&lists, &tenant, CutOff::LeaveOut))
        .await
        .map_err(|_| Failure::internal("a thread that waits for a disk panicked"))?
}

/// What was erased again, for the operator to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    erased: ErasedAgain,
    checkpointed: bool,
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            erased,
            checkpointed,
        } = self;
        if *erased == ErasedAgain::default() {
            return writeln!(f, "Nothing on the list of what was destroyed stands here.");
        }
        writeln!(
            f,
            "Erased again: {} rows of persons and {} openings of the log; the database was rewritten without them.",
            erased.rows, erased.openings
        )?;
        if !checkpointed {
            writeln!(
                f,
                "The role may not CHECKPOINT: have the server's administrator run it, so that the write-ahead log of before is \
                 recycled."
            )?;
        }
        Ok(())
    }
}

/// The lists as they are read on a day.
struct Listed {
    destroyed: Destroyed,
    today: Date,
}

impl ErasedBefore for Listed {
    fn persons(&self) -> Vec<PersonId> {
        self.destroyed.persons()
    }

    fn openings(&self, epoch: u32) -> Vec<(u64, u64)> {
        self.destroyed.openings(epoch)
    }

    fn could_be_erased(&self, leaf: &[u8]) -> bool {
        could_be_erased(leaf, self.today)
    }
}

/// Applies the lists of what was destroyed to a tenant's database, in place.
pub async fn erase_again(
    config: &Config,
    settings: &TenantConfig,
    owner: Option<&PostgresUrl>,
) -> Result<Again, Failure> {
    let tenant = tenant_id::read(config, settings.code)?;
    let destroyed = read(config, &tenant).await?;
    let world = World::real();
    let (random, today) = (world.random, world.clock.today());
    let listed = Listed { destroyed, today };
    let Some((name, url)) = cluster_of(config, settings)? else {
        let state_dir = config.state_dir.clone();
        let erased =
            SqliteRewriting::erase_again(state_dir, tenant, Box::new(listed), random).await;
        return Ok(Again {
            erased: erased.map_err(storage_failure)?,
            checkpointed: true,
        });
    };
    let owner = owner_of((name, url), owner)?;
    let refused = |error| storage_failure(error).about(&owner.to_string());
    let mut connection = PostgresOwner::connect(owner).await.map_err(refused)?;
    let erased = connection.erase_again(tenant, &listed, &*random).await;
    let (erased, checkpointed) = erased.map_err(refused)?;
    connection.close().await.map_err(refused)?;
    Ok(Again {
        erased,
        checkpointed,
    })
}
