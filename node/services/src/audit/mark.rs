//! Marks an entry: not to be disclosed (不開示, 番号法第23条第2項), to be disclosed after all, or with a counterparty that may be named.
//!
//! The mark is an entry about the same person, so that whoever reads the history meets it; nothing else is kept.

use vrx_domain::{
    Caller, DisclosureReason, EntryKind, EntryMark, IndividualNumber, Reference, Role,
};
use vrx_provision_log::{Deadline, SubjectWalk};

use super::{
    chain::{Chain, MARK},
    opened::Opened,
    register::{Registered, is_import},
};
use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, entry_error, pairs, read_error, subject_tag},
    tenants::TenantServices,
};

/// Why an import isn't marked: its entry is in nobody's list, so no mark of one person could be found from it.
const IMPORT: &str = "an import is about many persons: it can't be marked";

/// A mark that an officer makes.
pub struct MarkRequest {
    /// Whom the entry is about.
    pub number: IndividualNumber,
    /// The entry.
    pub index: u64,
    /// As what.
    pub mark: EntryMark,
    /// Why; a mark as not to be disclosed needs it.
    pub reason: Option<DisclosureReason>,
    /// The decision's reference (決裁番号).
    pub document: Reference,
}

/// What a mark did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkReport {
    /// The entry that records it.
    pub log_index: u64,
    /// Officers who have said by now that the counterparty may be named.
    pub officers: u32,
}

/// Marks.
pub async fn mark(
    ctx: &TenantServices,
    caller: &Caller,
    request: MarkRequest,
    deadline: Deadline,
) -> Result<MarkReport, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    if request.mark == EntryMark::Withhold && request.reason.is_none() {
        return Err(ServiceError::InvalidArgument {
            field: "reason",
            why: "is missing",
        });
    }
    if request.mark != EntryMark::Withhold && request.reason.is_some() {
        return Err(ServiceError::InvalidArgument {
            field: "reason",
            why: "belongs to a mark as not to be disclosed alone",
        });
    }
    let reader = ctx.log.reader();
    let proved = reader.entry(request.index, deadline).await;
    let proved = proved.map_err(|error| entry_error(ctx, request.index, &error))?;
    let tag = subject_tag(ctx, &request.number);
    let head = reader.subject_head(tag, deadline).await;
    let head = head.map_err(|error| read_error(ctx, &error))?;
    let protected = Registered::look_up(ctx, &request.number, deadline)
        .await?
        .protected;
    let walk = SubjectWalk::from(
        tag,
        head.map_or(0, |head| head.seq),
        head.map_or(0, |head| head.last_index),
    );
    let chain = Chain::read(ctx, walk, Some(&request.number), protected, deadline).await?;
    let said = Opened::of(&proved.entry);
    if said.as_ref().is_some_and(is_import) {
        return Err(ServiceError::FailedPrecondition(IMPORT));
    }
    let said = said.filter(|said| chain.has(said.index));
    let said = said.ok_or(ServiceError::InvalidArgument {
        field: "log_index",
        why: "isn't the place of an entry about this person",
    })?;
    let mut officers = chain.named_by(request.index);
    if request.mark == EntryMark::NameCounterparty {
        // Else it would be recorded, and change nothing.
        if said.counterparty().is_none() || !chain.conceals(&said) {
            return Err(ServiceError::FailedPrecondition(
                "the entry conceals no counterparty",
            ));
        }
        officers.insert(caller.id.to_string());
    }
    let content = [
        ("entry", request.index.to_string()),
        ("mark", request.mark.code().to_string()),
        (
            "reason",
            request
                .reason
                .map(|reason| reason.code().to_string())
                .unwrap_or_default(),
        ),
        ("document", request.document.to_string()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: MARK,
        about: Some(&request.number),
        content: &pairs(&content),
    };
    let recorded = act.record(ctx, None, (), deadline).await;
    let recorded = recorded.map_err(NotRecorded::into_service)?;
    Ok(MarkReport {
        log_index: recorded.log_index(),
        officers: u32::try_from(officers.len()).unwrap_or(u32::MAX),
    })
}
