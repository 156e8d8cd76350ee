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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vrx_domain::{AddresseeNumber, Person, PersonId, PersonalText, Protection, Sex};

    use super::*;
    use crate::testing::{day, dose};

    const TODAY: &str = "2026-11-23";

    fn person() -> Person {
        Person {
            addressee_number: AddresseeNumber::parse("100").ok().unwrap(),
            name_kanji: PersonalText::new("湘南花子".into()),
            name_kana: PersonalText::new("ショウナンハナコ".into()),
            birth_date: day("1980-05-05"),
            sex: Sex::Female,
            address: PersonalText::new(String::new()),
            became_resident: None,
            ceased_resident: Some(day("2026-11-01")),
            protection: None,
        }
    }

    fn record(person: Person) -> PersonRecord {
        PersonRecord {
            id: PersonId::from_bytes([1; 16]),
            approved: Some(person),
            entered_protection: false,
            doses: vec![dose(2, "2021-07-01"), dose(1, "2021-06-01")],
        }
    }

    fn decided(record: Option<PersonRecord>) -> Decision {
        decide(record, &TenantPolicy::default(), day(TODAY))
    }

    fn cause(record: Option<PersonRecord>) -> &'static str {
        decided(record).cause().as_str()
    }

    fn released(record: PersonRecord) -> Release {
        match decided(Some(record)) {
            Decision::Provide(release) => release,
            Decision::Nothing(cause) => panic!("{}", cause.as_str()),
        }
    }

    #[test]
    fn somebody_who_moved_out_is_answered_for_with_doses_by_date() {
        let release = released(record(person()));
        assert_eq!(release.held_back, 0);
        assert_eq!(release.birth_date, day("1980-05-05"));
        let numbers: Vec<u32> = release.doses.iter().map(|dose| dose.number.get()).collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn nobody_and_somebody_only_entered_are_unknown() {
        assert_eq!(cause(None), "unknown");
        let mut entered = record(person());
        entered.approved = None;
        assert_eq!(cause(Some(entered)), "unknown");
        let mut entered = record(person());
        (entered.approved, entered.entered_protection) = (None, true);
        assert_eq!(cause(Some(entered)), "unknown");
    }

    #[test]
    fn protection_counts_before_its_start_and_after_its_end_and_before_its_approval() {
        for (from, until) in [
            ("2026-01-01", None),
            ("2030-01-01", None),
            ("2020-01-01", Some("2021-01-01")),
            ("2026-11-23", Some("2026-11-23")),
        ] {
            let protection = Protection {
                from: day(from),
                until: until.map(day),
            };
            let protected = Person {
                protection: Some(protection),
                ..person()
            };
            assert_eq!(cause(Some(record(protected))), "protected");
        }
        let mut entered = record(person());
        entered.entered_protection = true;
        assert_eq!(cause(Some(entered)), "protected");
    }

    #[test]
    fn protection_is_the_recorded_cause_whatever_else_would_withhold() {
        let protection = Some(Protection {
            from: day("2026-01-01"),
            until: None,
        });
        let mut resident = record(Person {
            protection,
            ceased_resident: None,
            ..person()
        });
        resident.doses.clear();
        assert_eq!(cause(Some(resident)), "protected");
    }

    #[test]
    fn only_a_move_out_that_has_come_answers_by_itself() {
        for (ceased, expected) in [
            (None, "not-moved-out"),
            (Some("2026-11-24"), "not-moved-out"),
            (Some("2026-11-23"), "provided"),
            (Some("2000-01-01"), "provided"),
        ] {
            let moved = Person {
                ceased_resident: ceased.map(day),
                ..person()
            };
            assert_eq!(cause(Some(record(moved))), expected);
        }
        let policy = TenantPolicy {
            automatic_only_after_move_out: false,
            ..TenantPolicy::default()
        };
        let resident = record(Person {
            ceased_resident: None,
            ..person()
        });
        assert_eq!(
            decide(Some(resident), &policy, day(TODAY)).cause().as_str(),
            "provided"
        );
    }

    #[test]
    fn nobody_without_an_approved_dose_is_answered_for() {
        let mut doseless = record(person());
        doseless.doses.clear();
        assert_eq!(cause(Some(doseless)), "no-doses");
    }

    #[test]
    fn doses_held_back_are_counted_and_all_of_them_held_back_is_still_an_answer() {
        let mut some = record(person());
        some.doses.push(dose(3, "2027-01-01"));
        let release = released(some);
        assert_eq!((release.doses.len(), release.held_back), (2, 1));
        let mut all = record(person());
        all.doses = vec![dose(1, "2021-07-01"), dose(2, "2021-06-01")];
        let release = released(all);
        assert_eq!((release.doses.len(), release.held_back), (0, 2));
    }

    proptest! {
        #[test]
        fn no_dose_is_lost_and_nothing_is_ever_given_of_the_protected(
            given in proptest::collection::vec((1u32..5, 1u32..28), 0..8),
            protected: bool,
            entered_protection: bool,
            moved: bool,
        ) {
            let mut record = record(Person {
                protection: protected.then(|| Protection { from: day("2026-01-01"), until: None }),
                ceased_resident: moved.then(|| day("2026-11-01")),
                ..person()
            });
            record.entered_protection = entered_protection;
            record.doses =
                given.iter().map(|(number, of_month)| dose(*number, &format!("2021-06-{of_month:02}"))).collect();
            let total = record.doses.len();
            match decided(Some(record)) {
                Decision::Provide(release) => {
                    prop_assert!(!protected && !entered_protection && moved && total > 0);
                    prop_assert_eq!(release.doses.len() + release.held_back as usize, total);
                    prop_assert!(release.doses.windows(2).all(|pair| pair[0].date <= pair[1].date));
                }
                Decision::Nothing(_) => {
                    prop_assert!(protected || entered_protection || !moved || total == 0);
                }
            }
        }
    }
}
