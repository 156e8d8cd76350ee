//! The committed fields of an entry in words, for people: what a field is called, times in Japan, and what a code stands for.

use vrx_domain::SpiffeId;
use vrx_proto::v1;

use super::{
    entries::{cause_label, kind_label},
    names::name,
};
use crate::{clock, labels, words};

/// Part, name and value of each field.
pub(super) fn rows(entry: &v1::LogEntry) -> Vec<Vec<String>> {
    let action = entry
        .fields
        .iter()
        .find(|field| field.commitment == "actor" && field.name == "action")
        .map_or("query-records", |field| field.value.as_str());
    entry
        .fields
        .iter()
        .map(|field| {
            vec![
                part(&field.commitment).to_owned(),
                name(field, action).to_owned(),
                value(field, action),
            ]
        })
        .collect()
}

fn part(commitment: &str) -> &str {
    match commitment {
        "actor" => "行為者",
        "subject" => "対象",
        "content" => "内容",
        other => other,
    }
}

fn value(field: &v1::EntryField, action: &str) -> String {
    let raw = field.value.as_str();
    let actor = field.commitment == "actor";
    let said = match field.name.as_str() {
        "caller" | "entered_by" | "proposed_by" | "approved_by" => who(raw),
        "caller_certificate_sha256" if raw.bytes().all(|byte| byte == b'0') => {
            "なし（ノード自身）".to_owned()
        }
        "kind" if action.starts_with("import-") => match raw {
            "persons" => "住民".to_owned(),
            "doses" => "接種記録".to_owned(),
            _ => String::new(),
        },
        "kind" => coded(raw, v1::EntryKind::try_from, |kind| kind_label(kind).0),
        "action" => labels::action(raw).to_owned(),
        "municipality_code" | "member" | "provider" => named(raw),
        "legal_basis" => labels::legal_basis(raw),
        "purpose" => coded(raw, v1::Purpose::try_from, labels::purpose_of),
        "consent.method" => coded(raw, v1::ConsentMethod::try_from, labels::method),
        "document" if actor || action == "inquire" => {
            coded(raw, v1::IdentityDocument::try_from, labels::document)
        }
        "ground" => coded(raw, v1::HoldGround::try_from, labels::ground),
        "until" if action == "hold" && raw.is_empty() => "解くまで".to_owned(),
        // The certificate says it in both languages.
        "method" => raw.split(" / ").next().unwrap_or_default().to_owned(),
        "proposed_at" | "approved_at" | "entered_at" | "live" => {
            raw.parse().map_or_else(|_| String::new(), clock::show_time)
        }
        "openings_below" => format!("{raw} 番より前の記録"),
        "outcome" if action == "log-reconcile" => match raw {
            "reconciled" => "照合した".to_owned(),
            other => words::peer_said(other),
        },
        "outcome" if action.starts_with("hold") && raw == "none" => "該当なし".to_owned(),
        "difference" => labels::difference_code(raw).to_owned(),
        "mark" => coded(raw, v1::EntryMark::try_from, labels::mark),
        "reason" if action == "mark-entry" => {
            coded(raw, v1::DisclosureReason::try_from, labels::reason)
        }
        "resident_register_checked_at" | "document_checked_at" => raw
            .parse()
            .map_or_else(|_| String::new(), clock::show_moment),
        "cause" => cause_label(raw).to_owned(),
        "outcome" => labels::outcome(action, raw).to_owned(),
        "phase" => match raw {
            "sent" => "送信".to_owned(),
            "outcome" => "結果".to_owned(),
            _ => String::new(),
        },
        "view" => match raw {
            "disclosure" => "開示用".to_owned(),
            "internal" => "内部用".to_owned(),
            _ => String::new(),
        },
        "conceal_requester" | "registered" | "complete" | "told" => match raw {
            "1" => "はい".to_owned(),
            "0" => "いいえ".to_owned(),
            _ => String::new(),
        },
        "persons" | "stayed" | "on_hold" | "waiting" => format!("{raw} 人"),
        "held_back" | "doses" | "adopted" | "unchanged" | "related" | "entries" | "alerts"
        | "openings" | "blanked" | "blanked_before" | "blanked_again" => format!("{raw} 件"),
        "index" | "entry" | "provider_log_index" | "log_index" if !raw.is_empty() => {
            format!("{raw} 番")
        }
        _ => String::new(),
    };
    if said.is_empty() {
        raw.to_owned()
    } else {
        said
    }
}

/// `神奈川県藤沢市 職員 tanaka` out of a caller's URI.
pub(super) fn who(uri: &str) -> String {
    SpiffeId::parse(uri).map_or_else(
        |_| uri.to_owned(),
        |id| {
            let role = id.role.as_str();
            let actor = id
                .name
                .map_or_else(|| role.to_owned(), |name| format!("{role}/{name}"));
            format!("{} {}", id.municipality.name(), labels::actor(&actor))
        },
    )
}

