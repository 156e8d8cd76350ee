//! A tenant whose witness is the other one of the world.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use vrx_domain::{Caller, Role, Tenant};
use vrx_provision_log::Deadline;
use vrx_storage::WitnessedLog;
use vrx_tlog::{AddCheckpoint, Checkpoint, SignedNote, WitnessKey, WitnessRefusal, sign_note};

use super::super::rounds::Rounds;
use super::super::*;
use crate::TenantServices;
use crate::audit::{ListRequest, list};
use crate::ports::{AskWitness, PeerError, WitnessAddress, WitnessReply};
use crate::testing::{PROVIDER, REQUESTER, World, caller, deadline, officer};

pub(super) const LIMIT: Duration = Duration::from_hours(4);
pub(super) const HOUR: u64 = 3_600_000;

/// How the witness is reached.
pub(super) enum Way {
    Open,
    Away,
    /// The witness hears, and its answer is lost.
    Unheard,
    /// It says this, whatever it is asked.
    Says(u16, String),
}

/// The way from the provider to the requester as its witness.
pub(super) struct Line {
    pub(super) witness: Arc<TenantServices>,
    pub(super) way: Mutex<Way>,
    pub(super) asked: AtomicU64,
}

#[async_trait]
impl AskWitness for Line {
    async fn add_checkpoint(
        &self,
        _tenant: &Tenant,
        _witness: WitnessAddress<'_>,
        request: String,
        deadline: Deadline,
    ) -> Result<WitnessReply, PeerError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match &*self.way.lock() {
            Way::Open | Way::Unheard => {}
            Way::Away => return Err(PeerError::Failed("no-connection")),
            Way::Says(status, body) => {
                return Ok(WitnessReply {
                    status: *status,
                    body: body.clone(),
                });
            }
        }
        let provider = provider();
        let cosigned = add_checkpoint(&self.witness, &provider, &request, deadline).await;
        let (status, body) = match cosigned {
            Ok(line) => (200, line),
            Err(NotCosigned::Refused(WitnessRefusal::Conflict { size })) => {
                (409, format!("{size}\n"))
            }
            Err(NotCosigned::Refused(refusal)) => (refusal.status(), String::new()),
            Err(NotCosigned::Service(_)) => (503, String::new()),
        };
        if matches!(&*self.way.lock(), Way::Unheard) {
            return Err(PeerError::Failed("deadline"));
        }
        Ok(WitnessReply { status, body })
    }
}

/// The provider with witnesses: the requester first, then others that nobody reaches.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) provider: Arc<TenantServices>,
    pub(super) line: Arc<Line>,
    pub(super) rules: WitnessRules,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::with(0, 1).await
    }

    pub(super) async fn with(others: u8, needed: usize) -> Self {
        let world = World::new().await;
        let mut witnesses = vec![OwnWitness {
            key: world.requester.witnesses.own_key().clone(),
            place: WitnessPlace::Member(REQUESTER.parse().unwrap()),
        }];
        for nth in 0..others {
            // The keys of members' logs are as good as any: nobody has their private halves here.
            let key = world.provider.keyring.log_public_keys()[0];
            let key = WitnessKey::from_public_key(&format!("w{nth}.example"), &key).unwrap();
            witnesses.push(OwnWitness {
                key,
                place: WitnessPlace::Url(format!("https://w{nth}.example")),
            });
        }
        let rules = WitnessRules::new(witnesses, needed, LIMIT).unwrap();
        let line = Arc::new(Line {
            witness: Arc::clone(&world.requester),
            way: Mutex::new(Way::Open),
            asked: AtomicU64::new(0),
        });
        let mut scene = Self {
            provider: Arc::clone(&world.provider),
            world,
            line,
            rules,
        };
        scene.restart();
        scene
    }

    /// As after a restart: what is remembered stands in the database alone.
    pub(super) fn restart(&mut self) {
        let tenant = &self.world.provider;
        let own = tenant.witnesses.own_key().clone();
        let now = tenant.node.clock.now();
        let witnesses = Witnessing::new(own, self.rules.clone(), self.line.clone(), now);
        self.provider = Arc::new(TenantServices {
            witnesses: Arc::new(witnesses),
            ..TenantServices::clone(tenant)
        });
    }

    pub(super) fn way(&self, way: Way) {
        *self.line.way.lock() = way;
    }

    /// One entry more.
    pub(super) async fn grow(&self) {
        let reader = officer(&self.provider, "kato");
        let listed = list(&self.provider, &reader, ListRequest::default(), deadline()).await;
        assert!(listed.is_ok());
    }

    pub(super) async fn round(&self) {
        self.rounds(1).await;
    }

    pub(super) async fn rounds(&self, count: usize) {
        let at_once = Semaphore::new(8);
        let mut rounds = Rounds::of(&self.provider).unwrap();
        for _ in 0..count {
            rounds.round(Duration::from_secs(5), &at_once).await;
        }
    }

    pub(super) fn seen(&self) -> WitnessingSeen {
        let now = self.provider.node.clock.now();
        self.provider.witnesses.seen(now).unwrap()
    }

    /// A checkpoint signed with the provider's real key, whatever it says.
    pub(super) fn signed(&self, size: u64, root: [u8; 32]) -> SignedNote {
        let key = self.provider.log.reader().verifier_key();
        let body = Checkpoint {
            origin: key.name().to_owned(),
            size,
            root,
        }
        .body();
        let keyring = &self.provider.keyring;
        SignedNote::parse(&sign_note(&body, key, |text| keyring.sign_log(text))).unwrap()
    }

    /// Posts to the witness.
    pub(super) async fn post(
        &self,
        old_size: u64,
        proof: Vec<[u8; 32]>,
        checkpoint: SignedNote,
    ) -> Result<String, NotCosigned> {
        let request = AddCheckpoint {
            old_size,
            proof,
            checkpoint,
        };
        let witness = &self.world.requester;
        add_checkpoint(witness, &provider(), &request.to_string(), deadline()).await
    }

    pub(super) fn newest(&self) -> SignedNote {
        SignedNote::parse(self.provider.log.checkpoint().note()).unwrap()
    }

    pub(super) async fn proof(&self, old: u64) -> Vec<[u8; 32]> {
        let checkpoint = self.provider.log.checkpoint();
        let reader = self.provider.log.reader();
        reader
            .consistency(old, &checkpoint, deadline())
            .await
            .unwrap()
    }

    pub(super) async fn witnessed(&self) -> Option<WitnessedLog> {
        let origin = self.provider.log.reader().verifier_key().name();
        let store = &self.world.requester.witness_store;
        store.witnessed(origin).await.unwrap()
    }
}

/// The provider's node.
pub(super) fn provider() -> Caller {
    caller(PROVIDER, Role::Exchange, None)
}

pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, NotCosigned>) -> WitnessRefusal {
    match result.unwrap_err() {
        NotCosigned::Refused(refusal) => refusal,
        NotCosigned::Service(error) => panic!("{error}"),
    }
}
