//! 消去の保留: exempts a person, by number at the desk, until a day or until it is lifted. No number is kept with it. Each matter has
//! a hold of its own, named by its reference; none ends or shortens another.

use vrx_crypto::TagKind;
use vrx_domain::{
    Caller, Date, EntryKind, Hold, HoldGround, IndividualNumber, PersonId, Reference, Role,
};
use vrx_provision_log::Deadline;
use vrx_storage::{Change, ChangeError, HoldRecord, Lookup};

use crate::{
    error::ServiceError,
    policy::check_role,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// What is to be exempted.
pub struct HoldRequest {
    /// Whose records stay.
    pub number: IndividualNumber,
    /// The last day; nothing for *until lifted*.
    pub until: Option<Date>,
    /// Why.
    pub ground: HoldGround,
    /// The municipality's own reference of the case.
    pub reference: Reference,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldReport {
    /// Whether the hold stands now, or was lifted. `false`: no such person is in the register, or no hold of this reference stood.
    pub done: bool,
    /// The entry that records it.
    pub log_index: u64,
}

/// Places a hold beside those of other references. Where one of this reference stands, it only gets longer: an earlier end is refused.
pub async fn place_hold(
    ctx: &TenantServices,
    caller: &Caller,
    request: HoldRequest,
    deadline: Deadline,
) -> Result<HoldReport, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    if request
        .until
        .is_some_and(|until| until < ctx.node.clock.today())
    {
        return Err(ServiceError::InvalidArgument {
            field: "until",
            why: "is over",
        });
    }
    let until = request.until.map(|until| until.to_string());
    let content = [
        ("until", until.unwrap_or_default()),
        ("ground", request.ground.code().to_string()),
        ("reference", request.reference.to_string()),
    ];
    let change = |person| {
        let subjects = ctx.keyring.tags(TagKind::Subject, request.number.digits());
        Change::place_hold(HoldRecord {
            person,
            holds: vec![Hold {
                until: request.until,
                ground: request.ground,
                reference: request.reference.clone(),
                placed_by: caller.id.to_string(),
                placed_at: ctx.node.clock.now(),
            }],
            subjects: subjects.live().map(|(_, tag)| tag.0).collect(),
        })
    };
    let what = ("hold", pairs(&content));
    with_person(ctx, caller, &request.number, what, change, deadline).await
}

/// Lifts a person's hold of this reference.
pub async fn lift_hold(
    ctx: &TenantServices,
    caller: &Caller,
    number: &IndividualNumber,
    reference: &Reference,
    deadline: Deadline,
) -> Result<HoldReport, ServiceError> {
    check_role(ctx, caller, Role::Officer)?;
    let what = ("hold-lift", vec![("reference", reference.as_str())]);
    let change = |person| Change::lift_hold(person, reference.clone());
    with_person(ctx, caller, number, what, change, deadline).await
}

async fn with_person(
    ctx: &TenantServices,
    caller: &Caller,
    number: &IndividualNumber,
    (action, content): (&'static str, Vec<(&str, &str)>),
    change: impl FnOnce(PersonId) -> Change,
    deadline: Deadline,
) -> Result<HoldReport, ServiceError> {
    let found = deadline
        .wait(ctx.persons.lookup(number))
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?
        .map_err(|error| storage_error(ctx, &error))?;
    let person = match found {
        Lookup::Found(record) => Some(record.id),
        Lookup::Unknown => None,
        Lookup::Mismatch { person } => {
            tracing::error!(alarm = "tag-mismatch", tenant = %ctx.tenant.code, %person, "a tag led to another number");
            return Err(ctx.internal("a tag led to another number"));
        }
    };
    if let Some(person) = person {
        let act = Act {
            kind: EntryKind::Desk,
            caller,
            action,
            about: Some(number),
            content: &content,
        };
        let recorded = act.record(ctx, Some(change(person)), (), deadline).await;
        match recorded {
            Ok(recorded) => {
                return Ok(HoldReport {
                    done: true,
                    log_index: recorded.log_index(),
                });
            }
            // Erased meanwhile, or never on hold.
            Err(NotRecorded::Change(ChangeError::NotFound(_))) => {}
            Err(other) => return Err(other.into_service()),
        }
    }
    let act = Act {
        kind: EntryKind::Desk,
        caller,
        action,
        about: None,
        content: &[content.as_slice(), &[("outcome", "none")]].concat(),
    };
    let recorded = act.record(ctx, None, (), deadline).await;
    Ok(HoldReport {
        done: false,
        log_index: recorded.map_err(NotRecorded::into_service)?.log_index(),
    })
}
