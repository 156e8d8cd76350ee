use std::sync::atomic::{AtomicBool, Ordering};

use vrx_domain::{Clock, ConsentMethod, Reference};
use vrx_tlog::Receipt;

use super::*;
use crate::{
    ports::PeerOutcome,
    registry::{AdoptRequest, adopt},
    testing::{PROVIDER, Resident, World, deadline, rewritten, size, staff},
};

pub(crate) async fn populated() -> World {
    let world = World::new().await;
    let moved = [
        Resident::moved(1),
        Resident {
            doses: vec!["20210622", "20210601"],
            ..Resident::moved(2)
        },
    ];
    World::register(&world.provider, &moved).await;
    let here = Resident {
        ceased: "",
        doses: vec![],
        ..Resident::moved(1)
    };
    World::register(&world.requester, &[here]).await;
    world
}

pub(crate) async fn asked(world: &World, request: InquireRequest) -> InquiryReport {
    let caller = staff(&world.requester, "sato");
    inquire(&world.requester, &caller, request, deadline())
        .await
        .unwrap()
        .into_parts()
        .0
}

/// Name and value of the newest entry's content in the requester's log.
async fn newest(world: &World, name: &str) -> String {
    let index = size(&world.requester) - 1;
    let entry = world
        .requester
        .log
        .reader()
        .entry(index, deadline())
        .await
        .unwrap()
        .entry;
    let content = entry.opening.unwrap().content;
    let values: Vec<&[u8]> = content.values().collect();
    let found = values
        .chunks(2)
        .find(|pair| pair[0] == name.as_bytes())
        .map(|pair| pair[1].to_vec());
    String::from_utf8(found.unwrap_or_default()).unwrap()
}

#[tokio::test]
async fn what_was_found_is_shown_kept_and_recorded_on_both_sides() {
    let world = populated().await;
    let (ours, theirs) = (size(&world.requester), size(&world.provider));
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(report.word, InquiryWord::Found);
    assert_eq!(
        (report.doses.len(), report.held_back, report.reason),
        (2, 0, None)
    );
    assert_eq!(report.birth_date, Some(BirthDateCheck::Same));
    assert_eq!(report.provider_log_index, Some(theirs));
    assert_eq!(
        (size(&world.requester), size(&world.provider)),
        (ours + 2, theirs + 1)
    );
    assert_eq!(newest(&world, "outcome").await, "found");
    let kept = world
        .requester
        .registry
        .inquiry(report.inquiry, world.clock.now())
        .await
        .unwrap();
    assert!(kept.is_some());
}

#[tokio::test]
async fn the_inquirys_own_entry_is_on_the_disk_before_the_number_leaves() {
    let world = populated().await;
    let before = size(&world.requester);
    let (requester, seen) = (
        Arc::clone(&world.requester),
        Arc::new(AtomicBool::new(false)),
    );
    let told = Arc::clone(&seen);
    world.before_sending(move || {
        told.store(size(&requester) == before + 1, Ordering::SeqCst);
    });
    asked(&world, world.inquiry(1)).await;
    assert!(seen.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_number_doesnt_leave_when_its_entry_cant_be_made() {
    let world = populated().await;
    assert!(world.requester.log.shutdown(deadline()).await);
    let caller = staff(&world.requester, "sato");
    let refused = inquire(&world.requester, &caller, world.inquiry(1), deadline()).await;
    assert_eq!(refused.err(), Some(ServiceError::unavailable()));
    assert_eq!(world.line.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nothing_is_proved_and_all_held_back_is_found() {
    let world = populated().await;
    let report = asked(&world, world.inquiry(77)).await;
    assert_eq!(report.word, InquiryWord::Nothing);
    assert!(report.doses.is_empty() && report.expires_at.is_none() && report.birth_date.is_none());
    assert!(report.provider_log_index.is_some());
    assert_eq!(newest(&world, "outcome").await, "nothing");
    let kept = world
        .requester
        .registry
        .inquiry(report.inquiry, world.clock.now())
        .await
        .unwrap();
    assert!(kept.is_none(), "nothing of a nothing is kept");

    let report = asked(&world, world.inquiry(2)).await;
    assert_eq!(
        (report.word, report.doses.len(), report.held_back),
        (InquiryWord::Found, 0, 2)
    );
    assert_eq!(report.birth_date, Some(BirthDateCheck::NotRegistered));
}

#[tokio::test]
async fn refused_and_failed_are_said_and_recorded() {
    let world = populated().await;
    world.tamper(|_| {
        Err(PeerError::Refused {
            code: "invalid-argument",
            field: Some("event_date"),
        })
    });
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason, report.field),
        (
            InquiryWord::Refused,
            Some("invalid-argument"),
            Some("event_date")
        )
    );
    assert_eq!(newest(&world, "outcome").await, "refused");
    world.tamper(|_| Err(PeerError::Failed("unreachable")));
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("unreachable"))
    );
    assert_eq!(newest(&world, "outcome").await, "failed");
}

