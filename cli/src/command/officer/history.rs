//! `vrx officer history`: all that the log holds about one person, for a request for disclosure (開示請求).

use std::path::PathBuf;

use serde_json::{Value, json};
use vrx_proto::v1;

use super::{
    events::{Part, Read, read},
    files, labels,
};
use crate::{
    clock,
    command::{
        inquire::{read_number, receipt_json},
        log::{cause_label, kind_label},
    },
    connect::connect,
    failure::Failure,
    output::Output,
    paper::{Block, Document, Fact, fact, pdf, text},
    profile::Profile,
};

/// 一人についての提供・照会・閲覧の記録をすべて古い順に示す (開示請求) / all that the log holds about one person
///
/// 個人番号は画面に表示せずに入力します（または標準入力・--number-file から読みます）。この閲覧も、その人についての記録に残ります。
/// 不開示と決めた記録は、--internal を付けない限り示しません。欠けている記録があれば、その旨を示して終了コード 1 で終わります。
/// The number is typed unseen, or read from standard input or a file. A missing entry is said, and ends with exit code 1.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 個人番号を1行で書いたファイル (使用後は消してください) / file with the number
    #[arg(long, value_name = "FILE")]
    number_file: Option<PathBuf>,
    /// 内部用: 不開示とした記録と開示区分の決定も示す / for the officer alone: with what isn't disclosed
    #[arg(long)]
    internal: bool,
    /// 印刷用の PDF を書き出す / write a PDF
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// CSV を書き出す / write CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// 1件ごとの証明を <番号>.tlog-proof として保存する / save each entry's offline proof
    #[arg(long, value_name = "DIR")]
    proofs: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(args: &Args, profile: &Profile, output: &Output) -> Result<(), Failure> {
    let number = read_number(args.number_file.as_deref())?;
    let view = if args.internal {
        v1::HistoryView::Internal
    } else {
        v1::HistoryView::Disclosure
    };
    let read = read(connect(profile).await?, profile, &number, view).await?;
    drop(number);
    let document = document(&read, profile, args.internal);
    if let Some(path) = &args.pdf {
        files::write(path, &pdf(&document)?)?;
    }
    if let Some(path) = &args.csv {
        files::write(path, &csv(&read, args.internal)?)?;
    }
    if let Some(folder) = &args.proofs {
        files::save_proofs(folder, &read.receipts()?)?;
    }
    if !output.json(|| history_json(&read, args.internal))? {
        output.line(&text(&document))?;
    }
    conclusion(&read)
}

/// Done only when nothing is missing and no proof is wrong.
fn conclusion(read: &Read) -> Result<(), Failure> {
    if read.missing > 0 {
        return Err(Failure::NotDone(format!(
            "この人についての記録が {} 件欠けています。開示する前に vrx log verify を実行し、運用担当者と調べてください / \
             {} entries about this person are missing",
            read.missing, read.missing
        )));
    }
    if read.proved == Some(false) {
        return Err(Failure::NotDone(
            "証明の正しくない記録があります。開示する前に運用担当者と調べてください / a proof is wrong".to_owned(),
        ));
    }
    Ok(())
}

/// What is printed.
fn document(read: &Read, profile: &Profile, internal: bool) -> Document {
    let origin = read.start.checkpoint.lines().next().unwrap_or_default();
    let size = read.start.checkpoint.lines().nth(1).unwrap_or_default();
    let root = read.start.checkpoint.lines().nth(2).unwrap_or_default();
    let made = read
        .rows()
        .find(|row| row.log_index == read.start.review_index);
    let mut facts = vec![
        fact("実施機関", profile.municipality.name()),
        fact("記録の件数", format!("{} 件", read.rows().count())),
        fact("提供記録の名", origin),
        fact(
            "作成の記録",
            format!("提供記録 {} 番", read.start.review_index),
        ),
    ];
    if let Some(made) = made {
        facts.insert(1, fact("作成日時", clock::show(made.time.as_ref())));
    }
    if !read.start.registered {
        facts.push(fact("住民の台帳", "現在は登録がありません"));
    }
    let mut nth = 0;
    let blocks = read.parts.iter().map(|part| match part {
        Part::Row(row) => {
            nth += 1;
            row_block(nth, row)
        }
        Part::Gap(gap) => gap_block(gap),
    });
    Document {
        title: if internal {
            "提供記録等の一覧（内部用・開示不可）"
        } else {
            "提供記録等の開示"
        }
        .to_owned(),
        dated: clock::civil(
            made.or(read.rows().last())
                .and_then(|row| row.time.as_ref()),
        ),
        facts,
        blocks: blocks.collect(),
        warnings: warnings(read),
        notes: notes(read, (size, root)),
    }
}

