//! `vrx log list`: entries as rows of a table.

use serde_json::json;
use tonic::transport::Channel;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};

use super::fields::who;
use crate::{clock, failure::Failure, labels, output::Output, profile::Profile};

/// Which entries to list.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ListArgs {
    /// 最大件数 / at most how many
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = limit)]
    pub(crate) limit: usize,
    /// 新しい順に表示する / newest first
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// 種類 / only this kind
    #[arg(long, value_enum)]
    pub(crate) kind: Option<Kind>,
    /// この日時以降 (2026-04-01T09:30 は日本時間、RFC 3339、now) / made at this time or later
    #[arg(long, value_name = "TIME", value_parser = clock::parse_moment)]
    pub(crate) from: Option<jiff::Timestamp>,
    /// この日時より前 (書き方は --from と同じ) / made before this time
    #[arg(long, value_name = "TIME", value_parser = clock::parse_moment)]
    pub(crate) until: Option<jiff::Timestamp>,
    /// 前の表示が示した続きの印 / continue where the last list ended
    #[arg(long, value_name = "TOKEN", default_value = "")]
    pub(crate) page_token: String,
}

/// A number of entries that a person typed.
fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("1 以上の件数 / a number from 1".to_owned()),
        Ok(limit) => Ok(limit),
    }
}

/// What an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// 他市区町村への提供
    Exchange,
    /// 他市区町村への照会
    Inquiry,
    /// 窓口の操作
    Desk,
    /// ノードの管理
    Control,
    /// 消去
    Erasure,
    /// 記録の開始
    Genesis,
}

/// What a list brought.
pub(crate) struct Listed {
    /// In the order that was asked for.
    pub(crate) entries: Vec<v1::LogEntry>,
    /// Where to go on; empty at the end.
    pub(crate) next_page_token: String,
    /// Entries in the whole log.
    pub(crate) log_size: u64,
}

/// Follows the pages until there are as many entries as were asked for. (A page may be short or empty while more follow.)
pub(crate) async fn list(
    channel: Channel,
    profile: &Profile,
    args: &ListArgs,
) -> Result<Listed, Failure> {
    let mut client = AuditServiceClient::new(channel);
    let mut listed = Listed {
        entries: Vec::new(),
        next_page_token: args.page_token.clone(),
        log_size: 0,
    };
    loop {
        let missing = args
            .limit
            .saturating_sub(listed.entries.len())
            .clamp(1, 1_000);
        let request = v1::ListEntriesRequest {
            municipality_code: profile.municipality.to_string(),
            page_size: u32::try_from(missing).unwrap_or(1_000),
            page_token: listed.next_page_token,
            kind: args
                .kind
                .map_or(v1::EntryKind::Unspecified, wire_kind)
                .into(),
            from: args.from.map(clock::to_wire),
            until: args.until.map(clock::to_wire),
            newest_first: args.newest_first,
        };
        let page = client
            .list_entries(profile.request(request))
            .await?
            .into_inner();
        listed.entries.extend(page.entries);
        listed.next_page_token = page.next_page_token;
        listed.log_size = page.log_size;
        if listed.next_page_token.is_empty() || listed.entries.len() >= args.limit {
            return Ok(listed);
        }
    }
}

fn wire_kind(kind: Kind) -> v1::EntryKind {
    match kind {
        Kind::Exchange => v1::EntryKind::Exchange,
        Kind::Inquiry => v1::EntryKind::Inquiry,
        Kind::Desk => v1::EntryKind::Desk,
        Kind::Control => v1::EntryKind::Control,
        Kind::Erasure => v1::EntryKind::Erasure,
        Kind::Genesis => v1::EntryKind::Genesis,
    }
}

/// A table of entries for people.
pub(crate) fn show_entries(entries: &[v1::LogEntry], output: &Output) -> Result<(), Failure> {
    output.table(
        &["番号", "日時", "種類", "行為者", "行為", "結果", "理由"],
        entries.iter().map(|entry| {
            vec![
                entry.log_index.to_string(),
                clock::show(entry.time.as_ref()),
                kind_label(entry.kind()).0.to_owned(),
                who(&entry.actor),
                labels::action(&entry.action).to_owned(),
                if entry.damaged {
                    "内容不一致"
                } else {
                    labels::outcome(&entry.action, &entry.outcome)
                }
                .to_owned(),
                cause_label(&entry.cause).to_owned(),
            ]
        }),
    )
}

/// Done only when all of them could be read.
pub(super) fn conclusion(entries: &[v1::LogEntry]) -> Result<(), Failure> {
    match entries.iter().filter(|entry| entry.damaged).count() {
        0 => Ok(()),
        damaged => Err(Failure::NotDone(format!(
            "内容が提供記録のハッシュと一致しない記録が {damaged} 件あります。vrx log verify を実行し、運用担当者と調べてください / \
             {damaged} entries aren't what was signed"
        ))),
    }
}

/// Why an answer was what it was: only the provider's own officer sees it.
pub(crate) fn cause_label(cause: &str) -> &str {
    match cause {
        "provided" => "提供した",
        "no-doses" => "接種記録なし",
        "not-moved-out" => "転出していない",
        "protected" => "支援措置対象",
        "unknown" => "該当者なし",
        other => other,
    }
}

/// An entry for programs.
pub(super) fn entry_json(entry: &v1::LogEntry) -> serde_json::Value {
    json!({
        "log_index": entry.log_index,
        "time": clock::show_rfc3339(entry.time.as_ref()),
        "kind": kind_label(entry.kind()).1,
        "entry_id": entry.entry_id,
        "actor": entry.actor,
        "action": entry.action,
        "outcome": entry.outcome,
        "cause": entry.cause,
        "damaged": entry.damaged,
        "fields": entry.fields.iter().map(|field| {
            json!({ "commitment": field.commitment, "name": field.name, "value": field.value })
        }).collect::<Vec<_>>(),
        "subject_seq": entry.subject_seq,
        "previous_index": (entry.subject_seq > 1).then_some(entry.previous_index),
    })
}

/// A kind for people and for programs.
pub(crate) fn kind_label(kind: v1::EntryKind) -> (&'static str, &'static str) {
    match kind {
        v1::EntryKind::Exchange => ("提供", "exchange"),
        v1::EntryKind::Inquiry => ("照会", "inquiry"),
        v1::EntryKind::Desk => ("窓口", "desk"),
        v1::EntryKind::Control => ("管理", "control"),
        v1::EntryKind::Erasure => ("消去", "erasure"),
        v1::EntryKind::Genesis => ("開始", "genesis"),
        v1::EntryKind::Unspecified => ("不明", "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn a_list_of_no_entries_is_refused() {
        assert_eq!(limit("1"), Ok(1));
        for wrong in ["0", "-1", "many", ""] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
