//! Counts, alerts and signatures of days on the wire.

use std::collections::BTreeMap;

use vrx_domain::EntryKind;
use vrx_proto::v1;
use vrx_proto::v1::summary_event::Event;
use vrx_services::ReviewPolicy;
use vrx_services::audit::{
    Alert, AlertKind, Counts, DayReview, DaysSummary, Signed, SummaryRequest, VerifyProgress,
};

use super::field::{self, Parsed, date, date_message};

/// Which days.
pub(crate) fn parse_summary(request: &v1::SummarizeDaysRequest) -> Parsed<SummaryRequest> {
    Ok(SummaryRequest {
        from: date("from", request.from.as_ref())?,
        until: date("until", request.until.as_ref())?,
        log_size: (request.log_size > 0).then_some(request.log_size),
    })
}

/// How far a summary is.
pub(crate) fn progress_event(progress: VerifyProgress) -> v1::SummaryEvent {
    v1::SummaryEvent {
        event: Some(Event::Progress(v1::VerifyProgress {
            entries_checked: progress.checked,
            entries_total: progress.total,
        })),
    }
}

/// What was found.
pub(crate) fn summary_event(summary: DaysSummary, policy: ReviewPolicy) -> v1::SummaryEvent {
    v1::SummaryEvent {
        event: Some(Event::Summary(summary_message(summary, policy))),
    }
}

fn summary_message(summary: DaysSummary, policy: ReviewPolicy) -> v1::DaysSummary {
    let Counts {
        kinds,
        causes,
        inquiries,
        purposes,
        hours,
        counterparties,
        damaged,
        operators,
    } = summary.counts;
    v1::DaysSummary {
        from_index: summary.from_index,
        until_index: summary.until_index,
        root: summary.root.to_vec(),
        complete: summary.complete,
        kinds: coded(&kinds, |code| kind_name(*code)),
        causes: coded(&causes, Clone::clone),
        inquiries: coded(&inquiries, Clone::clone),
        purposes: coded(&purposes, |code| purpose_name(*code)),
        hours: hours.to_vec(),
        counterparties: counterparties
            .into_iter()
            .map(|(code, counts)| v1::CounterpartyCounts {
                municipality_code: code.to_string(),
                asked_us: counts.asked_us,
                found: counts.found,
                refused: counts.refused,
                we_asked: counts.we_asked,
                off_hours: counts.off_hours,
            })
            .collect(),
        operators: operators
            .into_iter()
            .map(|(who, count)| v1::OperatorCounts {
                municipality_code: who.municipality.to_string(),
                operator: who.operator,
                action: who.action,
                count,
            })
            .collect(),
        alerts: summary.alerts.into_iter().map(alert_message).collect(),
        reviews: summary.reviews.into_iter().map(review_message).collect(),
        policy: Some(policy_message(policy)),
        partial: summary.partial,
        damaged,
    }
}

/// What was signed.
pub(crate) fn signed_message(signed: Signed) -> v1::SignReviewResponse {
    v1::SignReviewResponse {
        log_index: signed.log_index,
        log_size: signed.log_size,
        root: signed.root.to_vec(),
        entries: signed.entries,
        complete: signed.complete,
    }
}

fn coded<K>(counts: &BTreeMap<K, u64>, name: impl Fn(&K) -> String) -> Vec<v1::Count> {
    let count = |(key, count): (&K, &u64)| v1::Count {
        name: name(key),
        count: *count,
    };
    counts.iter().map(count).collect()
}

fn kind_name(code: u8) -> String {
    match EntryKind::from_code(code) {
        Some(EntryKind::Exchange) => "exchange",
        Some(EntryKind::Inquiry) => "inquiry",
        Some(EntryKind::Desk) => "desk",
        Some(EntryKind::Control) => "control",
        Some(EntryKind::Erasure) => "erasure",
        Some(EntryKind::Genesis) => "genesis",
        None => "unknown",
    }
    .to_owned()
}

fn purpose_name(code: u8) -> String {
    match vrx_domain::Purpose::from_code(code) {
        Some(vrx_domain::Purpose::MoveIn) => "move-in",
        None => "unknown",
    }
    .to_owned()
}

fn alert_message(alert: Alert) -> v1::Alert {
    let kind = match alert.kind {
        AlertKind::Probing => v1::AlertKind::Probing,
        AlertKind::OffHours => v1::AlertKind::OffHours,
        AlertKind::Volume => v1::AlertKind::Volume,
        AlertKind::ManyAsk => v1::AlertKind::ManyAsk,
        AlertKind::Refusals => v1::AlertKind::Refusals,
        AlertKind::Protected => v1::AlertKind::Protected,
        AlertKind::Unreviewed => v1::AlertKind::Unreviewed,
        AlertKind::Node => v1::AlertKind::Node,
        AlertKind::Damaged => v1::AlertKind::Damaged,
    };
    v1::Alert {
        kind: kind.into(),
        day: Some(date_message(alert.day)),
        who: alert.who,
        count: alert.count,
        of: alert.of,
        log_indexes: alert.indexes,
    }
}

fn review_message(review: DayReview) -> v1::DayReview {
    let signatures = review.signatures.into_iter();
    v1::DayReview {
        day: Some(date_message(review.day)),
        entries: review.entries,
        reviewed: review.reviewed,
        signatures: signatures
            .map(|signature| v1::ReviewSignature {
                officer: signature.officer,
                time: Some(field::timestamp(signature.time)),
                log_index: signature.index,
                log_size: signature.log_size,
            })
            .collect(),
    }
}

fn policy_message(policy: ReviewPolicy) -> v1::ReviewPolicy {
    v1::ReviewPolicy {
        night_from_hour: policy.night_from_hour.into(),
        night_until_hour: policy.night_until_hour.into(),
        probing_percent: policy.probing_percent,
        probing_least: policy.probing_least,
        volume_factor: policy.volume_factor,
        volume_least: policy.volume_least,
        volume_days: policy.volume_days,
        many_ask: policy.many_ask,
        review_within_days: policy.review_within_days,
    }
}
