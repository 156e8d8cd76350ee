//! Lists entries of the provision log by page, oldest or newest first.

use vrx_domain::{Caller, Date, EntryKind, Fields, Role, UnixMillis};
use vrx_provision_log::{Deadline, ReadEntry, Recorded};
use vrx_tlog::Leaf;

use super::{
    opened::Opened,
    page_token::{self, Position, Scope},
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

/// Entries read from the store at once.
const READ_AT_ONCE: u32 = 256;
/// Entries looked at for one page, however few of them the filter wants.
const MAX_LOOKED_AT: u32 = 4096;

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

/// Which entries come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that were made first.
    #[default]
    OldestFirst,
    /// Those that were made last.
    NewestFirst,
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
    /// In which order.
    pub order: Order,
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
    /// The stored opening isn't the one that the leaf commits to; nothing of it is said.
    pub is_damaged: bool,
    /// The caller's SPIFFE URI.
    pub actor: String,
    /// What was done (`query-records` for an exchange).
    pub action: String,
    /// Outcome told to the caller.
    pub outcome: String,
    /// The true cause of an exchange's outcome; empty for other kinds.
    pub cause: String,
}

/// One page of entries. The first page fixes which entries the list goes over: those made by listing don't lengthen it.
pub async fn list(
    ctx: &TenantServices,
    caller: &Caller,
    request: ListRequest,
    deadline: Deadline,
) -> Result<Recorded<EntryPage>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let now = ctx.node.clock.now();
    let mut query = request.filter.encode();
    query.push(request.order as u8);
    let scope = Scope::new(caller, "log-list", &query);
    let position = page_token::open(&ctx.keyring, &scope, &request.page_token, now)?;
    let log_size = ctx.log.checkpoint().size();
    let mut position = match position {
        Some(position) => position,
        None => first_position(ctx, &request.filter, log_size, deadline).await?,
    };
    let before = position;
    let entries = gather(ctx, &request, &mut position, deadline).await?;
    let next_page_token = if position.next < position.end {
        page_token::seal(&ctx.keyring, &*ctx.node.random, &scope, position, now)?
    } else {
        Vec::new()
    };
    let (from, until) = match request.order {
        Order::OldestFirst => (before.next, position.next),
        Order::NewestFirst => (position.end, before.end),
    };
    let content = [
        ("from", from.to_string()),
        ("until", until.to_string()),
        ("entries", entries.len().to_string()),
        (
            "kind",
            request
                .filter
                .kind
                .map(|kind| kind.code().to_string())
                .unwrap_or_default(),
        ),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "log-list",
        about: None,
        content: &pairs(&content),
    };
    let page = EntryPage {
        entries,
        next_page_token,
        log_size,
    };
    act.record(ctx, None, page, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

impl EntryFilter {
    /// All of the filter, unambiguously: a page token belongs to one query.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind.map_or(0, EntryKind::code)];
        for time in [self.from, self.until] {
            bytes.push(u8::from(time.is_some()));
            bytes.extend_from_slice(&time.map_or(0, |time| time.0).to_be_bytes());
        }
        bytes
    }

    fn wants(&self, leaf: &Leaf) -> bool {
        self.kind.is_none_or(|kind| kind.code() == leaf.kind)
            && self.from.is_none_or(|from| leaf.time >= from.0)
            && self.until.is_none_or(|until| leaf.time < until.0)
    }
}

/// Where the list begins and ends. Times never fall along the log, so both are found by halving.
async fn first_position(
    ctx: &TenantServices,
    filter: &EntryFilter,
    size: u64,
    deadline: Deadline,
) -> Result<Position, ServiceError> {
    let mut position = Position { next: 0, end: size };
    if let Some(from) = filter.from {
        position.next = first_not_before(ctx, from, size, deadline).await?;
    }
    if let Some(until) = filter.until {
        position.end = first_not_before(ctx, until, size, deadline).await?;
    }
    Ok(position)
}

