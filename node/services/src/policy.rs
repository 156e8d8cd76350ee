//! What a tenant decided for itself, and the rules that an inquiry's evidence must meet.
//!
//! The same check runs on both sides: the requester before it sends a number, the provider before it looks one up.

use std::time::Duration;

use vrx_domain::{
    Caller, Clock, ConsentMethod, Evidence, LegalBasis, Purpose, RetentionPolicy, Role, UnixMillis,
};

use crate::{error::ServiceError, tenants::TenantServices};

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
    /// How long records and the openings of the log are kept (保管期間).
    pub retention: RetentionPolicy,
    /// What a privacy officer's attention is drawn to.
    pub review: ReviewPolicy,
}

/// What a privacy officer's attention is drawn to, and until when a day must be signed off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewPolicy {
    /// The hour in Japan at which the night begins, 0 to 23.
    pub night_from_hour: u8,
    /// The hour at which it ends, 0 to 23. The same hour as the beginning: there is no night.
    pub night_until_hour: u8,
    /// A municipality's day is probing when this share of its questions, in percent, is about nobody here.
    pub probing_percent: u32,
    /// Questions a day below which it isn't.
    pub probing_least: u32,
    /// A caller's day is unusual when it has more than this many times the questions of its usual day.
    pub volume_factor: u32,
    /// Questions a day below which nothing is unusual.
    pub volume_least: u32,
    /// The days before that make the usual day.
    pub volume_days: u32,
    /// One person is asked for by many from this many different ones a day.
    pub many_ask: u32,
    /// A day must be signed off within this many days after its end.
    pub review_within_days: u32,
}

impl Default for ReviewPolicy {
    fn default() -> Self {
        Self {
            night_from_hour: 20,
            night_until_hour: 7,
            probing_percent: 50,
            probing_least: 10,
            volume_factor: 5,
            volume_least: 50,
            volume_days: 28,
            many_ask: 3,
            review_within_days: 7,
        }
    }
}

impl ReviewPolicy {
    /// Whether an instant lies at night or on a day on which the office is closed.
    pub fn is_off_hours(&self, at: UnixMillis) -> bool {
        let (hour, from, until) = (at.hour_jst(), self.night_from_hour, self.night_until_hour);
        let night = if from <= until {
            (from..until).contains(&hour)
        } else {
            hour >= from || hour < until
        };
        night || at.date_jst().is_day_off()
    }
}

impl Default for TenantPolicy {
    fn default() -> Self {
        Self {
            automatic_only_after_move_out: true,
            allow_hard_to_obtain: false,
            inquiry_retention: Duration::from_hours(72),
            review: ReviewPolicy::default(),
            retention: RetentionPolicy::default(),
        }
    }
}

/// How far another municipality's clock may be ahead of ours before its evidence counts as lying in the future.
const CLOCK_SKEW_MS: u64 = 5_000;

/// Whether both sides' policies allow an inquiry without consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardToObtain {
    /// This tenant's policy.
    pub here: bool,
    /// The other municipality's policy, as its directory entry says.
    pub there: bool,
}

/// Checks once more, at the call itself, that the caller has this role in this very tenant.
pub(crate) fn check_role(
    ctx: &TenantServices,
    caller: &Caller,
    role: Role,
) -> Result<(), ServiceError> {
    if caller.id.role == role && caller.id.municipality == ctx.tenant.code {
        Ok(())
    } else {
        Err(ServiceError::PermissionDenied)
    }
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
        return refuse(
            "legal_basis",
            "isn't in the directory's list for the requester",
        );
    }
    if evidence.consent.method == ConsentMethod::HardToObtain
        && !(hard_to_obtain.here && hard_to_obtain.there)
    {
        return refuse(
            "consent.method",
            "isn't allowed by both municipalities' policies",
        );
    }
    let today = clock.today();
    let now = UnixMillis(clock.now().0.saturating_add(CLOCK_SKEW_MS));
    if evidence.consent.obtained_on > today {
        return refuse("consent.obtained_on", "lies in the future");
    }
    if evidence.event_date > today {
        return refuse("event_date", "lies in the future");
    }
    if evidence.identity.resident_register_checked_at > now {
        return refuse(
            "identity.resident_register_checked_at",
            "lies in the future",
        );
    }
    if evidence.identity.document_checked_at > now {
        return refuse("identity.document_checked_at", "lies in the future");
    }
    Ok(())
}

