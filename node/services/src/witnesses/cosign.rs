//! Being a witness: cosigns a member's checkpoint when it continues the last one that this tenant cosigned of that log.
//!
//! The record is swapped durably before the cosignature exists for anybody else: of two requests at once one wins, and the other is
//! told the new size.

use sha2::{Digest, Sha256};
use vrx_provision_log::Deadline;
use vrx_storage::WitnessedLog;
use vrx_tlog::{AddCheckpoint, SignedNote, VerifierKey, WitnessKey, WitnessRefusal, cosign};

use crate::error::ServiceError;
use crate::record::{hex, storage_error};
use crate::tenants::TenantServices;

/// How often a swap that somebody else won is judged anew.
const TRIES: usize = 3;

/// Why a witness gave no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCosigned {
    /// What the specification has a status for.
    #[error("{0}")]
    Refused(#[from] WitnessRefusal),
    /// This node's side.
    #[error("{0}")]
    Service(#[from] ServiceError),
}

/// The answer to an add-checkpoint request: this tenant's cosignature line, with its newline. Who may ask at all was checked before; the
/// checkpoint's own signature says whose it is.
pub async fn add_checkpoint(
    ctx: &TenantServices,
    body: &str,
    deadline: Deadline,
) -> Result<String, NotCosigned> {
    let request = AddCheckpoint::parse(body)?;
    let origin = request.origin().to_owned();
    let keys = keys_of(ctx, &origin);
    if keys.is_empty() {
        return Err(WitnessRefusal::UnknownLog.into());
    }
    for _ in 0..TRIES {
        let last = stored(ctx, &origin, deadline).await?;
        let at = last.as_ref().map(|last| (last.size, last.root));
        let checkpoint = request
            .judge(&keys, at)
            .inspect_err(|refusal| alarm(ctx, &request, last.as_ref(), refusal))?;
        let key = ctx.witnesses.own_key();
        let time = ctx.node.clock.now().0 / 1_000;
        let line = cosign(request.checkpoint.text(), key, time, |message| {
            ctx.keyring.sign_witness(message)
        });
        let line = line.map_err(|_| ctx.internal("no cosignature can be made at this time"))?;
        let answer = line.to_string();
        let new = WitnessedLog {
            origin: origin.clone(),
            size: checkpoint.size,
            root: checkpoint.root,
            note: kept_lines(&request.checkpoint, &keys)
                .with(line)
                .to_string(),
        };
        let swap = ctx.witness_store.swap_witnessed(at, new);
        let swapped = deadline
            .wait(swap)
            .await
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(|error| storage_error(ctx, &error))?;
        if swapped {
            return Ok(answer);
        }
    }
    Err(ServiceError::unavailable().into())
}

/// The newest checkpoint that this tenant cosigned of the log whose origin has this SHA-256 (lower-case hex), with the log's signature
/// and this tenant's: what a monitor reads.
pub async fn cosigned_checkpoint(
    ctx: &TenantServices,
    origin_hash: &str,
    deadline: Deadline,
) -> Result<String, ServiceError> {
    let members = ctx.node.members.iter();
    let mut origins = members.filter_map(|member| member.log_vkey.split('+').next());
    let origin = origins.find(|origin| hex(&Sha256::digest(origin)) == origin_hash);
    let origin = origin.ok_or(ServiceError::NotFound)?;
    let last = stored(ctx, origin, deadline).await?;
    last.map(|last| last.note).ok_or(ServiceError::NotFound)
}

/// The keys that are trusted for a log: the members' as the directory has them. The own log is witnessed by others.
fn keys_of(ctx: &TenantServices, origin: &str) -> Vec<VerifierKey> {
    let members = ctx.node.members.iter();
    members
        .filter(|member| member.code != ctx.tenant.code)
        .filter(|member| {
            let rest = member.log_vkey.strip_prefix(origin);
            rest.is_some_and(|rest| rest.starts_with('+'))
        })
        .filter_map(|member| VerifierKey::parse(&member.log_vkey).ok())
        .collect()
}

/// This tenant's record of a log. Nobody but its own key can have made it.
async fn stored(
    ctx: &TenantServices,
    origin: &str,
    deadline: Deadline,
) -> Result<Option<WitnessedLog>, ServiceError> {
    let stored = deadline
        .wait(ctx.witness_store.witnessed(origin))
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?
        .map_err(|error| storage_error(ctx, &error))?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let is_own = SignedNote::parse(&stored.note).is_ok_and(|note| {
        note.text() == text_of(origin, stored.size, stored.root)
            && own_keys(ctx).any(|key| note.cosigned(&key).is_ok())
    });
    if is_own {
        Ok(Some(stored))
    } else {
        Err(ctx.internal("the record of a witnessed log isn't what this witness cosigned"))
    }
}

/// Every key with which this witness may have cosigned: the active one, then retired ones.
fn own_keys(ctx: &TenantServices) -> impl Iterator<Item = WitnessKey> {
    let name = ctx.witnesses.own_key().name();
    let keys = ctx.keyring.witness_public_keys().into_iter();
    keys.filter_map(move |key| WitnessKey::from_public_key(name, &key).ok())
}

fn text_of(origin: &str, size: u64, root: [u8; 32]) -> String {
    vrx_tlog::Checkpoint {
        origin: origin.to_owned(),
        size,
        root,
    }
    .body()
}

/// The note with the lines of these keys alone: whatever else the sender put below isn't kept.
fn kept_lines(note: &SignedNote, keys: &[VerifierKey]) -> SignedNote {
    note.clone().retain(|line| {
        keys.iter()
            .any(|key| line.name == key.name() && line.key_hash == key.key_hash())
    })
}

/// A checkpoint that a known log signed and that doesn't continue what it showed before is evidence: it goes whole into this node's own
/// log, beside the one it contradicts. Both are public texts.
fn alarm(
    ctx: &TenantServices,
    request: &AddCheckpoint,
    last: Option<&WitnessedLog>,
    refusal: &WitnessRefusal,
) {
    if matches!(refusal, WitnessRefusal::Inconsistent(_)) {
        // Whoever sends a member's genuine checkpoint with a wrong proof gets here too: a person has to compare the two.
        tracing::error!(
            alarm = "witnessed-log-inconsistent",
            tenant = %ctx.tenant.code,
            origin = request.origin(),
            shown = %request.checkpoint,
            proof_lines = request.proof.len(),
            cosigned_before = last.map_or("", |last| last.note.as_str()),
            "a member's log was shown with a checkpoint that isn't proved to continue the one cosigned before"
        );
    }
}
