//! The decision alone, without log, keys or wire: may this person's doses leave by themselves, and which.

use vrx_domain::{Cause, Date, Dose, WithheldCause, hold_back};
use vrx_storage::PersonRecord;

use crate::policy::TenantPolicy;

/// What was decided about one person.
pub(crate) enum Decision {
    /// Doses leave.
    Provide(Release),
    /// Nothing leaves, for this cause.
    Nothing(Cause),
}

/// What leaves.
pub(crate) struct Release {
    /// Doses by date, then dose number.
    pub(crate) doses: Vec<Dose>,
    /// Birth date in the own register.
    pub(crate) birth_date: Date,
    /// Doses kept back by a rule.
    pub(crate) held_back: u32,
}

impl Decision {
    /// The true cause, for the subject's part of the entry.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Provide(_) => Cause::Provided,
            Self::Nothing(cause) => *cause,
        }
    }
}

/// Decides about the person found under a number, if one was.
///
/// The order of the checks is the order in which causes are recorded: protection first, so that an officer sees each
/// inquiry about a protected person, whatever else would have withheld it.
pub(crate) fn decide(found: Option<PersonRecord>, policy: &TenantPolicy, today: Date) -> Decision {
    let Some(record) = found else {
        return Decision::Nothing(Cause::Unknown);
    };
    // Somebody whom one person entered and nobody approved isn't in the register yet.
    let Some(person) = record.approved else {
        return Decision::Nothing(Cause::Unknown);
    };
    // Protection (支援措置) counts before its start, doesn't lapse by itself at its end, and doesn't wait for approval.
    if person.is_protected() || record.entered_protection {
        return Decision::Nothing(Cause::Withheld(WithheldCause::Protected));
    }
    if record.doses.is_empty() {
        return Decision::Nothing(Cause::NoDoses);
    }
    if policy.automatic_only_after_move_out && !person.has_left_by(today) {
        return Decision::Nothing(Cause::Withheld(WithheldCause::NotMovedOut));
    }
    let held = hold_back(&record.doses, person.birth_date, today);
    let total = record.doses.len();
    let mut doses: Vec<Dose> = record
        .doses
        .into_iter()
        .zip(held)
        .filter_map(|(dose, reason)| reason.is_none().then_some(dose))
        .collect();
    doses.sort_by_key(|dose| (dose.date, dose.number, dose.id));
    Decision::Provide(Release {
        held_back: u32::try_from(total - doses.len()).unwrap_or(u32::MAX),
        birth_date: person.birth_date,
        doses,
    })
}
