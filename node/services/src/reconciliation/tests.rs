use std::sync::Arc;

use vrx_domain::{Caller, Clock, EntryKind, Member, MemberWitnesses, RequestId, Role};
use vrx_provision_log::StoredEntry;
use vrx_tlog::{Checkpoint, NoTiles, SignedNote, Tree, VerifierKey, cosign, leaf_hash, sign_note};

use super::{pair::Pair, *};
use crate::{
    ServiceError,
    audit::list::content_value,
    ports::{PeerError, ProvisionsReply},
    registry::{inquire, known_checkpoint},
    tenants::TenantServices,
    testing::{PROVIDER, REQUESTER, Resident, World, caller, deadline, officer, size, staff},
};

/// A world in which the requester asked for somebody who is known and for others who aren't.
async fn asked(serials: &[u32]) -> World {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1)]).await;
    for serial in serials {
        ask(&world, *serial).await;
    }
    world
}

async fn ask(world: &World, serial: u32) {
    let (desk, inquiry) = (staff(&world.requester, "sato"), world.inquiry(serial));
    inquire(&world.requester, &desk, inquiry, deadline())
        .await
        .unwrap();
}

fn provider(world: &World) -> &Member {
    let code = PROVIDER.parse().unwrap();
    world.requester.node.members.get(code).unwrap()
}

async fn reconcile(world: &World) -> Result<Reconciled, NotReconciled> {
    let pair = Pair::of(&world.requester, provider(world)).unwrap();
    pair.reconcile(&mut None).await
}

/// Alarms in a log: what they say of the alarm, the difference and the place.
async fn alarms(tenant: &TenantServices) -> Vec<(String, String, String)> {
    let entries = tenant.log.reader().entries(0, 4000, deadline()).await;
    let alarm = |entry: &StoredEntry| {
        let opening = entry.opening.as_ref().unwrap();
        let value = |name| content_value(&opening.content, name);
        let is_alarm = opening.actor.get("action") == Some(b"alarm");
        is_alarm.then(|| (value("alarm"), value("difference"), value("log_index")))
    };
    entries.unwrap().iter().filter_map(alarm).collect()
}

#[tokio::test]
async fn what_was_given_and_what_was_got_agree_and_the_next_time_goes_on_from_there() {
    let world = asked(&[1, 2, 1, 3, 4]).await;
    let before = size(&world.requester);
    let first = reconcile(&world).await.unwrap();
    assert_eq!((first.provisions, first.receipts), (5, 5));
    assert_eq!((first.unanswered, first.differences), (0, 0));
    assert_eq!(first.from_index, 0);
    assert_eq!(first.until_index, first.checkpoint_size);
    assert_eq!(size(&world.requester), before + 1, "one entry");

    ask(&world, 1).await;
    let second = reconcile(&world).await.unwrap();
    assert_eq!(second.from_index, first.until_index);
    assert_eq!((second.provisions, second.receipts), (1, 1));
    assert_eq!(alarms(&world.requester).await, []);
    assert_eq!(alarms(&world.provider).await, []);
}

#[tokio::test]
async fn an_answer_that_was_lost_on_its_way_is_no_difference_and_one_under_way_waits() {
    let world = asked(&[1]).await;
    world.tamper(|_| Err(PeerError::Failed("connection-lost")));
    ask(&world, 1).await;
    let lost = reconcile(&world).await.unwrap();
    assert_eq!((lost.provisions, lost.receipts, lost.unanswered), (2, 1, 1));
    assert_eq!(lost.differences, 0);

    // The question left and its outcome isn't recorded: as if the reconciliation came in between.
    let (peer, member) = world.peer();
    let inquiry = world.inquiry(2);
    let desk = staff(&world.requester, "sato");
    let on_its_way = crate::exchange::ExchangeQuery {
        request_id: inquiry.request_id,
        ..world.query(2)
    };
    sent(&world, &desk, inquiry.request_id).await;
    let answered =
        crate::exchange::provide(&world.provider, &peer, &member, on_its_way, deadline()).await;
    answered.unwrap();
    let waiting = reconcile(&world).await.unwrap();
    assert_eq!((waiting.provisions, waiting.differences), (0, 0));
    assert!(waiting.until_index < waiting.checkpoint_size);
    world.clock.advance(10 * 60 * 1000);
    let settled = reconcile(&world).await.unwrap();
    assert_eq!((settled.provisions, settled.unanswered), (1, 1));
}

