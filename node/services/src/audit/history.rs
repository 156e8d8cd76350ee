//! All that the log holds about one person (開示請求), oldest first, each entry with its proof.
//!
//! The reading is an entry about that person, durable before the first row is made. It is also where the walk back begins: it links to
//! the newest entry before it, so what is shown is exactly what was there when it was asked for.
//!
//! An import is about many, and in nobody's list: the person's rows in the register say with which entries they came. Whoever takes
//! such a row away, or changes what it names, hides that; the entry itself stays in the log.

use std::collections::BTreeSet;

use vrx_domain::{Caller, EntryKind, IndividualNumber, Role, UnixMillis};
use vrx_provision_log::{Deadline, ReadError, SubjectWalk};
use vrx_storage::EnteredWith;

use super::{
    chain::{Chain, MissingEntries, Place},
    erased::erased_below,
    opened::Opened,
    register::{Registered, is_adoption, is_of_import},
    row::{HistoryRow, HistoryView, KnownDoses},
    shown::{Cosigning, Shown},
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, read_error, subject_tag},
    tenants::TenantServices,
};

/// Whose history, and for whom.
pub struct HistoryRequest {
    /// The person.
    pub number: IndividualNumber,
    /// For whom it is.
    pub view: HistoryView,
}

/// A history that goes on row by row. It exists only once the entry of its reading is durable.
pub struct History {
    /// Whether the person is in the own register today.
    pub registered: bool,
    /// The entry that records this reading.
    pub review_index: u64,
    /// When it was recorded.
    pub read_at: UnixMillis,
    /// What every row's proof leads to.
    shown: Shown,
    view: HistoryView,
    chain: Chain,
    doses: KnownDoses,
    /// What is still to come; the last comes next.
    left: Vec<Next>,
    /// Entries of the person's list that rows of the register name too: adoptions, and shown once.
    listed: BTreeSet<u64>,
    totals: HistoryTotals,
}

/// How much of a history came so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryTotals {
    /// Entries.
    pub rows: u64,
    /// Entries that are missing, though no erasure explains it.
    pub missing: u64,
    /// Entries whose openings erasures have blanked.
    pub erased: u64,
}

/// What comes next in a history.
#[derive(Debug)]
pub enum HistoryPart {
    /// One entry.
    Row(Box<HistoryRow>),
    /// Entries that must have been there.
    Missing(MissingEntries),
}

/// Something of a history that is to be read.
enum Next {
    /// A place in the person's list.
    Listed(Place),
    /// An import, which is in nobody's list.
    Import(EnteredWith),
}

impl Next {
    fn index(&self) -> u64 {
        match self {
            Self::Listed(Place::Entry(index)) => *index,
            Self::Listed(Place::Missing(missing)) => missing.last_index,
            Self::Import(entered) => entered.log_index,
        }
    }
}

/// Begins a history.
pub async fn history(
    ctx: &TenantServices,
    caller: &Caller,
    request: HistoryRequest,
    deadline: Deadline,
) -> Result<History, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let HistoryRequest { number, view } = request;
    let registered = Registered::look_up(ctx, &number, deadline).await?;
    let tag = subject_tag(ctx, &number);
    let head = ctx.log.reader().subject_head(tag, deadline).await;
    let head = head.map_err(|error| read_error(ctx, &error))?;
    let known = registered.person.is_some() || head.is_some();
    let content = [
        ("view", view.as_str().to_owned()),
        ("registered", u8::from(registered.approved).to_string()),
        ("entries", head.map_or(0, |head| head.seq).to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: "history",
        // A number that is nowhere here stays nowhere.
        about: known.then_some(&number),
        content: &pairs(&content),
    };
    let recorded = act.record(ctx, None, registered, deadline).await;
    let recorded = recorded.map_err(NotRecorded::into_service)?;
    let review_index = recorded.log_index();
    let shown = Shown::covering(ctx, review_index, recorded.checkpoint(), deadline).await?;
    let read_at = UnixMillis(recorded.leaf().time);
    let (registered, _, _) = recorded.into_parts();

    let mut chain = Chain::default();
    if known {
        let own = ctx.log.reader().entries(review_index, 1, deadline).await;
        let own = own.map_err(|error| read_error(ctx, &error))?;
        let own = own.first().and_then(|entry| entry.opening.as_ref());
        // Never an empty history where the truth is that it couldn't be begun.
        let own =
            own.ok_or_else(|| ctx.internal("the entry of a history's reading isn't there"))?;
        let walk = SubjectWalk::from(tag, own.subject_seq, review_index);
        chain = Chain::read(ctx, walk, Some(&number), registered.protected, deadline).await?;
    }
    let imports = registered.imports(ctx, review_index, deadline).await?;
    let missing = chain.missing();
    if missing > 0 {
        tracing::error!(alarm = "history-gap", tenant = %ctx.tenant.code, missing, review_index, "a history isn't whole");
    }
    let listed = imports.iter().map(|entered| entered.log_index);
    let listed = listed.filter(|index| chain.has(*index)).collect();
    Ok(History {
        registered: registered.approved,
        review_index,
        read_at,
        shown,
        view,
        left: with_imports(std::mem::take(&mut chain.places), imports),
        listed,
        chain,
        doses: registered.doses,
        totals: HistoryTotals::default(),
    })
}

