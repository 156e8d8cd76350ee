//! `vrx retention certificate`: 消去証明書, checked here and saved.

use std::path::Path;

use serde_json::json;
use vrx_tlog::SignedNote;

use super::list::erasures;
use crate::{command::log::key, failure::Failure, output::Output, profile::Profile};

/// Shows or saves the certificate of an erasure.
pub(super) async fn certificate(
    profile: &Profile,
    erasure: uuid::Uuid,
    file: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let id = erasure.to_string();
    let list = erasures(profile).await?;
    let found = list
        .erasures
        .into_iter()
        .find(|erasure| erasure.erasure_id == id)
        .ok_or_else(|| {
            Failure::NotDone(format!("消去 {id} はありません / there is no such erasure"))
        })?;
    if found.certificate.is_empty() {
        return Err(Failure::NotDone(format!(
            "消去 {id} はまだ終わっていません / it isn't at its end yet"
        )));
    }
    let Some(key) = key(profile)? else {
        return Err(Failure::NotDone(
            "署名を確認できません。プロファイルに log_vkey を書いてください（運用担当者の vrx-node log key で得られます）/ \
             no verifier key, signature not proved"
                .to_owned(),
        ));
    };
    let wrong = |why: String| {
        Failure::NotDone(format!(
            "消去証明書の署名が正しくありません / the certificate's signature: {why}"
        ))
    };
    let note = SignedNote::parse(&found.certificate).map_err(|error| wrong(error.to_string()))?;
    note.verify(&key)
        .map_err(|error| wrong(error.to_string()))?;
    if !note.text().contains(&format!("\n消去番号 erasure: {id}\n")) {
        return Err(wrong("it is another erasure's".to_owned()));
    }
    if let Some(path) = file {
        crate::receipt::free(path)?;
        std::fs::write(path, &found.certificate)
            .map_err(|error| Failure::file("保存", path, &error))?;
    }
    let printed = output.json(|| {
        json!({
            "erasure_id": id,
            "certificate": found.certificate,
            "signature_checked": true,
            "log_index": found.log_index,
        })
    })?;
    if printed {
        return Ok(());
    }
    match file {
        None => output.line(found.certificate.trim_end())?,
        Some(path) => output.line(&format!("保存しました：{}", path.display()))?,
    }
    output.hint(&format!(
        "署名を確認しました。提供記録 {} 番が、この証明書のハッシュ値を含む消去記録です / signature checked; entry {} records it",
        found.log_index, found.log_index
    ))
}