fn warnings(read: &Read) -> Vec<String> {
    let mut warnings = Vec::new();
    if read.missing > 0 {
        warnings.push(format!(
            "記録が {} 件欠けています。この一覧は完全ではありません。",
            read.missing
        ));
    }
    if read.proved == Some(false) {
        warnings.push("署名または包含証明の正しくない記録があります。".to_owned());
    }
    warnings
}

fn notes(read: &Read, (size, root): (&str, &str)) -> Vec<String> {
    let mut notes = vec![
        "この一覧は、追記だけができる提供記録から作りました。法令の定めにより、開示しない記録、相手方の名を示さない記録（「他市区町村」）があり得ます。".to_owned(),
        format!("署名付きの到達点: 全 {size} 件、ルート {root}"),
    ];
    notes.push(
        match read.proved {
            Some(true) => {
                "各記録がこの到達点の提供記録に含まれることを、署名と包含証明で確かめました。"
            }
            Some(false) => "署名と包含証明を確かめられない記録があります。",
            None => "署名と包含証明は確かめていません（検証鍵 log_vkey の設定がありません）。",
        }
        .to_owned(),
    );
    notes
}

fn row_block(nth: usize, row: &v1::HistoryRow) -> Block {
    let optional = |label: &str, value: String| (!value.is_empty()).then(|| fact(label, value));
    let mark = row.mark.as_ref().map(|mark| {
        format!(
            "{} 番を「{}」 {} {}",
            mark.log_index,
            labels::mark(mark.mark()),
            labels::reason(mark.reason()),
            mark.document
        )
    });
    let facts: Vec<Option<Fact>> = vec![
        Some(fact("日時", clock::show(row.time.as_ref()))),
        optional("相手方", labels::counterparty(row)),
        optional("行った者", labels::actor(&row.actor)),
        optional("結果", labels::outcome(row).to_owned()),
        optional("理由", cause_label(&row.cause).to_owned()),
        optional("利用目的", labels::purpose(row).to_owned()),
        optional("法令上の根拠", labels::legal_basis(&row.legal_basis)),
        optional("本人同意", labels::consent(row)),
        optional(
            "届出",
            format!(
                "{} {}",
                row.event_reference,
                clock::show_date(row.event_date.as_ref())
            )
            .trim()
            .to_owned(),
        ),
        optional("接種記録", labels::doses(row)),
        optional("決定", mark.unwrap_or_default()),
        optional("不開示", labels::reason(row.withheld()).to_owned()),
        Some(fact("提供記録", format!("{} 番", row.log_index))),
    ];
    Block {
        heading: format!("{nth}. {}", labels::heading(row)),
        facts: facts.into_iter().flatten().collect(),
    }
}

fn gap_block(gap: &v1::HistoryGap) -> Block {
    let why = if gap.erased {
        "記録は残っていますが、内容が消去されています。消去記録と照らし合わせてください。"
    } else {
        "あったはずの記録を読めません。"
    };
    Block {
        heading: format!("！！ 欠けている記録 {} 件 ！！", gap.missing),
        facts: vec![
            fact("状況", why),
            fact("位置", format!("提供記録 {} 番まで", gap.last_index)),
        ],
    }
}

const CSV_HEADER: [&str; 17] = [
    "連番",
    "日時",
    "種類",
    "内容",
    "相手方",
    "行った者",
    "結果",
    "利用目的",
    "法令上の根拠",
    "同意の方法",
    "同意日",
    "同意書番号",
    "届出番号",
    "届出日",
    "接種記録",
    "提供記録番号",
    "不開示",
];

