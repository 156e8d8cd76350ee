//! 接種記録: one vaccination that was given, and the rules that keep a suspicious one back.

use crate::coded::coded_enum;
use crate::{Date, DoseId, MunicipalityCode, PlaceCode, VoucherNumber};

/// Why a value isn't part of a dose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DoseError {
    /// A dose number outside 1 to 99.
    #[error("a dose number is 1 to 99")]
    Number,
    /// A registration time that isn't `YYYYMMDDHHMMSS` of a real day and time.
    #[error("a registration time is written YYYYMMDDHHMMSS")]
    RegisteredAt,
}

/// 接種回: the how-manieth dose, 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoseNumber(u32);

impl DoseNumber {
    /// A dose number.
    pub const fn new(number: u32) -> Result<Self, DoseError> {
        if number >= 1 && number <= 99 {
            Ok(Self(number))
        } else {
            Err(DoseError::Number)
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where this municipality has a record from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoseOrigin {
    /// Registered here.
    Own,
    /// Adopted from another municipality's answer.
    Adopted {
        /// Who provided it.
        from: MunicipalityCode,
        /// The index of the provision in the provider's log.
        log_index: u64,
    },
}

coded_enum! {
    /// What a record says today.
    pub enum DoseStatus {
        /// Approved by a second person: exchanged, certified, counted.
        Approved = 1,
        /// Taken back: a correction, not a deletion.
        Cancelled = 2,
    }
}

/// One vaccination record. No `Debug`: it is a person's health.
pub struct Dose {
    /// The record's id, the same in every revision.
    pub id: DoseId,
    /// 接種回
    pub number: DoseNumber,
    /// 接種日
    pub date: Date,
    /// A code of the vaccine where one is known (e.g. HOT9 or CVX); may be empty.
    pub vaccine_code: String,
    /// 製品名, e.g. コミナティ筋注; may be empty: the ledger has makers only.
    pub product_name: String,
    /// ワクチンメーカー, up to 20 characters, e.g. ファイザー.
    pub manufacturer: String,
    /// ワクチンロット番号 (製造番号), up to 20 characters.
    pub lot_number: String,
    /// 接種会場名, up to 30 characters.
    pub venue: String,
    /// 接種医師名, up to 20 characters.
    pub doctor: String,
    /// 接種自治体コード: who vaccinated.
    pub place: PlaceCode,
    /// 券番号 of the voucher that was used.
    pub voucher: VoucherNumber,
    /// 接種履歴登録日時: when the record was first registered, `YYYYMMDDHHMMSS` in Japanese time; see [`check_registered_at`].
    pub registered_at: Option<String>,
    /// 1 for the first version, one more for each correction.
    pub revision: u32,
    /// Where it comes from.
    pub origin: DoseOrigin,
}

impl Dose {
    /// A second copy, said aloud.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            id: self.id,
            number: self.number,
            date: self.date,
            vaccine_code: self.vaccine_code.clone(),
            product_name: self.product_name.clone(),
            manufacturer: self.manufacturer.clone(),
            lot_number: self.lot_number.clone(),
            venue: self.venue.clone(),
            doctor: self.doctor.clone(),
            place: self.place,
            voucher: self.voucher.duplicate(),
            registered_at: self.registered_at.clone(),
            revision: self.revision,
            origin: self.origin,
        }
    }
}

/// Why a dose isn't given out until somebody has corrected it (要修正: the national check of December 2021 found exactly these).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldReason {
    /// A later dose is dated before an earlier one; both are kept back, since either may be wrong.
    SecondBeforeFirst,
    /// Dated after today.
    Future,
    /// Dated before the person was born.
    BeforeBirth,
    /// Two records have the same dose number; all of them are kept back.
    NumberRepeated,
}

/// Which of a person's doses are kept back, in the order given. Where several rules catch a dose, the plainest is told: future, before birth,
/// number repeated, order.
///
/// Two doses on one day are in order. A dose that is caught by one rule still counts in the others.
pub fn hold_back(doses: &[Dose], birth: Date, today: Date) -> Vec<Option<HoldReason>> {
    let reason = |at: usize, dose: &Dose| {
        let others = || {
            doses
                .iter()
                .enumerate()
                .filter(move |(other, _)| *other != at)
                .map(|(_, other)| other)
        };
        if dose.date > today {
            Some(HoldReason::Future)
        } else if dose.date < birth {
            Some(HoldReason::BeforeBirth)
        } else if others().any(|other| other.number == dose.number) {
            Some(HoldReason::NumberRepeated)
        } else if others().any(|other| {
            (other.number < dose.number && other.date > dose.date)
                || (other.number > dose.number && other.date < dose.date)
        }) {
            Some(HoldReason::SecondBeforeFirst)
        } else {
            None
        }
    };
    doses
        .iter()
        .enumerate()
        .map(|(at, dose)| reason(at, dose))
        .collect()
}