fn receipt_of(reply: &mut PeerReply) -> &mut Receipt {
    match &mut reply.outcome {
        PeerOutcome::Found { receipt, .. } | PeerOutcome::Nothing { receipt, .. } => receipt,
    }
}

fn rewrite(reply: &mut PeerReply, from: &str, to: &str) {
    if let PeerOutcome::Found { answer, .. } = &mut reply.outcome {
        *answer = rewritten(answer, from, to);
    }
}

#[tokio::test]
async fn an_answer_that_fails_a_check_is_never_adoptable() {
    type Change = fn(&mut PeerReply);
    let changes: [(&str, Change); 14] = [
        ("receipt-doesnt-hold", |reply| {
            receipt_of(reply).leaf[50] ^= 1;
        }),
        ("receipt-doesnt-hold", |reply| {
            receipt_of(reply).log_index += 1;
        }),
        ("receipt-doesnt-hold", |reply| {
            receipt_of(reply).inclusion_proof[0][0] ^= 1;
        }),
        ("receipt-doesnt-hold", |reply| {
            receipt_of(reply).inclusion_proof.clear();
        }),
        ("receipt-doesnt-hold", |reply| {
            let receipt = receipt_of(reply);
            receipt.checkpoint = receipt.checkpoint.replace(PROVIDER, "141003");
        }),
        ("receipt-doesnt-hold", |reply| {
            let receipt = receipt_of(reply);
            receipt.checkpoint = receipt.checkpoint.lines().take(3).collect();
        }),
        ("provider-log-unproved", |reply| {
            receipt_of(reply).consistency_proof.push([0; 32]);
        }),
        ("actor-commitment", |reply| {
            reply.presented.fingerprint[0] ^= 1;
        }),
        ("actor-commitment", |reply| {
            if let PeerOutcome::Found { k_actor, .. } = &mut reply.outcome {
                k_actor[0] ^= 1;
            }
        }),
        ("subject-commitment", |reply| {
            if let PeerOutcome::Found { k_subject, .. } = &mut reply.outcome {
                k_subject[0] ^= 1;
            }
        }),
        ("content-commitment", |reply| {
            if let PeerOutcome::Found { k_content, .. } = &mut reply.outcome {
                k_content[0] ^= 1;
            }
        }),
        ("content-commitment", |reply| {
            rewrite(reply, "2021-06-01", "2021-06-02");
        }),
        ("content-commitment", |reply| {
            rewrite(reply, "1980-05-05", "1980-05-06");
        }),
        ("answer-malformed", |reply| rewrite(reply, "|", ";")),
    ];
    let world = populated().await;
    for (reason, change) in changes {
        world.tamper(move |mut reply| {
            change(&mut reply);
            Ok(reply)
        });
        let report = asked(&world, world.inquiry(1)).await;
        assert_eq!(
            (report.word, report.reason),
            (InquiryWord::Failed, Some(reason))
        );
        assert!(report.doses.is_empty() && report.expires_at.is_none());
        assert_eq!(newest(&world, "reason").await, reason);
        let other = staff(&world.requester, "suzuki");
        let request = AdoptRequest {
            inquiry: report.inquiry,
            confirm_birth_date_difference: false,
        };
        let adopted = adopt(&world.requester, &other, request, deadline()).await;
        assert_eq!(adopted.err(), Some(ServiceError::NotFound));
    }
}