/// The entry that stands before a question's first byte leaves.
async fn sent(world: &World, desk: &Caller, request: RequestId) {
    let content = [
        ("phase", "sent".to_owned()),
        ("request_id", request.to_string()),
        ("municipality_code", PROVIDER.to_owned()),
    ];
    let act = crate::record::Act {
        kind: EntryKind::Inquiry,
        caller: desk,
        action: "inquire",
        about: None,
        content: &crate::record::pairs(&content),
    };
    let recorded = act.record(&world.requester, None, (), deadline()).await;
    recorded.unwrap_or_else(|_| panic!("recorded"));
}

#[tokio::test]
async fn an_entry_without_an_inquiry_reaches_both_officers() {
    let world = asked(&[1]).await;
    // Somebody with the requester's certificate asks past its node: no inquiry stands in its log.
    let (peer, member) = world.peer();
    let query = world.query(1);
    let request = query.request_id;
    crate::exchange::provide(&world.provider, &peer, &member, query, deadline())
        .await
        .unwrap();
    let found = reconcile(&world).await.unwrap();
    assert_eq!((found.provisions, found.differences), (2, 1));
    assert!(found.told);
    let [named] = found.named[..] else {
        panic!("one difference")
    };
    assert_eq!(
        (named.kind, named.request_id),
        (DifferenceKind::EntryWithoutInquiry, request)
    );
    let place = named.log_index.to_string();
    let here = (
        "entry-without-inquiry".to_owned(),
        String::new(),
        place.clone(),
    );
    let there = (
        "member-reports-difference".to_owned(),
        "entry-without-inquiry".to_owned(),
        place,
    );
    assert_eq!(alarms(&world.requester).await, [here]);
    assert_eq!(alarms(&world.provider).await, [there]);
}

#[tokio::test]
async fn an_entry_that_the_provider_leaves_out_is_a_receipt_without_entry() {
    let world = asked(&[1, 2, 3]).await;
    world.tamper_provisions(|mut reply: ProvisionsReply| {
        reply.provisions.retain(|one| one.log_index % 2 == 1);
        Ok(reply)
    });
    let found = reconcile(&world).await.unwrap();
    assert!(found.differences > 0);
    let kinds = found.named.iter().map(|one| one.kind);
    assert!(
        kinds
            .clone()
            .all(|kind| kind == DifferenceKind::ReceiptWithoutEntry)
    );
    assert_eq!(found.provisions + found.differences, 3);
    // The provider heard it though it kept silent itself.
    assert_eq!(
        alarms(&world.provider).await.len() as u64,
        found.differences
    );
}

