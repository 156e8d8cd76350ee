//! One entry's whole story: the entry, what belongs to the same inquiry, its marks, and the other entries about the same person.

use vrx_domain::{Caller, Role, audit::LOG_STORY};
use vrx_provision_log::{Deadline, ProvedEntry, ReadError, Recorded, SubjectWalk};
use vrx_tlog::Receipt;

use super::{
    chain::{Chain, Mark, Place},
    look::Look,
    opened::Opened,
    row::{HistoryRow, HistoryView, KnownDoses},
    shown::{Cosigning, Shown},
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{entry_error, read_error},
    tenants::TenantServices,
};

/// Related entries that are shown at most, the newest of them.
const MOST: usize = 500;

/// How another entry belongs to the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same inquiry.
    SameInquiry,
    /// A mark on it.
    Mark,
    /// A look at it.
    Look,
    /// Another entry about the same person.
    SamePerson,
}

/// An entry's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The entry.
    pub row: HistoryRow,
    /// The others, oldest first.
    pub related: Vec<(Relation, HistoryRow)>,
    /// There are more.
    pub truncated: bool,
    /// Entries about the same person that can't be shown.
    pub missing: u64,
    /// Whether the tenant's witnesses have cosigned what the entry's proof leads to.
    pub cosigning: Cosigning,
}

/// Reads the story of the entry at `index`. If it is about a person, the look is one about that person too.
///
/// Counterparties are named where the person's history names them; but that the register protects the person today, while no entry says
/// so, isn't known without the number.
pub async fn story(
    ctx: &TenantServices,
    caller: &Caller,
    index: u64,
    deadline: Deadline,
) -> Result<Recorded<Story>, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let newest = ctx.log.reader().checkpoint();
    if index >= newest.size() {
        return Err(read_error(ctx, &ReadError::OutOfRange));
    }
    let shown = Shown::covering(ctx, index, &newest, deadline).await?;
    let proved = shown.entry(ctx, index, deadline).await;
    let ProvedEntry { entry, receipt } = proved.map_err(|error| entry_error(ctx, index, &error))?;
    let said = Opened::of(&entry).ok_or(ServiceError::FailedPrecondition(
        "the entry's opening is blank: it was erased, or somebody emptied it; run vrx log verify",
    ))?;
    let story = read(ctx, &said, receipt, shown.cosigning, deadline).await?;
    let related = story.related.len().to_string();
    let look = Look {
        caller,
        action: LOG_STORY,
        more: &[("related", &related)],
    };
    look.record(ctx, index, Some(&said), story, deadline).await
}

async fn read(
    ctx: &TenantServices,
    said: &Opened<'_>,
    receipt: Receipt,
    cosigning: Cosigning,
    deadline: Deadline,
) -> Result<Story, ServiceError> {
    let reader = ctx.log.reader();
    let mut chain = Chain::default();
    if let Some(tag) = said.person() {
        let head = reader.subject_head(tag, deadline).await;
        if let Some(head) = head.map_err(|error| read_error(ctx, &error))? {
            let walk = SubjectWalk::from(tag, head.seq, head.last_index);
            chain = Chain::read(ctx, walk, None, false, deadline).await?;
        }
    }
    let (doses, view) = (KnownDoses::new(), HistoryView::Internal);
    let row = |said: &Opened<'_>, receipt| {
        HistoryRow::of(said, &chain, &doses, view, receipt)
            .ok_or_else(|| ctx.internal("the internal view leaves an entry out"))
    };
    let others = chain.places.iter().filter_map(|place| match place {
        Place::Entry(other) if *other != said.index => Some(*other),
        _ => None,
    });
    let (mut related, mut truncated) = (Vec::new(), false);
    for other in others {
        if related.len() == MOST {
            truncated = true;
            break;
        }
        let entries = reader.entries(other, 1, deadline).await;
        let entries = entries.map_err(|error| read_error(ctx, &error))?;
        if let Some(opened) = entries.first().and_then(Opened::of) {
            related.push((relation(said, &opened), row(&opened, None)?));
        }
    }
    related.reverse();
    Ok(Story {
        row: row(said, Some(receipt))?,
        related,
        truncated,
        missing: chain.missing(),
        cosigning,
    })
}

fn relation(said: &Opened<'_>, other: &Opened<'_>) -> Relation {
    let same = |name: &str| {
        let id = said.said(name);
        !id.is_empty() && id == other.said(name)
    };
    if Mark::of(other).is_some_and(|mark| mark.index == said.index) {
        Relation::Mark
    } else if other.looked_at() == Some(said.index) {
        Relation::Look
    } else if same("inquiry") || same("request_id") {
        Relation::SameInquiry
    } else {
        Relation::SamePerson
    }
}
