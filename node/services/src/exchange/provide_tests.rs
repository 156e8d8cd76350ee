use std::time::Duration;

use vrx_domain::{ConsentMethod, Role};
use vrx_provision_log::Deadline;
use vrx_tlog::{VerifierKey, verify_receipt};

use super::*;
use crate::{
    TenantPolicy,
    testing::{
        File, REQUESTER, Resident, World, caller, deadline, doses_csv, import, persons_csv, size,
    },
};

async fn ask(
    world: &World,
    query: ExchangeQuery,
) -> Result<Recorded<ExchangeAnswer>, ServiceError> {
    let (peer, member) = world.peer();
    provide(&world.provider, &peer, &member, query, deadline()).await
}

/// The cause in the newest entry of the provider's log.
async fn newest_cause(world: &World) -> String {
    let index = size(&world.provider) - 1;
    let entry = world
        .provider
        .log
        .reader()
        .entry(index, deadline())
        .await
        .unwrap()
        .entry;
    let opening = entry.opening.unwrap();
    let cause = opening
        .subject
        .get("cause")
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    String::from_utf8(cause).unwrap()
}

async fn populated() -> World {
    let world = World::new().await;
    let residents = [
        Resident::moved(1),
        Resident {
            doses: vec![],
            ..Resident::moved(2)
        },
        Resident {
            protected_from: "2030-01-01",
            ..Resident::moved(3)
        },
        Resident {
            ceased: "",
            ..Resident::moved(4)
        },
        Resident {
            doses: vec!["20210622", "20210601"],
            ..Resident::moved(5)
        },
    ];
    World::register(&world.provider, &residents).await;
    let entered = [Resident::moved(6)];
    import(
        &world.provider,
        "sato",
        File::Persons,
        &persons_csv(&entered),
    )
    .await;
    import(&world.provider, "sato", File::Doses, &doses_csv(&entered)).await;
    world
}

#[tokio::test]
async fn each_case_gets_its_answer_its_cause_and_one_entry() {
    let world = populated().await;
    for (serial, found, cause) in [
        (1, true, "provided"),
        (2, false, "no-doses"),
        (3, false, "protected"),
        (4, false, "not-moved-out"),
        (5, true, "provided"),
        (6, false, ""),
        (99, false, ""),
    ] {
        let before = size(&world.provider);
        let query = world.query(serial);
        let request_id = query.request_id;
        let (answer, receipt, _) = ask(&world, query).await.unwrap().into_parts();
        assert_eq!(size(&world.provider), before + 1, "one entry for {serial}");
        assert_eq!(receipt.log_index, before);
        assert_eq!(newest_cause(&world).await, cause, "cause of {serial}");
        match answer {
            ExchangeAnswer::Found(bytes) => {
                assert!(found, "{serial}");
                let answer = world.provider.node.codec.decode(bytes.as_bytes()).unwrap();
                assert_eq!(answer.request_id, request_id);
                let expected = if serial == 1 { (2, 0) } else { (0, 2) };
                assert_eq!((answer.doses.len(), answer.held_back), expected);
            }
            ExchangeAnswer::Nothing => assert!(!found, "{serial}"),
        }
    }
}

#[tokio::test]
async fn a_retry_is_recorded_again_and_its_salt_differs() {
    let world = populated().await;
    let before = size(&world.provider);
    let mut answers = Vec::new();
    let request_id = world.query(1).request_id;
    for _ in 0..2 {
        let query = ExchangeQuery {
            request_id,
            ..world.query(1)
        };
        match ask(&world, query).await.unwrap().into_parts().0 {
            ExchangeAnswer::Found(bytes) => answers.push(bytes.into_bytes()),
            ExchangeAnswer::Nothing => panic!("found"),
        }
    }
    assert_eq!(size(&world.provider), before + 2);
    assert_ne!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_receipt_holds_and_continues_the_checkpoint_that_was_known() {
    let world = populated().await;
    let key = VerifierKey::parse(
        &world
            .provider
            .node
            .members
            .get(world.provider.tenant.code)
            .unwrap()
            .log_vkey,
    )
    .unwrap();
    let known = world.provider.log.checkpoint();
    let query = ExchangeQuery {
        known_log_size: known.size(),
        ..world.query(1)
    };
    let (_, receipt, _) = ask(&world, query).await.unwrap().into_parts();
    assert!(verify_receipt(&receipt, &key, Some((known.size(), known.root()))).is_ok());
    assert!(!receipt.consistency_proof.is_empty());
    let beyond = ExchangeQuery {
        known_log_size: 1_000_000,
        ..world.query(1)
    };
    let (_, receipt, _) = ask(&world, beyond).await.unwrap().into_parts();
    assert!(receipt.consistency_proof.is_empty());
}

#[tokio::test]
async fn whoever_isnt_the_member_or_asks_another_tenant_is_refused_before_anything_is_looked_up() {
    let world = populated().await;
    let (peer, member) = world.peer();
    let before = size(&world.provider);
    let own = world
        .provider
        .node
        .members
        .get(world.provider.tenant.code)
        .unwrap()
        .clone();
    let denied = [
        (
            caller(REQUESTER, Role::Staff, Some("sato")),
            member.clone(),
            world.query(1),
        ),
        (
            caller("011002", Role::Exchange, None),
            member.clone(),
            world.query(1),
        ),
        (caller("142051", Role::Exchange, None), own, world.query(1)),
        (
            peer,
            member,
            ExchangeQuery {
                asked: REQUESTER.parse().unwrap(),
                ..world.query(1)
            },
        ),
    ];
    for (peer, member, query) in denied {
        let refused = provide(&world.provider, &peer, &member, query, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
    }
    assert_eq!(size(&world.provider), before);
}

#[tokio::test]
async fn consent_that_is_hard_to_obtain_is_answered_only_where_both_policies_allow_it() {
    for (here, there) in [(false, false), (true, false), (false, true), (true, true)] {
        let policy = |allow| TenantPolicy {
            allow_hard_to_obtain: allow,
            ..TenantPolicy::default()
        };
        let world = World::with(policy(here), policy(there)).await;
        let mut query = world.query(1);
        query.evidence.consent.method = ConsentMethod::HardToObtain;
        let result = ask(&world, query).await;
        if here && there {
            assert!(result.is_ok());
        } else {
            assert_eq!(
                result.err().and_then(|error| error.field()),
                Some("consent.method")
            );
        }
    }
}

#[tokio::test]
async fn without_time_there_is_no_answer() {
    let world = populated().await;
    let (peer, member) = world.peer();
    let passed = Deadline::after(Duration::ZERO);
    let result = provide(&world.provider, &peer, &member, world.query(1), passed).await;
    assert_eq!(result.err(), Some(ServiceError::DeadlineExceeded));
}

#[tokio::test]
async fn when_the_log_takes_nothing_nothing_is_answered() {
    let world = populated().await;
    assert!(world.provider.log.shutdown(deadline()).await);
    for serial in [1, 99] {
        let result = ask(&world, world.query(serial)).await;
        assert_eq!(result.err(), Some(ServiceError::unavailable()));
    }
}
