//! Lists imports, newest first, with who imported and who approved.

use vrx_domain::{Caller, ImportId, UnixMillis};
use vrx_provision_log::Deadline;

use crate::{error::ServiceError, tenants::TenantServices};

/// One page is asked for.
#[derive(Debug, Clone, Default)]
pub struct ListImportsRequest {
    /// Wanted size, 0 for the default (50); at most 500.
    pub page_size: u32,
    /// Token of the page before, empty for the first.
    pub page_token: Vec<u8>,
}

/// A page of imports.
#[derive(Debug, Clone)]
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
    /// `persons` or `doses`.
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

/// One page of imports.
pub async fn list_imports(
    ctx: &TenantServices,
    caller: &Caller,
    request: ListImportsRequest,
    deadline: Deadline,
) -> Result<ImportsPage, ServiceError> {
    todo!()
}
