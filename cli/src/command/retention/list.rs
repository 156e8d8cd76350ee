//! `vrx retention list`: the erasures of this municipality (消去記録), and the holds in force.

use serde_json::json;
use vrx_proto::v1::{self, retention_service_client::RetentionServiceClient};

use super::plan::counts_json;
use crate::{clock, connect::connect, failure::Failure, output::Output, profile::Profile};

/// Asks the node.
pub(super) async fn erasures(profile: &Profile) -> Result<v1::ListErasuresResponse, Failure> {
    let request = v1::ListErasuresRequest {
        municipality_code: profile.municipality.to_string(),
    };
    Ok(RetentionServiceClient::new(connect(profile).await?)
        .list_erasures(profile.request(request))
        .await?
        .into_inner())
}

/// Prints them.
pub(super) async fn list(profile: &Profile, output: &Output) -> Result<(), Failure> {
    let list = erasures(profile).await?;
    let printed = output.json(|| {
        json!({
            "erasures": list.erasures.iter().map(erasure_json).collect::<Vec<_>>(),
            "holds": list.holds.iter().map(hold_json).collect::<Vec<_>>(),
        })
    })?;
    if printed {
        return Ok(());
    }
    output.table(
        &[
            "消去番号",
            "状態",
            "提案者",
            "承認者",
            "提案",
            "住民 (済/提案)",
            "接種記録",
            "記録の内容",
            "残した住民",
            "消去完了",
        ],
        list.erasures.iter().map(|erasure| {
            let done = erasure.done.unwrap_or_default();
            let proposed = erasure.proposed.unwrap_or_default();
            let of = |done, proposed| share(erasure.stage(), done, proposed);
            vec![
                erasure.erasure_id.clone(),
                stage(erasure).to_owned(),
                erasure.proposed_by.clone(),
                erasure.approved_by.clone(),
                clock::show(erasure.proposed_at.as_ref()),
                of(done.persons, proposed.persons),
                of(done.doses, proposed.doses),
                of(done.openings, proposed.openings),
                erasure.stayed.to_string(),
                clock::show(erasure.live_at.as_ref()),
            ]
        }),
    )?;
    output.line(&format!("消去の保留 {} 件", list.holds.len()))?;
    if !list.holds.is_empty() {
        output.table(
            &["整理番号", "理由", "期限", "登録者", "登録"],
            list.holds.iter().map(|hold| {
                vec![
                    hold.reference.clone(),
                    ground_label(hold.ground()).0.to_owned(),
                    hold.until.as_ref().map_or_else(
                        || "解くまで".to_owned(),
                        |date| clock::show_date(Some(date)),
                    ),
                    hold.placed_by.clone(),
                    clock::show(hold.placed_at.as_ref()),
                ]
            }),
        )?;
    }
    let waits = |erasure: &v1::Erasure| {
        erasure.stage() == v1::ErasureStage::Rewriting && erasure.live_at.is_none()
    };
    if list.erasures.iter().any(waits) {
        output.hint(
            "ファイルの書き直しを待っています。長く続くときは運用担当者に vrx-node erase finish を依頼してください / waits for the operator",
        )?;
    }
    Ok(())
}

/// The stage as it is shown. Between the operator's rewriting and the entry there are seconds in which neither is waited for.
fn stage(erasure: &v1::Erasure) -> &'static str {
    match erasure.stage() {
        v1::ErasureStage::Rewriting if erasure.live_at.is_some() => "記録中",
        stage => stage_label(stage).0,
    }
}

/// What is proposed while it waits for its approval, so that the approver sees it; afterwards how much of it is done.
fn share(stage: v1::ErasureStage, done: u64, proposed: u64) -> String {
    match stage {
        v1::ErasureStage::Proposed => format!("提案 {proposed}"),
        _ => format!("{done}/{proposed}"),
    }
}

fn erasure_json(erasure: &v1::Erasure) -> serde_json::Value {
    json!({
        "erasure_id": erasure.erasure_id,
        "stage": stage_label(erasure.stage()).1,
        "proposed_by": erasure.proposed_by,
        "proposed_at": clock::show_rfc3339(erasure.proposed_at.as_ref()),
        "proposed": counts_json(&erasure.proposed.unwrap_or_default()),
        "approved_by": erasure.approved_by,
        "approved_at": clock::show_rfc3339(erasure.approved_at.as_ref()),
        "done": counts_json(&erasure.done.unwrap_or_default()),
        "stayed": erasure.stayed,
        "live_at": clock::show_rfc3339(erasure.live_at.as_ref()),
        "certificate": erasure.certificate,
        "log_index": erasure.log_index,
    })
}

fn hold_json(hold: &v1::Hold) -> serde_json::Value {
    json!({
        "reference": hold.reference,
        "ground": ground_label(hold.ground()).1,
        "until": clock::show_date(hold.until.as_ref()),
        "placed_by": hold.placed_by,
        "placed_at": clock::show_rfc3339(hold.placed_at.as_ref()),
    })
}

fn ground_label(ground: v1::HoldGround) -> (&'static str, &'static str) {
    match ground {
        v1::HoldGround::Dispute => ("争訟・審査請求", "dispute"),
        v1::HoldGround::Disclosure => ("開示請求", "disclosure"),
        v1::HoldGround::Other => ("その他", "other"),
        v1::HoldGround::Unspecified => ("不明", "unknown"),
    }
}

fn stage_label(stage: v1::ErasureStage) -> (&'static str, &'static str) {
    match stage {
        v1::ErasureStage::Proposed => ("承認待ち", "proposed"),
        v1::ErasureStage::Keys => ("鍵を破棄中", "keys"),
        v1::ErasureStage::Rows => ("行を削除中", "rows"),
        v1::ErasureStage::Openings => ("提供記録の内容を消去中", "openings"),
        v1::ErasureStage::Rewriting => ("ファイルの書き直し待ち", "rewriting"),
        v1::ErasureStage::Recorded => ("完了", "recorded"),
        v1::ErasureStage::Unspecified => ("不明", "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::{share, v1::ErasureStage};

    #[test]
    fn whoever_approves_sees_what_is_proposed() {
        assert_eq!(share(ErasureStage::Proposed, 0, 3), "提案 3");
        assert_eq!(share(ErasureStage::Keys, 1, 3), "1/3");
        assert_eq!(share(ErasureStage::Recorded, 3, 3), "3/3");
    }
}
