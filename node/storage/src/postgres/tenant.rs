//! The handle of one tenant's rows in a cluster. The traits are in `traits.rs`.

use std::sync::Arc;

use tokio::sync::{RwLock, mpsc};
use tokio::task::JoinHandle;
use vrx_crypto::Keyring;
use vrx_domain::{Random, Tenant};

use super::cluster::PostgresCluster;
use super::hot::Hot;
use super::lookup::{LookupRequest, Lookups};
use super::session::{Mode, Session, statement};
use crate::StorageError;

/// Lookups that may wait for the batch before theirs. More in flight than this is an overload, and said so.
pub(super) const LOOKUPS: usize = 4_096;

/// What a tenant's rows need to be opened.
#[derive(Clone)]
pub struct TenantOptions {
    /// Whose rows.
    pub tenant: Tenant,
    /// The tenant's keys.
    pub keyring: Arc<Keyring>,
    /// Where nonces, ids and decoys come from.
    pub random: Arc<dyn Random>,
}

impl TenantOptions {
    /// The municipality code as rows have it.
    pub(super) fn key(&self) -> Result<i32, StorageError> {
        key_of(&self.tenant)
    }
}

/// A tenant's municipality code as rows have it.
pub(super) fn key_of(tenant: &Tenant) -> Result<i32, StorageError> {
    i32::try_from(tenant.code.as_u32())
        .map_err(|_| StorageError::Invalid("a municipality code has six digits"))
}

/// Whether a tenant's rows may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TenantState {
    Serving = 1,
    ReadOnly = 2,
    Arriving = 3,
}

impl TenantState {
    pub(super) fn of(code: i16) -> Option<Self> {
        [Self::Serving, Self::ReadOnly, Self::Arriving]
            .into_iter()
            .find(|state| *state as i16 == code)
    }
}

/// One tenant's rows in PostgreSQL. Other processes may have the same tenant open.
pub struct PostgresTenant {
    pub(super) cluster: Arc<PostgresCluster>,
    pub(super) options: TenantOptions,
    /// The municipality code as rows have it.
    pub(super) key: i32,
    /// `None` once closed.
    pub(super) hot: Arc<Hot>,
    pub(super) lookups: parking_lot::RwLock<Option<mpsc::Sender<LookupRequest>>>,
    answering: parking_lot::Mutex<Option<JoinHandle<()>>>,
    /// Held by each batch of the log while it runs, so that closing waits for it.
    pub(super) appending: RwLock<()>,
}

impl PostgresTenant {
    /// Opens a tenant that [`super::PostgresOwner::add_tenant`] has made.
    pub async fn open(
        cluster: Arc<PostgresCluster>,
        options: TenantOptions,
    ) -> Result<Self, StorageError> {
        let key = options.key()?;
        check_owner(&cluster, key, &options).await?;
        let (lookups, requests) = mpsc::channel(LOOKUPS);
        let hot = Arc::new(Hot::of(&cluster, key).await?);
        let work = Lookups::new(
            Arc::clone(&cluster),
            key,
            Arc::clone(&options.keyring),
            Arc::clone(&hot),
        );
        let answering = tokio::spawn(work.answer(requests));
        Ok(Self {
            cluster,
            options,
            key,
            hot,
            lookups: parking_lot::RwLock::new(Some(lookups)),
            answering: parking_lot::Mutex::new(Some(answering)),
            appending: RwLock::default(),
        })
    }

    /// Waits for the batch that runs and lets the tenant go. The cluster stays connected.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.lookups.write().take();
        drop(self.appending.write().await);
        let answering = self.answering.lock().take();
        if let Some(answering) = answering
            && answering.await.is_err()
        {
            tracing::error!("the task that answers lookups panicked");
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lookups.read().is_none()
    }

    pub(super) async fn reading(&self) -> Result<Session, StorageError> {
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        Session::begin(&self.cluster, self.key, Mode::Read).await
    }

    pub(super) async fn writing(&self) -> Result<Session, StorageError> {
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        Session::begin(&self.cluster, self.key, Mode::Write).await
    }
}

/// The rows must be this tenant's, by code and by id, and whole.
async fn check_owner(
    cluster: &Arc<PostgresCluster>,
    key: i32,
    options: &TenantOptions,
) -> Result<(), StorageError> {
    let mut session = Session::begin(cluster, key, Mode::Read).await?;
    let found = owner_and_state(&mut session, key).await?;
    session.end().await?;
    let Some((uuid, state)) = found else {
        return Err(StorageError::Place {
            path: format!("{} in {}", options.tenant.code, cluster.url()),
            why: "there is no such tenant here: run `vrx-node migrate`",
        });
    };
    if uuid != *options.tenant.id.as_bytes() {
        return Err(StorageError::OtherTenant);
    }
    match state {
        Some(TenantState::Arriving) => Err(StorageError::Place {
            path: format!("{} in {}", options.tenant.code, cluster.url()),
            why: "the tenant is being moved or restored into this place; finish that first",
        }),
        Some(_) => Ok(()),
        None => Err(StorageError::Inconsistent {
            table: "tenant_meta",
            column: "state",
            row: options.tenant.code.to_string(),
        }),
    }
}

/// Whose rows stand here under this code, and the tenant's state, where it is one.
pub(super) async fn owner_and_state(
    session: &mut Session,
    key: i32,
) -> Result<Option<([u8; 16], Option<TenantState>)>, StorageError> {
    use sqlx::Row;
    let query = statement(
        "-- tenant_meta
         SELECT tenant_uuid, state FROM tenant_meta WHERE tenant = $1",
    );
    session
        .row("tenant_meta", query.bind(key), |row| {
            Ok((row.try_get(0)?, TenantState::of(row.try_get(1)?)))
        })
        .await
}
