//! 個人番号, the twelve-digit number of a resident. The most dangerous value in the house: it exists in memory as this type and nowhere else.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 個人番号 (My Number): eleven digits and a check digit (行政手続における特定の個人を識別するための番号の利用等に関する法律; 総務省令第85号 gives the digit).
///
/// It can be read only through [`digits`](Self::digits), compared only in constant time, and wipes itself. The digits stand on the heap, so that
/// moving the value doesn't leave copies on the stack.
///
/// It has no `Debug`, no `Display`, no `Clone` and no `==`:
///
/// ```compile_fail,E0277
/// let number = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// println!("{number:?}");
/// ```
/// ```compile_fail,E0277
/// let number = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// println!("{number}");
/// ```
/// ```compile_fail,E0599
/// let number = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// let copy = number.clone();
/// ```
/// ```compile_fail,E0369
/// let a = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// let b = vrx_domain::IndividualNumber::parse("123456789018").unwrap();
/// assert!(a == b);
/// ```
pub struct IndividualNumber(Box<[u8; 12]>);

/// Why twelve digits aren't an individual number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not exactly twelve ASCII digits.
    #[error("an individual number has exactly 12 ASCII digits")]
    Format,
    /// The twelfth digit doesn't belong to the eleven before it.
    #[error("the check digit of the individual number is wrong")]
    CheckDigit,
    /// All zeros: the arithmetic holds, but nobody has this number; it comes from empty fields.
    #[error("an individual number of zeros belongs to nobody")]
    AllZeros,
}

impl IndividualNumber {
    /// Parses twelve ASCII digits. The caller wipes what it parsed from.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        Self::from_digits(text.as_bytes())
    }

    /// Parses twelve ASCII digits given as bytes.
    pub fn from_digits(digits: &[u8]) -> Result<Self, NumberError> {
        if digits.len() != 12 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(NumberError::Format);
        }
        // Made first, so that the copy is wiped on every way out.
        let mut number = Self(Box::new([b'0'; 12]));
        number.0.copy_from_slice(digits);
        let [payload @ .., last] = &*number.0;
        if payload.iter().chain([last]).all(|digit| *digit == b'0') {
            return Err(NumberError::AllZeros);
        }
        if Self::check_digit(payload) == Some(*last) {
            Ok(number)
        } else {
            Err(NumberError::CheckDigit)
        }
    }

    /// The twelve ASCII digits. Whoever takes them out wipes the copy.
    pub fn digits(&self) -> &[u8; 12] {
        &self.0
    }

    /// Compares in constant time.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }

    /// The check digit (ASCII) of eleven ASCII digits; `None` when one isn't a digit. Also makes numbers for samples.
    ///
    /// With weights 6,5,4,3,2,7,6,5,4,3,2 from the left, the remainder r of the sum by 11 gives 0 for r ≤ 1 and 11 − r otherwise. (Published snippets
    /// that leave out the case r ≤ 1 are wrong for two numbers in eleven.)
    pub fn check_digit(payload: &[u8; 11]) -> Option<u8> {
        const WEIGHTS: [u32; 11] = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
        if !payload.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let sum: u32 = payload
            .iter()
            .zip(WEIGHTS)
            .map(|(digit, weight)| u32::from(digit - b'0') * weight)
            .sum();
        match sum % 11 {
            0 | 1 => Some(b'0'),
            remainder => u8::try_from(11 - remainder).ok().map(|digit| b'0' + digit),
        }
    }
}

impl Drop for IndividualNumber {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for IndividualNumber {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The official wording, from the right: `P_n` is the n-th digit from the right of the eleven; `Q_n` = n+1 up to six, n−5 after.
    fn official(payload: &[u8; 11]) -> u8 {
        let sum: usize = (1..=11)
            .map(|n| usize::from(payload[11 - n] - b'0') * if n <= 6 { n + 1 } else { n - 5 })
            .sum();
        let r = sum % 11;
        if r <= 1 {
            b'0'
        } else {
            b'0' + u8::try_from(11 - r).unwrap()
        }
    }

