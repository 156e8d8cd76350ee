//! `vrx officer entry`: one entry's whole story.

use serde_json::json;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};

use super::history::row_json;
use crate::{
    clock,
    command::log::{Proofs, cause_label, key, kind_label},
    connect::connect,
    failure::Failure,
    labels,
    output::Output,
    profile::Profile,
};

/// Prints an entry with all that belongs to it.
pub(super) async fn run(index: u64, profile: &Profile, output: &Output) -> Result<(), Failure> {
    let request = v1::ReadEntryStoryRequest {
        municipality_code: profile.municipality.to_string(),
        log_index: index,
    };
    let mut client = AuditServiceClient::new(connect(profile).await?);
    let story = client
        .read_entry_story(profile.request(request))
        .await?
        .into_inner();
    let row = story.row.clone().unwrap_or_default();
    let key = key(profile)?;
    let proof = Proofs::check([(index, row.receipt.as_ref())], key.as_ref());
    let printed = output.json(|| {
        json!({
            "entry": row_json(&row),
            "related": story.related.iter().map(|related| json!({
                "relation": relation(related.relation()).1,
                "entry": related.row.as_ref().map(row_json),
            })).collect::<Vec<_>>(),
            "truncated": story.truncated,
            "missing": story.missing,
            "witnesses": labels::cosigning_code(story.cosigning()),
            "proof": proof.code(),
        })
    })?;
    if !printed {
        show(&row, &story, output)?;
        output.line(&format!("署名と包含証明: {}", proof.label()))?;
        if let Some(cosigning) = labels::entry_cosigning(story.cosigning()) {
            output.line(cosigning)?;
        }
    }
    if story.missing > 0 {
        return Err(Failure::NotDone(format!(
            "同じ人についての記録が {} 件欠けています / {} entries about the same person are missing",
            story.missing, story.missing
        )));
    }
    proof.conclusion()
}

fn show(
    row: &v1::HistoryRow,
    story: &v1::ReadEntryStoryResponse,
    output: &Output,
) -> Result<(), Failure> {
    output.line(&format!(
        "提供記録 {} 番   {}   {}",
        row.log_index,
        clock::show(row.time.as_ref()),
        labels::heading(row)
    ))?;
    let facts = [
        ("相手方", labels::counterparty(row)),
        ("行った者", labels::actor(&row.actor)),
        ("閲覧した記録", labels::looked_at(row)),
        (
            "結果",
            labels::outcome(&row.action, &row.outcome).to_owned(),
        ),
        ("理由", cause_label(&row.cause).to_owned()),
        ("利用目的", labels::purpose(row).to_owned()),
        ("法令上の根拠", labels::legal_basis(&row.legal_basis)),
        ("本人同意", labels::consent(row)),
        ("接種記録", labels::doses(row)),
        ("消去の対象", labels::erased(row)),
        (
            "消去の番号",
            row.erasure
                .as_ref()
                .map(|erasure| erasure.erasure_id.clone())
                .unwrap_or_default(),
        ),
        (
            "決定",
            row.mark.as_ref().map(labels::decision).unwrap_or_default(),
        ),
        ("不開示", labels::reason(row.withheld()).to_owned()),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    output.table(
        &["項目", "値"],
        facts.map(|(label, value)| vec![label.to_owned(), value]),
    )?;
    if story.related.is_empty() {
        return Ok(());
    }
    output.line("関連する記録")?;
    output.table(
        &["番号", "日時", "関係", "種類", "内容", "相手方", "結果"],
        story.related.iter().filter_map(|related| {
            let row = related.row.as_ref()?;
            Some(vec![
                row.log_index.to_string(),
                clock::show(row.time.as_ref()),
                relation(related.relation()).0.to_owned(),
                kind_label(row.kind()).0.to_owned(),
                labels::heading(row).to_owned(),
                labels::counterparty(row),
                labels::outcome(&row.action, &row.outcome).to_owned(),
            ])
        }),
    )?;
    if story.truncated {
        output.line("これより古い関連する記録は省きました。")?;
    }
    Ok(())
}

fn relation(relation: v1::EntryRelation) -> (&'static str, &'static str) {
    match relation {
        v1::EntryRelation::SameInquiry => ("同じ照会", "same-inquiry"),
        v1::EntryRelation::Mark => ("開示区分の決定", "mark"),
        v1::EntryRelation::Look => ("この記録の閲覧", "look"),
        v1::EntryRelation::SamePerson => ("同じ人", "same-person"),
        v1::EntryRelation::Unspecified => ("", ""),
    }
}
