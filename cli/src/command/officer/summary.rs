//! Counts and alerts of days as the node made them, in words and in JSON.

use serde_json::{Value, json};
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient, summary_event::Event};

use crate::{
    clock, command::log::cause_label, connect::connect, failure::Failure, labels, output::Output,
    profile::Profile, words,
};

/// Which days.
#[derive(Clone, Copy)]
pub(super) struct Days {
    pub(super) from: jiff::civil::Date,
    pub(super) until: jiff::civil::Date,
    /// Made from the log's first entries alone; 0 for all.
    pub(super) log_size: u64,
}

/// Has the node summarize. `day` is what the command calls the days that it asks for.
pub(super) async fn summarize(
    days: Days,
    day: &'static str,
    profile: &Profile,
    output: &Output,
) -> Result<v1::DaysSummary, Failure> {
    let mut request = tonic::Request::new(v1::SummarizeDaysRequest {
        municipality_code: profile.municipality.to_string(),
        from: Some(clock::date_to_wire(days.from)),
        until: Some(clock::date_to_wire(days.until)),
        log_size: days.log_size,
    });
    // It takes as long as the log of these days is.
    request.set_timeout(std::time::Duration::from_hours(1));
    let mut events = AuditServiceClient::new(connect(profile).await?)
        .summarize_days(request)
        .await
        .map_err(|status| wrong_day(&status, day))?
        .into_inner();
    let bar = output.progress(0, "集計中 {bar:40} {pos}/{len} 件 残り {eta}");
    let mut summary = None;
    while let Some(event) = events
        .message()
        .await
        .map_err(|status| wrong_day(&status, day))?
    {
        match event.event {
            Some(Event::Progress(progress)) => {
                bar.set_length(progress.entries_total);
                bar.set_position(progress.entries_checked);
            }
            Some(Event::Summary(end)) => summary = Some(end),
            None => {}
        }
    }
    bar.finish_and_clear();
    summary.ok_or_else(|| {
        Failure::Unavailable(
            "集計の結果が届きませんでした。もう一度実行してください / no summary arrived"
                .to_owned(),
        )
    })
}

/// Done only when every entry of the days could be read.
pub(super) fn conclusion(summary: &v1::DaysSummary) -> Result<(), Failure> {
    if summary.damaged == 0 {
        return Ok(());
    }
    Err(Failure::NotDone(format!(
        "内容が提供記録のハッシュと一致しない記録が {} 件あり、種類のほかは数えていません。vrx log verify を実行し、運用担当者と調べてください / \
         {} entries aren't what was signed; only their kinds are counted",
        summary.damaged, summary.damaged
    )))
}

/// The request has a first and a last day, and the command one option for both.
fn wrong_day(status: &tonic::Status, day: &'static str) -> Failure {
    Failure::of(status, |field| match field {
        "from" | "until" => Some(day),
        other => words::field(other),
    })
}

/// An alert in a sentence.
pub(super) fn alert(alert: &v1::Alert) -> String {
    let (count, of) = (alert.count, alert.of);
    match alert.kind() {
        v1::AlertKind::Probing => format!("探索の疑い: 照会 {of} 件のうち {count} 件が該当者なし"),
        v1::AlertKind::OffHours => format!("夜間・休日の利用 {count} 件"),
        v1::AlertKind::Volume => format!("普段より多い照会 {count} 件（普段は1日 {of} 件程度）"),
        v1::AlertKind::ManyAsk => format!("同じ人について {count} 者から照会・利用"),
        v1::AlertKind::Refusals => format!("拒否した呼び出し {count} 件"),
        v1::AlertKind::Protected => format!("支援措置対象者への照会 {count} 件"),
        v1::AlertKind::Unreviewed => format!("期限までに確認されていない日（記録 {count} 件）"),
        v1::AlertKind::Node => format!("ノードの警報 {count} 件"),
        v1::AlertKind::Damaged => format!(
            "内容が提供記録のハッシュと一致しない記録 {count} 件（データベースが書き換えられたおそれ）"
        ),
        v1::AlertKind::Unspecified => "不明な注意事項".to_owned(),
    }
}

/// Whom an alert is about.
pub(super) fn who(who: &str) -> String {
    let (code, actor) = who.split_once(' ').unwrap_or((who, ""));
    let parts = [labels::municipality(code), labels::actor(actor)];
    parts.join(" ").trim().to_owned()
}

/// Entries to look at.
pub(super) fn indexes(alert: &v1::Alert) -> String {
    let shown: Vec<String> = alert.log_indexes.iter().map(u64::to_string).collect();
    let all = shown.join(" ");
    // The node points at ten at most, and what is only counted (a refusal that came with many) has no place of its own.
    let pointed = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    if shown.is_empty() || pointed >= alert.count {
        all
    } else {
        format!("{all} など")
    }
}

/// What a count is of, in Japanese.
pub(super) fn name(name: &str) -> &str {
    match name {
        "exchange" => "提供",
        "inquiry" => "照会",
        "desk" => "窓口・閲覧",
        "control" => "管理",
        "erasure" => "消去",
        "genesis" => "開始",
        "move-in" => "転入",
        "found" => "受け取った",
        "nothing" => "該当なし",
        "refused" => "拒否された",
        "failed" => "失敗した",
        other => cause_label(other),
    }
}

