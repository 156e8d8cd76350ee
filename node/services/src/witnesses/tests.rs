use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use vrx_domain::{Clock, Tenant};
use vrx_provision_log::Deadline;
use vrx_storage::{CosignedCheckpoint, WitnessedLog};
use vrx_tlog::{
    AddCheckpoint, Checkpoint, EMPTY_ROOT, SignedNote, WitnessKey, WitnessRefusal, cosign,
    sign_note,
};

use super::rounds::Rounds;
use super::*;
use crate::audit::{ListRequest, list};
use crate::exchange::provide;
use crate::ports::{AskWitness, PeerError, WitnessAddress, WitnessReply};
use crate::registry::inquire;
use crate::testing::{PROVIDER, REQUESTER, World, deadline, officer, size, staff};
use crate::{ServiceError, TenantServices, tlog};

const LIMIT: Duration = Duration::from_hours(4);
const HOUR: u64 = 3_600_000;

/// How the witness is reached.
enum Way {
    Open,
    Away,
    /// The witness hears, and its answer is lost.
    Unheard,
    /// It says this, whatever it is asked.
    Says(u16, String),
}

/// The way from the provider to the requester as its witness.
struct Line {
    witness: Arc<TenantServices>,
    way: Mutex<Way>,
    asked: AtomicU64,
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
        let (status, body) = match add_checkpoint(&self.witness, &request, deadline).await {
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
struct Scene {
    world: World,
    provider: Arc<TenantServices>,
    line: Arc<Line>,
    rules: WitnessRules,
}

impl Scene {
    async fn new() -> Self {
        Self::with(0, 1).await
    }

    async fn with(others: u8, needed: usize) -> Self {
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
    fn restart(&mut self) {
        let tenant = &self.world.provider;
        let own = tenant.witnesses.own_key().clone();
        let now = tenant.node.clock.now();
        let witnesses = Witnessing::new(own, self.rules.clone(), self.line.clone(), now);
        self.provider = Arc::new(TenantServices {
            tenant: tenant.tenant,
            policy: tenant.policy.clone(),
            keyring: Arc::clone(&tenant.keyring),
            persons: Arc::clone(&tenant.persons),
            registry: Arc::clone(&tenant.registry),
            receipts: Arc::clone(&tenant.receipts),
            witness_store: Arc::clone(&tenant.witness_store),
            witnesses: Arc::new(witnesses),
            log: Arc::clone(&tenant.log),
            refusals: Arc::clone(&tenant.refusals),
            node: Arc::clone(&tenant.node),
        });
    }

    fn way(&self, way: Way) {
        *self.line.way.lock() = way;
    }

    /// One entry more.
    async fn grow(&self) {
        let reader = officer(&self.provider, "kato");
        let listed = list(&self.provider, &reader, ListRequest::default(), deadline()).await;
        assert!(listed.is_ok());
    }

    async fn round(&self) {
        self.rounds(1).await;
    }

    async fn rounds(&self, count: usize) {
        let at_once = Semaphore::new(8);
        let mut rounds = Rounds::of(&self.provider).unwrap();
        for _ in 0..count {
            rounds.round(Duration::from_secs(5), &at_once).await;
        }
    }

    fn seen(&self) -> WitnessingSeen {
        let now = self.provider.node.clock.now();
        self.provider.witnesses.seen(now).unwrap()
    }

    /// A checkpoint signed with the provider's real key, whatever it says.
    fn signed(&self, size: u64, root: [u8; 32]) -> SignedNote {
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
    async fn post(
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
        add_checkpoint(&self.world.requester, &request.to_string(), deadline()).await
    }

    fn newest(&self) -> SignedNote {
        SignedNote::parse(self.provider.log.checkpoint().note()).unwrap()
    }

    async fn proof(&self, old: u64) -> Vec<[u8; 32]> {
        let checkpoint = self.provider.log.checkpoint();
        let reader = self.provider.log.reader();
        reader
            .consistency(old, &checkpoint, deadline())
            .await
            .unwrap()
    }

    async fn witnessed(&self) -> Option<WitnessedLog> {
        let origin = self.provider.log.reader().verifier_key().name();
        let store = &self.world.requester.witness_store;
        store.witnessed(origin).await.unwrap()
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, NotCosigned>) -> WitnessRefusal {
    match result.unwrap_err() {
        NotCosigned::Refused(refusal) => refusal,
        NotCosigned::Service(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn each_refusal_of_the_specification_has_its_status_and_changes_nothing() {
    let scene = Scene::new().await;
    for _ in 0..4 {
        scene.grow().await;
    }
    assert_eq!(size(&scene.provider), 5);
    let line = scene.post(0, vec![], scene.newest()).await.unwrap();
    let key = scene.world.requester.witnesses.own_key();
    let (_, time) = vrx_tlog::witness::read_cosignature(&line, &scene.newest(), key).unwrap();
    assert_eq!(time * 1_000, scene.world.clock.now().0);
    let before = scene.witnessed().await;
    assert_eq!(before.as_ref().map(|log| log.size), Some(5));
    scene.grow().await;

    let newest = scene.newest();
    let stranger = newest.to_string().replace("/log/1\n", "/log/2\n");
    let stranger = SignedNote::parse(&stranger).unwrap();
    let key = scene.provider.log.reader().verifier_key();
    let forged = sign_note(newest.text(), key, |_| [7; 64]);
    let forged = SignedNote::parse(&forged).unwrap();
    let unsigned = newest.clone().retain(|_| false);
    let other = WitnessKey::from_public_key("w.example", &key.public_key()).unwrap();
    let by_another = cosign(newest.text(), &other, 1, |_| [7; 64]).unwrap();
    let own = scene.world.requester.log.checkpoint().note().to_owned();
    for (what, status, result) in [
        (
            "no log of a member",
            404,
            scene.post(5, vec![], stranger).await,
        ),
        (
            "its own log",
            404,
            scene
                .post(0, vec![], SignedNote::parse(&own).unwrap())
                .await,
        ),
        (
            "a wrong signature",
            403,
            scene.post(5, vec![], forged).await,
        ),
        (
            "another's signature",
            403,
            scene.post(5, vec![], unsigned.with(by_another)).await,
        ),
        (
            "an old size beyond",
            400,
            scene.post(7, vec![], newest.clone()).await,
        ),
        (
            "nothing known",
            409,
            scene.post(0, vec![], newest.clone()).await,
        ),
        (
            "another old size",
            409,
            scene.post(4, scene.proof(4).await, newest.clone()).await,
        ),
        ("no proof", 422, scene.post(5, vec![], newest.clone()).await),
        (
            "another proof",
            422,
            scene.post(5, scene.proof(4).await, newest.clone()).await,
        ),
        (
            "other entries",
            422,
            scene
                .post(5, scene.proof(5).await, scene.signed(6, [9; 32]))
                .await,
        ),
        (
            "another root",
            422,
            scene.post(5, vec![], scene.signed(5, [9; 32])).await,
        ),
        (
            "an empty log with a root",
            400,
            scene.post(5, vec![], scene.signed(0, EMPTY_ROOT)).await,
        ),
    ] {
        let refusal = refusal(result);
        assert_eq!(refusal.status(), status, "{what}: {refusal}");
        if status == 409 {
            assert_eq!(refusal, WitnessRefusal::Conflict { size: 5 }, "{what}");
        }
    }
    assert_eq!(scene.witnessed().await, before);
    let proof = scene.proof(5).await;
    assert!(scene.post(5, proof, newest.clone()).await.is_ok());
    assert!(
        scene.post(6, vec![], newest).await.is_ok(),
        "the same again"
    );
    let entries = size(&scene.world.requester);
    assert_eq!(entries, 1, "a witness writes none of it into its own log");
}

#[tokio::test]
async fn what_is_no_request_is_malformed() {
    let scene = Scene::new().await;
    for malformed in ["", "old 5\n", "old 05\n\n", "5\n\nnote\n"] {
        let result = add_checkpoint(&scene.world.requester, malformed, deadline()).await;
        assert_eq!(refusal(result).status(), 400, "{malformed:?}");
    }
}

#[tokio::test]
async fn of_two_posts_at_once_one_is_cosigned_and_the_other_is_told_the_new_size() {
    let scene = Scene::new().await;
    assert!(scene.post(0, vec![], scene.newest()).await.is_ok());
    let mut known = 1;
    for _ in 0..10 {
        scene.grow().await;
        let (first, first_proof) = (scene.newest(), scene.proof(known).await);
        let size = size(&scene.provider);
        scene.grow().await;
        let (second, second_proof) = (scene.newest(), scene.proof(known).await);
        let (first, second) = tokio::join!(
            scene.post(known, first_proof, first),
            scene.post(known, second_proof, second),
        );
        let won = if first.is_ok() { size } else { size + 1 };
        let lost = if first.is_ok() { second } else { first };
        assert_eq!(refusal(lost), WitnessRefusal::Conflict { size: won });
        assert_eq!(scene.witnessed().await.unwrap().size, won);
        known = won;
    }
}

#[tokio::test]
async fn what_a_witness_cosigned_is_read_by_the_hash_of_the_origin_with_both_signatures() {
    let scene = Scene::new().await;
    let key = scene.provider.log.reader().verifier_key();
    let hash = crate::record::hex(&Sha256::digest(key.name()));
    let witness = &scene.world.requester;
    let read = async |hash: &str| cosigned_checkpoint(witness, hash, deadline()).await;
    assert_eq!(read(&hash).await, Err(ServiceError::NotFound));
    let more = scene.newest();
    let stray = vrx_tlog::NoteSignature {
        name: "stray.example".to_owned(),
        key_hash: 1,
        signature: vec![1; 64],
    };
    scene.post(0, vec![], more.with(stray)).await.unwrap();
    let note = SignedNote::parse(&read(&hash).await.unwrap()).unwrap();
    note.verify(key).unwrap();
    note.cosigned(witness.witnesses.own_key()).unwrap();
    assert_eq!(note.signatures().len(), 2, "nobody else's lines");
    assert_eq!(read(&"00".repeat(32)).await, Err(ServiceError::NotFound));
}

#[tokio::test]
async fn a_record_that_the_witness_never_cosigned_is_an_incident() {
    let scene = Scene::new().await;
    scene.post(0, vec![], scene.newest()).await.unwrap();
    let mut record = scene.witnessed().await.unwrap();
    let at = Some((record.size, record.root));
    record.root = [9; 32];
    let store = &scene.world.requester.witness_store;
    assert!(store.swap_witnessed(at, record).await.unwrap());
    let refused = scene.post(1, vec![], scene.newest()).await.unwrap_err();
    assert!(matches!(
        refused,
        NotCosigned::Service(ServiceError::Internal { .. })
    ));
}

#[tokio::test]
async fn a_round_keeps_a_quorum_and_a_later_one_goes_on_from_the_witnesss_size() {
    let mut scene = Scene::new().await;
    scene.grow().await;
    scene.round().await;
    assert_eq!(scene.seen().size, 2);
    let note = SignedNote::parse(&tlog::checkpoint(&scene.provider)).unwrap();
    let key = scene.world.requester.witnesses.own_key();
    assert_eq!(
        note.cosigned(key).unwrap() * 1_000,
        scene.world.clock.now().0
    );
    assert_eq!(note.text(), scene.newest().text());
    scene.grow().await;
    let newest = tlog::checkpoint(&scene.provider);
    assert_eq!(
        newest,
        scene.provider.log.checkpoint().note(),
        "not cosigned yet"
    );
    let witnessed = tlog::witnessed_checkpoint(&scene.provider).unwrap();
    assert_eq!(witnessed, note.to_string());

    // A new process knows nothing of the witness's size and is told: 409, then 200.
    scene.restart();
    begin(&scene.provider).await.unwrap();
    assert_eq!(scene.seen().size, 3);
    assert_eq!(scene.line.asked.load(Ordering::SeqCst), 3);
    assert_eq!(scene.seen().witnesses[0].failures, 0);

    // Nothing new: nobody is asked.
    scene.rounds(2).await;
    let asked = scene.line.asked.load(Ordering::SeqCst);
    scene.rounds(3).await;
    assert!(
        scene.line.asked.load(Ordering::SeqCst) <= asked + 2,
        "once a process"
    );
}

#[tokio::test]
async fn without_a_quorum_for_longer_than_the_limit_nothing_leaves_until_it_is_back() {
    let mut scene = Scene::new().await;
    scene.round().await;
    scene.way(Way::Away);
    scene.world.clock.advance(HOUR / 2);
    assert!(scene.seen().is_well());
    scene.world.clock.advance(1);
    assert!(!scene.seen().is_well(), "long before the limit");
    scene.world.clock.advance(4 * HOUR - HOUR / 2 - 1);
    scene.round().await;
    assert!(scene.seen().provides, "at the limit");
    assert_eq!(scene.seen().age, LIMIT);
    let asked = async |scene: &Scene, serial| {
        let (peer, member) = scene.world.peer();
        let query = scene.world.query(serial);
        let answer = provide(&scene.provider, &peer, &member, query, deadline()).await;
        answer.map(drop)
    };
    assert_eq!(asked(&scene, 1).await, Ok(()));

    scene.world.clock.advance(1);
    let before = size(&scene.provider);
    assert_eq!(asked(&scene, 1).await, Err(ServiceError::unavailable()));
    assert_eq!(size(&scene.provider), before, "nothing was recorded");
    assert!(!scene.seen().provides);
    // A restart changes nothing: the limit counts from the quorum that is kept.
    scene.restart();
    begin(&scene.provider).await.unwrap();
    assert_eq!(asked(&scene, 1).await, Err(ServiceError::unavailable()));
    assert_eq!(scene.seen().witnesses[0].failures, 1);

    scene.way(Way::Open);
    scene.round().await;
    assert_eq!(asked(&scene, 1).await, Ok(()));
    assert!(scene.seen().age < Duration::from_secs(1));
}

#[tokio::test]
async fn no_number_leaves_at_the_desk_without_a_quorum() {
    let scene = Scene::new().await;
    // The requester itself has a witness that nobody reaches.
    let tenant = &scene.world.requester;
    let own = tenant.witnesses.own_key().clone();
    let now = tenant.node.clock.now();
    let rules = scene.rules.clone();
    let asking = Arc::new(TenantServices {
        tenant: tenant.tenant,
        policy: tenant.policy.clone(),
        keyring: Arc::clone(&tenant.keyring),
        persons: Arc::clone(&tenant.persons),
        registry: Arc::clone(&tenant.registry),
        receipts: Arc::clone(&tenant.receipts),
        witness_store: Arc::clone(&tenant.witness_store),
        witnesses: Arc::new(Witnessing::new(own, rules, scene.line.clone(), now)),
        log: Arc::clone(&tenant.log),
        refusals: Arc::clone(&tenant.refusals),
        node: Arc::clone(&tenant.node),
    });
    let ask = async || {
        let request = scene.world.inquiry(1);
        inquire(&asking, &staff(&asking, "sato"), request, deadline())
            .await
            .map(drop)
    };
    assert_eq!(ask().await, Ok(()));
    let calls = scene.world.line.calls.load(Ordering::SeqCst);
    scene.world.clock.advance(4 * HOUR + 1);
    assert_eq!(ask().await, Err(ServiceError::unavailable()));
    assert_eq!(scene.world.line.calls.load(Ordering::SeqCst), calls);
}

#[tokio::test]
async fn a_cosignature_that_was_lost_on_its_way_is_given_again() {
    let scene = Scene::new().await;
    let at_once = Semaphore::new(8);
    let mut rounds = Rounds::of(&scene.provider).unwrap();
    rounds.round(Duration::from_secs(5), &at_once).await;
    scene.grow().await;
    scene.way(Way::Unheard);
    rounds.round(Duration::from_secs(5), &at_once).await;
    assert_eq!(scene.seen().size, 1);
    assert_eq!(
        scene.witnessed().await.unwrap().size,
        2,
        "the witness has gone on"
    );
    scene.way(Way::Open);
    scene.round().await;
    assert_eq!(scene.seen().size, 2);
    assert!(scene.seen().provides);
}

#[tokio::test]
async fn one_of_two_is_no_quorum_of_two_and_one_of_two_is_one_of_one() {
    for (needed, size) in [(1, 1), (2, 0)] {
        let scene = Scene::with(1, needed).await;
        scene.round().await;
        assert_eq!(scene.seen().size, size, "{needed}");
        let note = SignedNote::parse(&tlog::checkpoint(&scene.provider)).unwrap();
        assert_eq!(note.signatures().len(), 2, "one is held");
        let witnessed = tlog::witnessed_checkpoint(&scene.provider);
        assert_eq!(witnessed.is_ok(), needed == 1);
        assert_eq!(scene.seen().witnesses[1].failures, 1);
    }
}

#[tokio::test]
async fn a_log_that_a_witness_knows_longer_or_otherwise_is_refused() {
    // Longer: what is here lost its end and was signed anew.
    let scene = Scene::new().await;
    scene
        .post(0, vec![], scene.signed(1_000, [9; 32]))
        .await
        .unwrap();
    let refused = begin(&scene.provider).await.unwrap_err();
    assert_eq!(
        refused,
        Contradiction::Longer {
            witness: "vrx.example/municipality/141003/witness".to_owned(),
            theirs: 1_000,
            ours: 1
        }
    );
    assert!(
        !scene.seen().provides,
        "nor does it provide if it is found later"
    );
    assert!(scene.seen().witnesses[0].contradicts);

    // Otherwise: it has grown beyond that, with other entries.
    for known in [1, 2] {
        let scene = Scene::new().await;
        scene
            .post(0, vec![], scene.signed(known, [9; 32]))
            .await
            .unwrap();
        scene.grow().await;
        let refused = begin(&scene.provider).await.unwrap_err();
        let differs = Contradiction::Differs {
            witness: "vrx.example/municipality/141003/witness".to_owned(),
            size: known,
        };
        assert_eq!(refused, differs);
        assert!(refused.to_string().contains("tell the privacy officer"));
        // A witness that agrees again, from a database put right, ends it.
        let origin = scene.provider.log.reader().verifier_key().name().to_owned();
        let record = scene.witnessed().await.unwrap();
        let checkpoint = scene.provider.log.checkpoint();
        let key = scene.world.requester.witnesses.own_key();
        let keyring = &scene.world.requester.keyring;
        let line = cosign(scene.newest().text(), key, 1, |text| {
            keyring.sign_witness(text)
        });
        let right = WitnessedLog {
            origin,
            size: checkpoint.size(),
            root: checkpoint.root(),
            note: scene.newest().with(line.unwrap()).to_string(),
        };
        let store = &scene.world.requester.witness_store;
        let at = Some((record.size, record.root));
        assert!(store.swap_witnessed(at, right).await.unwrap());
        scene.round().await;
        assert!(scene.seen().provides);
    }
}

#[tokio::test]
async fn a_log_that_its_own_kept_quorum_contradicts_is_refused_even_if_no_witness_answers() {
    let mut scene = Scene::new().await;
    scene.grow().await;
    let note = scene.signed(2, [9; 32]);
    let key = scene.world.requester.witnesses.own_key();
    let keyring = &scene.world.requester.keyring;
    let time = scene.world.clock.now().0 / 1_000;
    let line = cosign(note.text(), key, time, |text| keyring.sign_witness(text)).unwrap();
    let kept = CosignedCheckpoint {
        origin: scene.provider.log.reader().verifier_key().name().to_owned(),
        size: 2,
        note: note.with(line).to_string(),
    };
    scene
        .provider
        .witness_store
        .keep_cosigned(kept)
        .await
        .unwrap();
    scene.way(Way::Away);
    scene.restart();
    let refused = begin(&scene.provider).await;
    assert_eq!(refused, Err(Contradiction::Kept { size: 2 }));
}

#[tokio::test]
async fn what_is_no_answer_of_the_witness_counts_as_a_failure_and_nothing_else() {
    let scene = Scene::new().await;
    let key = scene.world.requester.witnesses.own_key();
    let keyring = &scene.world.requester.keyring;
    let now = scene.world.clock.now().0 / 1_000;
    let line = |time, wrong: bool| {
        let line = cosign(scene.newest().text(), key, time, |text| {
            let mut signature = keyring.sign_witness(text);
            signature[0] ^= u8::from(wrong);
            signature
        });
        line.unwrap().to_string()
    };
    let answers = [
        (200, String::new()),
        (200, "OK\n".to_owned()),
        (200, line(now, true)),
        (200, line(now + 3_600, false)),
        (200, line(now, false).replace("/witness", "/other")),
        (409, "0\n".to_owned()),
        (409, "many\n".to_owned()),
        (422, String::new()),
        (404, String::new()),
        (403, String::new()),
        (500, "1\n".to_owned()),
    ];
    let count = answers.len() as u64;
    for (status, body) in answers {
        scene.way(Way::Says(status, body));
        scene.round().await;
    }
    let seen = scene.seen();
    assert_eq!((seen.size, seen.witnesses[0].failures), (0, count));
    assert!(seen.provides, "the limit is far");
    scene.way(Way::Says(200, line(now, false)));
    scene.round().await;
    assert_eq!(scene.seen().size, 1);
}

#[tokio::test]
async fn a_quorum_is_renewed_while_the_log_stands_still_and_its_note_does_not_grow() {
    let scene = Scene::new().await;
    let at_once = Semaphore::new(8);
    let mut rounds = Rounds::of(&scene.provider).unwrap();
    for _ in 0..3 {
        for _ in 0..2 {
            rounds.round(Duration::from_secs(5), &at_once).await;
        }
        scene.world.clock.advance(11 * 60_000);
    }
    assert_eq!(scene.line.asked.load(Ordering::SeqCst), 3);
    assert_eq!(scene.seen().age, Duration::from_mins(11));
    let note = SignedNote::parse(&tlog::checkpoint(&scene.provider)).unwrap();
    assert_eq!(note.signatures().len(), 2);
}

#[tokio::test]
async fn a_tenant_without_witnesses_provides_as_ever() {
    let world = World::new().await;
    assert!(!world.provider.witnesses.has_witnesses());
    assert_eq!(begin(&world.provider).await, Ok(()));
    world.clock.advance(1_000 * HOUR);
    assert_eq!(world.provider.witnesses.check(world.clock.now()), Ok(()));
    assert_eq!(world.provider.witnesses.seen(world.clock.now()), None);
    assert_eq!(
        tlog::witnessed_checkpoint(&world.provider),
        Err(ServiceError::NotFound)
    );
    assert_eq!(world.provider.tenant.code.to_string(), PROVIDER);
}
