//! Lists imports, newest first, with who imported and who approved.

use vrx_domain::{Caller, EntryKind, ImportId, Role, SpiffeId, UnixMillis};
use vrx_provision_log::Deadline;
use vrx_storage::{ImportKind, ImportRecord, ImportState};

use crate::{
    audit::page_token::{self, Position, Scope},
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// One page is asked for.
#[derive(Debug, Clone, Default)]
pub struct ListImportsRequest {
    /// Wanted size, 0 for the default (50); at most 500.
    pub page_size: u32,
    /// Token of the page before, empty for the first.
    pub page_token: Vec<u8>,
}

/// A page of imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportsPage {
    /// The imports.
    pub imports: Vec<ImportOverview>,
    /// Token of the next page, empty at the end.
    pub next_page_token: Vec<u8>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOverview {
    /// Its id.
    pub id: ImportId,
    /// `persons`, `doses` or `adoption`.
    pub kind: &'static str,
    /// Staff id of who imported.
    pub imported_by: String,
    /// When it began.
    pub imported_at: UnixMillis,
    /// Persons or doses entered.
    pub entered: u64,
    /// Staff id of who approved, if anyone did.
    pub approved_by: Option<String>,
}

/// One page of imports. Newer imports that come in between two pages shift the list: some may then be seen twice, none is missed.
pub async fn list_imports(
    ctx: &TenantServices,
    caller: &Caller,
    request: ListImportsRequest,
    deadline: Deadline,
) -> Result<ImportsPage, ServiceError> {
    check_role(ctx, caller, Role::Staff)?;
    let now = ctx.node.clock.now();
    let scope = Scope::new(caller, "list-imports", &[]);
    let position = page_token::open(&ctx.keyring, &scope, &request.page_token, now)?;
    let from = position.map_or(0, |position| position.next);
    let size = page_token::page_size(request.page_size);
    let all = ctx
        .registry
        .imports()
        .await
        .map_err(|error| storage_error(ctx, &error))?;
    let skip = usize::try_from(from).unwrap_or(usize::MAX);
    let imports: Vec<_> = all.iter().skip(skip).take(size).map(overview).collect();
    let next = skip.saturating_add(imports.len());
    let next_page_token = if next < all.len() {
        let position = Position {
            next: next as u64,
            end: all.len() as u64,
        };
        page_token::seal(&ctx.keyring, &*ctx.node.random, &scope, position, now)?
    } else {
        Vec::new()
    };
    let content = [
        ("from", from.to_string()),
        ("imports", imports.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "import-list",
        about: None,
        content: &pairs(&content),
    };
    let page = ImportsPage {
        imports,
        next_page_token,
    };
    let recorded = act.record(ctx, None, page, deadline).await;
    Ok(recorded.map_err(NotRecorded::into_service)?.into_parts().0)
}

fn overview(record: &ImportRecord) -> ImportOverview {
    ImportOverview {
        id: record.header.id,
        kind: kind_word(record.header.kind),
        imported_by: staff_id(&record.header.entered_by),
        imported_at: record.header.entered_at,
        entered: record.counts.added.saturating_add(record.counts.changed),
        approved_by: match &record.state {
            ImportState::Entered => None,
            ImportState::Approved { by, .. } => Some(staff_id(by)),
        },
    }
}

/// The word for a kind of import in entries and lists.
pub(crate) fn kind_word(kind: ImportKind) -> &'static str {
    match kind {
        ImportKind::Persons => "persons",
        ImportKind::Doses => "doses",
        ImportKind::Adoption => "adoption",
    }
}

/// The staff id in a SPIFFE URI; the whole text if it isn't one.
fn staff_id(uri: &str) -> String {
    SpiffeId::parse(uri)
        .ok()
        .and_then(|id| id.name)
        .unwrap_or_else(|| uri.to_owned())
}
