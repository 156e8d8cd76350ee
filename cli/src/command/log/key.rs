//! `vrx log key` and `vrx log checkpoint`: what others need to verify this municipality's log.

use serde_json::json;
use vrx_proto::v1::{self, audit_service_client::AuditServiceClient};
use vrx_tlog::{Checkpoint, VerifierKey};

use super::verify::key;
use crate::{connect::connect, failure::Failure, output::Output, profile::Profile};

/// Prints the verifier key of the profile, once the node's newest checkpoint was found to be signed by it.
pub(super) async fn show_key(profile: &Profile, output: &Output) -> Result<(), Failure> {
    let key = key(profile)?.ok_or_else(|| {
        Failure::Configuration(
            "プロファイルに log_vkey がありません。運用担当者に vrx-node log key の表示を確かめて書いてください / \
             no log_vkey in the profile: it is what vrx-node log key prints"
                .to_owned(),
        )
    })?;
    let checkpoint = open(&newest(profile, false).await?, &key)?;
    let printed = output.json(
        || json!({ "log_vkey": key.to_string(), "origin": key.name(), "log_size": checkpoint.size }),
    )?;
    if printed {
        return Ok(());
    }
    output.line(&key.to_string())?;
    output.hint(&format!(
        "ノードの最新の {} 件の木は、この鍵で署名されています / the node's newest checkpoint is signed by this key",
        checkpoint.size
    ))
}

/// Prints the node's newest signed checkpoint as it is, or the newest one that its witnesses cosigned; checked if the profile has the key.
pub(super) async fn show_checkpoint(
    profile: &Profile,
    witnessed: bool,
    output: &Output,
) -> Result<(), Failure> {
    let note = newest(profile, witnessed).await?;
    let checked = match key(profile)? {
        Some(key) => Some(open(&note, &key)?),
        None => None,
    };
    if output.json(|| json!({ "checkpoint": note, "signature_checked": checked.is_some() }))? {
        return Ok(());
    }
    output.line(note.trim_end_matches('\n'))?;
    if checked.is_none() {
        output.hint("署名は確認していません（プロファイルに log_vkey がありません）/ the signature wasn't checked")?;
    }
    Ok(())
}

async fn newest(profile: &Profile, witnessed: bool) -> Result<String, Failure> {
    let request = v1::GetCheckpointRequest {
        municipality_code: profile.municipality.to_string(),
        witnessed,
    };
    Ok(AuditServiceClient::new(connect(profile).await?)
        .get_checkpoint(profile.request(request))
        .await?
        .into_inner()
        .checkpoint)
}

fn open(note: &str, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    Checkpoint::open(note, key, key.name()).map_err(|error| {
        Failure::NotDone(format!(
            "ノードの最新の木は、この鍵で署名されたものではありません。新しい系列（epoch）になっていないか、運用担当者に確かめてください / \
             the node's checkpoint isn't signed by this key: {error}"
        ))
    })
}
