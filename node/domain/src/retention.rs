//! 保管期間: how long a municipality keeps records, and what exempts a person from their end.
//!
//! Two clocks. A person's *records* end when both of these do: the years after the last dose, and the years after the person
//! ceased to be a resident (the resident file has one date for death and moving out). Somebody who lives here is never due.
//! The *openings* of log entries end by their own age. A minimum that the law sets stands in the type.

use crate::coded::coded_enum;
use crate::{Date, Reference, UnixMillis};

/// Why a number of years isn't one of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Below the minimum.
    #[error("{0} years is the least")]
    BelowLeast(u32),
    /// More than a century.
    #[error("100 years is the most")]
    AboveMost,
    /// Openings would end before the records that they are about.
    #[error("openings of the log are kept at least as long as the records of doses")]
    OpeningsBeforeDoses,
}

/// A number of years, at least `LEAST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Years<const LEAST: u32>(u32);

impl<const LEAST: u32> Years<LEAST> {
    /// Checks it.
    pub const fn new(years: u32) -> Result<Self, RetentionError> {
        if years < LEAST {
            return Err(RetentionError::BelowLeast(LEAST));
        }
        if years > 100 {
            return Err(RetentionError::AboveMost);
        }
        Ok(Self(years))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Years after the last dose: five by 予防接種法施行規則第3条.
pub type DoseYears = Years<5>;
/// Years after a death or a move-out: what the law asks of doses holds for the person too.
pub type CeasedYears = Years<5>;
/// Years of an entry's opening: never less than its records; seven by default (個人番号の提供に係る記録).
pub type OpeningYears = Years<5>;

/// A municipality's retention policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    doses: DoseYears,
    ceased: CeasedYears,
    openings: OpeningYears,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            doses: Years(5),
            ceased: Years(5),
            openings: Years(7),
        }
    }
}

/// What a person's records say about their end. No personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordSpan {
    /// When the person ceased to be a resident, by the newest approved state; nothing while they are one.
    pub ceased: Option<Date>,
    /// The day of the last dose.
    pub last_dose: Option<Date>,
    /// Something entered waits for a second person's approval: nothing is erased before that.
    pub waits_for_approval: bool,
}

impl RetentionPolicy {
    /// A policy of these years.
    pub fn new(
        doses: DoseYears,
        ceased: CeasedYears,
        openings: OpeningYears,
    ) -> Result<Self, RetentionError> {
        if openings.get() < doses.get() {
            return Err(RetentionError::OpeningsBeforeDoses);
        }
        Ok(Self {
            doses,
            ceased,
            openings,
        })
    }

    /// Years after the last dose.
    pub fn doses(&self) -> DoseYears {
        self.doses
    }

    /// Years after a death or a move-out.
    pub fn ceased(&self) -> CeasedYears {
        self.ceased
    }

    /// Years of an opening.
    pub fn openings(&self) -> OpeningYears {
        self.openings
    }

    /// Whether both clocks of a person's records have ended, whatever waits for approval.
    pub fn has_ended(&self, span: &RecordSpan, today: Date) -> bool {
        let over = |day: Date, years| day.plus_years(years).is_some_and(|end| end < today);
        span.ceased.is_some_and(|day| over(day, self.ceased.get()))
            && span.last_dose.is_none_or(|day| over(day, self.doses.get()))
    }

    /// Whether a person's records are to be erased.
    pub fn is_due(&self, span: &RecordSpan, today: Date) -> bool {
        self.has_ended(span, today) && !span.waits_for_approval
    }

    /// Whether the opening of an entry made then is to be erased.
    pub fn is_opening_due(&self, made: UnixMillis, today: Date) -> bool {
        made.date_jst()
            .plus_years(self.openings.get())
            .is_some_and(|end| end < today)
    }
}

/// The longest that a backup stands which still holds what was erased: the final date is this many days after the live one.
pub const FINAL_DAYS: u32 = 35;

/// The first line of an erasure certificate (消去証明書): a checkpoint's is the log's name, so that neither is ever taken for the other.
pub const ERASURE_CERTIFICATE: &str = "消去証明書 / erasure certificate";

coded_enum! {
    /// Why a person's records stay although their time is over.
    pub enum HoldGround {
        /// 争訟・審査請求
        Dispute = 1,
        /// 開示請求等の手続中
        Disclosure = 2,
        /// その他
        Other = 3,
    }
}

