//! Asks another municipality about a person who moved in (照会), checks all of what comes back, keeps it for a while.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tracing::{Instrument, field};
use vrx_domain::{
    Caller, Date, Dose, EntryKind, IndividualNumber, InquiryId, Member, Person, Role, UnixMillis,
};
use vrx_provision_log::{Deadline, Recorded};
use vrx_storage::{Change, ChangeError, InquiryRecord, Lookup, RECEIPT_PLACE};
use vrx_tlog::{Checkpoint, VerifierKey};
use zeroize::Zeroizing;

use super::{
    check_answer::{CheckFailure, Checked, check_reply, second_at_a_place},
    inquiry_record::KeptAnswer,
    inquiry_report::{BirthDateCheck, InquireRequest, InquiryReport, InquiryWord},
    known_checkpoint,
};
use crate::{
    error::ServiceError,
    exchange::{AnswerBytes, ExchangeQuery},
    policy::{HardToObtain, check_evidence, check_role},
    ports::{PeerError, PeerReply},
    receipts::kept_receipt,
    record::{Act, NotRecorded, hex, own_deadline, pairs, storage_error},
    tenants::TenantServices,
};

/// Asks and checks. The report exists only once the outcome's entry is durable.
///
/// The work goes on when the caller hangs up: once a number has left, its outcome is recorded.
pub async fn inquire(
    ctx: &Arc<TenantServices>,
    caller: &Caller,
    request: InquireRequest,
    deadline: Deadline,
) -> Result<Recorded<InquiryReport>, ServiceError> {
    let span = tracing::info_span!(
        "inquire",
        request_id = %request.request_id,
        tenant = %ctx.tenant.code,
        caller = %caller.id,
        provider = %request.provider,
        purpose = ?request.evidence.purpose,
        outcome = field::Empty,
    );
    let (ctx, caller) = (Arc::clone(ctx), caller.clone());
    let work = async move {
        Inquiry::prepare(&ctx, &caller, request)
            .await?
            .run(deadline)
            .await
    };
    match tokio::spawn(work.instrument(span)).await {
        Ok(result) => result,
        Err(_) => Err(ServiceError::unavailable()),
    }
}

/// An inquiry that may be made.
struct Inquiry<'a> {
    ctx: &'a TenantServices,
    caller: &'a Caller,
    id: InquiryId,
    query: ExchangeQuery,
    provider: &'a Member,
    key: VerifierKey,
    known: Option<Checkpoint>,
    /// Birth date in the own approved register.
    birth_date: Option<Date>,
}

/// What the provider's reply came to.
enum Judged {
    Held(Box<Checked>),
    Refused {
        code: &'static str,
        field: Option<&'static str>,
    },
    Failed {
        code: &'static str,
    },
}

