//! Verifies the tenant's whole log: every leaf, tile and opening against the signed checkpoint.

use tokio::sync::mpsc;
use vrx_domain::{Caller, EntryKind, Role};
use vrx_provision_log::{Deadline, Depth, Fault, Recorded};

use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Entries checked.
    pub checked: u64,
    /// Entries to check.
    pub total: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogVerified {
    /// Entries checked.
    pub entries: u64,
    /// Those of them whose openings are erased.
    pub erased: u64,
    /// Faults found, each naming index and kind of fault; empty when the log is whole.
    pub faults: Vec<String>,
    /// The signed checkpoint that was checked against.
    pub checkpoint: String,
}

/// Verifies the log; `progress` is sent to without waiting, so that a slow reader doesn't slow the verification.
pub async fn verify(
    ctx: &TenantServices,
    caller: &Caller,
    progress: mpsc::Sender<VerifyProgress>,
    deadline: Deadline,
) -> Result<Recorded<LogVerified>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let mut told = move |checked, total| {
        // A full channel only means that the last figure wasn't read yet.
        let _ = progress.try_send(VerifyProgress { checked, total });
    };
    let mut report = deadline
        .wait(ctx.log.reader().verify_all(Depth::Openings, &mut told))
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?
        .map_err(|error| read_error(ctx, &error))?;
    if report.fault.is_none() {
        report.fault = blanks(ctx, deadline).await?;
    }
    if let Some(fault) = &report.fault {
        tracing::error!(alarm = "log-fault", tenant = %ctx.tenant.code, %fault, "the provision log isn't whole");
    }
    let verified = LogVerified {
        entries: report.entries,
        erased: report.erased,
        faults: report.fault.iter().map(text).collect(),
        checkpoint: report.checkpoint,
    };
    let content = [
        ("entries", verified.entries.to_string()),
        ("faults", verified.faults.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-verify",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, verified, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

/// Whether erasures explain every blank opening.
async fn blanks(ctx: &TenantServices, deadline: Deadline) -> Result<Option<Fault>, ServiceError> {
    // Without the list the entries still explain what is blank, unless a restore blanked it.
    let listed = ctx.destroyed.openings(ctx.log.reader().epoch()).await;
    let listed = listed.unwrap_or_else(|error| {
        tracing::warn!(tenant = %ctx.tenant.code, %error, "the log is verified without it");
        Vec::new()
    });
    let reader = ctx.log.reader();
    let checked = reader.verify_blanks(&*ctx.retention, &listed, deadline);
    checked.await.map_err(|error| read_error(ctx, &error))
}

/// A fault as the officer reads it.
fn text(fault: &Fault) -> String {
    match fault {
        Fault::Opening(index) => format!(
            "提供記録 {index} 番の内容が、その記録のものではありません。データベースで書き換えられています / {fault}"
        ),
        Fault::Row(index) => format!(
            "提供記録 {index} 番の行が、その記録と違うことを示しています。データベースで書き換えられています / {fault}"
        ),
        Fault::Chain(index) => format!(
            "提供記録 {index} 番が、同じ人についての一つ前の記録につながっていません / {fault}"
        ),
        Fault::Head(index) => format!(
            "提供記録 {index} 番の人の一覧が、最も新しい記録から始まっていません。その人の開示用の一覧は完全ではありません / {fault}"
        ),
        Fault::Tile(_) => {
            format!("ハッシュのタイルが、記録のものではありません / {fault}")
        }
        Fault::Blank(index) => format!(
            "提供記録 {index} 番の内容が空です。この種類の記録は消去の対象になりません / {fault}"
        ),
        Fault::Blanks { blank, explained } => format!(
            "内容が空の提供記録が {blank} 件あり、消去記録で説明できる {explained} 件と一致しません。何者かが内容を消したか、元に戻しました / {fault}"
        ),
        Fault::ErasureEntry(index) => format!(
            "提供記録 {index} 番の消去の前に、消去によらず内容が空にされたか、元に戻された記録があります / {fault}"
        ),
        Fault::Replayed(index) => format!(
            "提供記録 {index} 番で完了した消去が、データベースでは完了前に戻されています / {fault}"
        ),
        Fault::Leaf(_) => format!(
            "提供記録そのものが署名されたものと一致しません。データベースで書き換えられています / {fault}"
        ),
    }
}