#[tokio::test]
async fn a_provider_that_shows_another_tree_is_an_alarm_and_nothing_moves_on() {
    type Tamper = fn(ProvisionsReply) -> ProvisionsReply;
    let spoilt: [(&str, Tamper); 3] = [
        ("provider-checkpoint-invalid", |mut reply| {
            reply.checkpoint = reply.checkpoint.replacen('\n', "\n1", 1);
            reply
        }),
        ("provision-doesnt-hold", |mut reply| {
            reply.provisions[0].leaf[100] ^= 1;
            reply
        }),
        ("provision-doesnt-hold", |mut reply| {
            reply.provisions[0].inclusion_proof[0][3] ^= 1;
            reply
        }),
    ];
    for (alarm, spoil) in spoilt {
        let world = asked(&[1, 2]).await;
        // So that the newest checkpoint known is behind.
        let (peer, member) = world.peer();
        let query = world.query(9);
        crate::exchange::provide(&world.provider, &peer, &member, query, deadline())
            .await
            .unwrap();
        let mut first = true;
        world.tamper_provisions(move |reply| {
            let spoilt = if first { spoil(reply) } else { reply };
            first = false;
            Ok(spoilt)
        });
        let refused = reconcile(&world).await.err();
        assert_eq!(refused, Some(NotReconciled::Contradiction(alarm)));
        let seen = alarms(&world.requester).await;
        assert_eq!(seen.len(), 1, "{alarm}");
        assert_eq!(seen[0].0, alarm);
        let pair = Pair::of(&world.requester, provider(&world)).unwrap();
        assert_eq!(pair.standing().await.unwrap().until, 0);
    }
}

/// Makes the provider's next list lead to the checkpoint that `change` makes of the one known here, with this proof.
async fn shows(world: &World, change: fn(&mut Checkpoint), proof: Vec<[u8; 32]>) {
    let member = provider(world);
    let key = VerifierKey::parse(&member.log_vkey).unwrap();
    let known = known_checkpoint::load(&world.requester, member, &key).await;
    let mut checkpoint = known.unwrap().unwrap();
    change(&mut checkpoint);
    let keyring = Arc::clone(&world.provider.keyring);
    let note = sign_note(&checkpoint.body(), &key, |text| keyring.sign_log(text));
    world.tamper_provisions(move |mut reply| {
        reply.checkpoint.clone_from(&note);
        reply.consistency_proof.clone_from(&proof);
        Ok(reply)
    });
}

#[tokio::test]
async fn two_signed_checkpoints_that_contradict_are_a_forked_log_and_a_missing_proof_is_none() {
    let world = asked(&[1, 2]).await;
    shows(&world, |known| known.root = [9; 32], vec![]).await;
    let forked = Some(NotReconciled::Contradiction("provider-log-forked"));
    assert_eq!(reconcile(&world).await.err(), forked);
    assert_eq!(alarms(&world.requester).await[0].0, "provider-log-forked");

    let world = asked(&[1, 2]).await;
    for proof in [vec![], vec![[1; 32]], vec![[1; 32]; 3]] {
        shows(&world, |known| known.size += 1, proof).await;
        let refused = reconcile(&world).await.err();
        assert_eq!(refused, Some(NotReconciled::Unproved));
    }
    assert_eq!(alarms(&world.requester).await, [], "nothing is shown yet");
    let pair = Pair::of(&world.requester, provider(&world)).unwrap();
    let since = Some(world.clock.now());
    world.clock.advance(24 * 60 * 60 * 1000 - 1);
    assert!(!pair.alarm_when_overdue(since).await.unwrap());
    world.clock.advance(1);
    assert!(pair.alarm_when_overdue(since).await.unwrap());
    let seen = alarms(&world.requester).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].0, "provider-gives-no-proof");
}

#[tokio::test]
async fn a_log_that_forked_at_a_power_of_two_is_convicted_by_the_proof_from_the_next_size() {
    let world = asked(&[1]).await;
    let member = provider(&world);
    let key = VerifierKey::parse(&member.log_vkey).unwrap();
    let known = async || {
        let known = known_checkpoint::load(&world.requester, member, &key).await;
        known.unwrap().unwrap()
    };
    while !known().await.size.is_power_of_two() {
        ask(&world, 2).await;
    }
    let size = known().await.size;
    let mut other = Tree::new();
    (0..2 * size).for_each(|index| other.append(leaf_hash(&index.to_be_bytes())));
    let checkpoint = Checkpoint {
        origin: key.name().to_owned(),
        size: 2 * size,
        root: other.root(),
    };
    let keyring = &world.provider.keyring;
    let note = sign_note(&checkpoint.body(), &key, |text| keyring.sign_log(text));
    let proof = |from| other.snapshot().consistency(from, &NoTiles).unwrap();
    let mut proofs = vec![proof(size + 1), proof(size)];
    world.tamper_provisions(move |mut reply| {
        reply.checkpoint.clone_from(&note);
        reply.consistency_proof = proofs.pop().unwrap();
        Ok(reply)
    });
    let forked = Some(NotReconciled::Contradiction("provider-log-forked"));
    assert_eq!(reconcile(&world).await.err(), forked);
}