impl<'a> Inquiry<'a> {
    /// All that must hold before a number may leave.
    async fn prepare(
        ctx: &'a TenantServices,
        caller: &'a Caller,
        request: InquireRequest,
    ) -> Result<Self, ServiceError> {
        let InquireRequest {
            request_id,
            provider,
            number,
            mut evidence,
        } = request;
        check_role(ctx, caller, Role::Staff)?;
        if caller.id.name.as_deref() != Some(evidence.operator_ref.as_str()) {
            return Err(ServiceError::InvalidArgument {
                field: "operator_ref",
                why: "isn't the caller's own staff id",
            });
        }
        if provider == ctx.tenant.code {
            return Err(ServiceError::InvalidArgument {
                field: "municipality_code",
                why: "is this municipality's own",
            });
        }
        let members = &ctx.node.members;
        let provider = members.get(provider).ok_or(ServiceError::InvalidArgument {
            field: "municipality_code",
            why: "isn't a member of the exchange",
        })?;
        let own = members
            .get(ctx.tenant.code)
            .ok_or(ServiceError::FailedPrecondition(
                "this municipality isn't in the member directory",
            ))?;
        let hard_to_obtain = HardToObtain {
            here: ctx.policy.allow_hard_to_obtain,
            there: provider.allow_hard_to_obtain,
        };
        check_evidence(
            &evidence,
            &own.legal_bases,
            hard_to_obtain,
            &*ctx.node.clock,
        )?;
        // Sending a number is a provision too.
        ctx.witnesses.check(ctx.node.clock.now())?;
        let key = VerifierKey::parse(&provider.log_vkey).map_err(|_| {
            ServiceError::FailedPrecondition(
                "the directory's log key of that municipality isn't one",
            )
        })?;
        let registered = match ctx.persons.lookup(&number).await {
            Ok(Lookup::Found(record)) => Some(record),
            Ok(Lookup::Unknown) => None,
            Ok(Lookup::Mismatch { .. }) => {
                return Err(
                    ctx.internal("alarm: a number's tag leads to a row that holds another number")
                );
            }
            Err(error) => return Err(storage_error(ctx, &error)),
        };
        let protected = registered.as_ref().is_some_and(|record| {
            record.entered_protection || record.approved.as_ref().is_some_and(Person::is_protected)
        });
        // Whoever is protected here isn't to be found by way of the other side's records.
        evidence.conceal_requester |= protected;
        let birth_date =
            registered.and_then(|record| record.approved.map(|person| person.birth_date));
        let known = known_checkpoint::load(ctx, provider, &key).await?;
        let known_log_size = known.as_ref().map_or(0, |checkpoint| checkpoint.size);
        Ok(Self {
            ctx,
            caller,
            id: InquiryId::random(&*ctx.node.random),
            query: ExchangeQuery {
                request_id,
                asked: provider.code,
                number,
                evidence,
                known_log_size,
            },
            provider,
            key,
            known,
            birth_date,
        })
    }

    async fn run(self, deadline: Deadline) -> Result<Recorded<InquiryReport>, ServiceError> {
        self.record_sending(deadline).await?;
        // The entry is on the disk: from here on the number may leave.
        let reply = self
            .ctx
            .node
            .peers
            .query(&self.ctx.tenant, self.provider, &self.query, deadline)
            .await;
        let result = self.judge(reply);
        self.record_outcome(result).await
    }

    /// Sending a number is a provision itself: who sends which kind of inquiry where, and why.
    async fn record_sending(&self, deadline: Deadline) -> Result<(), ServiceError> {
        let evidence = &self.query.evidence;
        let content = [
            ("phase", "sent".to_owned()),
            ("inquiry", self.id.to_string()),
            ("request_id", self.query.request_id.to_string()),
            ("municipality_code", self.query.asked.to_string()),
            ("purpose", evidence.purpose.code().to_string()),
            ("legal_basis", evidence.legal_basis.to_string()),
            ("consent.reference", evidence.consent.reference.to_string()),
            (
                "consent.obtained_on",
                evidence.consent.obtained_on.to_string(),
            ),
            ("consent.method", evidence.consent.method.code().to_string()),
            (
                "resident_register_checked_at",
                evidence.identity.resident_register_checked_at.0.to_string(),
            ),
            ("document", evidence.identity.document.code().to_string()),
            (
                "document_checked_at",
                evidence.identity.document_checked_at.0.to_string(),
            ),
            ("event_reference", evidence.event_reference.to_string()),
            ("event_date", evidence.event_date.to_string()),
            (
                "conceal_requester",
                u8::from(evidence.conceal_requester).to_string(),
            ),
            ("known_log_size", self.query.known_log_size.to_string()),
        ];
        let recorded = self
            .act(&pairs(&content))
            .record(self.ctx, None, (), deadline)
            .await;
        recorded.map(drop).map_err(NotRecorded::into_service)
    }

