//! Asks one witness once to cosign a checkpoint of the tenant's log.

use vrx_domain::UnixMillis;
use vrx_provision_log::{Deadline, SignedCheckpoint};
use vrx_tlog::witness::{self, AddCheckpoint};
use vrx_tlog::{NoteSignature, SignedNote, WitnessKey};

use super::rules::WitnessPlace;
use super::state::{Asked, Contradiction};
use crate::error::ServiceError;
use crate::ports::{PeerError, WitnessAddress, WitnessReply};
use crate::record::{read_error, record_error};
use crate::tenants::TenantServices;

/// How often a witness may name another size before it is left for a while: other processes of the tenant may ask it meanwhile.
const SIZES: usize = 4;
/// How far a witness's clock may be ahead of this node's, seconds.
const AHEAD: u64 = 300;

/// Why a witness gave no cosignature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unwitnessed {
    /// The way there, or the witness itself.
    #[error("{0}")]
    Failed(#[from] PeerError),
    /// It knows another log.
    #[error("{0}")]
    Contradiction(Contradiction),
    /// Another process's entries are under what it cosigned, and are known here now: the next round has them.
    #[error("the log has grown; the next round asks again")]
    Grown,
    /// Our own log can't be read.
    #[error("this node can't read its own log: {0}")]
    Own(#[from] ServiceError),
}

/// One witness of a tenant.
pub(super) struct Witness<'a> {
    pub(super) ctx: &'a TenantServices,
    pub(super) asked: &'a Asked,
    pub(super) key: &'a WitnessKey,
    pub(super) place: &'a WitnessPlace,
}

impl Witness<'_> {
    /// Its cosignature of `checkpoint`. `known` is the size that it cosigned last, as far as it is known here; it is kept up to date.
    pub(super) async fn cosign(
        &self,
        checkpoint: &SignedCheckpoint,
        known: &mut u64,
        deadline: Deadline,
    ) -> Result<NoteSignature, Unwitnessed> {
        let note = SignedNote::parse(checkpoint.note())
            .map_err(|_| self.ctx.internal("an own checkpoint isn't a signed note"))?;
        for _ in 0..SIZES {
            if *known > checkpoint.size() {
                return Err(self.longer(*known, deadline).await);
            }
            let request = self.request(checkpoint, &note, *known, deadline).await?;
            let reply = self.send(request.to_string(), deadline).await?;
            match reply.status {
                200 => {
                    let line = self.read(&reply.body, &note)?;
                    *known = checkpoint.size();
                    return Ok(line);
                }
                409 => {
                    let theirs = witness::parse_size(&reply.body)
                        .filter(|theirs| theirs != known)
                        .ok_or(PeerError::Failed("broken-reply"))?;
                    *known = theirs;
                }
                // It remembers exactly this size, so the proof was judged against what it cosigned.
                422 if *known > 0 => {
                    return Err(Unwitnessed::Contradiction(Contradiction::Differs {
                        witness: self.key.name().to_owned(),
                        size: *known,
                    }));
                }
                other => return Err(refused(other).into()),
            }
        }
        Err(PeerError::Failed("its size keeps changing").into())
    }

    async fn request(
        &self,
        checkpoint: &SignedCheckpoint,
        note: &SignedNote,
        old: u64,
        deadline: Deadline,
    ) -> Result<AddCheckpoint, Unwitnessed> {
        let reader = self.ctx.log.reader();
        let proof = match old {
            0 => Vec::new(),
            old => reader
                .consistency(old, checkpoint, deadline)
                .await
                .map_err(|error| read_error(self.ctx, &error))?,
        };
        Ok(AddCheckpoint {
            old_size: old,
            proof,
            checkpoint: note.clone(),
        })
    }

    async fn send(&self, request: String, deadline: Deadline) -> Result<WitnessReply, PeerError> {
        let address = match self.place {
            WitnessPlace::Url(url) => WitnessAddress::Url(url),
            WitnessPlace::Member(code) => {
                let member = self.ctx.node.members.get(*code);
                WitnessAddress::Member(member.ok_or(PeerError::Failed("not-a-member"))?)
            }
        };
        let asking = self
            .asked
            .client
            .add_checkpoint(&self.ctx.tenant, address, request, deadline);
        deadline
            .wait(asking)
            .await
            .map_err(|_| PeerError::Failed("deadline"))?
    }

    fn read(&self, body: &str, note: &SignedNote) -> Result<NoteSignature, PeerError> {
        let (line, time) = witness::read_cosignature(body, note, self.key).map_err(|_| {
            PeerError::Failed("its cosignature isn't one of the key in the configuration")
        })?;
        let UnixMillis(now) = self.ctx.node.clock.now();
        if time > now / 1_000 + AHEAD {
            return Err(PeerError::Failed("its clock is ahead"));
        }
        Ok(line)
    }

    /// It cosigned more than is known here: by another process of this tenant, whose entries stand in the database, or of a log that
    /// lost its end.
    async fn longer(&self, theirs: u64, deadline: Deadline) -> Unwitnessed {
        if let Err(error) = self.ctx.log.look(deadline).await {
            return record_error(self.ctx, &error).into();
        }
        match self.ctx.log.reader().stored_size(deadline).await {
            Ok(ours) if ours >= theirs => Unwitnessed::Grown,
            Ok(ours) => Unwitnessed::Contradiction(Contradiction::Longer {
                witness: self.key.name().to_owned(),
                theirs,
                ours,
            }),
            Err(error) => read_error(self.ctx, &error).into(),
        }
    }
}

/// A name of ours for a status, never the witness's text.
fn refused(status: u16) -> PeerError {
    let code = match status {
        400 => "malformed (400)",
        403 => "it doesn't know this log's key, or not this caller (403)",
        404 => "it doesn't know this log (404): is its members file up to date?",
        422 => "the proof doesn't hold (422)",
        429 => "too-many-requests (429)",
        503 => "unavailable (503)",
        _ => "another status than the protocol's",
    };
    PeerError::Refused { code, field: None }
}
