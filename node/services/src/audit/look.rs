//! A look at one entry by its place in the log. Where the entry is about a person, the look is one too, and stands in that person's history.

use vrx_domain::{
    Caller, EntryKind,
    audit::{desk_actor, desk_content, look_subject},
};
use vrx_provision_log::{Deadline, Entry, Recorded, Subject};

use super::opened::Opened;
use crate::{
    error::ServiceError,
    record::{NotRecorded, record_entry},
    tenants::TenantServices,
};

/// Who looks, and how.
pub(super) struct Look<'a> {
    pub(super) caller: &'a Caller,
    /// One of `vrx_domain::audit::LOOK_ACTIONS`.
    pub(super) action: &'static str,
    /// Beside the place itself.
    pub(super) more: &'a [(&'a str, &'a str)],
}

impl Look<'_> {
    /// Records the look at the entry at `index`, whose opening is `said` unless it was erased; `answer` comes back when it is durable.
    pub(super) async fn record<T>(
        &self,
        ctx: &TenantServices,
        index: u64,
        said: Option<&Opened<'_>>,
        answer: T,
        deadline: Deadline,
    ) -> Result<Recorded<T>, ServiceError> {
        // The number isn't known here; the tag that links the person's entries is.
        let subject = match said.and_then(Opened::person) {
            Some(tag) => Subject::Known {
                tag,
                fields: look_subject(index, self.action),
            },
            None => Subject::Unknown,
        };
        let place = index.to_string();
        let content: Vec<(&str, &str)> = [("index", place.as_str())]
            .into_iter()
            .chain(self.more.iter().copied())
            .collect();
        let entry = Entry {
            kind: EntryKind::Desk,
            actor: desk_actor(self.caller, self.action),
            subject,
            content: desk_content(&content),
        };
        record_entry(ctx, entry, None, answer, deadline)
            .await
            .map_err(NotRecorded::into_service)
    }
}
