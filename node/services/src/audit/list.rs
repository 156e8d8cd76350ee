//! Lists entries of the provision log by page, oldest first.

use vrx_domain::{Caller, EntryKind, UnixMillis};
use vrx_provision_log::{Deadline, Recorded};

use crate::{error::ServiceError, tenants::TenantServices};

/// Which entries are wanted; all conditions hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Only this kind.
    pub kind: Option<EntryKind>,
    /// Not before this time.
    pub from: Option<UnixMillis>,
    /// Before this time.
    pub until: Option<UnixMillis>,
}

/// One page is asked for.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Wanted size, 0 for the default (50); at most 500.
    pub page_size: u32,
    /// Token of the page before, empty for the first.
    pub page_token: Vec<u8>,
    /// Which entries.
    pub filter: EntryFilter,
}

/// A page of entries. May hold fewer than asked for, even none, while more follow: only an empty token ends the list.
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<EntrySummary>,
    /// Token of the next page, empty at the end.
    pub next_page_token: Vec<u8>,
    /// Size of the log when the page was read.
    pub log_size: u64,
}

/// One entry in a list: what its leaf says and the few fields of its opening that a table needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrySummary {
    /// Index in the log.
    pub index: u64,
    /// When.
    pub time: UnixMillis,
    /// Kind of entry, as its leaf says.
    pub kind: u8,
    /// The caller's SPIFFE URI.
    pub actor: String,
    /// What was done (`query-records` for an exchange).
    pub action: String,
    /// Outcome told to the caller.
    pub outcome: String,
    /// The true cause of an exchange's outcome; empty for other kinds.
    pub cause: String,
}

/// One page of entries.
pub async fn list(
    ctx: &TenantServices,
    caller: &Caller,
    request: ListRequest,
    deadline: Deadline,
) -> Result<Recorded<EntryPage>, ServiceError> {
    todo!()
}
