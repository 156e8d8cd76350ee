//! Rounds of asking: all witnesses of a tenant for its newest checkpoint, a few seconds after the log has grown, for as long as it serves.
//!
//! Nothing here is on a query's path. What a round comes to is durable before it counts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vrx_domain::UnixMillis;
use vrx_provision_log::{Deadline, SignedCheckpoint};
use vrx_storage::CosignedCheckpoint;
use vrx_tlog::{Checkpoint, NoteSignature, SignedNote};

use super::ask::{Unwitnessed, Witness};
use super::rules::WitnessRules;
use super::state::{Asked, Contradiction, Cosigned};
use crate::background::Background;
use crate::error::ServiceError;
use crate::record::{read_error, record_error};
use crate::tenants::{TenantServices, Tenants};

/// How long after one round the next may come.
const PERIOD: Duration = Duration::from_secs(3);
/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same before a node serves.
const PATIENCE_AT_START: Duration = Duration::from_secs(5);
/// How long a witness that doesn't answer is left alone, at most.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How many witnesses all of a node's tenants ask at the same time.
const ASKED_AT_ONCE: usize = 64;
/// A warning at each of so many parts of the limit.
const PARTS: u32 = WitnessRules::TOLD;

/// The node's tenants asking their witnesses.
pub struct Asking(Background);

impl Asking {
    /// Starts. Where no tenant has witnesses there is nothing to do and the task ends by itself.
    pub fn start(tenants: Arc<Tenants>) -> Self {
        Self(Background::start("asking witnesses", |stop| {
            run(tenants, stop)
        }))
    }

    /// Ends and waits. Call it before the logs shut down.
    pub async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// May be left off anywhere: what a witness cosigned it says again when asked.
async fn run(tenants: Arc<Tenants>, stop: CancellationToken) {
    let at_once = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let mut tasks = JoinSet::new();
    for tenant in tenants.iter() {
        if tenant.witnesses.has_witnesses() {
            tasks.spawn(keep_asking(Arc::clone(tenant), Arc::clone(&at_once)));
        }
    }
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                tracing::error!("asking the witnesses panicked; the next start goes on with it");
            }
        }
    };
    stop.run_until_cancelled(all).await;
    tasks.shutdown().await;
}

async fn keep_asking(ctx: Arc<TenantServices>, at_once: Arc<Semaphore>) {
    let Some(mut rounds) = Rounds::of(&ctx) else {
        return;
    };
    let mut byte = [0];
    ctx.node.random.fill(&mut byte);
    let [byte] = byte;
    // Many tenants of a node don't all ask in the same moment.
    let mut pause = PERIOD * u32::from(byte) / 256;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = rounds.asked.wanted() => {}
        }
        pause = PERIOD;
        rounds.round(PATIENCE, &at_once).await;
        rounds.tell();
    }
}

/// Before a tenant serves: takes over the checkpoint that is kept with a quorum, and asks every witness once. A witness that can't be
/// reached is only warned of; one that cosigned what this log isn't stops the start.
pub async fn begin(ctx: &TenantServices) -> Result<(), Contradiction> {
    let Some(mut rounds) = Rounds::of(ctx) else {
        return Ok(());
    };
    rounds.take_over().await?;
    rounds
        .round(PATIENCE_AT_START, &Semaphore::new(ASKED_AT_ONCE))
        .await;
    match rounds.asked.contradiction() {
        Some(contradiction) => Err(contradiction),
        None => Ok(()),
    }
}

/// What is remembered from one round to the next.
pub(super) struct Rounds<'a> {
    ctx: &'a TenantServices,
    asked: &'a Asked,
    /// Of each witness of the rules, in their order.
    each: Vec<Remembered>,
    /// The checkpoint asked about last, with the cosignatures that came of it so far.
    held: Option<(u64, SignedNote)>,
    /// Parts of the limit that were warned of.
    told: u32,
}

#[derive(Clone)]
struct Remembered {
    /// Entries that it cosigned last, as far as is known.
    known: u64,
    /// Entries of the checkpoint that it cosigned in a round of this process, and when.
    cosigned: Option<(u64, UnixMillis)>,
    /// Not before then again.
    after: Instant,
    pause: Duration,
}