#[tokio::test]
async fn a_nothing_that_fails_a_check_is_failed_and_never_nothing() {
    type Change = fn(&mut PeerReply);
    let changes: [(&str, Change); 4] = [
        ("receipt-doesnt-hold", |reply| {
            receipt_of(reply).leaf[50] ^= 1;
        }),
        ("actor-commitment", |reply| {
            if let PeerOutcome::Nothing { k_actor, .. } = &mut reply.outcome {
                k_actor[0] ^= 1;
            }
        }),
        ("content-commitment", |reply| {
            if let PeerOutcome::Nothing { k_content, .. } = &mut reply.outcome {
                k_content[0] ^= 1;
            }
        }),
        ("request-id", |reply| {
            if let PeerOutcome::Nothing { request_id, .. } = &mut reply.outcome {
                *request_id = "00000000-0000-4000-8000-000000000001".into();
            }
        }),
    ];
    let world = populated().await;
    for (reason, change) in changes {
        world.tamper(move |mut reply| {
            change(&mut reply);
            Ok(reply)
        });
        let report = asked(&world, world.inquiry(77)).await;
        assert_eq!(
            (report.word, report.reason),
            (InquiryWord::Failed, Some(reason))
        );
    }
}

#[tokio::test]
async fn a_found_answer_passed_off_as_nothing_and_an_old_answer_served_again_are_failed() {
    let world = populated().await;
    world.tamper(|reply| {
        Ok(match reply.outcome {
            PeerOutcome::Found {
                k_actor,
                k_content,
                receipt,
                ..
            } => PeerReply {
                presented: reply.presented,
                outcome: PeerOutcome::Nothing {
                    request_id: String::new(),
                    k_actor,
                    k_content,
                    receipt,
                },
            },
            PeerOutcome::Nothing { .. } => reply,
        })
    });
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("content-commitment"))
    );

    // The answer to one inquiry doesn't serve for another, even of the same person by the same caller.
    let kept: Arc<parking_lot::Mutex<Option<PeerReply>>> = Arc::default();
    let slot = Arc::clone(&kept);
    world.tamper(move |reply| {
        let mut slot = slot.lock();
        if let Some(old) = slot.take() {
            return Ok(old);
        }
        *slot = Some(reply);
        Err(PeerError::Failed("lost"))
    });
    asked(&world, world.inquiry(1)).await;
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("actor-commitment"))
    );
}

#[tokio::test]
async fn the_next_answer_must_continue_the_checkpoint_that_is_known() {
    let world = populated().await;
    asked(&world, world.inquiry(1)).await;
    let code = PROVIDER.parse().unwrap();
    let kept = world
        .requester
        .registry
        .peer_checkpoint(code)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.size, size(&world.provider));
    // An honest one does.
    assert_eq!(
        asked(&world, world.inquiry(77)).await.word,
        InquiryWord::Nothing
    );
    // One without the proof doesn't.
    world.tamper(|mut reply| {
        receipt_of(&mut reply).consistency_proof.clear();
        Ok(reply)
    });
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("provider-log-unproved"))
    );
}

