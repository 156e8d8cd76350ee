use vrx_domain::{Clock, InquiryId};
use vrx_storage::Lookup;

use super::*;
use crate::{
    registry::{
        BirthDateCheck, InquiryWord, approve_import,
        inquire::tests::{asked, populated},
    },
    testing::{PROVIDER, Resident, World, deadline, size, staff},
};

async fn adopt_as(
    world: &World,
    name: &str,
    inquiry: InquiryId,
) -> Result<crate::registry::AdoptReport, ServiceError> {
    let request = AdoptRequest {
        inquiry,
        confirm_birth_date_difference: false,
    };
    let caller = staff(&world.requester, name);
    adopt(&world.requester, &caller, request, deadline()).await
}

async fn confirm_as(
    world: &World,
    name: &str,
    inquiry: InquiryId,
) -> Result<crate::registry::AdoptReport, ServiceError> {
    let request = AdoptRequest {
        inquiry,
        confirm_birth_date_difference: true,
    };
    let caller = staff(&world.requester, name);
    adopt(&world.requester, &caller, request, deadline()).await
}

#[tokio::test]
async fn adopted_doses_come_in_once_with_their_origin_and_count_when_approved() {
    let world = populated().await;
    let report = asked(&world, world.inquiry(1)).await;
    let first = adopt_as(&world, "sato", report.inquiry).await.unwrap();
    assert_eq!((first.adopted, first.unchanged), (2, 0));
    let before = size(&world.requester);
    let again = adopt_as(&world, "suzuki", report.inquiry).await.unwrap();
    assert_eq!(
        (again.adopted, again.unchanged, again.import),
        (0, 2, first.import)
    );
    assert_eq!(
        size(&world.requester),
        before + 1,
        "the second time is an entry too"
    );

    let import = first.import.unwrap();
    let by_self = approve_import(
        &world.requester,
        &staff(&world.requester, "sato"),
        import,
        deadline(),
    )
    .await;
    assert!(matches!(by_self, Err(ServiceError::FailedPrecondition(_))));
    approve_import(
        &world.requester,
        &staff(&world.requester, "suzuki"),
        import,
        deadline(),
    )
    .await
    .unwrap();
    let Lookup::Found(record) = world
        .requester
        .persons
        .lookup(&crate::testing::number(1))
        .await
        .unwrap()
    else {
        panic!("found");
    };
    assert_eq!(record.doses.len(), 2);
    let provider_log_index = report.provider_log_index.unwrap();
    assert!(record.doses.iter().all(|dose| dose.origin
        == vrx_domain::DoseOrigin::Adopted {
            from: PROVIDER.parse().unwrap(),
            log_index: provider_log_index
        }));

    // Asked and adopted once more: all there already.
    let report = asked(&world, world.inquiry(1)).await;
    let third = adopt_as(&world, "sato", report.inquiry).await.unwrap();
    assert_eq!((third.adopted, third.unchanged, third.import), (0, 2, None));
}

#[tokio::test]
async fn an_answer_whose_doses_are_all_held_back_has_nothing_to_adopt() {
    let world = populated().await;
    let here = Resident {
        ceased: "",
        doses: vec![],
        ..Resident::moved(2)
    };
    World::register(&world.requester, &[here]).await;
    let report = asked(&world, world.inquiry(2)).await;
    assert_eq!((report.word, report.held_back), (InquiryWord::Found, 2));
    let refused = adopt_as(&world, "suzuki", report.inquiry).await;
    assert!(matches!(refused, Err(ServiceError::FailedPrecondition(_))));
}

#[tokio::test]
async fn nobody_is_adopted_for_who_isnt_in_the_own_approved_register() {
    let world = populated().await;
    let report = asked(&world, world.inquiry(2)).await;
    let refused = adopt_as(&world, "suzuki", report.inquiry).await;
    assert!(matches!(refused, Err(ServiceError::FailedPrecondition(_))));
}

#[tokio::test]
async fn another_birth_date_waits_for_somebody_other_than_the_inquirer() {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1)]).await;
    let here = Resident {
        ceased: "",
        birth: "1980-05-06",
        doses: vec![],
        ..Resident::moved(1)
    };
    World::register(&world.requester, &[here]).await;
    let report = asked(&world, world.inquiry(1)).await;
    assert_eq!(
        (report.word, report.birth_date),
        (InquiryWord::Found, Some(BirthDateCheck::Differs))
    );
    for refused in [
        confirm_as(&world, "sato", report.inquiry).await,
        adopt_as(&world, "suzuki", report.inquiry).await,
    ] {
        assert!(matches!(refused, Err(ServiceError::FailedPrecondition(_))));
    }
    let adopted = confirm_as(&world, "suzuki", report.inquiry).await.unwrap();
    assert_eq!(adopted.adopted, 2);
}

#[tokio::test]
async fn a_kept_answer_is_gone_when_its_time_is_over() {
    let world = populated().await;
    let report = asked(&world, world.inquiry(1)).await;
    let kept = world.requester.policy.inquiry_retention.as_millis();
    world.clock.advance(u64::try_from(kept).unwrap() + 1);
    let refused = adopt_as(&world, "suzuki", report.inquiry).await;
    assert_eq!(refused.err(), Some(ServiceError::NotFound));
    assert_eq!(
        world
            .requester
            .registry
            .expire_inquiries(world.clock.now())
            .await,
        Ok(1)
    );
}