#[tokio::test]
async fn a_receipt_that_nobody_joins_within_a_day_is_an_alarm() {
    let world = asked(&[1]).await;
    world.tamper_provisions(|_| Err(PeerError::Failed("no-connection")));
    let pair = Pair::of(&world.requester, provider(&world)).unwrap();
    assert!(reconcile(&world).await.is_err());
    assert!(!pair.alarm_when_overdue(None).await.unwrap());
    world.clock.advance(24 * 60 * 60 * 1000);
    assert!(pair.alarm_when_overdue(None).await.unwrap());
    let seen = alarms(&world.requester).await;
    assert_eq!(seen[0].0, "receipt-not-joined");
    world.tamper_provisions(Ok);
    reconcile(&world).await.unwrap();
    assert!(!pair.alarm_when_overdue(None).await.unwrap());
}

#[tokio::test]
async fn a_list_that_would_never_end_ends() {
    let world = asked(&[1, 2, 3]).await;
    world.tamper_provisions(|mut reply| {
        reply.provisions.clear();
        reply.until_index = 0;
        reply.next_page_token = "00".to_owned();
        Ok(reply)
    });
    let refused = reconcile(&world).await.err();
    let broken = PeerError::Failed("broken-reply");
    assert_eq!(refused, Some(NotReconciled::Peer(broken)));
}

