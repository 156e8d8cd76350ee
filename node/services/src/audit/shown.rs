//! The checkpoint that what an officer is shown leads to: one that a quorum of the tenant's witnesses has cosigned, where it can be had.
//!
//! What a resident gets is made in the moment in which it is read, before any witness has seen the entry of that reading. So the reading
//! waits a little for the witnesses, who are asked at once.

use std::time::Duration;

use vrx_provision_log::{Deadline, ProvedEntry, ReadError, SignedCheckpoint};
use vrx_tlog::{Checkpoint, Hash};

use crate::{error::ServiceError, tenants::TenantServices};

/// How long a reading waits for the witnesses.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same when they haven't answered for some time already.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);

/// Whether others have seen what a proof leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cosigning {
    /// The tenant asks no witnesses.
    NoWitnesses,
    /// A quorum of them has cosigned the checkpoint; the cosignatures stand below it.
    Cosigned,
    /// They didn't in time: the checkpoint has the log's own signature alone.
    NotInTime,
}

/// A checkpoint of the own log, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) note: String,
    pub(super) cosigning: Cosigning,
    tree: (u64, Hash),
}

impl Shown {
    /// The newest cosigned checkpoint, once it covers the entry at `index`; `plain`, which does too, when that takes too long.
    pub(super) async fn covering(
        ctx: &TenantServices,
        index: u64,
        plain: &SignedCheckpoint,
        deadline: Deadline,
    ) -> Result<Self, ServiceError> {
        let alone = |cosigning| Self {
            note: plain.note().to_owned(),
            cosigning,
            tree: (plain.size(), plain.root()),
        };
        let Some(seen) = ctx.witnesses.seen(ctx.node.clock.now()) else {
            return Ok(alone(Cosigning::NoWitnesses));
        };
        let patience = if seen.is_well() {
            PATIENCE
        } else {
            LITTLE_PATIENCE
        };
        // Half of what is left is for what comes after.
        let patience = Deadline::after(patience.min(deadline.remaining() / 2));
        let Ok(Some(note)) = patience.wait(ctx.witnesses.covering(index)).await else {
            return Ok(alone(Cosigning::NotInTime));
        };
        let reader = ctx.log.reader();
        let key = reader.verifier_key();
        let checkpoint = Checkpoint::open(&note, key, key.name())
            .ok()
            .filter(|cosigned| cosigned.size <= reader.checkpoint().size())
            .ok_or_else(|| ctx.internal("the cosigned checkpoint isn't of this log"))?;
        Ok(Self {
            note,
            cosigning: Cosigning::Cosigned,
            tree: (checkpoint.size, checkpoint.root),
        })
    }

    /// An entry with the proof that it stands under this checkpoint.
    pub(super) async fn entry(
        &self,
        ctx: &TenantServices,
        index: u64,
        deadline: Deadline,
    ) -> Result<ProvedEntry, ReadError> {
        let reader = ctx.log.reader();
        reader
            .entry_in(index, self.tree, &self.note, deadline)
            .await
    }
}
