//! A history as a document: the same on the screen and on paper.

use vrx_proto::v1;

use super::super::events::{Part, Read};
use crate::{
    clock,
    command::log::{Proofs, cause_label},
    labels,
    paper::{Block, Document, Fact, fact},
    profile::Profile,
};

/// For a resident, who has read none of these words before.
const EXPLAINED: &str = "到達点とは、その時点までの提供記録の件数と、全件から計算した値（ルート）に、実施機関が電子署名をしたものです。\
     記録を1件でも変えたり除いたりするとルートが合わなくなるため、あとから書き換えられていないことを確かめられます。";
const EXPLAINED_WITNESSES: &str = "証人とは、提供記録に追記だけがされていることを実施機関の外で確かめている者です。連署は、証人がこの到達点を確かめたことの電子署名です。";

/// What is printed.
pub(super) fn document(read: &Read, profile: &Profile, internal: bool) -> Document {
    let origin = read.start.checkpoint.lines().next().unwrap_or_default();
    let size = read.start.checkpoint.lines().nth(1).unwrap_or_default();
    let root = read.start.checkpoint.lines().nth(2).unwrap_or_default();
    // A node of an earlier version says it with the reading's own row alone.
    let own = read
        .rows()
        .find(|row| row.log_index == read.start.review_index);
    let made = read.start.time.as_ref();
    let made = made.or_else(|| own.and_then(|row| row.time.as_ref()));
    let mut facts = vec![
        fact("実施機関", profile.municipality.name()),
        fact("作成日時", clock::show(made)),
        fact("記録の件数", format!("{} 件", read.rows().count())),
        fact("提供記録の名", origin),
        fact(
            "作成の記録",
            format!("提供記録 {} 番", read.start.review_index),
        ),
    ];
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
        dated: clock::civil(made),
        facts,
        blocks: blocks.collect(),
        warnings: warnings(read),
        notes: notes(read, (size, root), internal),
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
    if read.proofs == Proofs::Wrong {
        warnings.push("署名または包含証明の正しくない記録があります。".to_owned());
    }
    warnings
}

fn notes(read: &Read, (size, root): (&str, &str), internal: bool) -> Vec<String> {
    let whole = if internal {
        "この一覧は、追記だけができる提供記録から作りました。不開示とした記録と開示区分の決定も含みます。本人に渡さないでください。"
    } else {
        "この一覧は、追記だけができる提供記録から作りました。法令の定めにより、開示しない記録、相手方の名を示さない記録（「他市区町村」）があり得ます。"
    };
    let mut notes = vec![
        whole.to_owned(),
        format!("署名付きの到達点: 全 {size} 件、ルート {root}"),
    ];
    if read.parts.is_empty() {
        notes.insert(0, "記録はありません。".to_owned());
    }
    notes.push(EXPLAINED.to_owned());
    if read.rows().next().is_none() {
        return notes;
    }
    if let Some(cosigning) = labels::cosigning(read.start.cosigning()) {
        notes.push(cosigning.to_owned());
        notes.push(EXPLAINED_WITNESSES.to_owned());
    }
    notes.push(
        match read.proofs {
            Proofs::Proved => {
                "各記録がこの到達点の提供記録に含まれることを、署名と包含証明で確かめました。"
            }
            Proofs::Wrong => "署名と包含証明を確かめられない記録があります。",
            Proofs::NotChecked => {
                "署名と包含証明は確かめていません（検証鍵 log_vkey の設定がありません）。"
            }
            Proofs::OtherEpoch => {
                "署名と包含証明は確かめていません（検証鍵 log_vkey は、この提供記録の別の系列のものです）。"
            }
        }
        .to_owned(),
    );
    notes
}

fn row_block(nth: usize, row: &v1::HistoryRow) -> Block {
    let optional = |label: &str, value: String| (!value.is_empty()).then(|| fact(label, value));
    let mark = row.mark.as_ref().map(labels::decision);
    let facts: Vec<Option<Fact>> = vec![
        Some(fact("日時", clock::show(row.time.as_ref()))),
        optional("相手方", labels::counterparty(row)),
        optional("行った者", labels::actor(&row.actor)),
        optional("閲覧した記録", labels::looked_at(row)),
        optional(
            "結果",
            labels::outcome(&row.action, &row.outcome).to_owned(),
        ),
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

#[cfg(test)]
mod tests {
    use vrx_proto::v1;

    use super::document;
    use crate::{
        command::{
            log::Proofs,
            officer::events::{Part, Read},
        },
        paper::{pdf, text},
        profile::Profile,
    };

    fn profile() -> Profile {
        Profile {
            address: "localhost:1".to_owned(),
            municipality: "142051".parse().unwrap(),
            server_name: "localhost".to_owned(),
            ca: "ca".into(),
            cert: "cert".into(),
            key: "key".into(),
            log_vkey: None,
            timeout: std::time::Duration::from_secs(1),
        }
    }

    #[test]
    fn of_a_person_without_entries_nothing_is_said_to_be_proved() {
        let start = v1::HistoryStart {
            cosigning: v1::Cosigning::Cosigned.into(),
            ..v1::HistoryStart::default()
        };
        let empty = Read {
            start,
            parts: Vec::new(),
            missing: 0,
            proofs: Proofs::Proved,
        };
        let said = text(&document(&empty, &profile(), false));
        assert!(said.contains("記録はありません。"), "{said}");
        assert!(
            !said.contains("包含証明") && !said.contains("連署"),
            "{said}"
        );
    }

    #[test]
    fn the_words_of_a_proof_are_explained_to_the_person() {
        let start = v1::HistoryStart {
            cosigning: v1::Cosigning::Cosigned.into(),
            ..v1::HistoryStart::default()
        };
        let read = Read {
            start,
            parts: vec![Part::Row(Box::default())],
            missing: 0,
            proofs: Proofs::Proved,
        };
        let made = document(&read, &profile(), false);
        for explained in ["到達点とは", "ルート）", "証人とは", "連署は", "--vkey"]
        {
            let said = made.notes.concat();
            assert!(said.contains(explained), "{said}");
        }
    }

    #[test]
    fn a_missing_entry_stands_at_the_top_and_at_its_place_and_paper_is_always_the_same() {
        let gap = v1::HistoryGap {
            missing: 1,
            last_index: 5,
            erased: true,
            ..v1::HistoryGap::default()
        };
        let read = Read {
            start: v1::HistoryStart::default(),
            parts: vec![
                Part::Gap(gap),
                Part::Row(Box::new(v1::HistoryRow {
                    action: "adopt".to_owned(),
                    ..v1::HistoryRow::default()
                })),
            ],
            missing: 1,
            proofs: Proofs::Wrong,
        };
        let made = document(&read, &profile(), false);
        assert_eq!(made.warnings.len(), 2);
        assert!(made.blocks[0].heading.contains("欠けている記録 1 件"));
        assert!(made.blocks[1].heading.starts_with("1. 取り込み"));
        assert!(text(&made).contains("内容が消去されています"));
        assert!(!text(&made).contains("証人"));
        let again = document(&read, &profile(), false);
        assert_eq!(pdf(&made).unwrap(), pdf(&again).unwrap());
    }
}