/// The day on which the log began. No earlier one has entries, or could have.
pub(crate) async fn first_day(
    ctx: &TenantServices,
    deadline: Deadline,
) -> Result<Date, ServiceError> {
    let reader = ctx.log.reader();
    let first = reader.entries_if(0, 1, deadline, |_| false).await;
    let first = first.map_err(|error| read_error(ctx, &error))?;
    let first = first
        .first()
        .ok_or_else(|| ctx.internal("the provision log has no first entry"))?;
    Ok(UnixMillis(first.leaf.time).date_jst())
}

/// The first entry that was made at this time or later, out of the log's first `size`.
pub(crate) async fn first_not_before(
    ctx: &TenantServices,
    time: UnixMillis,
    size: u64,
    deadline: Deadline,
) -> Result<u64, ServiceError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let reader = ctx.log.reader();
        let entries = reader.entries_if(middle, 1, deadline, |_| false).await;
        let entries = entries.map_err(|error| read_error(ctx, &error))?;
        if entries
            .first()
            .is_some_and(|entry| entry.leaf.time < time.0)
        {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Reads on in `position` until the page is full, the list is over or enough was looked at; leaves in `position` what is left.
async fn gather(
    ctx: &TenantServices,
    request: &ListRequest,
    position: &mut Position,
    deadline: Deadline,
) -> Result<Vec<EntrySummary>, ServiceError> {
    let size = page_token::page_size(request.page_size);
    let mut found = Vec::new();
    let mut looked_at = 0;
    while found.len() < size && position.next < position.end && looked_at < MAX_LOOKED_AT {
        let left = u32::try_from(position.end - position.next).unwrap_or(u32::MAX);
        let count = left.min(READ_AT_ONCE);
        let from = match request.order {
            Order::OldestFirst => position.next,
            Order::NewestFirst => position.end - u64::from(count),
        };
        let reader = ctx.log.reader();
        let entries = reader.entries_apart(from, count, deadline, |_| true).await;
        let mut entries = entries.map_err(|error| read_error(ctx, &error))?;
        if entries.len() != usize::try_from(count).unwrap_or(usize::MAX) {
            return Err(ctx.internal("the provision log is shorter than its checkpoint"));
        }
        if request.order == Order::NewestFirst {
            entries.reverse();
        }
        for entry in entries {
            if found.len() == size {
                break;
            }
            match request.order {
                Order::OldestFirst => position.next = entry.leaf().index.saturating_add(1),
                Order::NewestFirst => position.end = entry.leaf().index,
            }
            looked_at += 1;
            if request.filter.wants(entry.leaf()) {
                found.push(summary(&entry));
            }
        }
    }
    Ok(found)
}

fn summary(entry: &ReadEntry) -> EntrySummary {
    let (leaf, said) = match entry {
        ReadEntry::Whole(entry) => (&entry.leaf, Opened::of(entry)),
        ReadEntry::Damaged(leaf) => (leaf, None),
    };
    let text = |field: fn(&Opened<'_>) -> String| said.as_ref().map(field).unwrap_or_default();
    EntrySummary {
        index: leaf.index,
        time: UnixMillis(leaf.time),
        kind: leaf.kind,
        is_damaged: matches!(entry, ReadEntry::Damaged(_)),
        actor: text(|said| said.caller().to_owned()),
        action: text(|said| said.action().to_owned()),
        outcome: text(|said| said.outcome().to_owned()),
        cause: text(|said| said.cause().to_owned()),
    }
}

/// A field of an exchange's content by its name, or of any other's by the name that stands before it.
pub(crate) fn content_value(content: &Fields, name: &str) -> String {
    if let Some(value) = content.get(name) {
        return text(Some(value));
    }
    let mut values = content.values();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        if key == name.as_bytes() {
            return text(Some(value));
        }
    }
    String::new()
}

pub(crate) fn text(value: Option<&[u8]>) -> String {
    value
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}
