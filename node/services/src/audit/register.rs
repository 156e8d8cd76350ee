//! What the register says of a person whose entries are read.

use vrx_domain::{EntryKind, ImportId, IndividualNumber, Person, PersonId};
use vrx_provision_log::Deadline;
use vrx_storage::{EnteredWith, Lookup, PersonRecord};

use super::{
    opened::Opened,
    row::{KnownDoses, known_doses},
};
use crate::{
    error::ServiceError,
    record::{read_error, storage_error},
    registry::{
        adopt,
        import_stream::{DOSES_ACTION, PERSONS_ACTION},
    },
    tenants::TenantServices,
};

/// What the register says of a person. Personal data: it comes back out of the log alone.
#[derive(Default)]
pub(super) struct Registered {
    /// Whose rows, if there are any: approved or only entered.
    pub(super) person: Option<PersonId>,
    /// Whether there is an approved state.
    pub(super) approved: bool,
    /// Now, or as was entered and isn't approved yet.
    pub(super) protected: bool,
    /// The doses as they are shown.
    pub(super) doses: KnownDoses,
}

impl Registered {
    /// Looks a person up.
    pub(super) async fn look_up(
        ctx: &TenantServices,
        number: &IndividualNumber,
        deadline: Deadline,
    ) -> Result<Self, ServiceError> {
        let found = deadline.wait(ctx.persons.lookup(number)).await;
        match found.map_err(|_| ServiceError::DeadlineExceeded)? {
            Ok(Lookup::Unknown) => Ok(Self::default()),
            Ok(Lookup::Found(record)) => Ok(Self {
                person: Some(record.id),
                approved: record.approved.is_some(),
                protected: is_protected(&record),
                doses: known_doses(&record.doses),
            }),
            Ok(Lookup::Mismatch { .. }) => {
                Err(ctx.internal("alarm: a number's tag leads to a row that holds another number"))
            }
            Err(error) => Err(storage_error(ctx, &error)),
        }
    }

    /// The entries before `below` with which the person's rows came, the oldest first, and those that no log has: nothing came with
    /// them.
    pub(super) async fn imports(
        &self,
        ctx: &TenantServices,
        below: u64,
        deadline: Deadline,
    ) -> Result<Vec<EnteredWith>, ServiceError> {
        let Some(person) = self.person else {
            return Ok(Vec::new());
        };
        let entered = deadline.wait(ctx.registry.entered_with(person)).await;
        let mut entered = entered
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(|error| storage_error(ctx, &error))?;
        // What came after the rows were read isn't among them.
        let size = ctx.log.reader().stored_size(deadline).await;
        let size = size.map_err(|error| read_error(ctx, &error))?;
        entered.retain(|entered| entered.log_index < below || entered.log_index >= size);
        Ok(entered)
    }
}

/// Whether an entry is a chunk of an import.
pub(super) fn is_import(said: &Opened<'_>) -> bool {
    said.is(EntryKind::Desk) && [PERSONS_ACTION, DOSES_ACTION].contains(&said.action())
}

/// Whether an entry is a chunk of this import.
pub(super) fn is_of_import(said: &Opened<'_>, import: ImportId) -> bool {
    is_import(said) && said.content("import") == import.to_string()
}

/// Whether an entry is the adoption (他市区町村の回答を台帳へ) that is this import.
pub(super) fn is_adoption(said: &Opened<'_>, import: ImportId) -> bool {
    said.is(EntryKind::Desk)
        && said.action() == adopt::ACTION
        && said.content("import") == import.to_string()
}

fn is_protected(record: &PersonRecord) -> bool {
    record.entered_protection || record.approved.as_ref().is_some_and(Person::is_protected)
}
