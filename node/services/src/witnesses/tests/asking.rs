//! Asking witnesses, and what their silence and their words mean.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;
use vrx_domain::{Clock, UnixMillis};
use vrx_storage::{CosignedCheckpoint, WitnessedLog};
use vrx_tlog::{SignedNote, cosign};

use super::super::rounds::Rounds;
use super::super::*;
use super::scene::{HOUR, LIMIT, Scene, Way};
use crate::exchange::provide;
use crate::registry::inquire;
use crate::testing::{PROVIDER, World, deadline, officer, size, staff};
use crate::{ServiceError, TenantServices, audit, tlog};

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
async fn under_stricter_rules_the_limit_counts_from_the_newest_cosignature_that_is_kept() {
    let scene = Scene::with(1, 1).await;
    scene.round().await;
    scene.world.clock.advance(HOUR);
    scene.way(Way::Away);
    // One more is needed from now on; it was long ago that none had cosigned.
    let witnesses = scene.rules.witnesses().map(|(key, place)| OwnWitness {
        key: key.clone(),
        place: place.clone(),
    });
    let rules = WitnessRules::new(witnesses.collect(), 2, LIMIT);
    let own = scene.provider.witnesses.own_key().clone();
    let (client, long_ago) = (scene.line.clone(), UnixMillis(0));
    let witnessing = Witnessing::new(own, rules.unwrap(), client, long_ago);
    let tenant = TenantServices {
        witnesses: Arc::new(witnessing),
        ..TenantServices::clone(&scene.provider)
    };
    begin(&tenant).await.unwrap();
    let seen = tenant.witnesses.seen(tenant.node.clock.now()).unwrap();
    assert_eq!((seen.size, seen.provides), (0, true));
    assert_eq!(seen.age, Duration::from_hours(1));
}

#[tokio::test]
async fn a_reading_is_shown_under_the_witnesses_signatures_once_they_cover_it() {
    let scene = Scene::new().await;
    scene.round().await;
    let reader = officer(&scene.provider, "kato");
    let read = async || {
        let story = audit::story(&scene.provider, &reader, 0, deadline()).await;
        story.unwrap().into_parts().0
    };
    let story = read().await;
    assert_eq!(story.cosigning, audit::Cosigning::Cosigned);
    let receipt = story.row.receipt.unwrap();
    let note = SignedNote::parse(&receipt.checkpoint).unwrap();
    note.cosigned(scene.world.requester.witnesses.own_key())
        .unwrap();
    let key = scene.provider.log.reader().verifier_key();
    vrx_tlog::verify_receipt(&receipt, key, None).unwrap();
    let (receipt, none) = {
        let plain = audit::story(&scene.world.provider, &reader, 0, deadline()).await;
        let plain = plain.unwrap().into_parts().0;
        (plain.row.receipt.unwrap(), plain.cosigning)
    };
    assert_eq!(none, audit::Cosigning::NoWitnesses);
    let note = SignedNote::parse(&receipt.checkpoint).unwrap();
    assert_eq!(note.signatures().len(), 1);
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
        witnesses: Arc::new(Witnessing::new(own, rules, scene.line.clone(), now)),
        ..TenantServices::clone(tenant)
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
