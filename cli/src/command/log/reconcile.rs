//! `vrx log reconcile`: what a provider says it gave, held against what is here, now instead of at night (照合).

use serde_json::json;
use vrx_proto::v1::{self, DifferenceKind, audit_service_client::AuditServiceClient};

use crate::{connect::connect, failure::Failure, labels, output::Output, profile::Profile, words};

/// Reconciles with one provider and says what differs.
pub(super) async fn reconcile(
    profile: &Profile,
    provider: &str,
    output: &Output,
) -> Result<(), Failure> {
    let request = v1::ReconcileRequest {
        municipality_code: profile.municipality.to_string(),
        provider_code: provider.to_owned(),
    };
    let mut client = AuditServiceClient::new(connect(profile).await?);
    let done = client
        .reconcile(profile.request(request))
        .await?
        .into_inner();
    let printed = output.json(|| {
        json!({
            "not_reconciled": done.not_reconciled,
            "log_origin": done.log_origin,
            "from_index": done.from_index,
            "until_index": done.until_index,
            "checkpoint_size": done.checkpoint_size,
            "provisions": done.provisions,
            "receipts": done.receipts,
            "unanswered": done.unanswered,
            "carried_over": done.carried_over,
            "differences": done.differences,
            "named": done.named.iter().map(difference_json).collect::<Vec<_>>(),
            "provider_told": done.provider_told,
        })
    })?;
    if !printed {
        show(&done, output)?;
    }
    conclusion(&done)
}

fn difference_json(difference: &v1::Difference) -> serde_json::Value {
    json!({
        "kind": code(difference.kind()),
        "log_index": difference.log_index,
        "request_id": difference.request_id,
    })
}

fn show(done: &v1::ReconcileResponse, output: &Output) -> Result<(), Failure> {
    if !done.not_reconciled.is_empty() {
        return Ok(());
    }
    output.line(&format!(
        "{}  {} 番から {} 番の前まで\n相手の提供記録 {} 件   こちらの受領証 {} 件   受領証のない再送など {} 件   相違 {} 件",
        done.log_origin,
        done.from_index,
        done.until_index,
        done.provisions,
        done.receipts,
        done.unanswered,
        done.differences
    ))?;
    if done.carried_over > 0 {
        output.line(&format!(
            "相手の提供記録のうち {} 件は、前の系列（epoch）から引き継がれたもので、前の系列の受領証と同じです",
            done.carried_over
        ))?;
    }
    if done.named.is_empty() {
        return Ok(());
    }
    output.table(
        &["番号", "相違", "照会ID"],
        done.named.iter().map(|one| {
            vec![
                one.log_index.to_string(),
                label(one.kind()).to_owned(),
                one.request_id.clone(),
            ]
        }),
    )?;
    output.line(if done.provider_told {
        "相違は相手の個人情報保護担当にも伝わりました"
    } else {
        "相違を相手に伝えられませんでした。電話などで連絡してください"
    })
}

fn conclusion(done: &v1::ReconcileResponse) -> Result<(), Failure> {
    if !done.not_reconciled.is_empty() {
        return Err(Failure::NotDone(format!(
            "照合できませんでした: {} / not reconciled",
            words::peer_said(&done.not_reconciled)
        )));
    }
    if done.differences > 0 {
        return Err(Failure::NotDone(format!(
            "{} 件の相違があります / differences found",
            done.differences
        )));
    }
    Ok(())
}

fn code(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Unspecified => "unknown",
        DifferenceKind::ReceiptWithoutEntry => "receipt-without-entry",
        DifferenceKind::OtherEntry => "other-entry",
        DifferenceKind::EntryWithoutInquiry => "entry-without-inquiry",
    }
}

fn label(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Unspecified => "不明",
        known => labels::difference_code(code(known)),
    }
}
