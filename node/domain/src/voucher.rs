//! 接種券: the voucher a municipality sends to a resident, and the line printed on it.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::MunicipalityCode;

/// Why digits aren't a voucher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    /// Not exactly ten ASCII digits.
    #[error("a voucher number has exactly 10 ASCII digits")]
    Number,
    /// Not exactly eighteen ASCII digits.
    #[error("a voucher line has exactly 18 ASCII digits")]
    Line,
    /// The line's dose number is zero.
    #[error("the dose number of a voucher line is 1 to 9")]
    DoseNumber,
    /// The line's municipality code isn't a municipality's.
    #[error("the municipality code of the voucher line: {0}")]
    Municipality(#[from] crate::CodeError),
}

/// 接種券番号 (券番号): ten digits, leading zeros kept, chosen by the municipality that issued it and unique there alone; no check digit.
/// No `Debug`: it leads to a person.
///
/// ```compile_fail,E0277
/// println!("{:?}", vrx_domain::VoucherNumber::parse("0000000001").unwrap());
/// ```
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct VoucherNumber(String);

impl VoucherNumber {
    /// Parses ten ASCII digits.
    pub fn parse(text: &str) -> Result<Self, VoucherError> {
        if text.len() != 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(VoucherError::Number);
        }
        Ok(Self(text.to_owned()))
    }

    /// The ten digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A second copy, said aloud.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The 18 digits of the OCR line and of the two-dimensional code on a voucher (接種券のOCRライン; 厚生労働省「新型コロナウイルス感染症に係る予防接種の実施に関する手引き」):
/// 券種 1, 回数 1, 市町村コード 6, 券番号 10. The line has no check digit of its own.
pub struct VoucherLine {
    /// 券種: which kind of voucher. What each digit means is the tenant's table.
    pub kind: u8,
    /// 回数: for which dose it was issued, 1 to 9.
    pub dose_number: u8,
    /// 市町村コード: who issued it.
    pub municipality: MunicipalityCode,
    /// 券番号
    pub number: VoucherNumber,
}

impl VoucherLine {
    /// Parses eighteen ASCII digits.
    pub fn parse(text: &str) -> Result<Self, VoucherError> {
        if text.len() != 18 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(VoucherError::Line);
        }
        let (Some(kind), Some(dose), Some(municipality), Some(number)) =
            (text.get(..1), text.get(1..2), text.get(2..8), text.get(8..))
        else {
            return Err(VoucherError::Line);
        };
        let digit = |text: &str| text.parse::<u8>().map_err(|_| VoucherError::Line);
        let dose_number = digit(dose)?;
        if dose_number == 0 {
            return Err(VoucherError::DoseNumber);
        }
        Ok(Self {
            kind: digit(kind)?,
            dose_number,
            municipality: municipality.parse()?,
            number: VoucherNumber::parse(number)?,
        })
    }

    /// The eighteen digits again. The caller wipes them.
    pub fn to_digits(&self) -> String {
        format!(
            "{}{}{}{}",
            self.kind,
            self.dose_number,
            self.municipality,
            self.number.as_str()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CodeError;
    use proptest::prelude::*;

    #[test]
    fn a_voucher_number_keeps_its_leading_zeros() {
        assert_eq!(
            VoucherNumber::parse("0000000001").ok().unwrap().as_str(),
            "0000000001"
        );
        for text in [
            "",
            "1",
            "00000000001",
            "000000000a",
            "０００００００００１",
            " 000000001",
        ] {
            assert!(matches!(
                VoucherNumber::parse(text),
                Err(VoucherError::Number)
            ));
        }
    }

    #[test]
    fn a_line_is_kind_dose_municipality_and_number() {
        let line = VoucherLine::parse("211420510123456789").ok().unwrap();
        assert_eq!((line.kind, line.dose_number), (2, 1));
        assert_eq!(line.municipality.to_string(), "142051");
        assert_eq!(line.number.as_str(), "0123456789");
    }

    #[test]
    fn a_wrong_line_says_which_part() {
        let refusal = |text| VoucherLine::parse(text).err().unwrap();
        assert_eq!(refusal("21142051012345678"), VoucherError::Line);
        assert_eq!(refusal("21142051012345678x"), VoucherError::Line);
        assert_eq!(refusal("201420510123456789"), VoucherError::DoseNumber);
        assert_eq!(
            refusal("211420520123456789"),
            VoucherError::Municipality(CodeError::CheckDigit)
        );
        assert_eq!(
            refusal("211400070123456789"),
            VoucherError::Municipality(CodeError::Prefecture)
        );
        assert_eq!(
            refusal("211410110123456789"),
            VoucherError::Municipality(CodeError::Ward)
        );
    }

    proptest! {
        #[test]
        fn a_line_round_trips(kind in 0_u8..10, dose in 1_u8..10, number in "[0-9]{10}") {
            let digits = format!("{kind}{dose}141003{number}");
            prop_assert_eq!(VoucherLine::parse(&digits).ok().unwrap().to_digits(), digits);
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = VoucherLine::parse(&text);
            let _ = VoucherNumber::parse(&text);
        }
    }
}
