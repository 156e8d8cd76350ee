//! The one way from a use case into the tenant's provision log, for everything that isn't an exchange answer.

use std::time::Duration;

use vrx_crypto::TagKind;
use vrx_domain::{
    Caller, EntryKind, IndividualNumber,
    audit::{desk_actor, desk_content, desk_subject},
};
use vrx_provision_log::{Deadline, Entry, ReadError, RecordError, Recorded, Subject};
use vrx_storage::{Change, ChangeError, StorageError, SubjectTag};

use crate::{
    error::{DamagedPart, ServiceError},
    tenants::TenantServices,
};

/// How long this node tries to record what it owes the log on its own account.
pub(crate) const OWN_TIME: Duration = Duration::from_secs(30);

/// An entry that isn't an exchange's: who did what, about whom, with which particulars.
pub(crate) struct Act<'a> {
    pub(crate) kind: EntryKind,
    pub(crate) caller: &'a Caller,
    /// The word in the actor's fields (`inquire`, `adopt`, …).
    pub(crate) action: &'static str,
    /// The person it is about, if there is one.
    pub(crate) about: Option<&'a IndividualNumber>,
    /// Name and value in turn; never a resident's data.
    pub(crate) content: &'a [(&'a str, &'a str)],
}

/// Why nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotRecorded {
    /// The change that belongs to the entry was refused; the log stands as before.
    Change(ChangeError),
    /// Anything else.
    Service(ServiceError),
}

impl Act<'_> {
    /// Records this act together with `change`; `answer` comes back when both are durable.
    pub(crate) async fn record<T>(
        &self,
        ctx: &TenantServices,
        change: Option<Change>,
        answer: T,
        deadline: Deadline,
    ) -> Result<Recorded<T>, NotRecorded> {
        let subject = match self.about {
            Some(number) => Subject::Known {
                tag: subject_tag(ctx, number),
                fields: desk_subject(number, self.action),
            },
            None => Subject::Unknown,
        };
        let entry = Entry {
            kind: self.kind,
            actor: desk_actor(self.caller, self.action),
            subject,
            content: desk_content(self.content),
        };
        record_entry(ctx, entry, change, answer, deadline).await
    }
}

/// Records an entry together with `change`; `answer` comes back when both are durable.
pub(crate) async fn record_entry<T>(
    ctx: &TenantServices,
    entry: Entry,
    change: Option<Change>,
    answer: T,
    deadline: Deadline,
) -> Result<Recorded<T>, NotRecorded> {
    ctx.log
        .record(entry, change, answer, deadline)
        .await
        .map_err(|error| match error {
            RecordError::Refused(refused) => NotRecorded::Change(refused),
            other => NotRecorded::Service(record_error(ctx, &other)),
        })
}

impl NotRecorded {
    /// For acts without a change, or whose change has no refusal that a caller could act on.
    pub(crate) fn into_service(self) -> ServiceError {
        match self {
            Self::Service(error) => error,
            Self::Change(ChangeError::Conflict(_)) => ServiceError::unavailable(),
            Self::Change(ChangeError::NotFound(_)) => ServiceError::NotFound,
            Self::Change(ChangeError::SamePerson) => {
                ServiceError::FailedPrecondition("whoever entered an import can't approve it")
            }
            Self::Change(ChangeError::State(why)) => ServiceError::FailedPrecondition(why),
        }
    }
}

/// The tag under which a person's entries are linked.
pub(crate) fn subject_tag(ctx: &TenantServices, number: &IndividualNumber) -> SubjectTag {
    let (_, tag) = ctx.keyring.tags(TagKind::Subject, number.digits()).active();
    SubjectTag(tag.0)
}

/// What a caller is told when the log couldn't take an entry.
pub(crate) fn record_error(ctx: &TenantServices, error: &RecordError) -> ServiceError {
    match error {
        RecordError::DeadlineExceeded => ServiceError::DeadlineExceeded,
        RecordError::Refused(_) => ctx.internal("an entry without a change was refused"),
        RecordError::TooLong => ctx.internal("a field of an entry is too long"),
        RecordError::Unavailable(_) | RecordError::ClockBehind | RecordError::Poisoned => {
            tracing::warn!(tenant = %ctx.tenant.code, %error, "the provision log takes no entry");
            ServiceError::unavailable()
        }
    }
}

/// What a caller is told when the log couldn't be read.
pub(crate) fn read_error(ctx: &TenantServices, error: &ReadError) -> ServiceError {
    match error {
        ReadError::OutOfRange => ServiceError::NotFound,
        ReadError::DeadlineExceeded => ServiceError::DeadlineExceeded,
        ReadError::Storage(error) => storage_error(ctx, error),
        ReadError::TileMissing(_)
        | ReadError::Astray
        | ReadError::Proof(_)
        | ReadError::Leaf(_)
        | ReadError::Opening(_) => {
            tracing::error!(tenant = %ctx.tenant.code, %error, "the provision log contradicts itself");
            ctx.internal("the provision log contradicts itself")
        }
    }
}

/// What the tenant's own officer is told when an entry couldn't be read: which one it is that isn't what was signed.
pub(crate) fn entry_error(ctx: &TenantServices, index: u64, error: &ReadError) -> ServiceError {
    let (part, index) = match error {
        ReadError::Opening(index) => (DamagedPart::Opening, *index),
        ReadError::Leaf(_) | ReadError::Proof(_) => (DamagedPart::Leaf, index),
        _ => return read_error(ctx, error),
    };
    tracing::error!(alarm = "log-fault", tenant = %ctx.tenant.code, index, %error, "an entry of the provision log isn't what was signed");
    ServiceError::Damaged { part, index }
}

/// What a caller is told when a store couldn't be read.
pub(crate) fn storage_error(ctx: &TenantServices, error: &StorageError) -> ServiceError {
    match error {
        StorageError::Inconsistent { table, column, row } => {
            tracing::error!(tenant = %ctx.tenant.code, table, column, row = %row, "inconsistent row");
            ctx.internal("a row can't be what this node wrote")
        }
        StorageError::Invalid(what) => ctx.internal(what),
        other => {
            tracing::warn!(tenant = %ctx.tenant.code, error = %other, "the store is unavailable");
            ServiceError::unavailable()
        }
    }
}

/// Time for what must be recorded even though the caller's own time may be over.
pub(crate) fn own_deadline() -> Deadline {
    Deadline::after(OWN_TIME)
}

/// Content fields as the domain takes them.
pub(crate) fn pairs<'a>(content: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    content
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// Lower-case hex, for hashes in entries.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