#[tokio::test]
async fn what_may_not_be_asked_leaves_no_trace_and_no_byte() {
    type Change = fn(&mut InquireRequest);
    let world = populated().await;
    let before = size(&world.requester);
    let caller = staff(&world.requester, "sato");
    let refused: [(&str, Change); 5] = [
        ("operator_ref", |request| {
            request.evidence.operator_ref = Reference::parse("suzuki").unwrap();
        }),
        ("municipality_code", |request| {
            request.provider = "141003".parse().unwrap();
        }),
        ("municipality_code", |request| {
            request.provider = "011002".parse().unwrap();
        }),
        ("consent.method", |request| {
            request.evidence.consent.method = ConsentMethod::HardToObtain;
        }),
        ("event_date", |request| {
            request.evidence.event_date = crate::testing::day("2027-01-01");
        }),
    ];
    for (field, change) in refused {
        let mut request = world.inquiry(1);
        change(&mut request);
        let result = inquire(&world.requester, &caller, request, deadline()).await;
        assert_eq!(result.err().and_then(|error| error.field()), Some(field));
    }
    assert_eq!(size(&world.requester), before);
    assert_eq!(world.line.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_protected_persons_requester_is_concealed_without_being_asked() {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1)]).await;
    let here = Resident {
        ceased: "",
        protected_from: "2026-01-01",
        doses: vec![],
        ..Resident::moved(1)
    };
    World::register(&world.requester, &[here]).await;
    assert_eq!(
        asked(&world, world.inquiry(1)).await.word,
        InquiryWord::Found
    );
    let index = size(&world.provider) - 1;
    let entry = world
        .provider
        .log
        .reader()
        .entry(index, deadline())
        .await
        .unwrap()
        .entry;
    assert_eq!(
        entry.opening.unwrap().actor.get("conceal_requester"),
        Some(b"1".as_slice())
    );
}

#[tokio::test]
async fn a_checkpoint_that_the_directorys_key_didnt_sign_is_refused() {
    let world = populated().await;
    world.tamper(|mut reply| {
        let receipt = receipt_of(&mut reply);
        let cut = receipt.checkpoint.trim_end().len() - 8;
        receipt.checkpoint.replace_range(cut..cut + 4, "AAAA");
        Ok(reply)
    });
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("receipt-doesnt-hold"))
    );
}

#[tokio::test]
async fn only_staff_of_this_very_tenant_may_inquire() {
    let world = populated().await;
    for caller in [
        staff(&world.provider, "sato"),
        crate::testing::officer(&world.requester, "sato"),
    ] {
        let refused = inquire(&world.requester, &caller, world.inquiry(1), deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
    }
    assert_eq!(world.line.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_at_a_place_whose_receipt_is_held_already_is_a_fork_and_not_adoptable() {
    let world = populated().await;
    let place = size(&world.provider);
    let provider = world
        .requester
        .node
        .members
        .get(PROVIDER.parse().unwrap())
        .unwrap();
    let held = vrx_storage::KeptReceipt {
        provider: provider.code,
        origin: VerifierKey::parse(&provider.log_vkey)
            .unwrap()
            .name()
            .to_owned(),
        log_index: place,
        entered_at: world.clock.now(),
        request_id: world.inquiry(1).request_id,
        leaf: [0; 134],
        note: String::new(),
        proof: Vec::new(),
    };
    let act = Act {
        kind: EntryKind::Control,
        caller: &staff(&world.requester, "sato"),
        action: "test",
        about: None,
        content: &[],
    };
    let keep = Some(Change::keep_receipt(held));
    assert!(
        act.record(&world.requester, keep, (), deadline())
            .await
            .is_ok()
    );
    let before = size(&world.requester);
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.reason),
        (InquiryWord::Failed, Some("provider-log-forked"))
    );
    assert_eq!(size(&world.requester), before + 2, "sent, and its outcome");
    let kept = world
        .requester
        .registry
        .inquiry(report.inquiry, world.clock.now())
        .await
        .unwrap();
    assert!(kept.is_none());
    // The next answer has a place of its own.
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(report.word, InquiryWord::Found);
}
