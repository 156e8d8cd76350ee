//! Being a witness.

use sha2::{Digest, Sha256};
use vrx_domain::Clock;
use vrx_tlog::{
    EMPTY_ROOT, NoTiles, ProofError, SignedNote, Tree, WitnessKey, WitnessRefusal, cosign,
    leaf_hash, sign_note,
};

use super::super::*;
use super::scene::{HOUR, Scene, provider, refusal};
use crate::ServiceError;
use crate::testing::{deadline, size};

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
async fn only_two_signed_checkpoints_that_contradict_convict_a_log_and_a_wrong_proof_names_who_brought_it()
 {
    let scene = Scene::new().await;
    for _ in 0..4 {
        scene.grow().await;
    }
    scene.post(0, vec![], scene.newest()).await.unwrap();
    let honest = scene.proof(3).await;
    scene.grow().await;
    scene.grow().await;
    let inconsistent = async |proof, checkpoint| {
        let WitnessRefusal::Inconsistent(why) = refusal(scene.post(5, proof, checkpoint).await)
        else {
            panic!("422")
        };
        why
    };
    // A genuine checkpoint: whatever stands beside it, the log isn't convicted.
    for junk in [vec![], vec![[7; 32]; 4], honest] {
        let why = inconsistent(junk, scene.newest()).await;
        assert_ne!(why, ProofError::Contradiction);
    }
    // The log's key under another root of the size that was cosigned, or of one that the proof leads to.
    let same_size = inconsistent(vec![], scene.signed(5, [9; 32])).await;
    assert_eq!(same_size, ProofError::Contradiction);
    let (mut other, leaf) = (Tree::new(), |index: u64| leaf_hash(&index.to_be_bytes()));
    (0..8).for_each(|index| other.append(leaf(index)));
    let proof = other.snapshot().consistency(5, &NoTiles).unwrap();
    let rewritten = inconsistent(proof, scene.signed(8, other.root())).await;
    assert_eq!(rewritten, ProofError::Contradiction);
}

#[tokio::test]
async fn a_log_that_nobody_proved_for_a_day_is_told_of_once_a_day() {
    let scene = Scene::new().await;
    let witness = &scene.world.requester;
    let now = || scene.world.clock.now();
    let tells = |origin| {
        let day = 24 * HOUR;
        witness.witnesses.tells_unproved(origin, now(), day)
    };
    assert!(tells("a"));
    assert!(!tells("a"));
    assert!(tells("b"));
    scene.world.clock.advance(24 * HOUR - 1);
    assert!(!tells("a"));
    scene.world.clock.advance(1);
    assert!(tells("a"));
}

#[tokio::test]
async fn what_is_no_request_is_malformed() {
    let scene = Scene::new().await;
    for malformed in ["", "old 5\n", "old 05\n\n", "5\n\nnote\n"] {
        let witness = &scene.world.requester;
        let result = add_checkpoint(witness, &provider(), malformed, deadline()).await;
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