/// 消去の保留: a person's records stay until a day, or until it is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The last day; nothing for *until lifted*.
    pub until: Option<Date>,
    /// Why.
    pub ground: HoldGround,
    /// The municipality's own reference of the case.
    pub reference: Reference,
    /// SPIFFE URI of the officer who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: UnixMillis,
}

impl Hold {
    /// Whether it still counts.
    pub fn is_in_force(&self, today: Date) -> bool {
        self.until.is_none_or(|until| until >= today)
    }

    /// Whether it ends no earlier than another.
    pub fn lasts_as_long_as(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn span(ceased: Option<&str>, last_dose: Option<&str>) -> RecordSpan {
        RecordSpan {
            ceased: ceased.map(day),
            last_dose: last_dose.map(day),
            waits_for_approval: false,
        }
    }

    #[test]
    fn four_years_for_doses_is_no_policy() {
        assert_eq!(DoseYears::new(4), Err(RetentionError::BelowLeast(5)));
        assert_eq!(CeasedYears::new(4), Err(RetentionError::BelowLeast(5)));
        assert_eq!(OpeningYears::new(101), Err(RetentionError::AboveMost));
        let (ten, seven) = (DoseYears::new(10).unwrap(), OpeningYears::new(7).unwrap());
        assert_eq!(
            RetentionPolicy::new(ten, CeasedYears::new(5).unwrap(), seven),
            Err(RetentionError::OpeningsBeforeDoses)
        );
    }

    #[test]
    fn records_end_on_the_day_after_the_later_of_both_clocks() {
        let policy = RetentionPolicy::default();
        let moved = span(Some("2021-03-31"), Some("2021-06-22"));
        assert!(!policy.is_due(&moved, day("2026-06-22")));
        assert!(policy.is_due(&moved, day("2026-06-23")));
        let died = span(Some("2022-02-01"), Some("2021-06-22"));
        assert!(!policy.is_due(&died, day("2027-02-01")));
        assert!(policy.is_due(&died, day("2027-02-02")));
        assert!(policy.is_due(&span(Some("2020-02-29"), None), day("2025-03-01")));
    }

    #[test]
    fn somebody_who_lives_here_or_waits_for_approval_is_never_due() {
        let policy = RetentionPolicy::default();
        assert!(!policy.is_due(&span(None, Some("1990-01-01")), day("2026-01-01")));
        let mut waiting = span(Some("1990-01-01"), None);
        waiting.waits_for_approval = true;
        assert!(policy.has_ended(&waiting, day("2026-01-01")));
        assert!(!policy.is_due(&waiting, day("2026-01-01")));
    }

    #[test]
    fn an_opening_ends_by_its_own_age() {
        let policy = RetentionPolicy::default();
        let made = UnixMillis(1_635_724_800_000); // 2021-11-01 in Japan
        assert!(!policy.is_opening_due(made, day("2028-11-01")));
        assert!(policy.is_opening_due(made, day("2028-11-02")));
    }

    #[test]
    fn a_hold_counts_through_its_last_day() {
        let mut hold = Hold {
            until: Some(day("2026-03-31")),
            ground: HoldGround::Disclosure,
            reference: Reference::parse("kaiji-12").unwrap(),
            placed_by: String::new(),
            placed_at: UnixMillis(0),
        };
        assert!(hold.is_in_force(day("2026-03-31")));
        assert!(!hold.is_in_force(day("2026-04-01")));
        hold.until = None;
        assert!(hold.is_in_force(day("2099-01-01")));
    }

    #[test]
    fn a_hold_until_it_is_lifted_lasts_longer_than_any_day() {
        let until = |until: Option<&str>| Hold {
            until: until.map(day),
            ground: HoldGround::Other,
            reference: Reference::parse("k").unwrap(),
            placed_by: String::new(),
            placed_at: UnixMillis(0),
        };
        let (early, late) = (until(Some("2026-03-31")), until(Some("2026-04-01")));
        let endless = until(None);
        for (long, short) in [(&late, &early), (&endless, &late)] {
            assert!(long.lasts_as_long_as(short) && !short.lasts_as_long_as(long));
            assert!(long.lasts_as_long_as(long));
        }
    }
}
