//! `vrx import list`: what was imported, by whom, and what still waits for a second person.

use serde_json::json;
use vrx_proto::v1::{self, registry_service_client::RegistryServiceClient};

use crate::{clock, connect::connect, failure::Failure, output::Output, profile::Profile};

/// Prints the newest imports.
pub(super) async fn list(profile: &Profile, limit: u32, output: &Output) -> Result<(), Failure> {
    let request = v1::ListImportsRequest {
        municipality_code: profile.municipality.to_string(),
        page_size: limit,
        page_token: String::new(),
    };
    let imports = RegistryServiceClient::new(connect(profile).await?)
        .list_imports(profile.request(request))
        .await?
        .into_inner()
        .imports;
    let printed = output.json(|| imports.iter().map(import_json).collect())?;
    if printed {
        return Ok(());
    }
    output.table(
        &[
            "取込番号",
            "種類",
            "状態",
            "取込者",
            "承認者",
            "開始",
            "登録件数",
        ],
        imports.iter().map(|import| {
            vec![
                import.import_id.clone(),
                kind_label(import.kind()).0.to_owned(),
                state_label(import.state()).0.to_owned(),
                import.entered_by.clone(),
                import.approved_by.clone(),
                clock::show(import.created_at.as_ref()),
                import.rows_new.to_string(),
            ]
        }),
    )
}

fn import_json(import: &v1::Import) -> serde_json::Value {
    json!({
        "import_id": import.import_id,
        "kind": kind_label(import.kind()).1,
        "state": state_label(import.state()).1,
        "entered_by": import.entered_by,
        "approved_by": import.approved_by,
        "created_at": clock::show_rfc3339(import.created_at.as_ref()),
        "rows_new": import.rows_new,
    })
}

fn kind_label(kind: v1::ImportKind) -> (&'static str, &'static str) {
    match kind {
        v1::ImportKind::Persons => ("住民", "persons"),
        v1::ImportKind::Doses => ("接種記録", "doses"),
        v1::ImportKind::Adoption => ("他団体の回答", "adoption"),
        v1::ImportKind::Unspecified => ("不明", "unknown"),
    }
}

fn state_label(state: v1::ImportState) -> (&'static str, &'static str) {
    match state {
        v1::ImportState::Entered => ("承認待ち", "entered"),
        v1::ImportState::Approved => ("承認済み", "approved"),
        v1::ImportState::Incomplete => ("中断", "incomplete"),
        v1::ImportState::Unspecified => ("不明", "unknown"),
    }
}
