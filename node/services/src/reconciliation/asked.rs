//! The requests that left this municipality: read from its own log, where each stood before its first byte left.

use std::collections::{HashMap, HashSet};

use vrx_domain::{EntryKind, MunicipalityCode, RequestId, UnixMillis};
use vrx_provision_log::StoredEntry;

use crate::{
    audit::list::{content_value, first_not_before, text},
    error::ServiceError,
    record::{own_deadline, read_error},
    tenants::TenantServices,
};

/// Entries read at once.
const READ_AT_ONCE: u32 = 256;

/// Requests since some time, by the municipality that was asked.
pub(super) struct Asked {
    since: UnixMillis,
    next: u64,
    by_provider: HashMap<MunicipalityCode, HashSet<RequestId>>,
    /// Requests without an outcome yet, and when they left.
    open: HashMap<RequestId, UnixMillis>,
}

impl Asked {
    /// Those that left at this time or later, until now; what was read before is read on.
    pub(super) async fn covering<'a>(
        ctx: &TenantServices,
        since: UnixMillis,
        read: &'a mut Option<Self>,
    ) -> Result<&'a Self, ServiceError> {
        let mut asked = match read.take().filter(|read| read.since <= since) {
            Some(asked) => asked,
            None => Self {
                since,
                next: first_not_before(ctx, since, ctx.log.checkpoint().size(), own_deadline())
                    .await?,
                by_provider: HashMap::new(),
                open: HashMap::new(),
            },
        };
        asked.read_on(ctx).await?;
        Ok(read.insert(asked))
    }

    /// Takes in what was logged since.
    async fn read_on(&mut self, ctx: &TenantServices) -> Result<(), ServiceError> {
        let end = ctx.log.checkpoint().size();
        while self.next < end {
            let left = u32::try_from(end - self.next).unwrap_or(u32::MAX);
            let entries = ctx
                .log
                .reader()
                .entries(self.next, left.min(READ_AT_ONCE), own_deadline())
                .await
                .map_err(|error| read_error(ctx, &error))?;
            if entries.is_empty() {
                return Err(ctx.internal("the provision log is shorter than its checkpoint"));
            }
            for entry in entries {
                self.next = entry.leaf.index.saturating_add(1);
                self.take(&entry);
            }
        }
        Ok(())
    }

    /// What was asked of a provider.
    pub(super) fn of(&self, provider: MunicipalityCode) -> &HashSet<RequestId> {
        static NONE: std::sync::LazyLock<HashSet<RequestId>> =
            std::sync::LazyLock::new(HashSet::new);
        self.by_provider.get(&provider).unwrap_or(&NONE)
    }

    /// When a request left whose outcome isn't recorded.
    pub(super) fn open_since(&self, request: &RequestId) -> Option<UnixMillis> {
        self.open.get(request).copied()
    }

    fn take(&mut self, entry: &StoredEntry) {
        if entry.leaf.kind != EntryKind::Inquiry.code() {
            return;
        }
        let Some(opening) = &entry.opening else {
            return;
        };
        if text(opening.actor.get("action")) != "inquire" {
            return;
        }
        let value = |name| content_value(&opening.content, name);
        let (Ok(request), Ok(provider)) = (
            value("request_id").parse::<RequestId>(),
            value("municipality_code").parse::<MunicipalityCode>(),
        ) else {
            return;
        };
        if value("phase") == "sent" {
            self.by_provider
                .entry(provider)
                .or_default()
                .insert(request);
            self.open.insert(request, UnixMillis(entry.leaf.time));
        } else {
            self.open.remove(&request);
        }
    }
}
