//! Being a witness: cosigns a member's checkpoint when it continues the last one that this tenant cosigned of that log.
//!
//! The record is swapped durably before the cosignature exists for anybody else: of two requests at once one wins, and the other is
//! told the new size.

use sha2::{Digest, Sha256};
use vrx_domain::{Caller, UnixMillis};
use vrx_provision_log::Deadline;
use vrx_storage::WitnessedLog;
use vrx_tlog::{
    AddCheckpoint, ProofError, SignedNote, VerifierKey, WitnessKey, WitnessRefusal, cosign,
};

use crate::error::ServiceError;
use crate::record::{hex, storage_error};
use crate::tenants::TenantServices;

/// How often a swap that somebody else won is judged anew.
const TRIES: usize = 3;
/// A log that is shown without a proof that holds, so long after it was cosigned last, is an alarm of its own.
const PROVED_WITHIN_MS: u64 = 24 * 60 * 60 * 1_000;

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
/// checkpoint's own signature says whose it is, and `caller` who brought it: anybody can bring a genuine one with a wrong proof.
pub async fn add_checkpoint(
    ctx: &TenantServices,
    caller: &Caller,
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
            .inspect_err(|refusal| tell(ctx, caller, &request, last.as_ref(), refusal))?;
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

/// Says what a refused checkpoint of a member's log shows, and no more than that.
fn tell(
    ctx: &TenantServices,
    caller: &Caller,
    request: &AddCheckpoint,
    last: Option<&WitnessedLog>,
    refusal: &WitnessRefusal,
) {
    match refusal {
        WitnessRefusal::Inconsistent(ProofError::Contradiction) => {
            contradiction(ctx, caller, request, last);
        }
        WitnessRefusal::Inconsistent(why) => unproved(ctx, caller, request, last, *why),
        _ => {}
    }
}

/// Two checkpoints under one log's key that can't both be true are evidence against it, whoever brought them: it goes whole into this
/// node's own log. All of it is public.
fn contradiction(
    ctx: &TenantServices,
    caller: &Caller,
    request: &AddCheckpoint,
    last: Option<&WitnessedLog>,
) {
    let proof: Vec<String> = request.proof.iter().map(|hash| hex(hash)).collect();
    tracing::error!(
        alarm = "witnessed-log-inconsistent",
        tenant = %ctx.tenant.code,
        origin = request.origin(),
        shown_by = %caller.id,
        shown = %request.checkpoint,
        proof = %proof.join(" "),
        cosigned_before = last.map_or("", |last| last.note.as_str()),
        "a member's log signed two checkpoints that contradict each other: it was rewritten"
    );
}

/// A genuine checkpoint without a proof that holds says something about who brought it, and nothing about the log.
fn unproved(
    ctx: &TenantServices,
    caller: &Caller,
    request: &AddCheckpoint,
    last: Option<&WitnessedLog>,
    why: ProofError,
) {
    let (tenant, origin) = (ctx.tenant.code, request.origin());
    let cosigned_size = last.map_or(0, |last| last.size);
    tracing::warn!(
        %tenant, origin, shown_by = %caller.id, cosigned_size, %why,
        "a checkpoint of a member's log came without a proof that it continues the one cosigned before"
    );
    let Some(at) = last.and_then(|last| cosigned_at(ctx, last)) else {
        return;
    };
    let now = ctx.node.clock.now();
    let since = now.0.saturating_sub(at.0);
    if since >= PROVED_WITHIN_MS && ctx.witnesses.tells_unproved(origin, now, PROVED_WITHIN_MS) {
        tracing::error!(
            alarm = "witnessed-log-unproved",
            %tenant, origin, shown_by = %caller.id, cosigned_size,
            hours = since / 3_600_000,
            "nobody has proved for more than a day that this log continues what was cosigned; the one named here showed it without a proof"
        );
    }
}

/// When this tenant cosigned a log last.
fn cosigned_at(ctx: &TenantServices, last: &WitnessedLog) -> Option<UnixMillis> {
    let note = SignedNote::parse(&last.note).ok()?;
    let seconds = own_keys(ctx).find_map(|key| note.cosigned(&key).ok())?;
    Some(UnixMillis(seconds.saturating_mul(1_000)))
}
