//! `vrx log show`: one entry with everything that proves it.

use std::path::Path;

use serde_json::json;
use tonic::transport::Channel;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};

use super::{
    entries::{entry_json, kind_label},
    fields,
    proofs::Proofs,
    verify::key,
};
use crate::{
    clock, command::inquire::receipt_json, connect::connect, failure::Failure, output::Output,
    profile::Profile, receipt,
};

/// Prints one entry and checks its proof.
pub(super) async fn show(
    profile: &Profile,
    index: u64,
    save: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    if let Some(path) = save {
        receipt::free(path)?;
    }
    let request = v1::GetEntryRequest {
        municipality_code: profile.municipality.to_string(),
        log_index: index,
        proof_only: false,
    };
    let response = AuditServiceClient::new(connect(profile).await?)
        .get_entry(profile.request(request))
        .await?
        .into_inner();
    let key = key(profile)?;
    let proofs = Proofs::check([(index, response.receipt.as_ref())], key.as_ref());
    let printed = output.json(|| {
        json!({
            "entry": response.entry.as_ref().map(entry_json),
            "receipt": response.receipt.as_ref().map(receipt_json),
            "commitments_verified": response.commitments_verified,
            "proof": proofs.code(),
        })
    })?;
    if !printed {
        if let Some(entry) = &response.entry {
            output.line(&format!(
                "提供記録 {} 番   {}   {}   {}",
                entry.log_index,
                clock::show(entry.time.as_ref()),
                kind_label(entry.kind()).0,
                entry.entry_id
            ))?;
            if entry.fields.is_empty() {
                output.line("内容は空です。消去によるものかは vrx log verify が確かめます。")?;
            } else {
                output.table(&["区分", "項目", "値"], fields::rows(entry))?;
            }
            if entry.subject_seq > 1 {
                output.line(&format!(
                    "この人について {} 件目（前は {} 番）",
                    entry.subject_seq, entry.previous_index
                ))?;
            } else if entry.subject_seq == 1 {
                output.line("この人について 1 件目")?;
            }
        }
        let commitments = if response.commitments_verified {
            "一致"
        } else {
            "確認できません"
        };
        let proof = proofs.label();
        output.line(&format!(
            "記録内容とハッシュ: {commitments}   署名と包含証明: {proof}"
        ))?;
    }
    if let Some(path) = save {
        receipt::save(response.receipt.as_ref(), path)?;
        output.hint(&format!(
            "受領証を {} に保存しました → vrx verify receipt で確かめられます / receipt saved",
            path.display()
        ))?;
    }
    proofs.conclusion()?;
    if response.commitments_verified {
        Ok(())
    } else {
        Err(Failure::NotDone(
            "記録内容がハッシュと一致するか確認できません / commitments not verified".to_owned(),
        ))
    }
}

/// Asks the node for the proof of one entry, and for nothing that it says.
pub(super) async fn proof(
    client: &mut AuditServiceClient<Channel>,
    profile: &Profile,
    index: u64,
) -> Result<v1::GetEntryResponse, tonic::Status> {
    let request = v1::GetEntryRequest {
        municipality_code: profile.municipality.to_string(),
        log_index: index,
        proof_only: true,
    };
    Ok(client
        .get_entry(profile.request(request))
        .await?
        .into_inner())
}