impl HistoryView {
    /// The committed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disclosure => "disclosure",
            Self::Internal => "internal",
        }
    }
}

impl History {
    /// The signed checkpoint that every row's proof leads to.
    pub fn checkpoint(&self) -> &str {
        &self.shown.note
    }

    /// Whether the tenant's witnesses have cosigned it.
    pub fn cosigning(&self) -> Cosigning {
        self.shown.cosigning
    }

    /// What came so far.
    pub fn totals(&self) -> HistoryTotals {
        self.totals
    }

    /// The next row or gap; `None` at the end.
    pub async fn next(
        &mut self,
        ctx: &TenantServices,
        deadline: Deadline,
    ) -> Result<Option<HistoryPart>, ServiceError> {
        while let Some(place) = self.left.pop() {
            let part = match place {
                Next::Listed(Place::Missing(missing)) => Some(HistoryPart::Missing(missing)),
                Next::Listed(Place::Entry(index)) => self.entry(ctx, index, None, deadline).await?,
                Next::Import(entered) => {
                    let index = entered.log_index;
                    self.entry(ctx, index, Some(entered), deadline).await?
                }
            };
            match part {
                // Not shown in this view.
                None => {}
                Some(HistoryPart::Row(row)) => {
                    self.totals.rows += 1;
                    return Ok(Some(HistoryPart::Row(row)));
                }
                Some(HistoryPart::Missing(missing)) => {
                    let counted = if missing.erased {
                        &mut self.totals.erased
                    } else {
                        &mut self.totals.missing
                    };
                    *counted += missing.count;
                    let first_seq = match self.view {
                        HistoryView::Internal => missing.first_seq,
                        HistoryView::Disclosure => 0,
                    };
                    return Ok(Some(HistoryPart::Missing(MissingEntries {
                        first_seq,
                        ..missing
                    })));
                }
            }
        }
        Ok(None)
    }

    async fn entry(
        &self,
        ctx: &TenantServices,
        index: u64,
        import: Option<EnteredWith>,
        deadline: Deadline,
    ) -> Result<Option<HistoryPart>, ServiceError> {
        let proved = match self.shown.entry(ctx, index, deadline).await {
            Ok(proved) => proved,
            // It was there when the links were followed, and isn't what was signed.
            Err(ReadError::Proof(_) | ReadError::Leaf(_) | ReadError::Opening(_)) => {
                return Ok(Some(HistoryPart::Missing(one(index))));
            }
            // A row names a place where the log isn't yet.
            Err(ReadError::OutOfRange) if import.is_some() => {
                return Ok(Some(HistoryPart::Missing(one(index))));
            }
            Err(error) => return Err(read_error(ctx, &error)),
        };
        let Some(said) = Opened::of(&proved.entry) else {
            // Of the list it was there when the links were followed. Nobody's list tells of an import.
            let erased = import.is_some() && index < erased_below(ctx, deadline).await?;
            return Ok(Some(HistoryPart::Missing(MissingEntries {
                erased,
                ..one(index)
            })));
        };
        if let Some(EnteredWith { import, .. }) = import {
            if self.listed.contains(&index) && is_adoption(&said, import) {
                return Ok(None);
            }
            if !is_of_import(&said, import) {
                tracing::error!(alarm = "history-gap", tenant = %ctx.tenant.code, index, "a person's row names an entry that isn't its import's");
                return Ok(Some(HistoryPart::Missing(one(index))));
            }
        }
        let row = HistoryRow::of(
            &said,
            &self.chain,
            &self.doses,
            self.view,
            Some(proved.receipt),
        );
        Ok(row.map(|mut row| {
            row.dose_count += import.map_or(0, |entered| entered.doses);
            HistoryPart::Row(Box::new(row))
        }))
    }
}

/// Puts imports between the entries of a list that begins with the newest.
fn with_imports(places: Vec<Place>, imports: Vec<EnteredWith>) -> Vec<Next> {
    let imports = imports.into_iter().map(Next::Import);
    let mut parts: Vec<Next> = places
        .into_iter()
        .map(Next::Listed)
        .chain(imports)
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.index()));
    parts
}

fn one(index: u64) -> MissingEntries {
    MissingEntries {
        count: 1,
        first_seq: 0,
        last_index: index,
        erased: false,
    }
}
