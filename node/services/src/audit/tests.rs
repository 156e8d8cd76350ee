//! The officer's reading over a real log.

use vrx_domain::EntryKind;
use vrx_tlog::{Checkpoint, VerifierKey, leaf_hash, verify_inclusion};

use super::*;
use crate::{
    ServiceError,
    exchange::provide,
    testing::{Resident, World, deadline, officer, size, staff},
};

async fn asked_about() -> World {
    let world = World::new().await;
    World::register(&world.provider, &[Resident::moved(1)]).await;
    for serial in [1, 99, 1] {
        let (peer, member) = world.peer();
        world.clock.advance(1000);
        provide(
            &world.provider,
            &peer,
            &member,
            world.query(serial),
            deadline(),
        )
        .await
        .unwrap();
    }
    world
}

async fn all(world: &World, filter: EntryFilter, page_size: u32) -> Vec<EntrySummary> {
    ordered(world, filter, page_size, Order::OldestFirst).await
}

async fn ordered(
    world: &World,
    filter: EntryFilter,
    page_size: u32,
    order: Order,
) -> Vec<EntrySummary> {
    let caller = officer(&world.provider, "mori");
    let mut entries = Vec::new();
    let mut page_token = Vec::new();
    loop {
        let request = ListRequest {
            page_size,
            page_token,
            filter: filter.clone(),
            order,
        };
        let page = list(&world.provider, &caller, request, deadline())
            .await
            .unwrap()
            .into_parts()
            .0;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            return entries;
        }
        page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn every_entry_is_listed_once_and_listing_is_an_entry() {
    let world = asked_about().await;
    let before = size(&world.provider);
    for page_size in [1, 2, 0] {
        let expected = size(&world.provider);
        let entries = all(&world, EntryFilter::default(), page_size).await;
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, (0..expected).collect::<Vec<_>>());
    }
    assert!(size(&world.provider) > before);
}

#[tokio::test]
async fn the_newest_entries_come_first_when_asked_for_and_none_comes_twice() {
    let world = asked_about().await;
    for page_size in [1, 2, 0] {
        let expected = size(&world.provider);
        let filter = EntryFilter::default();
        let entries = ordered(&world, filter, page_size, Order::NewestFirst).await;
        let indexes: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, (0..expected).rev().collect::<Vec<_>>());
    }
    let filter = EntryFilter {
        kind: Some(EntryKind::Exchange),
        ..EntryFilter::default()
    };
    let mut newest = ordered(&world, filter.clone(), 2, Order::NewestFirst).await;
    newest.reverse();
    assert_eq!(newest, all(&world, filter, 0).await);
}

#[tokio::test]
async fn an_officer_sees_outcome_and_true_cause() {
    let world = asked_about().await;
    let filter = EntryFilter {
        kind: Some(EntryKind::Exchange),
        ..EntryFilter::default()
    };
    let entries = all(&world, filter, 2).await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.outcome.as_str(), entry.cause.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("found", "provided"),
            ("nothing", "unknown"),
            ("found", "provided")
        ]
    );
    assert!(
        entries.iter().all(
            |entry| entry.action == "query-records" && entry.actor.ends_with("141003/exchange")
        )
    );
}

#[tokio::test]
async fn a_span_of_time_is_found_by_its_ends() {
    let world = asked_about().await;
    let everything = all(&world, EntryFilter::default(), 0).await;
    let exchange: Vec<_> = everything
        .iter()
        .filter(|entry| entry.action == "query-records")
        .collect();
    let filter = EntryFilter {
        from: Some(exchange[0].time),
        until: Some(exchange[2].time),
        ..EntryFilter::default()
    };
    let indexes: Vec<u64> = all(&world, filter, 1)
        .await
        .iter()
        .map(|entry| entry.index)
        .collect();
    assert_eq!(indexes, [exchange[0].index, exchange[1].index]);
}

#[tokio::test]
async fn a_page_token_is_of_no_use_to_another_officer_or_for_another_query() {
    let world = asked_about().await;
    let first = ListRequest {
        page_size: 1,
        ..ListRequest::default()
    };
    let page = list(
        &world.provider,
        &officer(&world.provider, "mori"),
        first,
        deadline(),
    )
    .await;
    let page_token = page.unwrap().into_parts().0.next_page_token;
    let other_query = EntryFilter {
        kind: Some(EntryKind::Desk),
        ..EntryFilter::default()
    };
    let same_query = EntryFilter::default;
    for (name, filter, order) in [
        ("abe", same_query(), Order::OldestFirst),
        ("mori", other_query, Order::OldestFirst),
        ("mori", same_query(), Order::NewestFirst),
    ] {
        let request = ListRequest {
            page_size: 1,
            page_token: page_token.clone(),
            filter,
            order,
        };
        let refused = list(
            &world.provider,
            &officer(&world.provider, name),
            request,
            deadline(),
        )
        .await;
        assert_eq!(
            refused.err().and_then(|error| error.field()),
            Some("page_token")
        );
    }
}

