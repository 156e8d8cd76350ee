//! Invented individual numbers (個人番号) with a right check digit, and only invented ones.
//!
//! The real type for numbers, `vrx_domain::IndividualNumber`, doesn't give its digits back: it guards people. What is made here belongs to
//! nobody, has to be written into files, and is therefore plain text.

use std::collections::HashSet;

use vrx_domain::IndividualNumber;

use super::prng::Prng;

/// Gives out invented numbers, none twice.
pub(crate) struct Numbers(HashSet<u64>);

impl Numbers {
    /// Nothing given out yet.
    pub(crate) fn new() -> Self {
        Self(HashSet::new())
    }

    /// Twelve digits nobody got before.
    pub(crate) fn next(&mut self, prng: &mut Prng) -> String {
        loop {
            let payload = prng.between(10_000_000_000, 99_999_999_999);
            let digits = payload.to_string();
            let check = digits
                .as_bytes()
                .try_into()
                .ok()
                .and_then(IndividualNumber::check_digit);
            if let Some(check) = check
                && self.0.insert(payload)
            {
                return format!("{digits}{}", char::from(check));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IndividualNumber, Numbers, Prng};

    #[test]
    fn invented_numbers_are_distinct_and_the_domain_accepts_them() {
        let mut prng = Prng::new(7);
        let mut numbers = Numbers::new();
        let made: Vec<String> = (0..2_000).map(|_| numbers.next(&mut prng)).collect();
        let distinct: std::collections::HashSet<&String> = made.iter().collect();
        assert_eq!(distinct.len(), made.len());
        for number in &made {
            assert!(IndividualNumber::parse(number).is_ok());
        }
    }
}
