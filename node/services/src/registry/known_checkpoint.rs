//! The newest checkpoint that this tenant holds of each provider's log: what the next answer must be consistent with.
//!
//! It is kept in the transaction of the inquiry's outcome, so that a checkpoint that was once checked isn't forgotten by a crash.

use vrx_domain::Member;
use vrx_storage::{Change, PeerCheckpoint};
use vrx_tlog::{Checkpoint, VerifierKey};

use crate::{error::ServiceError, record::storage_error, tenants::TenantServices};

/// The newest known checkpoint of `provider`'s log under `key`; none before the first answer, and none of a log that has
/// another key now (a new epoch): that one starts afresh.
pub(crate) async fn load(
    ctx: &TenantServices,
    provider: &Member,
    key: &VerifierKey,
) -> Result<Option<Checkpoint>, ServiceError> {
    let kept = ctx
        .registry
        .peer_checkpoint(provider.code)
        .await
        .map_err(|error| storage_error(ctx, &error))?;
    let Some(kept) = kept else {
        return Ok(None);
    };
    let opened = Checkpoint::open(&kept.note, key, key.name());
    if opened.is_err() {
        tracing::warn!(tenant = %ctx.tenant.code, provider = %provider.code,
            "the checkpoint kept of this member's log is under another key; starting afresh");
    }
    Ok(opened.ok())
}

/// Keeps a checked checkpoint; the store leaves it out if it has a newer one.
pub(crate) fn keep(provider: &Member, checkpoint: &Checkpoint, note: String) -> Change {
    Change::keep_peer_checkpoint(PeerCheckpoint {
        peer: provider.code,
        size: checkpoint.size,
        note,
    })
}

/// Whether two checkpoints of one size say different things: the provider shows two logs.
pub(crate) fn contradict(kept: Option<&Checkpoint>, new: &Checkpoint) -> bool {
    kept.is_some_and(|kept| kept.size == new.size && kept.root != new.root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_with_another_root_contradicts() {
        let at = |size, root| Checkpoint {
            origin: "a".into(),
            size,
            root,
        };
        assert!(contradict(Some(&at(5, [8; 32])), &at(5, [7; 32])));
        assert!(!contradict(Some(&at(5, [7; 32])), &at(5, [7; 32])));
        assert!(!contradict(Some(&at(5, [8; 32])), &at(6, [7; 32])));
        assert!(!contradict(None, &at(6, [7; 32])));
    }
}