#[tokio::test]
async fn an_entry_is_shown_with_its_fields_its_chain_and_a_proof_that_holds() {
    let world = asked_about().await;
    let caller = officer(&world.provider, "mori");
    let filter = EntryFilter {
        kind: Some(EntryKind::Exchange),
        ..EntryFilter::default()
    };
    let entries = all(&world, filter, 0).await;
    let before = size(&world.provider);
    let shown = show(&world.provider, &caller, entries[2].index, deadline())
        .await
        .unwrap()
        .into_parts()
        .0;
    assert_eq!(size(&world.provider), before + 1, "reading is an entry");
    assert_eq!(
        (shown.subject_seq, shown.previous_index),
        (2, Some(entries[0].index))
    );
    let value = |name: &str| {
        shown
            .fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value.clone())
            .unwrap()
    };
    assert_eq!(
        (value("cause").as_str(), value("event_reference").as_str()),
        ("provided", "movein-7")
    );
    assert!(
        shown
            .fields
            .iter()
            .all(|field| field.name != "individual_number")
    );
    let directory = world
        .provider
        .node
        .members
        .get(world.provider.tenant.code)
        .unwrap();
    let key = VerifierKey::parse(&directory.log_vkey).unwrap();
    let checkpoint = Checkpoint::open(&shown.checkpoint, &key, key.name()).unwrap();
    let held = verify_inclusion(
        shown.index,
        checkpoint.size,
        &leaf_hash(&shown.leaf),
        &shown.inclusion_proof,
        &checkpoint.root,
    );
    assert_eq!(held, Ok(()));

    let unknown = show(&world.provider, &caller, entries[1].index, deadline())
        .await
        .unwrap()
        .into_parts()
        .0;
    assert_eq!((unknown.subject_seq, unknown.previous_index), (0, None));
    let beyond = show(&world.provider, &caller, 1_000_000, deadline()).await;
    assert_eq!(beyond.err(), Some(ServiceError::NotFound));
}

#[tokio::test]
async fn a_whole_log_verifies_and_the_verification_is_an_entry() {
    let world = asked_about().await;
    let before = size(&world.provider);
    let (progress, mut told) = tokio::sync::mpsc::channel(8);
    let verified = verify(
        &world.provider,
        &officer(&world.provider, "mori"),
        progress,
        deadline(),
    )
    .await;
    let verified = verified.unwrap().into_parts().0;
    assert_eq!((verified.entries, verified.faults.len()), (before, 0));
    assert_eq!(
        told.recv().await.map(|progress| progress.total),
        Some(before)
    );
    assert_eq!(size(&world.provider), before + 1);
}

#[tokio::test]
async fn the_sixty_first_refusal_of_a_minute_waits_for_its_minutes_entry() {
    let world = World::new().await;
    let tenant = &world.provider;
    let caller = staff(tenant, "sato");
    let error = ServiceError::InvalidArgument {
        field: "event_date",
        why: "lies in the future",
    };
    let before = size(tenant);
    for _ in 0..63 {
        tenant.refusals.note(&caller, &error).await;
    }
    tenant
        .refusals
        .note(&caller, &ServiceError::unavailable())
        .await;
    tenant
        .refusals
        .note(&caller, &ServiceError::DeadlineExceeded)
        .await;
    assert_eq!(size(tenant), before + 60);
    tenant.refusals.record_due().await;
    assert_eq!(size(tenant), before + 60, "the minute isn't over");
    world.clock.advance(60_000);
    tenant.refusals.record_due().await;
    assert_eq!(size(tenant), before + 61);
    let filter = EntryFilter {
        kind: Some(EntryKind::Control),
        ..EntryFilter::default()
    };
    let refused = all(&world, filter, 0).await;
    assert!(
        refused
            .iter()
            .all(|entry| entry.action == "refused" && entry.actor.ends_with("staff/sato"))
    );
    let shown = show(tenant, &officer(tenant, "mori"), before + 60, deadline())
        .await
        .unwrap()
        .into_parts()
        .0;
    let count = shown
        .fields
        .iter()
        .find(|field| field.name == "invalid-argument:event_date")
        .unwrap();
    assert_eq!(count.value, "3");
    tenant
        .refusals
        .note(
            &caller,
            &ServiceError::ResourceExhausted {
                retry: ServiceError::RETRY,
            },
        )
        .await;
    let before = size(tenant);
    tenant.refusals.record_all().await;
    assert_eq!(
        size(tenant),
        before + 1,
        "a stopping node leaves no count behind"
    );
}
