//! Summaries of days over real logs. The tests' clock begins at noon of 23 November 2026, 勤労感謝の日.

use vrx_domain::{Date, Role};

use super::*;
use crate::{
    ServiceError, TenantPolicy, TenantServices,
    exchange::provide,
    policy::ReviewPolicy,
    ports::PeerOutcome,
    registry::inquire,
    testing::{Resident, World, caller, day, deadline, officer, size, staff},
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

async fn world() -> World {
    let policy = TenantPolicy {
        review: ReviewPolicy {
            probing_least: 4,
            volume_least: 5,
            volume_factor: 2,
            volume_days: 2,
            many_ask: 2,
            review_within_days: 2,
            ..ReviewPolicy::default()
        },
        ..TenantPolicy::default()
    };
    let world = World::with(policy, TenantPolicy::default()).await;
    let protected = Resident {
        protected_from: "20260101",
        ..Resident::moved(2)
    };
    World::register(&world.provider, &[Resident::moved(1), protected]).await;
    world
}

async fn ask(world: &World, serials: &[u32]) {
    for serial in serials {
        world.clock.advance(1000);
        let (peer, member) = world.peer();
        let query = world.query(*serial);
        provide(&world.provider, &peer, &member, query, deadline())
            .await
            .unwrap();
    }
}

async fn summary_of(
    tenant: &TenantServices,
    from: &str,
    until: &str,
    log_size: Option<u64>,
) -> Result<DaysSummary, ServiceError> {
    let (progress, _told) = tokio::sync::mpsc::channel(1);
    let request = SummaryRequest {
        from: day(from),
        until: day(until),
        log_size,
    };
    let caller = officer(tenant, "mori");
    let summary = summarize(tenant, &caller, request, progress, deadline()).await?;
    Ok(summary.into_parts().0)
}

async fn summary(world: &World, from: &str, until: &str) -> DaysSummary {
    summary_of(&world.provider, from, until, None)
        .await
        .unwrap()
}

fn raised(summary: &DaysSummary, kind: AlertKind) -> Vec<(Date, &str, u64, u64)> {
    let alerts = summary.alerts.iter().filter(|alert| alert.kind == kind);
    alerts
        .map(|alert| (alert.day, alert.who.as_str(), alert.count, alert.of))
        .collect()
}

#[tokio::test]
async fn a_day_is_counted_by_counterparty_cause_purpose_hour_and_operator() {
    let world = world().await;
    world.clock.advance(DAY);
    ask(&world, &[1, 1, 99, 2]).await;
    let found = summary(&world, "2026-11-24", "2026-11-24").await;
    let counts = &found.counts;
    let causes: Vec<_> = counts
        .causes
        .iter()
        .map(|(cause, n)| (cause.as_str(), *n))
        .collect();
    assert_eq!(causes, [("protected", 1), ("provided", 2), ("unknown", 1)]);
    assert_eq!(counts.kinds.get(&1), Some(&4));
    assert_eq!(counts.purposes.get(&1), Some(&4));
    assert_eq!((counts.hours[12], counts.hours.iter().sum::<u64>()), (4, 4));
    let yokohama = &counts.counterparties[&"141003".parse().unwrap()];
    assert_eq!(
        (yokohama.asked_us, yokohama.found, yokohama.off_hours),
        (4, 2, 0)
    );
    let (who, count) = counts.operators.iter().next().unwrap();
    assert_eq!(
        (who.operator.as_str(), who.action.as_str(), *count),
        ("sato", "query-records", 4)
    );
    assert_eq!(found.until_index, size(&world.provider) - 1);
    assert!(!found.complete && !found.partial);
}

#[tokio::test]
async fn own_inquiries_are_counted_by_what_they_came_to() {
    let world = world().await;
    let tenant = &world.requester;
    let sato = staff(tenant, "sato");
    for serial in [1, 99] {
        inquire(tenant, &sato, world.inquiry(serial), deadline())
            .await
            .unwrap();
    }
    let found = summary_of(tenant, "2026-11-23", "2026-11-23", None).await;
    let counts = found.unwrap().counts;
    let words: Vec<_> = counts
        .inquiries
        .iter()
        .map(|(word, n)| (word.as_str(), *n))
        .collect();
    assert_eq!(words, [("found", 1), ("nothing", 1)]);
    assert_eq!(
        counts.counterparties[&"142051".parse().unwrap()].we_asked,
        2
    );
    assert_eq!(counts.hours[12], 2);
}

#[tokio::test]
async fn an_answer_that_fails_a_check_is_an_alarm_of_the_day() {
    let world = world().await;
    let tenant = &world.requester;
    world.tamper(|mut reply| {
        if let PeerOutcome::Found { receipt, .. } = &mut reply.outcome {
            receipt.leaf[100] ^= 1;
        }
        Ok(reply)
    });
    let desk = staff(tenant, "sato");
    inquire(tenant, &desk, world.inquiry(1), deadline())
        .await
        .unwrap();
    let found = summary_of(tenant, "2026-11-23", "2026-11-23", None).await;
    let today = day("2026-11-23");
    assert_eq!(
        raised(&found.unwrap(), AlertKind::Node),
        [(today, "", 1, 0)]
    );
}

#[tokio::test]
async fn probing_protection_and_a_holiday_raise_their_alerts() {
    let world = world().await;
    ask(&world, &[97, 98, 99, 2]).await;
    let found = summary(&world, "2026-11-23", "2026-11-23").await;
    let today = day("2026-11-23");
    assert_eq!(
        raised(&found, AlertKind::Probing),
        [(today, "141003", 3, 4)]
    );
    assert_eq!(raised(&found, AlertKind::Protected), [(today, "", 1, 0)]);
    let off = raised(&found, AlertKind::OffHours);
    assert!(off.contains(&(today, "141003", 4, 0)), "{off:?}");
    assert!(
        off.iter().any(|(_, who, ..)| *who == "142051 staff/sato"),
        "{off:?}"
    );
    let of_yokohama = |alert: &&Alert| alert.kind == AlertKind::OffHours && alert.who == "141003";
    let off = found.alerts.iter().find(of_yokohama).unwrap();
    assert_eq!(
        off.indexes.len(),
        3,
        "the protected person's entry isn't beside a name"
    );
    let probing = found
        .alerts
        .iter()
        .find(|alert| alert.kind == AlertKind::Probing);
    assert_eq!(probing.unwrap().indexes.len(), 3);
}

#[tokio::test]
async fn a_usual_day_raises_nothing_and_a_far_busier_one_does() {
    let world = world().await;
    world.clock.advance(DAY);
    ask(&world, &[1, 1, 1]).await;
    world.clock.advance(DAY);
    ask(&world, &[1, 1, 1, 1]).await;
    world.clock.advance(DAY);
    ask(&world, &[1; 8]).await;
    let found = summary(&world, "2026-11-24", "2026-11-26").await;
    // 3 + 4 on the two days before: a usual day has four, rounded up, and eight is more than twice 3.5.
    assert_eq!(
        raised(&found, AlertKind::Volume),
        [(day("2026-11-26"), "141003", 8, 4)]
    );
    assert_eq!(raised(&found, AlertKind::Probing), []);
    let alone = summary(&world, "2026-11-26", "2026-11-26").await;
    assert_eq!(
        raised(&alone, AlertKind::Volume),
        [(day("2026-11-26"), "141003", 8, 4)],
        "the earlier days count though they weren't asked for"
    );
}

#[tokio::test]
async fn one_person_asked_for_by_many_is_an_alert_that_names_nobody() {
    let world = world().await;
    let (peer, member) = world.peer();
    for operator in ["sato", "abe"] {
        let mut query = world.query(1);
        query.evidence.operator_ref = operator.parse().unwrap();
        provide(&world.provider, &peer, &member, query, deadline())
            .await
            .unwrap();
    }
    let found = summary(&world, "2026-11-23", "2026-11-23").await;
    assert_eq!(
        raised(&found, AlertKind::ManyAsk),
        [(day("2026-11-23"), "", 2, 0)]
    );
}

#[tokio::test]
async fn refused_calls_are_an_alert_with_their_number() {
    let world = world().await;
    let (peer, _) = world.peer();
    let error = ServiceError::InvalidArgument {
        field: "event_date",
        why: "lies in the future",
    };
    for _ in 0..63 {
        world.provider.refusals.note(&peer, &error).await;
    }
    world.clock.advance(60_000);
    world.provider.refusals.record_due().await;
    let found = summary(&world, "2026-11-23", "2026-11-23").await;
    assert_eq!(
        raised(&found, AlertKind::Refusals),
        [(day("2026-11-23"), "141003", 63, 0)]
    );
    let yokohama = found.counts.counterparties[&"141003".parse().unwrap()];
    assert_eq!((yokohama.refused, yokohama.asked_us), (63, 0));
}

#[tokio::test]
async fn a_day_is_reviewed_once_a_signature_covers_all_of_it() {
    let world = world().await;
    let tenant = &world.provider;
    let mori = officer(tenant, "mori");
    let (first, root) = (size(tenant), tenant.log.checkpoint().root());
    let early = sign_review(tenant, &mori, day("2026-11-23"), deadline())
        .await
        .unwrap();
    assert_eq!(
        (early.log_size, early.root, early.complete),
        (first, root, false)
    );
    ask(&world, &[1]).await;
    world.clock.advance(3 * DAY);
    ask(&world, &[1]).await;
    let before = summary(&world, "2026-11-23", "2026-11-26").await;
    let review = |summary: &DaysSummary| {
        let found = summary
            .reviews
            .iter()
            .find(|review| review.day == day("2026-11-23"));
        found.cloned().unwrap()
    };
    assert_eq!(
        (review(&before).reviewed, review(&before).signatures.len()),
        (false, 1)
    );
    assert_eq!(
        raised(&before, AlertKind::Unreviewed).len(),
        1,
        "its two days are over"
    );

    let today = summary(&world, "2026-11-26", "2026-11-26").await;
    assert_eq!(
        raised(&today, AlertKind::Unreviewed),
        raised(&before, AlertKind::Unreviewed)
    );

    let late = sign_review(tenant, &mori, day("2026-11-23"), deadline())
        .await
        .unwrap();
    assert!(late.complete && late.entries == review(&before).entries);
    let after = summary(&world, "2026-11-26", "2026-11-26").await;
    assert!(review(&after).reviewed, "a day before is looked at too");
    assert_eq!(review(&after).signatures[1].officer, "officer/mori");
    assert_eq!(raised(&after, AlertKind::Unreviewed), []);
    for wrong in ["2026-11-27", "2026-11-22", "1900-01-01"] {
        let refused = sign_review(tenant, &mori, day(wrong), deadline()).await;
        assert_eq!(refused.unwrap_err().field(), Some("day"), "{wrong}");
    }
    // A month that the log began in has days before it.
    assert!(
        summary_of(tenant, "2026-11-01", "2026-11-23", None)
            .await
            .is_ok()
    );
    let before = summary_of(tenant, "2026-11-01", "2026-11-22", None).await;
    assert_eq!(before.unwrap_err().field(), Some("until"));
}

#[tokio::test]
async fn a_past_month_is_the_same_whenever_it_is_made_and_says_what_it_is_made_from() {
    let world = world().await;
    let tenant = &world.provider;
    ask(&world, &[1, 2, 99]).await;
    let (then, root) = (size(tenant), tenant.log.checkpoint().root());
    world.clock.advance(20 * DAY);
    let first = summary(&world, "2026-11-01", "2026-11-30").await;
    assert_eq!(
        (first.until_index, first.root, first.complete),
        (then, root, true)
    );
    ask(&world, &[1, 1]).await;
    world.clock.advance(DAY);
    assert_eq!(summary(&world, "2026-11-01", "2026-11-30").await, first);
    // A signature adds itself, unless the summary is made from the log as it was before.
    let mori = officer(tenant, "mori");
    let before = size(tenant);
    sign_review(tenant, &mori, day("2026-11-23"), deadline())
        .await
        .unwrap();
    assert_ne!(summary(&world, "2026-11-01", "2026-11-30").await, first);
    let again = summary_of(tenant, "2026-11-01", "2026-11-30", Some(before)).await;
    assert_eq!(again.unwrap(), first);
}

#[tokio::test]
async fn a_running_day_is_the_same_over_the_same_first_entries() {
    let world = world().await;
    let tenant = &world.provider;
    ask(&world, &[1, 2]).await;
    let then = Some(size(tenant));
    let of = async || {
        summary_of(tenant, "2026-11-23", "2026-11-23", then)
            .await
            .unwrap()
    };
    let first = of().await;
    ask(&world, &[1]).await;
    assert_eq!(of().await, first);
    assert_eq!(Some(first.until_index), then);
    let beyond = summary_of(tenant, "2026-11-23", "2026-11-23", Some(100_000)).await;
    assert_eq!(beyond.unwrap_err().field(), Some("log_size"));
}

#[tokio::test]
async fn days_that_are_not_there_and_callers_that_may_not_are_refused() {
    let world = world().await;
    let tenant = &world.provider;
    for (from, until, field) in [
        ("2026-11-23", "2026-11-24", "until"),
        ("2026-11-23", "2026-11-22", "from"),
        ("2026-10-01", "2026-11-01", "from"),
        ("2026-10-01", "2026-10-31", "until"),
    ] {
        let refused = summary_of(tenant, from, until, None).await;
        assert_eq!(refused.unwrap_err().field(), Some(field));
    }
    assert!(
        summary_of(tenant, "2026-10-24", "2026-11-23", None)
            .await
            .is_ok()
    );
    let request = SummaryRequest {
        from: day("2026-11-23"),
        until: day("2026-11-23"),
        log_size: None,
    };
    let operator = caller("142051", Role::Operator, Some("ito"));
    for stranger in [
        officer(&world.requester, "mori"),
        staff(tenant, "sato"),
        operator,
    ] {
        let (progress, _told) = tokio::sync::mpsc::channel(1);
        let refused = summarize(tenant, &stranger, request, progress, deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
        let refused = sign_review(tenant, &stranger, day("2026-11-23"), deadline()).await;
        assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
    }
}
