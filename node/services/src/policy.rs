//! What a tenant decided for itself, and the rules that an inquiry's evidence must meet.
//!
//! The same check runs on both sides: the requester before it sends a number, the provider before it looks one up.

use std::time::Duration;

use vrx_domain::{Clock, ConsentMethod, Evidence, LegalBasis, Purpose};

use crate::error::ServiceError;

/// A municipality's own decisions. [`TenantPolicy::default`] is the strictest of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPolicy {
    /// Answers leave by themselves only for a person whom the own register shows as moved out (転出済み). On by default.
    pub automatic_only_after_move_out: bool,
    /// Inquiries on the basis that consent is hard to obtain (同意を得ることが困難, 番号法第19条第16号) may be sent and
    /// answered. Both municipalities must allow it. Off by default.
    pub allow_hard_to_obtain: bool,
    /// How long an answer from another municipality waits to be adopted before it is destroyed.
    pub inquiry_retention: Duration,
}

impl Default for TenantPolicy {
    fn default() -> Self {
        Self {
            automatic_only_after_move_out: true,
            allow_hard_to_obtain: false,
            inquiry_retention: Duration::from_secs(72 * 3600),
        }
    }
}

/// Whether both sides' policies allow an inquiry without consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardToObtain {
    /// This tenant's policy.
    pub here: bool,
    /// The other municipality's policy, as its directory entry says.
    pub there: bool,
}

/// Checks purpose, legal basis, consent and identity evidence; the first fault found is returned.
///
/// `legal_bases` is the list in the directory entry of the municipality that asks.
pub fn check_evidence(
    evidence: &Evidence,
    legal_bases: &[LegalBasis],
    hard_to_obtain: HardToObtain,
    clock: &dyn Clock,
) -> Result<(), ServiceError> {
    // The only lawful scene between municipalities. A new purpose must be decided here, so the match is exhaustive.
    match evidence.purpose {
        Purpose::MoveIn => {}
    }
    if !legal_bases.contains(&evidence.legal_basis) {
        return refuse("legal_basis", "isn't in the directory's list for the requester");
    }
    if evidence.consent.method == ConsentMethod::HardToObtain
        && !(hard_to_obtain.here && hard_to_obtain.there)
    {
        return refuse("consent.method", "isn't allowed by both municipalities' policies");
    }
    let (now, today) = (clock.now(), clock.today());
    if evidence.consent.obtained_on > today {
        return refuse("consent.obtained_on", "lies in the future");
    }
    if evidence.event_date > today {
        return refuse("event_date", "lies in the future");
    }
    if evidence.identity.resident_register_checked_at > now {
        return refuse("identity.resident_register_checked_at", "lies in the future");
    }
    if evidence.identity.document_checked_at > now {
        return refuse("identity.document_checked_at", "lies in the future");
    }
    Ok(())
}

fn refuse(field: &'static str, why: &'static str) -> Result<(), ServiceError> {
    Err(ServiceError::InvalidArgument { field, why })
}