    fn judge(&self, reply: Result<PeerReply, PeerError>) -> Judged {
        let reply = match reply {
            Ok(reply) => reply,
            Err(PeerError::Refused { code, field }) => return Judged::Refused { code, field },
            Err(PeerError::Failed(code)) => return Judged::Failed { code },
        };
        let known = self
            .known
            .as_ref()
            .map(|checkpoint| (checkpoint.size, checkpoint.root));
        match check_reply(reply, &self.query, &self.key, known, &*self.ctx.node.codec) {
            Ok(checked) => Judged::Held(Box::new(checked)),
            Err(failure) => self.alarm(failure.code()),
        }
    }

    fn alarm(&self, code: &'static str) -> Judged {
        tracing::error!(
            alarm = code,
            tenant = %self.ctx.tenant.code,
            provider = %self.provider.code,
            request_id = %self.query.request_id,
            "an answer failed a check and can't be adopted"
        );
        Judged::Failed { code }
    }

    /// Records the outcome and keeps what may be adopted, in one transaction.
    async fn record_outcome(
        &self,
        mut result: Judged,
    ) -> Result<Recorded<InquiryReport>, ServiceError> {
        if let Judged::Held(checked) = &result {
            // Another inquiry may have brought a newer checkpoint while this one was on its way.
            let kept = known_checkpoint::load(self.ctx, self.provider, &self.key).await?;
            if known_checkpoint::contradict(kept.as_ref(), &checked.checkpoint) {
                result = self.alarm("provider-log-forked");
            }
        }
        match self.record_judged(&result).await {
            // Another answer has this place in the provider's log.
            Err(NotRecorded::Change(ChangeError::Conflict(RECEIPT_PLACE))) => {
                let failure = self.second_at_its_place(&result).await?;
                self.record_judged(&self.alarm(failure.code())).await
            }
            recorded => recorded,
        }
        .map_err(NotRecorded::into_service)
    }

    /// What an answer shows whose place is taken by a receipt that is held.
    async fn second_at_its_place(&self, result: &Judged) -> Result<CheckFailure, ServiceError> {
        let Judged::Held(checked) = result else {
            return Err(self.ctx.internal("an answer that isn't kept has a place"));
        };
        let (index, origin) = (checked.leaf.index, self.key.name());
        let held = self
            .ctx
            .receipts
            .receipts(self.provider.code, origin, index, 1);
        let held = own_deadline()
            .wait(held)
            .await
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(|error| storage_error(self.ctx, &error))?;
        let held = held.iter().find(|kept| kept.log_index == index);
        Ok(second_at_a_place(
            held.map(|kept| &kept.leaf),
            &checked.receipt.leaf,
        ))
    }

    async fn record_judged(&self, result: &Judged) -> Result<Recorded<InquiryReport>, NotRecorded> {
        let (report, content) = self.report(result);
        let change = match result {
            Judged::Held(checked) => {
                let kept = self.keep(checked, report.expires_at).await;
                Some(kept.map_err(NotRecorded::Service)?)
            }
            _ => None,
        };
        // The caller's time may be over; the outcome is recorded all the same.
        let deadline = own_deadline();
        self.act(&pairs(&content))
            .record(self.ctx, change, report, deadline)
            .await
    }

    /// The change that keeps a checked answer, its receipt, and the provider's checkpoint. The receipt is kept of a *nothing* too:
    /// the provider may come to need it (see [`crate::receipts`]).
    async fn keep(
        &self,
        checked: &Checked,
        expires_at: Option<UnixMillis>,
    ) -> Result<Change, ServiceError> {
        let note = checked.receipt.checkpoint.clone();
        let receipt = kept_receipt(
            self.provider.code,
            &self.key,
            self.query.request_id,
            self.ctx.node.clock.now(),
            &checked.receipt,
        );
        let mut changes = vec![
            known_checkpoint::keep(self.provider, &checked.checkpoint, note),
            Change::keep_receipt(receipt),
        ];
        if let (Some((bytes, answer)), Some(expires_at)) = (&checked.answer, expires_at) {
            let kept = KeptAnswer {
                number: duplicate(self.ctx, &self.query.number)?,
                provider: self.provider.code,
                inquirer: self.caller.id.to_string(),
                provider_log_index: checked.leaf.index,
                doses: u32::try_from(answer.doses.len()).unwrap_or(u32::MAX),
                answer: AnswerBytes::new(Zeroizing::new(bytes.as_bytes().to_vec())),
                adopted: None,
            };
            let body = kept
                .encode()
                .map_err(|_| self.ctx.internal("an answer is too long to keep"))?;
            let row = InquiryRecord {
                id: self.id,
                expires_at,
                version: 1,
                body,
            };
            let change = self.ctx.registry.prepare_inquiry(&row).await;
            changes.push(change.map_err(|error| storage_error(self.ctx, &error))?);
        }
        Ok(Change::all(changes))
    }

