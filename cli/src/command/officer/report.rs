//! `vrx officer report`: a month on paper, the same bytes each time it is made from the same log.

use std::path::PathBuf;

use jiff::civil::Date;
use vrx_proto::v1;

use super::{
    files,
    summary::{
        Days, alert, conclusion, counts, hours, indexes, policy, signatures, summarize,
        summary_json, who,
    },
};
use crate::{
    clock,
    failure::Failure,
    labels,
    output::Output,
    outputs::{self, Place},
    paper::{Block, Document, fact, pdf, text},
    profile::Profile,
};

/// 月次報告を作る / a month's report
///
/// 同じ提供記録からは、いつ作っても同じ内容になります。終わった月の内容は、あとの記録では変わりません（あとからの確認の署名だけが加わります）。
/// --log-size を指定すると、その件数までの記録だけから作り、署名も加わりません。
/// The same log makes the same report; only signatures that come later add themselves, and none does with --log-size.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 月 / the month
    #[arg(long, value_name = "YYYY-MM", value_parser = parse_month)]
    month: Date,
    /// 提供記録の初めのこの件数だけから作る / made from the log's first entries alone
    #[arg(long, value_name = "N", default_value_t = 0)]
    log_size: u64,
    /// PDF を新しいファイルに書き出す / write a new PDF
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
}

/// The first day of a month that a person typed.
fn parse_month(text: &str) -> Result<Date, String> {
    clock::parse_date(&format!("{text}-01"))
        .map_err(|_| "2026-04 の形の月 / a month like 2026-04".to_owned())
}

/// Runs the command.
pub(super) async fn run(args: &Args, profile: &Profile, output: &Output) -> Result<(), Failure> {
    outputs::free(args.pdf.as_deref().map(Place::File))?;
    let (from, last) = (args.month, args.month.last_of_month());
    let days = Days {
        from,
        until: last.min(clock::today().max(from)),
        log_size: args.log_size,
    };
    let summary = summarize(days, "月", profile, output).await?;
    let document = document(&summary, args, last, profile);
    if let Some(path) = &args.pdf {
        files::write(path, &pdf(&document)?)?;
    }
    if !output.json(|| summary_json(&summary))? {
        output.line(&text(&document))?;
    }
    conclusion(&summary)
}

fn document(summary: &v1::DaysSummary, args: &Args, last: Date, profile: &Profile) -> Document {
    let mut warnings = Vec::new();
    if !summary.complete {
        warnings.push("月の途中までの記録から作りました。".to_owned());
    }
    if let Err(damaged) = conclusion(summary) {
        warnings.push(damaged.to_string());
    }
    if summary.partial {
        warnings.push("件数が多く、者または人を区別しきれなかったところがあります。".to_owned());
    }
    // A day before the month that still waits for its signature is that month's matter.
    let alerts: Vec<&v1::Alert> = summary
        .alerts
        .iter()
        .filter(|alert| in_month(alert.day.as_ref(), args.month))
        .collect();
    let mut blocks = vec![
        Block {
            heading: "1. 件数".to_owned(),
            facts: vec![
                fact("記録", counts(&summary.kinds)),
                fact("提供の結果", counts(&summary.causes)),
                fact("照会の結果", counts(&summary.inquiries)),
                fact("利用目的", counts(&summary.purposes)),
                fact("時間帯", hours(&summary.hours)),
            ],
        },
        Block {
            heading: "2. 相手方".to_owned(),
            facts: summary.counterparties.iter().map(counterparty).collect(),
        },
        Block {
            heading: "3. 行った者".to_owned(),
            facts: summary.operators.iter().map(operator).collect(),
        },
        Block {
            heading: format!("4. 注意事項 {} 件", alerts.len()),
            facts: alerts.into_iter().map(alert_fact).collect(),
        },
        Block {
            heading: "5. 日々の確認".to_owned(),
            facts: summary
                .reviews
                .iter()
                .filter(|review| in_month(review.day.as_ref(), args.month) && review.entries > 0)
                .map(review)
                .collect(),
        },
    ];
    for block in &mut blocks {
        if block.facts.is_empty() {
            block.facts.push(fact("なし", ""));
        }
    }
    Document {
        title: format!(
            "提供記録の月次報告 {}年{}月",
            args.month.year(),
            args.month.month()
        ),
        dated: last.at(23, 59, 59, 0),
        facts: vec![
            fact("実施機関", profile.municipality.name()),
            fact(
                "範囲",
                format!(
                    "提供記録 {} 番から {} 番の前まで（{} 件）",
                    summary.from_index,
                    summary.until_index,
                    summary.until_index.saturating_sub(summary.from_index)
                ),
            ),
            fact(
                "もとにした記録",
                format!(
                    "初めの {} 件、ルート {}",
                    summary.until_index,
                    hex::encode(&summary.root)
                ),
            ),
        ],
        warnings,
        blocks,
        notes: summary
            .policy
            .iter()
            .map(|decided| format!("注意事項の基準: {}", policy(decided)))
            .chain([lasting(args.log_size).to_owned()])
            .collect(),
    }
}

/// What of a report later entries change.
fn lasting(log_size: u64) -> &'static str {
    if log_size == 0 {
        "件数と注意事項は上のもとにした記録だけから決まり、あとの記録では変わりません。確認の署名だけは、あとから加わることがあります。"
    } else {
        "この報告は上のもとにした記録だけから作りました。同じ件数を指定すれば、いつ作っても同じ内容になります。"
    }
}

fn counterparty(one: &v1::CounterpartyCounts) -> (String, String) {
    let said = format!(
        "受けた照会 {}（提供 {}、夜間・休日 {}）、拒否 {}、行った照会 {}",
        one.asked_us, one.found, one.off_hours, one.refused, one.we_asked
    );
    (labels::municipality(&one.municipality_code), said)
}

fn operator(one: &v1::OperatorCounts) -> (String, String) {
    let who = format!(
        "{} {}",
        labels::municipality(&one.municipality_code),
        labels::actor(&one.operator)
    );
    (
        who,
        format!("{} {} 件", labels::action(&one.action), one.count),
    )
}

fn alert_fact(one: &v1::Alert) -> (String, String) {
    let entries = match indexes(one).as_str() {
        "" => String::new(),
        indexes => format!("（提供記録 {indexes}）"),
    };
    (
        clock::show_date(one.day.as_ref()),
        format!("{} {}{entries}", who(&one.who), alert(one))
            .trim()
            .to_owned(),
    )
}

fn review(review: &v1::DayReview) -> (String, String) {
    let state = if review.reviewed { "済" } else { "未" };
    (
        clock::show_date(review.day.as_ref()),
        format!(
            "記録 {} 件、確認 {state} {}",
            review.entries,
            signatures(review)
        )
        .trim()
        .to_owned(),
    )
}

fn in_month(day: Option<&v1::Date>, month: Date) -> bool {
    day.is_some_and(|day| {
        i64::from(day.year) == i64::from(month.year())
            && i64::from(day.month) == i64::from(month.month())
    })
}

#[cfg(test)]
mod tests {
    use super::{lasting, parse_month};

    #[test]
    fn a_report_of_the_log_s_first_entries_promises_no_later_signature() {
        assert!(lasting(0).contains("あとから加わる"));
        assert!(!lasting(124).contains("あとから加わる"));
    }

    #[test]
    fn a_month_is_written_with_its_year() {
        assert_eq!(parse_month("2026-11").unwrap().to_string(), "2026-11-01");
        for wrong in ["2026-13", "2026", "2026-11-01", "11"] {
            assert!(parse_month(wrong).is_err(), "{wrong}");
        }
    }
}
