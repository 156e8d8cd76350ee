//! Takes the doses of a checked answer into the own register, with their origin (取り込み).
//!
//! They come in as an import of their own: *entered*, until another member of staff approves it like any other.

use vrx_domain::{Caller, Date, Dose, DoseOrigin, EntryKind, ImportId, InquiryId, Person, Role};
use vrx_provision_log::Deadline;
use vrx_storage::{
    Adoption, Change, ChangeError, ImportHeader, ImportKind, InquiryRecord, Lookup, RowOutcome,
};
use zeroize::Zeroizing;

use super::inquiry_record::KeptAnswer;
use crate::{
    error::ServiceError,
    exchange::{Answer, AnswerBytes},
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// What staff adopt.
#[derive(Debug, Clone, Copy)]
pub struct AdoptRequest {
    /// The inquiry whose kept answer is adopted, whole.
    pub inquiry: InquiryId,
    /// The caller, somebody other than the inquirer, says that it is the same person although the birth dates differ.
    pub confirm_birth_date_difference: bool,
}

/// What an adoption did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoptReport {
    /// The inquiry.
    pub inquiry: InquiryId,
    /// The import that carries the doses, to be approved by somebody else; none when every dose was there already.
    pub import: Option<ImportId>,
    /// Doses taken into the register.
    pub adopted: u32,
    /// Doses that were there already.
    pub unchanged: u32,
    /// The entry that records it.
    pub log_index: u64,
}

/// The action of an adoption's entry.
pub(crate) const ACTION: &str = "adopt";

/// Adopts; doing it again changes nothing.
pub async fn adopt(
    ctx: &TenantServices,
    caller: &Caller,
    request: AdoptRequest,
    deadline: Deadline,
) -> Result<AdoptReport, ServiceError> {
    check_role(ctx, caller, Role::Staff)?;
    // Another change of the same person in between makes the store refuse; then all is read and compared again.
    loop {
        match try_adopt(ctx, caller, request, deadline).await {
            Err(NotRecorded::Change(ChangeError::Conflict(_))) => {}
            other => return other.map_err(NotRecorded::into_service),
        }
    }
}

async fn try_adopt(
    ctx: &TenantServices,
    caller: &Caller,
    request: AdoptRequest,
    deadline: Deadline,
) -> Result<AdoptReport, NotRecorded> {
    let row = ctx
        .registry
        .inquiry(request.inquiry, ctx.node.clock.now())
        .await
        .map_err(|error| NotRecorded::Service(storage_error(ctx, &error)))?
        .ok_or(NotRecorded::Service(ServiceError::NotFound))?;
    let kept = KeptAnswer::decode(&row.body)
        .map_err(|_| NotRecorded::Service(ctx.internal("a kept answer is malformed")))?;

    let mut report = AdoptReport {
        inquiry: request.inquiry,
        import: kept.adopted,
        adopted: 0,
        unchanged: kept.doses,
        log_index: 0,
    };
    let mut birth_date = "";
    let mut change = None;
    if kept.adopted.is_none() {
        let answer = ctx.node.codec.decode(kept.answer.as_bytes()).map_err(|_| {
            NotRecorded::Service(ctx.internal("a checked answer can't be decoded any more"))
        })?;
        if answer.doses.is_empty() {
            return Err(NotRecorded::Service(ServiceError::FailedPrecondition(
                "the answer holds no dose to adopt",
            )));
        }
        let own = own_birth_date(ctx, &kept)
            .await
            .map_err(NotRecorded::Service)?;
        birth_date =
            check_birth_date(own, &answer, caller, &kept, request).map_err(NotRecorded::Service)?;
        change = prepare(ctx, caller, &row, &kept, answer, &mut report)
            .await
            .map_err(NotRecorded::Service)?;
    }

    let content = [
        ("inquiry", request.inquiry.to_string()),
        ("municipality_code", kept.provider.to_string()),
        ("provider_log_index", kept.provider_log_index.to_string()),
        (
            "import",
            report
                .import
                .map(|import| import.to_string())
                .unwrap_or_default(),
        ),
        ("adopted", report.adopted.to_string()),
        ("unchanged", report.unchanged.to_string()),
        ("birth_date", birth_date.to_owned()),
    ];
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action: ACTION,
        about: Some(&kept.number),
        content: &pairs(&content),
    };
    let (report, receipt, _) = act
        .record(ctx, change, report, deadline)
        .await?
        .into_parts();
    Ok(AdoptReport {
        log_index: receipt.log_index,
        ..report
    })
}