    /// What staff see and what the entry says.
    fn report(&self, result: &Judged) -> (InquiryReport, Vec<(&'static str, String)>) {
        let mut report = InquiryReport {
            inquiry: self.id,
            request_id: self.query.request_id,
            word: InquiryWord::Failed,
            reason: None,
            field: None,
            doses: Vec::new(),
            held_back: 0,
            birth_date: None,
            expires_at: None,
            provider_log_index: None,
            receipt: None,
        };
        let mut answer_sha256 = String::new();
        match result {
            Judged::Refused { code, field } => {
                report.word = InquiryWord::Refused;
                (report.reason, report.field) = (Some(*code), *field);
            }
            Judged::Failed { code } => report.reason = Some(*code),
            Judged::Held(checked) => {
                report.provider_log_index = Some(checked.leaf.index);
                report.receipt = Some(checked.receipt.clone());
                report.word = InquiryWord::Nothing;
                if let Some((bytes, answer)) = &checked.answer {
                    report.word = InquiryWord::Found;
                    report.doses = answer.doses.iter().map(Dose::duplicate).collect();
                    report.held_back = answer.held_back;
                    report.birth_date = Some(match self.birth_date {
                        None => BirthDateCheck::NotRegistered,
                        Some(own) if own == answer.birth_date => BirthDateCheck::Same,
                        Some(_) => BirthDateCheck::Differs,
                    });
                    let kept = u64::try_from(self.ctx.policy.inquiry_retention.as_millis());
                    let now = self.ctx.node.clock.now().0;
                    report.expires_at = Some(UnixMillis(now.saturating_add(kept.unwrap_or(0))));
                    answer_sha256 = hex(&Sha256::digest(bytes.as_bytes()));
                }
            }
        }
        tracing::Span::current().record("outcome", report.word.as_str());
        let index = report.provider_log_index.map(|index| index.to_string());
        let content = vec![
            ("phase", "outcome".to_owned()),
            ("inquiry", self.id.to_string()),
            ("request_id", self.query.request_id.to_string()),
            ("municipality_code", self.query.asked.to_string()),
            ("outcome", report.word.as_str().to_owned()),
            ("reason", report.reason.unwrap_or_default().to_owned()),
            ("field", report.field.unwrap_or_default().to_owned()),
            ("provider_log_index", index.unwrap_or_default()),
            ("answer_sha256", answer_sha256),
            ("doses", report.doses.len().to_string()),
            ("held_back", report.held_back.to_string()),
            (
                "birth_date",
                report
                    .birth_date
                    .map_or("", BirthDateCheck::as_str)
                    .to_owned(),
            ),
        ];
        (report, content)
    }

    fn act<'b>(&'b self, content: &'b [(&'b str, &'b str)]) -> Act<'b> {
        Act {
            kind: EntryKind::Inquiry,
            caller: self.caller,
            action: "inquire",
            about: Some(&self.query.number),
            content,
        }
    }
}

fn duplicate(
    ctx: &TenantServices,
    number: &IndividualNumber,
) -> Result<IndividualNumber, ServiceError> {
    IndividualNumber::from_digits(number.digits())
        .map_err(|_| ctx.internal("a valid number isn't valid"))
}

#[cfg(test)]
#[path = "inquire_tests.rs"]
pub(crate) mod tests;