#[tokio::test]
async fn nobody_sees_or_reports_anything_about_another_callers_requests() {
    let world = asked(&[1, 2]).await;
    let origin = vrx_tlog::origin("vrx.example", PROVIDER, 1);
    let request = |origin: &str| ListProvisions {
        log_origin: origin.to_owned(),
        from_index: 0,
        known_log_size: 0,
        page_size: 0,
        page_token: Vec::new(),
    };
    let (_, member) = world.peer();
    let other = Member {
        code: "131041".parse().unwrap(),
        ..member.clone()
    };
    let stranger = caller("131041", Role::Exchange, None);
    let page = list_provisions(
        &world.provider,
        &stranger,
        &other,
        request(&origin),
        deadline(),
    )
    .await;
    let page = page.unwrap().into_parts().0;
    assert_eq!(page.provisions, []);
    assert!(page.until_index > 0);

    let desk = staff(&world.provider, "sato");
    let own = caller(PROVIDER, Role::Exchange, None);
    for who in [&desk, &own] {
        let asked = request(&origin);
        let refused = list_provisions(&world.provider, who, &member, asked, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
        let refused = report_differences(&world.provider, who, &member, &origin, &[], deadline());
        assert_eq!(refused.await.err(), Some(ServiceError::PermissionDenied));
    }
    let (peer, member) = world.peer();
    let foreign = vrx_tlog::origin("vrx.example", REQUESTER, 1);
    let refused = list_provisions(
        &world.provider,
        &peer,
        &member,
        request(&foreign),
        deadline(),
    )
    .await;
    assert_eq!(refused.err(), Some(ServiceError::NotFound));
    let none = report_differences(&world.provider, &peer, &member, &origin, &[], deadline()).await;
    let field = none.err().and_then(|error| error.field());
    assert_eq!(field, Some("differences"));
}

#[tokio::test]
async fn an_officer_reconciles_now_and_that_is_an_entry_too() {
    let world = asked(&[1]).await;
    let requester = Arc::clone(&world.requester);
    let (who, code) = (officer(&requester, "mori"), PROVIDER.parse().unwrap());
    let before = size(&requester);
    let outcome = reconcile_now(&requester, &who, code, deadline()).await;
    let done = outcome.unwrap().into_parts().0.unwrap();
    assert_eq!((done.provisions, done.differences), (1, 0));
    assert_eq!(size(&requester), before + 2);
    for other in [REQUESTER, "131041"] {
        let refused = reconcile_now(&requester, &who, other.parse().unwrap(), deadline()).await;
        let field = refused.err().and_then(|error| error.field());
        assert_eq!(field, Some("provider_code"));
    }
    let desk = staff(&requester, "sato");
    let refused = reconcile_now(&requester, &desk, code, deadline()).await;
    assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
}

#[tokio::test]
async fn a_checkpoint_that_nobody_else_saw_joins_nothing_where_the_directory_names_witnesses() {
    let world = asked(&[1, 2]).await;
    let witness = world.requester.witnesses.own_key().clone();
    let member = Member {
        witnesses: MemberWitnesses {
            keys: vec![witness.to_string()],
            needed: 1,
        },
        ..provider(&world).clone()
    };
    let pair = Pair::of(&world.requester, &member).unwrap();
    let alone = pair.reconcile(&mut None).await.err();
    let missing = NotReconciled::NotWitnessed { by: 0, needed: 1 };
    assert_eq!(alone, Some(missing));
    assert_eq!(pair.standing().await.unwrap().until, 0);
    world.clock.advance(24 * 60 * 60 * 1000);
    assert!(pair.alarm_when_overdue(None).await.unwrap());

    let keyring = Arc::clone(&world.requester.keyring);
    world.tamper_provisions(move |mut reply| {
        if let Ok(note) = SignedNote::parse(&reply.checkpoint) {
            let line = cosign(note.text(), &witness, 1_800_000_000, |message| {
                keyring.sign_witness(message)
            });
            reply.checkpoint = note.with(line.unwrap()).to_string();
        }
        Ok(reply)
    });
    let seen = pair.reconcile(&mut None).await.unwrap();
    assert_eq!((seen.receipts, seen.differences), (2, 0));
}

#[tokio::test]
async fn receipts_newer_than_the_checkpoint_of_the_list_wait_for_the_next_one() {
    let world = asked(&[1, 2]).await;
    let old = world.provider.log.checkpoint();
    let known = old.size();
    ask(&world, 3).await;
    ask(&world, 4).await;
    // What a provider lists whose witnesses haven't seen its newest entries: proofs to an older checkpoint.
    let provider = Arc::clone(&world.provider);
    let newer = provider.log.checkpoint();
    let reader = Arc::clone(provider.log.reader());
    let consistency = reader
        .consistency_within(known, newer.size(), deadline())
        .await;
    let consistency = consistency.unwrap();
    let mut inclusions = Vec::new();
    for index in 0..known {
        inclusions.push(
            reader
                .inclusion_within(index, known, deadline())
                .await
                .unwrap(),
        );
    }
    world.tamper_provisions(move |mut reply| {
        reply.provisions.retain(|one| one.log_index < known);
        for one in &mut reply.provisions {
            one.inclusion_proof = inclusions[usize::try_from(one.log_index).unwrap()].clone();
        }
        if !reply.checkpoint.is_empty() {
            old.note().clone_into(&mut reply.checkpoint);
            reply.consistency_proof.clone_from(&consistency);
        }
        if reply.until_index >= known {
            reply.until_index = known;
            reply.next_page_token.clear();
        }
        Ok(reply)
    });
    let first = reconcile(&world).await.unwrap();
    assert_eq!((first.until_index, first.receipts), (known, 2));
    assert_eq!(first.differences, 0);
    world.tamper_provisions(Ok);
    let second = reconcile(&world).await.unwrap();
    assert_eq!((second.receipts, second.differences), (2, 0));
}