impl<'a> Rounds<'a> {
    pub(super) fn of(ctx: &'a TenantServices) -> Option<Self> {
        let asked = ctx.witnesses.asked()?;
        let first = Remembered {
            known: 0,
            cosigned: None,
            after: Instant::now(),
            pause: PERIOD,
        };
        Some(Self {
            ctx,
            asked,
            each: vec![first; asked.rules.places.len()],
            held: None,
            told: 0,
        })
    }

    /// The newest checkpoint with a quorum from the database, if it still has one by today's rules.
    async fn take_over(&self) -> Result<(), Contradiction> {
        let tenant = self.ctx.tenant.code;
        let key = self.ctx.log.reader().verifier_key();
        let kept = match self.ctx.witness_store.cosigned(key.name()).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(%tenant, %error, "the checkpoint with a quorum can't be read");
                return Ok(());
            }
        };
        let opened = Checkpoint::open(&kept.note, key, key.name());
        let note = SignedNote::parse(&kept.note);
        let (Ok(checkpoint), Ok(note)) = (opened, note) else {
            tracing::warn!(%tenant, "the kept checkpoint with a quorum isn't one of this log's; it counts for nothing");
            return Ok(());
        };
        let cosigned = self.asked.rules.quorum.evaluate(&note).ok();
        let Some(at) = cosigned.as_ref().and_then(vrx_tlog::Cosigned::time) else {
            tracing::warn!(%tenant, "the kept checkpoint has no quorum of the configured witnesses; it counts for nothing");
            // It had one by the rules of its time, and those of its witnesses that are still asked say when.
            let times = cosigned.iter().flat_map(|cosigned| &cosigned.times);
            if let Some(last) = times.flatten().max() {
                self.asked.had_quorum(*last, self.ctx.node.clock.now());
            }
            return Ok(());
        };
        match self.is_of_this_log(&checkpoint).await {
            Ok(true) => {}
            Ok(false) => {
                let size = checkpoint.size;
                return Err(Contradiction::Kept { size });
            }
            Err(error) => {
                tracing::warn!(%tenant, %error, "the log can't be held against the checkpoint with a quorum");
                return Ok(());
            }
        }
        let size = checkpoint.size;
        self.asked.reached(Cosigned {
            size,
            note: kept.note,
            at,
        });
        Ok(())
    }

    /// Whether the log begins with what a checkpoint says. Another process of the tenant may have added what is under it since the log was
    /// opened here.
    async fn is_of_this_log(&self, checkpoint: &Checkpoint) -> Result<bool, ServiceError> {
        let (ctx, deadline) = (self.ctx, Deadline::after(PATIENCE_AT_START));
        if ctx.log.checkpoint().size() < checkpoint.size {
            let looked = ctx.log.look(deadline).await;
            looked.map_err(|error| record_error(ctx, &error))?;
        }
        let reader = ctx.log.reader();
        if ctx.log.checkpoint().size() < checkpoint.size {
            let stored = reader.stored_size(deadline).await;
            let stored = stored.map_err(|error| read_error(ctx, &error))?;
            return if stored < checkpoint.size {
                Ok(false)
            } else {
                Err(ServiceError::unavailable())
            };
        }
        let begins = reader.begins_with(checkpoint.size, &checkpoint.root, deadline);
        begins.await.map_err(|error| read_error(ctx, &error))
    }

    /// Asks the witnesses that haven't cosigned the newest checkpoint, or not for some time, all at once.
    pub(super) async fn round(&mut self, patience: Duration, at_once: &Semaphore) {
        let (ctx, asked) = (self.ctx, self.asked);
        let checkpoint = ctx.log.checkpoint();
        let size = checkpoint.size();
        let held = self.held.take().filter(|(held, _)| *held == size);
        let note = match held {
            Some((_, note)) => Ok(note),
            None => SignedNote::parse(checkpoint.note()),
        };
        let Ok(mut note) = note else {
            return;
        };
        if asked.newest_size() < size {
            // A quorum that stands already couldn't be kept last time.
            keep(ctx, asked, size, &note).await;
        }
        let (instant, now) = (Instant::now(), ctx.node.clock.now());
        let renewed = asked.rules.renewed_after();
        let due = |each: &Remembered| {
            let has = each.cosigned.is_some_and(|(cosigned, at)| {
                let age = Duration::from_millis(now.0.saturating_sub(at.0));
                cosigned == size && age < renewed
            });
            instant >= each.after && !has
        };
        let mut asking: FuturesUnordered<_> = asked
            .rules
            .witnesses()
            .zip(&mut self.each)
            .enumerate()
            .filter(|(_, (_, each))| due(each))
            .map(|(nth, ((key, place), each))| {
                let witness = Witness {
                    ctx,
                    asked,
                    key,
                    place,
                };
                one(witness, nth, each, &checkpoint, patience, at_once)
            })
            .collect();
        while let Some(line) = asking.next().await {
            if let Some(line) = line {
                // A later cosignature of the same witness takes the place of the earlier one.
                note = note
                    .retain(|other| (&other.name, other.key_hash) != (&line.name, line.key_hash))
                    .with(line);
                asked.hold(note.to_string());
                keep(ctx, asked, size, &note).await;
            }
        }
        drop(asking);
        self.held = Some((size, note));
    }

    /// Warns long before the limit, says when it is passed and when the quorum is back.
    fn tell(&mut self) {
        let tenant = self.ctx.tenant.code;
        let age = self.asked.age(self.ctx.node.clock.now());
        let limit = self.asked.rules.limit;
        let parts = (age.as_millis() * u128::from(PARTS))
            .checked_div(limit.as_millis())
            .map_or(PARTS, |parts| {
                u32::try_from(parts).unwrap_or(PARTS).min(PARTS)
            });
        let (seconds, of) = (age.as_secs(), limit.as_secs());
        if parts >= PARTS && self.told < PARTS {
            tracing::error!(
                %tenant, seconds, limit = of,
                "no quorum of the witnesses for longer than the limit: this municipality provides nothing until they cosign again"
            );
        } else if parts > self.told {
            tracing::warn!(
                %tenant, seconds, limit = of,
                "no quorum of the witnesses for some time; at the limit this municipality stops providing"
            );
        } else if parts == 0 && self.told > 0 {
            tracing::info!(%tenant, "the witnesses have cosigned again");
        }
        self.told = parts;
    }
}