fn csv(read: &Read, internal: bool) -> Result<Vec<u8>, Failure> {
    // What a disclosure says nothing of has no column there.
    let columns = CSV_HEADER.len() - usize::from(!internal);
    let mut nth = 0;
    let rows = read.parts.iter().map(|part| {
        let mut cells = match part {
            Part::Row(row) => {
                nth += 1;
                csv_row(nth, row)
            }
            Part::Gap(gap) => {
                let mut cells = vec![String::new(); CSV_HEADER.len()];
                let said = [
                    (2, "欠落".to_owned()),
                    (3, format!("記録が {} 件欠けています", gap.missing)),
                    (15, gap.last_index.to_string()),
                ];
                for (at, text) in said {
                    if let Some(cell) = cells.get_mut(at) {
                        *cell = text;
                    }
                }
                cells
            }
        };
        cells.truncate(columns);
        cells
    });
    let rows: Vec<Vec<String>> = rows.collect();
    files::csv(CSV_HEADER.get(..columns).unwrap_or_default(), &rows)
}

fn csv_row(nth: usize, row: &v1::HistoryRow) -> Vec<String> {
    let consent = row.consent.clone().unwrap_or_default();
    vec![
        nth.to_string(),
        clock::show(row.time.as_ref()),
        kind_label(row.kind()).0.to_owned(),
        labels::heading(row).to_owned(),
        labels::counterparty(row),
        labels::actor(&row.actor),
        labels::outcome(row).to_owned(),
        labels::purpose(row).to_owned(),
        row.legal_basis.clone(),
        labels::consent_method(&consent).to_owned(),
        clock::show_date(consent.obtained_on.as_ref()),
        consent.reference,
        row.event_reference.clone(),
        clock::show_date(row.event_date.as_ref()),
        labels::doses(row),
        row.log_index.to_string(),
        labels::reason(row.withheld()).to_owned(),
    ]
}

fn history_json(read: &Read, internal: bool) -> Value {
    json!({
        "view": if internal { "internal" } else { "disclosure" },
        "registered": read.start.registered,
        "review_index": read.start.review_index,
        "checkpoint": read.start.checkpoint,
        "missing": read.missing,
        "proofs": match read.proved { Some(true) => "proved", Some(false) => "wrong", None => "not-checked" },
        "entries": read.parts.iter().map(|part| match part {
            Part::Row(row) => row_json(row),
            Part::Gap(gap) => json!({
                "kind": "gap",
                "missing": gap.missing,
                "first_seq": (gap.first_seq > 0).then_some(gap.first_seq),
                "last_index": gap.last_index,
                "erased": gap.erased,
            }),
        }).collect::<Vec<_>>(),
    })
}

/// A row for programs. What its view doesn't show isn't there.
pub(super) fn row_json(row: &v1::HistoryRow) -> Value {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "log_index": row.log_index,
        "time": clock::show_rfc3339(row.time.as_ref()),
        "kind": kind_label(row.kind()).1,
        "subject_seq": (row.subject_seq > 0).then_some(row.subject_seq),
        "action": row.action,
        "phase": text(&row.phase),
        "counterparty": text(&row.counterparty),
        "counterparty_concealed": row.counterparty_concealed,
        "actor": text(&row.actor),
        "outcome": text(&row.outcome),
        "cause": text(&row.cause),
        "purpose": (row.purpose != 0).then_some("move-in"),
        "legal_basis": text(&row.legal_basis),
        "consent": row.consent.as_ref().map(|consent| json!({
            "reference": consent.reference,
            "obtained_on": clock::show_date(consent.obtained_on.as_ref()),
            "method": consent.method().as_str_name().trim_start_matches("CONSENT_METHOD_").to_lowercase().replace('_', "-"),
        })),
        "event_reference": text(&row.event_reference),
        "event_date": text(&clock::show_date(row.event_date.as_ref())),
        "doses": row.doses.iter().map(|dose| json!({
            "dose_id": dose.dose_id,
            "dose_number": (dose.dose_number > 0).then_some(dose.dose_number),
            "date": text(&clock::show_date(dose.date.as_ref())),
            "product_name": text(&dose.product_name),
        })).collect::<Vec<_>>(),
        "dose_count": row.dose_count,
        "held_back": row.held_back,
        "withheld": (row.withheld != 0).then_some(row.withheld),
        "mark": row.mark.as_ref().map(|mark| json!({
            "log_index": mark.log_index,
            "mark": mark.mark().as_str_name().trim_start_matches("ENTRY_MARK_").to_lowercase().replace('_', "-"),
            "reason": (mark.reason != 0).then_some(mark.reason),
            "document": mark.document,
        })),
        "receipt": row.receipt.as_ref().map(receipt_json),
    })
}