/// Checks a 接種履歴登録日時: `YYYYMMDDHHMMSS`, a real day, 00:00:00 to 23:59:59.
pub fn check_registered_at(text: &str) -> Result<(), DoseError> {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DoseError::RegisteredAt);
    }
    let part =
        |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok());
    let day = text
        .get(..8)
        .is_some_and(|day| Date::parse_compact(day).is_ok());
    let in_range = |part: Option<u32>, end: u32| part.is_some_and(|part| part < end);
    if day && in_range(part(8..10), 24) && in_range(part(10..12), 60) && in_range(part(12..14), 60)
    {
        Ok(())
    } else {
        Err(DoseError::RegisteredAt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HoldReason::{BeforeBirth, Future, NumberRepeated, SecondBeforeFirst};
    use proptest::prelude::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn dose(number: u32, date: Date) -> Dose {
        Dose {
            id: DoseId::from_bytes([0; 16]),
            number: DoseNumber::new(number).unwrap(),
            date,
            vaccine_code: String::new(),
            product_name: String::new(),
            manufacturer: "ファイザー".to_owned(),
            lot_number: "EX3617".to_owned(),
            venue: String::new(),
            doctor: String::new(),
            place: "142051".parse().unwrap(),
            voucher: VoucherNumber::parse("0000000001").ok().unwrap(),
            registered_at: None,
            revision: 1,
            origin: DoseOrigin::Own,
        }
    }

    fn held(doses: &[(u32, &str)]) -> Vec<Option<HoldReason>> {
        let doses: Vec<Dose> = doses
            .iter()
            .map(|(number, date)| dose(*number, day(date)))
            .collect();
        hold_back(&doses, day("1980-05-05"), day("2021-12-31"))
    }

    #[test]
    fn doses_in_order_are_given_out() {
        assert_eq!(
            held(&[(1, "2021-06-01"), (2, "2021-06-22"), (3, "2021-12-31")]),
            [None, None, None]
        );
        assert_eq!(held(&[(2, "2021-06-22"), (1, "2021-06-01")]), [None, None]);
        assert_eq!(held(&[(1, "2021-06-01"), (2, "2021-06-01")]), [None, None]);
        assert_eq!(held(&[]), []);
    }

    #[test]
    fn a_second_before_the_first_holds_both_and_leaves_the_third() {
        assert_eq!(
            held(&[(1, "2021-06-22"), (2, "2021-06-01"), (3, "2021-12-01")]),
            [Some(SecondBeforeFirst), Some(SecondBeforeFirst), None]
        );
    }

    #[test]
    fn tomorrow_is_held_and_today_is_not() {
        assert_eq!(held(&[(1, "2022-01-01")]), [Some(Future)]);
        assert_eq!(held(&[(1, "2021-12-31")]), [None]);
    }

    #[test]
    fn the_day_before_birth_is_held_and_the_day_of_birth_is_not() {
        assert_eq!(held(&[(1, "1980-05-04")]), [Some(BeforeBirth)]);
        assert_eq!(held(&[(1, "1980-05-05")]), [None]);
    }

    #[test]
    fn a_repeated_number_holds_all_that_have_it() {
        assert_eq!(
            held(&[
                (1, "2021-06-01"),
                (2, "2021-07-01"),
                (2, "2021-07-02"),
                (3, "2021-08-01")
            ]),
            [None, Some(NumberRepeated), Some(NumberRepeated), None]
        );
    }

    #[test]
    fn a_first_dose_in_the_future_holds_the_second_too() {
        assert_eq!(
            held(&[(1, "2031-06-01"), (2, "2021-06-22")]),
            [Some(Future), Some(SecondBeforeFirst)]
        );
    }

    #[test]
    fn dose_numbers_are_one_to_ninety_nine() {
        assert_eq!(DoseNumber::new(0), Err(DoseError::Number));
        assert_eq!(DoseNumber::new(100), Err(DoseError::Number));
        assert_eq!(DoseNumber::new(99).unwrap().get(), 99);
    }

    #[test]
    fn a_registration_time_is_a_real_day_and_time() {
        for text in ["20210430000000", "20240229235959"] {
            assert_eq!(check_registered_at(text), Ok(()));
        }
        for text in [
            "",
            "20210430",
            "20210431000000",
            "20210430240000",
            "20210430006000",
            "20210430000060",
            "2021043000000０",
            "+0210430000000",
        ] {
            assert_eq!(check_registered_at(text), Err(DoseError::RegisteredAt));
        }
    }

    proptest! {
        /// What is given out is, by itself, beyond reproach: in order, each number once, none in the future or before birth.
        #[test]
        fn what_is_given_out_breaks_no_rule(given in proptest::collection::vec((1_u32..6, 1_u32..=28, 1_u32..=12, 2019_u32..2024), 0..8)) {
            let (birth, today) = (day("2020-06-15"), day("2022-06-15"));
            let doses: Vec<Dose> = given.iter().map(|(n, d, m, y)| dose(*n, Date::from_ymd(*y, *m, *d).unwrap())).collect();
            let held = hold_back(&doses, birth, today);
            prop_assert_eq!(held.len(), doses.len());
            let mut out: Vec<&Dose> = doses.iter().zip(&held).filter(|(_, held)| held.is_none()).map(|(dose, _)| dose).collect();
            out.sort_by_key(|dose| dose.number);
            prop_assert!(out.iter().all(|dose| dose.date >= birth && dose.date <= today));
            prop_assert!(out.windows(2).all(|pair| pair[0].number < pair[1].number && pair[0].date <= pair[1].date));
        }
    }
}
