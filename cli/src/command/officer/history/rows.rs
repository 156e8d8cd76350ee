//! A history as rows, for spreadsheets and for programs.

use serde_json::{Value, json};
use vrx_proto::v1;

use super::super::{
    events::{Part, Read},
    files,
};
use crate::{
    clock,
    command::{
        inquire::receipt_json,
        log::{cause_label, kind_label},
    },
    failure::Failure,
    labels,
};

const CSV_HEADER: [&str; 20] = [
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
    "閲覧した記録の番号",
    "理由",
    "不開示",
    "決定",
];
/// What only the internal view says stands behind the others.
const INTERNAL_COLUMNS: usize = 3;

/// The history as CSV.
pub(super) fn csv(read: &Read, internal: bool) -> Result<Vec<u8>, Failure> {
    // What a disclosure says nothing of has no column there.
    let columns = CSV_HEADER.len() - if internal { 0 } else { INTERNAL_COLUMNS };
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
        labels::outcome(&row.action, &row.outcome).to_owned(),
        labels::purpose(row).to_owned(),
        row.legal_basis.clone(),
        labels::consent_method(&consent).to_owned(),
        clock::show_date(consent.obtained_on.as_ref()),
        consent.reference,
        row.event_reference.clone(),
        clock::show_date(row.event_date.as_ref()),
        labels::doses(row),
        row.log_index.to_string(),
        match row.looked_at {
            0 => String::new(),
            place => place.to_string(),
        },
        cause_label(&row.cause).to_owned(),
        labels::reason(row.withheld()).to_owned(),
        row.mark.as_ref().map(labels::decision).unwrap_or_default(),
    ]
}

/// The history for programs.
pub(super) fn history_json(read: &Read, internal: bool) -> Value {
    json!({
        "view": if internal { "internal" } else { "disclosure" },
        "registered": read.start.registered,
        "review_index": read.start.review_index,
        "read_at": clock::show_rfc3339(read.start.time.as_ref()),
        "checkpoint": read.start.checkpoint,
        "missing": read.missing,
        "witnesses": labels::cosigning_code(read.start.cosigning()),
        "proofs": read.proofs.code(),
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
pub(in crate::command::officer) fn row_json(row: &v1::HistoryRow) -> Value {
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
        "looked_at": (row.looked_at > 0).then_some(row.looked_at),
        "erasure": row.erasure.as_ref().map(|erasure| json!({
            "erasure_id": text(&erasure.erasure_id),
            "persons": erasure.persons,
            "doses": erasure.doses,
            "openings": erasure.openings,
        })),
        "receipt": row.receipt.as_ref().map(receipt_json),
    })
}

#[cfg(test)]
mod tests {
    use vrx_proto::v1;

    use super::{csv, history_json};
    use crate::command::{
        log::Proofs,
        officer::events::{Part, Read},
    };

    fn read() -> Read {
        let row = v1::HistoryRow {
            log_index: 7,
            kind: 1,
            action: "query-records".to_owned(),
            outcome: "found".to_owned(),
            counterparty_concealed: true,
            ..v1::HistoryRow::default()
        };
        let gap = v1::HistoryGap {
            missing: 2,
            last_index: 5,
            ..v1::HistoryGap::default()
        };
        Read {
            start: v1::HistoryStart::default(),
            parts: vec![Part::Gap(gap), Part::Row(Box::new(row))],
            missing: 2,
            proofs: Proofs::NotChecked,
        }
    }

    #[test]
    fn a_gap_is_a_row_of_its_own_and_a_disclosure_has_no_column_for_what_it_leaves_out() {
        for (internal, columns) in [(false, 17), (true, 20)] {
            let table = String::from_utf8(csv(&read(), internal).unwrap()).unwrap();
            let lines: Vec<&str> = table.lines().collect();
            assert_eq!(lines.len(), 3, "{table}");
            assert!(lines.iter().all(|line| line.split(',').count() == columns));
            assert_eq!(lines[0].contains("不開示"), internal);
            assert!(lines[1].contains("記録が 2 件欠けています"), "{table}");
            assert!(lines[2].starts_with("1,") && lines[2].contains("他市区町村"));
        }
        let told = history_json(&read(), false);
        assert_eq!(told["entries"][0]["kind"], "gap");
        assert!(told["entries"][1]["counterparty"].is_null());
    }
}
