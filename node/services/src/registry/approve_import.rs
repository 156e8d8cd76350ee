//! Approves what another member of staff imported (本登録): only then may it be exchanged, certified or counted.

use vrx_domain::{Caller, EntryKind, ImportId, Role};
use vrx_provision_log::Deadline;
use vrx_storage::{Change, ImportState};

use super::list_imports::kind_word;
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// What an approval did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalReport {
    /// The import approved.
    pub import: ImportId,
    /// Persons or doses that it held, new ones and new revisions.
    pub rows: u64,
    /// The entry that records the approval.
    pub log_index: u64,
}

/// Approves `import`; refused to the person who imported it, and for an import that is approved already.
pub async fn approve_import(
    ctx: &TenantServices,
    caller: &Caller,
    import: ImportId,
    deadline: Deadline,
) -> Result<ApprovalReport, ServiceError> {
    check_role(ctx, caller, Role::Staff)?;
    let record = ctx
        .registry
        .import(import)
        .await
        .map_err(|error| storage_error(ctx, &error))?
        .ok_or(ServiceError::NotFound)?;
    let by = caller.id.to_string();
    if record.header.entered_by == by {
        return Err(ServiceError::FailedPrecondition(
            "whoever entered an import can't approve it",
        ));
    }
    if record.state != ImportState::Entered {
        return Err(ServiceError::FailedPrecondition(
            "the import is approved already",
        ));
    }
    let rows = record.counts.added.saturating_add(record.counts.changed);
    let content = [
        ("import", import.to_string()),
        ("kind", kind_word(record.header.kind).to_owned()),
        ("entered_by", record.header.entered_by.clone()),
        ("rows", rows.to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "import-approve",
        about: None,
        content: &pairs(&content),
    };
    // The store looks at state and persons again inside the transaction: two approvals at once can't both stand.
    let change = Change::approve_import(import, by, ctx.node.clock.now());
    let recorded = act.record(ctx, Some(change), (), deadline).await;
    let ((), receipt, _) = recorded.map_err(NotRecorded::into_service)?.into_parts();
    Ok(ApprovalReport {
        import,
        rows,
        log_index: receipt.log_index,
    })
}
