//! Answers another municipality's inquiry (提供).
//!
//! Policy, lookup, decision, one entry, answer. After the lookup every *nothing* takes the same way: no encoding, the hash of
//! the empty string, one entry of the same kind. Only the subject's commitment knows the cause, and it stays here.

use sha2::{Digest, Sha256};
use tracing::{Instrument, field};
use vrx_domain::{
    Caller, Cause, DoseId, EntryKind, Member, PersonId,
    audit::{exchange_actor, exchange_content, exchange_subject},
};
use vrx_provision_log::{Deadline, Entry, Passed, ReadError, Recorded, Subject};
use vrx_storage::Lookup;

use super::{
    Answer, AnswerBytes, ExchangeAnswer, ExchangeQuery,
    decide::{Decision, decide},
};
use crate::{
    error::ServiceError,
    policy::{HardToObtain, check_evidence},
    record::{Act, read_error, record_error, storage_error, subject_tag},
    tenants::TenantServices,
};

/// Decides, records, answers. `member` is the caller's own directory entry.
///
/// The caller's role, membership and tenant were checked before; they are checked again here, because nothing below this line
/// asks once more.
pub async fn provide(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    query: ExchangeQuery,
    deadline: Deadline,
) -> Result<Recorded<ExchangeAnswer>, ServiceError> {
    let span = tracing::debug_span!(
        "provide",
        request_id = %query.request_id,
        tenant = %ctx.tenant.code,
        caller = %caller.id.municipality,
        purpose = ?query.evidence.purpose,
        outcome = field::Empty,
    );
    answer(ctx, caller, member, query, deadline)
        .instrument(span)
        .await
}

async fn answer(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    query: ExchangeQuery,
    deadline: Deadline,
) -> Result<Recorded<ExchangeAnswer>, ServiceError> {
    check_caller(ctx, caller, member, &query)?;
    let hard_to_obtain = HardToObtain {
        here: ctx.policy.allow_hard_to_obtain,
        there: member.allow_hard_to_obtain,
    };
    check_evidence(
        &query.evidence,
        &member.legal_bases,
        hard_to_obtain,
        &*ctx.node.clock,
    )?;
    // A log that nobody else has seen for too long could be rewritten with what is answered now.
    ctx.witnesses.check(ctx.node.clock.now())?;

    let found = match deadline.wait(ctx.persons.lookup(&query.number)).await {
        Ok(Ok(Lookup::Unknown)) => None,
        Ok(Ok(Lookup::Found(record))) => Some(*record),
        Ok(Ok(Lookup::Mismatch { person })) => {
            return Err(mismatch(ctx, caller, &query, person, deadline).await);
        }
        Ok(Err(error)) => return Err(storage_error(ctx, &error)),
        Err(Passed) => return Err(ServiceError::DeadlineExceeded),
    };
    let decision = decide(found, &ctx.policy, ctx.node.clock.today());
    let (entry, answer) = entry_and_answer(ctx, caller, &query, decision);
    let outcome = match &answer {
        ExchangeAnswer::Found(_) => "found",
        ExchangeAnswer::Nothing => "nothing",
    };
    // From here on the answer exists only inside the log: it comes back when its entry is on the disk.
    let recorded = ctx.log.record(entry, None, answer, deadline).await;
    let mut recorded = recorded.map_err(|error| record_error(ctx, &error))?;
    match ctx
        .log
        .prove_from(&mut recorded, query.known_log_size, deadline)
        .await
    {
        // The requester has seen a longer log than this one: it gets no proof, and its own check raises the alarm.
        Ok(()) | Err(ReadError::OutOfRange) => {}
        Err(error) => return Err(read_error(ctx, &error)),
    }
    tracing::Span::current().record("outcome", outcome);
    Ok(recorded)
}

fn check_caller(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    query: &ExchangeQuery,
) -> Result<(), ServiceError> {
    let is_member = caller.id.role == vrx_domain::Role::Exchange
        && caller.id.municipality == member.code
        && member.code != ctx.tenant.code;
    if is_member && query.asked == ctx.tenant.code {
        Ok(())
    } else {
        Err(ServiceError::PermissionDenied)
    }
}

/// Encodes the answer once and makes the entry that commits to it.
fn entry_and_answer(
    ctx: &TenantServices,
    caller: &Caller,
    query: &ExchangeQuery,
    decision: Decision,
) -> (Entry, ExchangeAnswer) {
    let cause = decision.cause();
    let (answer, held_back, ids) = match decision {
        Decision::Provide(release) => {
            let mut salt = [0; 16];
            ctx.node.random.fill(&mut salt);
            let ids: Vec<DoseId> = release.doses.iter().map(|dose| dose.id).collect();
            let bytes = ctx.node.codec.encode(&Answer {
                request_id: query.request_id,
                doses: release.doses,
                birth_date: release.birth_date,
                held_back: release.held_back,
                salt,
            });
            (
                ExchangeAnswer::Found(AnswerBytes::new(bytes)),
                release.held_back,
                ids,
            )
        }
        Decision::Nothing(_) => (ExchangeAnswer::Nothing, 0, Vec::new()),
    };
    let told: &[u8] = match &answer {
        ExchangeAnswer::Found(bytes) => bytes.as_bytes(),
        ExchangeAnswer::Nothing => &[],
    };
    // The tag is computed for the unknown number too: the same work, and nothing of it is kept.
    let tag = subject_tag(ctx, &query.number);
    let subject = match cause {
        Cause::Unknown => Subject::Unknown,
        known => Subject::Known {
            tag,
            fields: exchange_subject(&query.number, &known),
        },
    };
    let entry = Entry {
        kind: EntryKind::Exchange,
        actor: exchange_actor(caller, &query.request_id, query.asked, &query.evidence),
        subject,
        content: exchange_content(
            cause.outcome(),
            &Sha256::digest(told).into(),
            held_back,
            &ids,
        ),
    };
    (entry, answer)
}

/// A tag led to a row with another number: somebody moved rows. Nothing is answered, an officer is told.
async fn mismatch(
    ctx: &TenantServices,
    caller: &Caller,
    query: &ExchangeQuery,
    person: PersonId,
    deadline: Deadline,
) -> ServiceError {
    let error = ctx.internal("alarm: a number's tag leads to a row that holds another number");
    let incident = match &error {
        ServiceError::Internal { incident } => incident.clone(),
        _ => String::new(),
    };
    let act = Act {
        kind: EntryKind::Control,
        caller,
        action: "alarm",
        about: None,
        content: &[
            ("alarm", "tag-mismatch"),
            ("row", &person.to_string()),
            ("request_id", &query.request_id.to_string()),
            ("incident", &incident),
        ],
    };
    if act.record(ctx, None, (), deadline).await.is_err() {
        tracing::error!(incident, tenant = %ctx.tenant.code, "the alarm's control entry couldn't be recorded");
    }
    error
}

#[cfg(test)]
#[path = "provide_tests.rs"]
mod tests;