/// `神奈川県横浜市 (141003)`.
fn named(code: &str) -> String {
    match labels::municipality(code) {
        name if name == code => name,
        name => format!("{name} ({code})"),
    }
}

/// The words of an enum's number on the wire; empty when it has none.
fn coded<T, E>(
    raw: &str,
    read: impl Fn(i32) -> Result<T, E>,
    words: impl Fn(T) -> &'static str,
) -> String {
    let read = raw.parse().ok().and_then(|number| read(number).ok());
    read.map(words).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use vrx_proto::v1;

    use super::rows;

    fn entry(fields: &[(&str, &str, &str)]) -> v1::LogEntry {
        let field = |(commitment, name, value): &(&str, &str, &str)| v1::EntryField {
            commitment: (*commitment).to_owned(),
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        v1::LogEntry {
            fields: fields.iter().map(field).collect(),
            ..v1::LogEntry::default()
        }
    }

    #[test]
    fn times_codes_and_callers_are_said_in_words() {
        let shown = rows(&entry(&[
            (
                "actor",
                "caller",
                "spiffe://vrx.example/municipality/141003/exchange",
            ),
            ("actor", "municipality_code", "142051"),
            ("actor", "purpose", "1"),
            ("actor", "consent.method", "3"),
            ("actor", "resident_register_checked_at", "1619794800120"),
            ("actor", "document", "2"),
            ("actor", "conceal_requester", "0"),
            ("subject", "cause", "not-moved-out"),
            ("content", "outcome", "nothing"),
            ("content", "something_new", "17"),
        ]));
        let values: Vec<&str> = shown.iter().map(|row| row[2].as_str()).collect();
        assert_eq!(values[0], "神奈川県横浜市 ノード");
        assert_eq!(values[1], "神奈川県藤沢市 (142051)");
        assert_eq!(values[2], "転入に伴う接種記録の確認");
        assert_eq!(values[3], "端末");
        assert_eq!(values[4], "2021-05-01 00:00:00");
        assert_eq!(values[5], "通知カードと写真付きの身分証明書");
        assert_eq!(
            values[6..9],
            ["いいえ", "転出していない", "該当なしと回答した"]
        );
        assert_eq!(shown[9][1..], ["something_new", "17"]);
    }

    #[test]
    fn a_hold_and_an_erasure_are_said_in_words() {
        let held = rows(&entry(&[
            ("actor", "action", "hold"),
            ("content", "until", ""),
            ("content", "ground", "2"),
            ("content", "reference", "H-1"),
        ]));
        let said: Vec<&[String]> = held.iter().skip(1).map(|row| &row[1..]).collect();
        assert_eq!(said[0], ["保留の期限", "解くまで"]);
        assert_eq!(said[1], ["保留の理由", "開示請求"]);
        let erased = rows(&entry(&[
            ("actor", "action", "erasure"),
            ("content", "persons", "3"),
            ("content", "openings", "12"),
            ("content", "stayed", "1"),
            ("content", "method", "鍵を破棄した / keys destroyed"),
            ("content", "live", "2026-11-23T00:00:00.000+09:00"),
            ("content", "final", "2026-12-28"),
            ("content", "openings_below", "124"),
            ("content", "blanked_again", "0"),
        ]));
        let values: Vec<&str> = erased.iter().skip(1).map(|row| row[2].as_str()).collect();
        assert_eq!(values[..4], ["3 人", "12 件", "1 人", "鍵を破棄した"]);
        assert_eq!(values[4..6], ["2026-11-23 00:00:00", "2026-12-28"]);
        assert_eq!(values[6..], ["124 番より前の記録", "0 件"]);
        let raw = |row: &&Vec<String>| row[1].is_ascii();
        assert_eq!(erased.iter().find(raw), None);
    }

    #[test]
    fn what_came_of_a_reconciliation_is_said_in_words() {
        let outcome = |raw| {
            let shown = rows(&entry(&[
                ("actor", "action", "log-reconcile"),
                ("content", "outcome", raw),
            ]));
            shown[1][2].clone()
        };
        assert_eq!(outcome("reconciled"), "照合した");
        assert!(outcome("failed: no-connection").starts_with("相手方のノードに接続できません"));
    }

    #[test]
    fn the_same_name_means_what_its_entry_is_about() {
        let marked = rows(&entry(&[
            ("actor", "action", "mark-entry"),
            ("content", "entry", "12"),
            ("content", "mark", "1"),
            ("content", "reason", "1"),
            ("content", "document", "K-1"),
        ]));
        assert_eq!(marked[1][1..], ["決定の対象", "12 番"]);
        assert_eq!(marked[2][2], "不開示");
        assert!(marked[3][2].starts_with("第1号"));
        assert_eq!(marked[4][1..], ["決裁番号", "K-1"]);
        let failed = rows(&entry(&[
            ("actor", "action", "inquire"),
            ("content", "reason", "1"),
        ]));
        assert_eq!(failed[1][2], "1");
    }
}