    fn refusal(text: &str) -> NumberError {
        IndividualNumber::parse(text).err().expect("refused")
    }

    #[test]
    fn published_samples_are_accepted() {
        for text in [
            "123456789018",
            "023456789013",
            "621498320257",
            "983205673214",
            "548836529885",
        ] {
            assert_eq!(
                IndividualNumber::parse(text).ok().unwrap().digits(),
                text.as_bytes()
            );
        }
    }

    #[test]
    fn every_other_check_digit_is_refused() {
        for last in (0..=9).filter(|digit| *digit != 8) {
            assert_eq!(
                refusal(&format!("12345678901{last}")),
                NumberError::CheckDigit
            );
        }
    }

    #[test]
    fn zeros_are_refused_although_the_arithmetic_holds() {
        assert_eq!(refusal("000000000000"), NumberError::AllZeros);
    }

    #[test]
    fn anything_but_twelve_ascii_digits_is_refused() {
        for text in [
            "",
            "12345678901",
            "1234567890180",
            " 123456789018",
            "12345678901８",
            "１２３４５６７８９０１８",
            "1234-5678-9018",
            "+23456789018",
        ] {
            assert_eq!(refusal(text), NumberError::Format);
        }
        assert!(matches!(
            IndividualNumber::from_digits(&[0xff; 12]),
            Err(NumberError::Format)
        ));
    }

    #[test]
    fn remainders_nought_and_one_both_give_nought() {
        let mut seen = [false; 2];
        for tail in 0..2000_u32 {
            let payload: [u8; 11] = format!("1000000{tail:04}").into_bytes().try_into().unwrap();
            let sum: u32 = payload
                .iter()
                .zip([6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2])
                .map(|(d, w)| u32::from(d - b'0') * w)
                .sum();
            if sum % 11 <= 1 {
                seen[(sum % 11) as usize] = true;
                assert_eq!(IndividualNumber::check_digit(&payload), Some(b'0'));
            }
        }
        assert_eq!(seen, [true, true]);
    }

    proptest! {
        #[test]
        fn the_check_digit_agrees_with_the_official_wording(payload in "[0-9]{11}") {
            let payload: [u8; 11] = payload.into_bytes().try_into().unwrap();
            prop_assert_eq!(IndividualNumber::check_digit(&payload), Some(official(&payload)));
        }

        #[test]
        fn a_number_with_its_digit_round_trips(payload in "[0-9]{10}[1-9]") {
            let mut digits = payload.into_bytes();
            digits.push(official(digits.as_slice().try_into().unwrap()));
            let number = IndividualNumber::from_digits(&digits).ok().unwrap();
            prop_assert_eq!(&number.digits()[..], &digits[..]);
            let again = IndividualNumber::parse(std::str::from_utf8(number.digits()).unwrap()).ok().unwrap();
            prop_assert!(number.ct_eq(&again));
        }

        /// A changed digit goes unseen only where the scheme itself is blind: remainders 0 and 1 share the digit 0.
        #[test]
        fn one_changed_digit_is_refused_unless_both_remainders_give_nought(payload in "[0-9]{10}[1-9]", at in 0_usize..12, add in 1_u8..10) {
            let mut digits = payload.into_bytes();
            digits.push(official(digits.as_slice().try_into().unwrap()));
            let original = digits.clone();
            digits[at] = b'0' + (digits[at] - b'0' + add) % 10;
            let accepted = IndividualNumber::from_digits(&digits).is_ok();
            prop_assert!(!accepted || (original[11] == b'0' && at < 11));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = IndividualNumber::parse(&text);
        }
    }

    #[test]
    fn different_numbers_are_not_equal() {
        let a = IndividualNumber::parse("123456789018").ok().unwrap();
        let b = IndividualNumber::parse("023456789013").ok().unwrap();
        assert!(!a.ct_eq(&b));
    }
}