/// Asks one witness, and remembers what came of it.
async fn one(
    witness: Witness<'_>,
    nth: usize,
    each: &mut Remembered,
    checkpoint: &SignedCheckpoint,
    patience: Duration,
    at_once: &Semaphore,
) -> Option<NoteSignature> {
    // Never closed.
    let _permit = at_once.acquire().await;
    let deadline = Deadline::after(patience);
    let cosigned = witness.cosign(checkpoint, &mut each.known, deadline).await;
    let (tenant, name) = (witness.ctx.tenant.code, witness.key.name());
    match cosigned {
        Ok(line) => {
            witness.asked.agreed(nth);
            each.cosigned = Some((checkpoint.size(), witness.ctx.node.clock.now()));
            each.pause = PERIOD;
            return Some(line);
        }
        Err(Unwitnessed::Grown) => return None,
        Err(Unwitnessed::Contradiction(contradiction)) => {
            if witness.asked.contradicted(nth, contradiction.clone()) {
                tracing::error!(
                    alarm = "witness-contradiction", %tenant, witness = name,
                    "{contradiction}. This municipality provides nothing until the witness agrees"
                );
            }
        }
        Err(error) => {
            witness.asked.failed(nth);
            tracing::warn!(%tenant, witness = name, %error, "a witness didn't cosign");
        }
    }
    each.pause = (each.pause * 2).min(LONGEST_PAUSE);
    each.after = Instant::now() + each.pause;
    None
}

/// Keeps a checkpoint that has a quorum; it counts once it is durable.
async fn keep(ctx: &TenantServices, asked: &Asked, size: u64, note: &SignedNote) {
    let at = asked.rules.quorum.evaluate(note).ok();
    let Some(at) = at.and_then(|cosigned| cosigned.time()) else {
        return;
    };
    let kept = CosignedCheckpoint {
        origin: ctx.log.reader().verifier_key().name().to_owned(),
        size,
        note: note.to_string(),
    };
    let cosigned = Cosigned {
        size,
        note: kept.note.clone(),
        at,
    };
    match ctx.witness_store.keep_cosigned(kept).await {
        Ok(()) => asked.reached(cosigned),
        Err(error) => {
            tracing::warn!(tenant = %ctx.tenant.code, %error, "a checkpoint with a quorum can't be kept");
        }
    }
}
