//! The provider's side: its entries about a caller's own requests, each proved to one checkpoint. Nothing of anybody else's.

use vrx_domain::{Caller, EntryKind, Member, Role};
use vrx_provision_log::{Deadline, Recorded, StoredEntry};

use super::Provision;
use crate::{
    audit::{
        list::text,
        page_token::{self, Position, Scope},
    },
    error::ServiceError,
    record::{Act, NotRecorded, pairs, read_error},
    tenants::TenantServices,
};

/// Entries read from the store at once.
const READ_AT_ONCE: u32 = 256;
/// Entries looked at for one page, however few of them are the caller's.
const MAX_LOOKED_AT: u64 = 8192;

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListProvisions {
    /// Name of the asked log, with its epoch.
    pub log_origin: String,
    /// The first place that is asked for.
    pub from_index: u64,
    /// Size of the newest checkpoint that the caller holds of it.
    pub known_log_size: u64,
    /// At most this many; 0 for 50.
    pub page_size: u32,
    /// Empty for the first page.
    pub page_token: Vec<u8>,
}

/// A page of them, by place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionPage {
    /// On the first page, the checkpoint of the list.
    pub checkpoint: String,
    /// On the first page, the consistency proof from the known size to it.
    pub consistency_proof: Vec<[u8; 32]>,
    /// The entries; there may be none while more follow.
    pub provisions: Vec<Provision>,
    /// Everything below this place has been looked at.
    pub until_index: u64,
    /// Empty on the last page.
    pub next_page_token: Vec<u8>,
}

/// Reads and records. `member` is the caller's own directory entry.
pub async fn list_provisions(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    request: ListProvisions,
    deadline: Deadline,
) -> Result<Recorded<ProvisionPage>, ServiceError> {
    let is_member = caller.id.role == Role::Exchange
        && caller.id.municipality == member.code
        && member.code != ctx.tenant.code;
    if !is_member {
        return Err(ServiceError::PermissionDenied);
    }
    if request.log_origin != ctx.log.reader().verifier_key().name() {
        return Err(ServiceError::NotFound);
    }
    let query = [
        &request.from_index.to_be_bytes()[..],
        &request.known_log_size.to_be_bytes(),
        request.log_origin.as_bytes(),
    ]
    .concat();
    let scope = Scope::new(caller, "list-provisions", &query);
    let now = ctx.node.clock.now();
    let position = page_token::open(&ctx.keyring, &scope, &request.page_token, now)?;
    let (mut page, position) = match position {
        Some(position) => (empty(position.next), position),
        None => first_page(ctx, &request, deadline).await?,
    };
    let size = page_token::page_size(request.page_size);
    gather(ctx, caller, size, position, &mut page, deadline).await?;
    if page.until_index < position.end {
        let position = Position {
            next: page.until_index,
            end: position.end,
        };
        page.next_page_token =
            page_token::seal(&ctx.keyring, &*ctx.node.random, &scope, position, now)?;
    }
    let content = [
        ("log_origin", request.log_origin),
        ("from_index", position.next.to_string()),
        ("until_index", page.until_index.to_string()),
        ("checkpoint_size", position.end.to_string()),
        ("provisions", page.provisions.len().to_string()),
    ];
    let act = Act {
        kind: EntryKind::Control,
        caller,
        action: "list-provisions",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, page, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

fn empty(until_index: u64) -> ProvisionPage {
    ProvisionPage {
        checkpoint: String::new(),
        consistency_proof: Vec::new(),
        provisions: Vec::new(),
        until_index,
        next_page_token: Vec::new(),
    }
}

/// The checkpoint that all pages lead to, and the way to it from what the caller knows.
async fn first_page(
    ctx: &TenantServices,
    request: &ListProvisions,
    deadline: Deadline,
) -> Result<(ProvisionPage, Position), ServiceError> {
    let reader = ctx.log.reader();
    let checkpoint = reader.checkpoint();
    let (note, size) = (checkpoint.note().to_owned(), checkpoint.size());
    let known = request.known_log_size;
    let consistency_proof = if known <= size {
        let proof = reader.consistency_within(known, size, deadline).await;
        proof.map_err(|error| read_error(ctx, &error))?
    } else {
        Vec::new()
    };
    let from = request.from_index.min(size);
    let page = ProvisionPage {
        checkpoint: note,
        consistency_proof,
        ..empty(from)
    };
    Ok((
        page,
        Position {
            next: from,
            end: size,
        },
    ))
}

/// Reads on until the page is full, the list is over or enough was looked at.
async fn gather(
    ctx: &TenantServices,
    caller: &Caller,
    size: usize,
    position: Position,
    page: &mut ProvisionPage,
    deadline: Deadline,
) -> Result<(), ServiceError> {
    let reader = ctx.log.reader();
    let end = position
        .end
        .min(position.next.saturating_add(MAX_LOOKED_AT));
    let own = caller.id.to_string();
    while page.provisions.len() < size && page.until_index < end {
        let left = u32::try_from(end - page.until_index).unwrap_or(u32::MAX);
        let entries = reader
            .entries(page.until_index, left.min(READ_AT_ONCE), deadline)
            .await
            .map_err(|error| read_error(ctx, &error))?;
        if entries.is_empty() {
            return Err(ctx.internal("the provision log is shorter than its checkpoint"));
        }
        for entry in entries {
            if page.provisions.len() == size {
                break;
            }
            page.until_index = entry.leaf.index.saturating_add(1);
            let Some(request_id) = request_of(&entry, &own) else {
                continue;
            };
            let request_id = request_id
                .parse()
                .map_err(|_| ctx.internal("an exchange entry's request id isn't one"))?;
            let inclusion_proof = reader
                .inclusion_within(entry.leaf.index, position.end, deadline)
                .await
                .map_err(|error| read_error(ctx, &error))?;
            page.provisions.push(Provision {
                request_id,
                log_index: entry.leaf.index,
                leaf: entry.leaf.encode(),
                inclusion_proof,
            });
        }
    }
    Ok(())
}

/// The request id of an exchange entry whose caller this is. An erased opening names nobody any more.
fn request_of(entry: &StoredEntry, caller: &str) -> Option<String> {
    let opening = entry.opening.as_ref()?;
    let exchange = entry.leaf.kind == EntryKind::Exchange.code();
    let own = opening.actor.get("caller") == Some(caller.as_bytes());
    (exchange && own).then(|| text(opening.actor.get("request_id")))
}
