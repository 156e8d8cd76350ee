//! A resident as the register holds them, and the small types of which they are made.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Date;
use crate::coded::coded_enum;

/// Why a text isn't what a person's row needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    /// Not 1 to 15 characters of `[A-Za-z0-9-]`.
    #[error("an addressee number has 1 to 15 letters, digits or hyphens")]
    AddresseeNumber,
    /// A measure that ends before it begins.
    #[error("a support measure can't end before it begins")]
    ProtectionPeriod,
}

/// A name, a reading, an address: text about a person. Wiped on drop; no `Debug`, no `Clone`.
///
/// ```compile_fail,E0277
/// println!("{:?}", vrx_domain::PersonalText::new("山田".to_owned()));
/// ```
/// ```compile_fail,E0599
/// vrx_domain::PersonalText::new("山田".to_owned()).clone();
/// ```
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PersonalText(String);

impl PersonalText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy, said aloud.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

coded_enum! {
    /// 性別, by the codes of ISO/IEC 5218.
    pub enum Sex {
        /// 男
        Male = 1,
        /// 女
        Female = 2,
        /// 不明・記載なし
        Unknown = 9,
    }
}

/// 宛名番号: the number of a person in the municipality's own systems, 1 to 15 of `[A-Za-z0-9-]` (right-justified with spaces in the ledger; they are
/// trimmed). No `Debug`: it leads to a person.
///
/// ```compile_fail,E0277
/// println!("{:?}", vrx_domain::AddresseeNumber::parse("1001").unwrap());
/// ```
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct AddresseeNumber(String);

impl AddresseeNumber {
    /// Parses, with spaces around it trimmed.
    pub fn parse(text: &str) -> Result<Self, PersonError> {
        let text = text.trim_matches([' ', '\u{3000}']);
        if !(1..=15).contains(&text.len())
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(PersonError::AddresseeNumber);
        }
        Ok(Self(text.to_owned()))
    }

    /// The characters, without the spaces.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A second copy, said aloud.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

/// 支援措置: a measure for victims of violence, stalking or abuse. Nothing about this person is answered automatically.
///
/// It doesn't lapse by itself at its end date (住民記録システム標準仕様書 3.4): it stands until the municipality takes it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// First day.
    pub from: Date,
    /// Planned last day, for the officer's calendar alone.
    pub until: Option<Date>,
}

impl Protection {
    /// A measure from a day until a day.
    pub fn new(from: Date, until: Option<Date>) -> Result<Self, PersonError> {
        match until {
            Some(until) if until < from => Err(PersonError::ProtectionPeriod),
            _ => Ok(Self { from, until }),
        }
    }
}

/// A resident, present or former (住民). The individual number stands apart, under its own key.
pub struct Person {
    /// 宛名番号
    pub addressee_number: AddresseeNumber,
    /// 漢字氏名
    pub name_kanji: PersonalText,
    /// カナ氏名, full-width
    pub name_kana: PersonalText,
    /// 生年月日
    pub birth_date: Date,
    /// 性別
    pub sex: Sex,
    /// 住所
    pub address: PersonalText,
    /// 住民となった日; empty when unknown
    pub became_resident: Option<Date>,
    /// 住民でなくなった日: moved out or died
    pub ceased_resident: Option<Date>,
    /// 支援措置
    pub protection: Option<Protection>,
}

impl Person {
    /// Whether no automatic answer may speak of this person. From the day it is known, before `from` and after `until` too: a mistake in this
    /// direction costs a phone call, in the other a life.
    pub fn is_protected(&self) -> bool {
        self.protection.is_some()
    }

    /// Whether the register shows that this person has left by the given day.
    pub fn has_left_by(&self, today: Date) -> bool {
        self.ceased_resident.is_some_and(|day| day <= today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_addressee_number_loses_the_spaces_of_the_ledger() {
        assert_eq!(
            AddresseeNumber::parse("      000123456")
                .ok()
                .unwrap()
                .as_str(),
            "000123456"
        );
        assert_eq!(
            AddresseeNumber::parse("A-1\u{3000}").ok().unwrap().as_str(),
            "A-1"
        );
        for text in [
            "",
            "   ",
            "1234567890123456",
            "12 34",
            "１２３",
            "a_b",
            "'or",
        ] {
            assert!(matches!(
                AddresseeNumber::parse(text),
                Err(PersonError::AddresseeNumber)
            ));
        }
    }

    #[test]
    fn a_measure_cannot_end_before_it_begins() {
        let day = |d| Date::from_ymd(2021, 4, d).unwrap();
        assert!(Protection::new(day(2), Some(day(2))).is_ok());
        assert_eq!(
            Protection::new(day(2), Some(day(1))),
            Err(PersonError::ProtectionPeriod)
        );
    }

    #[test]
    fn protection_does_not_lapse_and_leaving_counts_from_its_day() {
        let day = |d| Date::from_ymd(2021, 4, d).unwrap();
        let text = || PersonalText::new("x".to_owned());
        let person = Person {
            addressee_number: AddresseeNumber::parse("1").ok().unwrap(),
            name_kanji: text(),
            name_kana: text(),
            birth_date: day(1),
            sex: Sex::Unknown,
            address: text(),
            became_resident: None,
            ceased_resident: Some(day(10)),
            protection: Some(Protection {
                from: day(2),
                until: Some(day(3)),
            }),
        };
        assert!(person.is_protected());
        assert!(person.has_left_by(day(10)) && !person.has_left_by(day(9)));
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "[A-Za-z0-9-]{1,15}") {
            let parsed = AddresseeNumber::parse(&text).ok().unwrap();
            prop_assert_eq!(parsed.as_str(), text);
        }
    }
}
