//! The committed fields of an entry in words, for people: what a field is called, times in Japan, and what a code stands for.

use vrx_domain::SpiffeId;
use vrx_proto::v1;

use super::entries::{cause_label, kind_label};
use crate::{clock, labels};

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

fn name<'a>(field: &'a v1::EntryField, action: &str) -> &'a str {
    match (action, field.name.as_str()) {
        ("mark-entry", "document") | (_, "reference") => "決裁番号",
        ("mark-entry", "entry") => "決定の対象",
        ("inquire", "municipality_code") => "照会先",
        ("query-records", "municipality_code") => "提供元",
        (_, name) => known(name),
    }
}

/// What a field is called; its own name where nothing else is known.
fn known(name: &str) -> &str {
    match name {
        "caller" => "行った者",
        "caller_certificate_sha256" => "証明書のハッシュ (SHA-256)",
        "action" => "行為",
        "request_id" => "照会ID",
        "inquiry" => "照会の番号",
        "municipality_code" => "自治体コード",
        "index" => "見た記録",
        "member" => "相手方",
        "purpose" => "利用目的",
        "legal_basis" => "法令上の根拠",
        "consent.reference" => "同意書番号",
        "consent.obtained_on" => "同意日",
        "consent.method" => "同意の方法",
        "resident_register_checked_at" => "住民基本台帳の確認",
        "document" => "本人確認書類",
        "document_checked_at" => "本人確認書類の確認",
        "operator_ref" => "照会元の担当者",
        "event_reference" => "届出番号",
        "event_date" => "届出日",
        "conceal_requester" => "照会元の名を伏せる",
        "cause" => "本当の理由",
        "outcome" => "結果",
        "answer_sha256" => "回答のハッシュ (SHA-256)",
        "held_back" => "保留した接種記録",
        "dose_ids" => "接種記録の番号",
        "doses" => "接種記録の件数",
        "adopted" => "取り込んだ件数",
        "phase" => "段階",
        "reason" => "理由",
        "provider_log_index" => "相手方の提供記録の番号",
        "mark" => "決定",
        "related" => "関連する記録",
        "view" => "一覧の種類",
        "registered" => "住民の台帳に登録",
        "entries" => "件数",
        "from" => "始め",
        "until" => "終わり",
        "kind" => "種類",
        "day" => "日",
        "log_size" => "提供記録の件数",
        "root" => "ルート",
        "complete" => "終わった日",
        "alerts" => "注意事項",
        "faults" => "不一致",
        "rows" => "行数",
        "import" => "取込の番号",
        "chunk" => "まとまりの番号",
        "bytes" => "バイト数",
        "keyed_digest" => "鍵付きの要約",
        "added" => "追加",
        "changed" => "変更",
        "entered_by" => "取り込んだ人",
        "proposed_by" => "提案した人",
        "approved_by" => "承認した人",
        "unchanged" => "変わらない件数",
        "birth_date" => "生年月日の照合",
        "known_log_size" => "手元にあった相手方の記録の件数",
        "persons" => "住民の人数",
        "openings" => "記録の内容の件数",
        "alarm" => "警報",
        "tenant" => "テナントの番号",
        "epoch" => "系列 (epoch)",
        "log_origin" => "提供記録の名",
        "erasure" => "消去の番号",
        "refused" => "拒否",
        "why" => "原因",
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
        "municipality_code" | "member" => named(raw),
        "legal_basis" => labels::legal_basis(raw),
        "purpose" => coded(raw, v1::Purpose::try_from, labels::purpose_of),
        "consent.method" => coded(raw, v1::ConsentMethod::try_from, labels::method),
        "document" if actor || action == "inquire" => {
            coded(raw, v1::IdentityDocument::try_from, labels::document)
        }
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
        "conceal_requester" | "registered" | "complete" => match raw {
            "1" => "はい".to_owned(),
            "0" => "いいえ".to_owned(),
            _ => String::new(),
        },
        "held_back" | "doses" | "adopted" | "unchanged" | "related" | "entries" | "alerts" => {
            format!("{raw} 件")
        }
        "index" | "entry" | "provider_log_index" if !raw.is_empty() => format!("{raw} 番"),
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