fn refuse(field: &'static str, why: &'static str) -> Result<(), ServiceError> {
    Err(ServiceError::InvalidArgument { field, why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vrx_domain::Date;

    use super::*;
    use crate::testing::{FixedClock, evidence, legal_bases};

    const STRICT: HardToObtain = HardToObtain {
        here: false,
        there: false,
    };

    fn check(evidence: &Evidence, hard: HardToObtain) -> Result<(), &'static str> {
        check_evidence(evidence, &legal_bases(), hard, &FixedClock::default()).map_err(|error| {
            match error {
                ServiceError::InvalidArgument { field, .. } => field,
                other => panic!("{other}"),
            }
        })
    }

    #[test]
    fn lawful_evidence_passes() {
        assert_eq!(check(&evidence(), STRICT), Ok(()));
    }

    #[test]
    fn a_legal_basis_that_isnt_in_the_requesters_list_is_refused() {
        let mut evidence = evidence();
        evidence.legal_basis = LegalBasis::parse("NBA-19-8").unwrap();
        assert_eq!(check(&evidence, STRICT), Err("legal_basis"));
        let nothing = check_evidence(&evidence, &[], STRICT, &FixedClock::default());
        assert!(nothing.is_err(), "an empty list allows nothing");
    }

    #[test]
    fn consent_that_is_hard_to_obtain_needs_both_policies() {
        let mut evidence = evidence();
        evidence.consent.method = ConsentMethod::HardToObtain;
        for (here, there, expected) in [
            (false, false, Err("consent.method")),
            (true, false, Err("consent.method")),
            (false, true, Err("consent.method")),
            (true, true, Ok(())),
        ] {
            assert_eq!(check(&evidence, HardToObtain { here, there }), expected);
        }
        for method in [
            ConsentMethod::Written,
            ConsentMethod::App,
            ConsentMethod::Kiosk,
        ] {
            evidence.consent.method = method;
            assert_eq!(check(&evidence, STRICT), Ok(()));
        }
    }

    #[test]
    fn what_lies_in_the_future_is_refused() {
        let clock = FixedClock::default();
        let tomorrow = UnixMillis(clock.now().0 + 24 * 3_600_000).date_jst();
        let later = UnixMillis(clock.now().0 + CLOCK_SKEW_MS + 1);
        let with = |change: fn(&mut Evidence, Date, UnixMillis)| {
            let mut evidence = evidence();
            change(&mut evidence, tomorrow, later);
            check(&evidence, STRICT)
        };
        assert_eq!(with(|e, day, _| e.event_date = day), Err("event_date"));
        assert_eq!(
            with(|e, day, _| e.consent.obtained_on = day),
            Err("consent.obtained_on")
        );
        assert_eq!(
            with(|e, _, at| e.identity.resident_register_checked_at = at),
            Err("identity.resident_register_checked_at")
        );
        assert_eq!(
            with(|e, _, at| e.identity.document_checked_at = at),
            Err("identity.document_checked_at")
        );
    }

    #[test]
    fn nights_reach_over_midnight_and_days_off_count_whole() {
        let policy = ReviewPolicy::default();
        let day = |text: &str| text.parse::<Date>().unwrap().begins_jst().0;
        let off = |day: u64, hour: u64| policy.is_off_hours(UnixMillis(day + hour * 3_600_000));
        let workday = day("2026-11-24");
        assert!(off(workday, 6) && off(workday, 20) && off(workday, 0));
        assert!(!off(workday, 7) && !off(workday, 19));
        assert!(off(day("2026-11-23"), 12) && off(day("2026-11-22"), 12));
        let no_night = ReviewPolicy {
            night_from_hour: 7,
            ..policy
        };
        assert!(!no_night.is_off_hours(UnixMillis(workday)));
    }

    proptest! {
        #[test]
        fn times_up_to_now_pass_and_later_ones_never_do(offset in -1_000_000_000i64..1_000_000_000) {
            let clock = FixedClock::default();
            let mut evidence = evidence();
            let at = clock.now().0.checked_add_signed(offset).unwrap();
            evidence.identity.document_checked_at = UnixMillis(at);
            let passes = check(&evidence, STRICT).is_ok();
            prop_assert_eq!(passes, at <= clock.now().0 + CLOCK_SKEW_MS);
        }
    }
}