/// The birth date in the own approved register: without it nobody can say whose doses these are.
async fn own_birth_date(ctx: &TenantServices, kept: &KeptAnswer) -> Result<Date, ServiceError> {
    match ctx.persons.lookup(&kept.number).await {
        Ok(Lookup::Found(record)) => record
            .approved
            .map(|person: Person| person.birth_date)
            .ok_or(ServiceError::FailedPrecondition(
                "the person's own entry isn't approved yet",
            )),
        Ok(Lookup::Unknown) => Err(ServiceError::FailedPrecondition(
            "the person isn't in the own register yet",
        )),
        Ok(Lookup::Mismatch { .. }) => {
            Err(ctx.internal("alarm: a number's tag leads to a row that holds another number"))
        }
        Err(error) => Err(storage_error(ctx, &error)),
    }
}

/// A difference needs eyes other than the inquirer's, and their word.
fn check_birth_date(
    own: Date,
    answer: &Answer,
    caller: &Caller,
    kept: &KeptAnswer,
    request: AdoptRequest,
) -> Result<&'static str, ServiceError> {
    if own == answer.birth_date {
        Ok("same")
    } else if caller.id.to_string() == kept.inquirer {
        Err(ServiceError::FailedPrecondition(
            "the birth dates differ: a member of staff other than the inquirer must adopt",
        ))
    } else if !request.confirm_birth_date_difference {
        Err(ServiceError::FailedPrecondition(
            "the birth dates differ: it must be confirmed that it is the same person",
        ))
    } else {
        Ok("differs")
    }
}

/// The doses as an import, and the kept answer without its bytes.
async fn prepare(
    ctx: &TenantServices,
    caller: &Caller,
    row: &InquiryRecord,
    kept: &KeptAnswer,
    answer: Answer,
    report: &mut AdoptReport,
) -> Result<Option<Change>, ServiceError> {
    let import = ImportId::random(&*ctx.node.random);
    let origin = DoseOrigin::Adopted {
        from: kept.provider,
        log_index: kept.provider_log_index,
    };
    let adoption = Adoption {
        import: ImportHeader {
            id: import,
            kind: ImportKind::Adoption,
            entered_by: caller.id.to_string(),
            entered_at: ctx.node.clock.now(),
            digest: [0; 32],
        },
        number: duplicate(ctx, kept)?,
        doses: answer
            .doses
            .into_iter()
            .map(|dose| Dose { origin, ..dose })
            .collect(),
    };
    let prepared = ctx
        .registry
        .prepare_adoption(&adoption)
        .await
        .map_err(|error| storage_error(ctx, &error))?;
    (report.adopted, report.unchanged) = (0, 0);
    for outcome in &prepared.outcomes {
        match outcome {
            RowOutcome::Added | RowOutcome::Changed => report.adopted += 1,
            RowOutcome::Unchanged => report.unchanged += 1,
            RowOutcome::Refused(_) => {
                return Err(ServiceError::FailedPrecondition(
                    "a dose of the answer can't be taken",
                ));
            }
        }
    }
    let Some(doses) = prepared.change else {
        return Ok(None);
    };
    report.import = Some(import);
    let emptied = KeptAnswer {
        number: duplicate(ctx, kept)?,
        provider: kept.provider,
        inquirer: kept.inquirer.clone(),
        provider_log_index: kept.provider_log_index,
        doses: kept.doses,
        answer: AnswerBytes::new(Zeroizing::new(Vec::new())),
        adopted: Some(import),
    };
    let body = emptied
        .encode()
        .map_err(|_| ctx.internal("a kept answer can't be encoded any more"))?;
    let row = InquiryRecord {
        id: row.id,
        expires_at: row.expires_at,
        version: row.version.saturating_add(1),
        body,
    };
    let inquiry = ctx.registry.prepare_inquiry(&row).await;
    let inquiry = inquiry.map_err(|error| storage_error(ctx, &error))?;
    Ok(Some(Change::all(vec![doses, inquiry])))
}

fn duplicate(
    ctx: &TenantServices,
    kept: &KeptAnswer,
) -> Result<vrx_domain::IndividualNumber, ServiceError> {
    vrx_domain::IndividualNumber::from_digits(kept.number.digits())
        .map_err(|_| ctx.internal("a valid number isn't valid"))
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
