//! `vrx officer day` and `vrx officer review`: one day at a glance, and its signature.

use jiff::civil::Date;
use serde_json::json;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};

use super::summary::{
    Days, alert, conclusion, counts, hours, indexes, policy, signatures, summarize, summary_json,
    who,
};
use crate::{clock, connect::connect, failure::Failure, labels, output::Output, profile::Profile};

/// Shows a day.
pub(super) async fn day(
    date: Option<Date>,
    profile: &Profile,
    output: &Output,
) -> Result<(), Failure> {
    let date = date.unwrap_or_else(clock::today);
    let days = Days {
        from: date,
        until: date,
        log_size: 0,
    };
    let summary = summarize(days, "日", profile, output).await?;
    if output.json(|| summary_json(&summary))? {
        return conclusion(&summary);
    }
    let state = if summary.complete { "" } else { "（途中）" };
    output.line(&format!(
        "{} {date}{state}   提供記録 {} 番から {} 番の前まで",
        profile.municipality.name(),
        summary.from_index,
        summary.until_index
    ))?;
    output.table(
        &["項目", "件数"],
        [
            ("記録", counts(&summary.kinds)),
            ("提供の結果", counts(&summary.causes)),
            ("照会の結果", counts(&summary.inquiries)),
            ("利用目的", counts(&summary.purposes)),
            ("時間帯", hours(&summary.hours)),
        ]
        .map(|(label, value)| vec![label.to_owned(), value]),
    )?;
    output.line("相手方")?;
    output.table(
        &[
            "市区町村",
            "受けた照会",
            "提供",
            "拒否",
            "行った照会",
            "夜間・休日",
        ],
        summary.counterparties.iter().map(|one| {
            vec![
                labels::municipality(&one.municipality_code),
                one.asked_us.to_string(),
                one.found.to_string(),
                one.refused.to_string(),
                one.we_asked.to_string(),
                one.off_hours.to_string(),
            ]
        }),
    )?;
    output.line("行った者")?;
    output.table(
        &["市区町村", "者", "内容", "件数"],
        summary.operators.iter().map(|one| {
            vec![
                labels::municipality(&one.municipality_code),
                labels::actor(&one.operator),
                labels::action(&one.action).to_owned(),
                one.count.to_string(),
            ]
        }),
    )?;
    output.line(&format!("注意事項 {} 件", summary.alerts.len()))?;
    output.table(
        &["日", "内容", "者", "提供記録"],
        summary.alerts.iter().map(|one| {
            vec![
                clock::show_date(one.day.as_ref()),
                alert(one),
                who(&one.who),
                indexes(one),
            ]
        }),
    )?;
    show_reviews(&summary, output)?;
    if let Some(decided) = &summary.policy {
        output.hint(&policy(decided))?;
    }
    conclusion(&summary)
}

fn show_reviews(summary: &v1::DaysSummary, output: &Output) -> Result<(), Failure> {
    output.line("確認")?;
    output.table(
        &["日", "記録", "状態", "署名"],
        summary
            .reviews
            .iter()
            .filter(|review| review.entries > 0)
            .map(|review| {
                let state = if review.reviewed { "済" } else { "未" };
                vec![
                    clock::show_date(review.day.as_ref()),
                    review.entries.to_string(),
                    state.to_owned(),
                    signatures(review),
                ]
            }),
    )
}

/// Signs a day off.
pub(super) async fn review(date: Date, profile: &Profile, output: &Output) -> Result<(), Failure> {
    let request = v1::SignReviewRequest {
        municipality_code: profile.municipality.to_string(),
        day: Some(clock::date_to_wire(date)),
    };
    let signed = AuditServiceClient::new(connect(profile).await?)
        .sign_review(profile.request(request))
        .await?
        .into_inner();
    let printed = output.json(|| {
        json!({
            "day": date.to_string(),
            "log_index": signed.log_index,
            "log_size": signed.log_size,
            "root": hex::encode(&signed.root),
            "entries": signed.entries,
            "complete": signed.complete,
        })
    })?;
    if printed {
        return Ok(());
    }
    output.line(&format!(
        "{date} の記録 {} 件の確認を、提供記録 {} 番に記録しました（全 {} 件、ルート {}）。",
        signed.entries,
        signed.log_index,
        signed.log_size,
        hex::encode(&signed.root)
    ))?;
    if !signed.complete {
        output.hint("この日はまだ終わっていません。終わってから、もう一度確認してください / the day isn't over: sign it again afterwards")?;
    }
    Ok(())
}
