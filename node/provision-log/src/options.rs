//! What a log needs to know to start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vrx_domain::audit::{Fields, desk_actor};
use vrx_domain::{Caller, Clock, Random, Role, SpiffeId, Tenant};
use vrx_tlog::VerifierKey;

use crate::error::StartError;

/// What to do when a log has entries and no checkpoint is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingKept {
    /// Refuse to start: an older database might have been put back.
    Refuse,
    /// The operator takes this log for the newest one (a restored node whose second path was lost).
    Accept,
}

/// Settings of one tenant's log.
#[derive(Clone)]
pub struct LogOptions {
    /// Whose log.
    pub tenant: Tenant,
    /// Trust domain of the federation: the first part of the log's origin.
    pub trust_domain: String,
    /// Epoch of the log, from 1.
    pub epoch: u32,
    /// Where the newest checkpoint is kept, apart from the database: what an older database is recognised by.
    pub kept_checkpoint: PathBuf,
    /// What to do when nothing is kept there.
    pub missing_kept: MissingKept,
    /// Callers that may wait for the writer, of the exchange and apart from them of all else; more are refused.
    pub queue: usize,
    /// Entries a batch at most.
    pub max_batch: usize,
    /// Entries a batch at most that aren't the exchange's.
    pub max_other: usize,
    /// Entries of other processes that an idle writer takes over in one look at the head, at most.
    pub max_followed: u32,
    /// How often the newest checkpoint is kept, at most; at once when the log is poisoned or ends.
    pub keep_every: Duration,
    /// How long the store may take for one batch, and for one reading. A batch that takes longer breaks a store whose outcome can't be
    /// known; of another the head is then read until it is.
    pub store_timeout: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys, ids, nonces.
    pub random: Arc<dyn Random>,
}

impl LogOptions {
    /// The usual settings.
    pub fn new(
        tenant: Tenant,
        trust_domain: &str,
        kept_checkpoint: PathBuf,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            tenant,
            trust_domain: trust_domain.to_owned(),
            epoch: 1,
            kept_checkpoint,
            missing_kept: MissingKept::Refuse,
            queue: 4096,
            max_batch: 512,
            max_other: 64,
            max_followed: 65_536,
            // At least once a second when it changed.
            keep_every: Duration::from_millis(900),
            store_timeout: Duration::from_secs(30),
            clock,
            random,
        }
    }

    /// The key that others check this log with; its name is the log's origin.
    pub(crate) fn verifier_key(&self, public_key: &[u8; 32]) -> Result<VerifierKey, StartError> {
        let origin = vrx_tlog::origin(
            &self.trust_domain,
            &self.tenant.code.to_string(),
            self.epoch,
        );
        VerifierKey::from_public_key(&origin, public_key).map_err(|_| StartError::Origin)
    }

    /// Actor fields of what the log does by itself: the node's own identity, the certificate's hash all zeros.
    pub(crate) fn own_actor(&self, action: &str) -> Result<Fields, StartError> {
        let id = SpiffeId::new(&self.trust_domain, self.tenant.code, Role::Exchange, None);
        let id = id.map_err(|_| StartError::Origin)?;
        Ok(desk_actor(
            &Caller {
                id,
                fingerprint: [0; 32],
                spki: [0; 32],
            },
            action,
        ))
    }
}