/// `提供した 2、該当者なし 1`; a dash when there is nothing.
pub(super) fn counts(counts: &[v1::Count]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|count| format!("{} {}", name(&count.name), count.count))
        .collect();
    if parts.is_empty() {
        "なし".to_owned()
    } else {
        parts.join("、")
    }
}

/// Hours that have any: `9時 3、10時 12`.
pub(super) fn hours(hours: &[u64]) -> String {
    let parts: Vec<String> = hours
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(hour, count)| format!("{hour}時 {count}"))
        .collect();
    if parts.is_empty() {
        "なし".to_owned()
    } else {
        parts.join("、")
    }
}

/// The tenant's decisions behind the alerts, in a sentence each.
pub(super) fn policy(policy: &v1::ReviewPolicy) -> String {
    format!(
        "夜間は {} 時から {} 時まで。探索は1日 {} 件以上で該当者なしが {} % 以上。多い照会は1日 {} 件以上で過去 {} 日の平均の {} 倍超。同じ人に {} 者以上。確認は {} 日以内。",
        policy.night_from_hour,
        policy.night_until_hour,
        policy.probing_least,
        policy.probing_percent,
        policy.volume_least,
        policy.volume_days,
        policy.volume_factor,
        policy.many_ask,
        policy.review_within_days
    )
}

/// Who signed a day off.
pub(super) fn signatures(review: &v1::DayReview) -> String {
    let signed: Vec<String> = review
        .signatures
        .iter()
        .map(|signature| {
            format!(
                "{} {}（{} 番、{} 件まで）",
                labels::actor(&signature.officer),
                clock::show(signature.time.as_ref()),
                signature.log_index,
                signature.log_size
            )
        })
        .collect();
    signed.join("、")
}

/// For programs.
pub(super) fn summary_json(summary: &v1::DaysSummary) -> Value {
    let counts = |counts: &[v1::Count]| -> Value {
        counts
            .iter()
            .map(|count| (count.name.clone(), count.count.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "from_index": summary.from_index,
        "until_index": summary.until_index,
        "root": hex::encode(&summary.root),
        "complete": summary.complete,
        "partial": summary.partial,
        "damaged": summary.damaged,
        "kinds": counts(&summary.kinds),
        "causes": counts(&summary.causes),
        "inquiries": counts(&summary.inquiries),
        "purposes": counts(&summary.purposes),
        "hours": summary.hours,
        "counterparties": summary.counterparties.iter().map(|one| json!({
            "municipality_code": one.municipality_code,
            "asked_us": one.asked_us,
            "found": one.found,
            "refused": one.refused,
            "we_asked": one.we_asked,
            "off_hours": one.off_hours,
        })).collect::<Vec<_>>(),
        "operators": summary.operators.iter().map(|one| json!({
            "municipality_code": one.municipality_code,
            "operator": one.operator,
            "action": one.action,
            "count": one.count,
        })).collect::<Vec<_>>(),
        "alerts": summary.alerts.iter().map(|alert| json!({
            "kind": alert.kind().as_str_name().trim_start_matches("ALERT_KIND_").to_lowercase().replace('_', "-"),
            "day": clock::show_date(alert.day.as_ref()),
            "who": alert.who,
            "count": alert.count,
            "of": alert.of,
            "log_indexes": alert.log_indexes,
        })).collect::<Vec<_>>(),
        "reviews": summary.reviews.iter().map(|review| json!({
            "day": clock::show_date(review.day.as_ref()),
            "entries": review.entries,
            "reviewed": review.reviewed,
            "signatures": review.signatures.iter().map(|signature| json!({
                "officer": signature.officer,
                "time": clock::show_rfc3339(signature.time.as_ref()),
                "log_index": signature.log_index,
                "log_size": signature.log_size,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "policy": summary.policy.as_ref().map(|policy| json!({
            "night_from_hour": policy.night_from_hour,
            "night_until_hour": policy.night_until_hour,
            "probing_percent": policy.probing_percent,
            "probing_least": policy.probing_least,
            "volume_factor": policy.volume_factor,
            "volume_least": policy.volume_least,
            "volume_days": policy.volume_days,
            "many_ask": policy.many_ask,
            "review_within_days": policy.review_within_days,
        })),
    })
}

#[cfg(test)]
mod tests {
    use vrx_proto::v1;

    use super::{indexes, wrong_day};

    #[test]
    fn entries_that_an_alert_counts_and_does_not_name_are_said_to_be_more() {
        let alert = |count, log_indexes: &[u64]| {
            indexes(&v1::Alert {
                count,
                log_indexes: log_indexes.to_vec(),
                ..v1::Alert::default()
            })
        };
        assert_eq!(alert(8, &[1, 2, 3, 4, 5, 6]), "1 2 3 4 5 6 など");
        assert_eq!(alert(2, &[1, 2]), "1 2");
        assert_eq!(alert(8, &[]), "");
    }

    #[test]
    fn a_wrong_day_is_named_as_the_command_names_it() {
        for field in ["from", "until"] {
            let mut details = tonic_types::ErrorDetails::new();
            details.add_bad_request_violation(field, "lies in the future");
            let status = <tonic::Status as tonic_types::StatusExt>::with_error_details(
                tonic::Code::InvalidArgument,
                "bad request",
                details,
            );
            let told = wrong_day(&status, "月").to_string();
            assert!(told.contains("（月: 未来"), "{told}");
        }
    }
}
