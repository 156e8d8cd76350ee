//! 全国地方公共団体コード: which municipality, and which place, a record belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// The published list, carried in the binary; see `data/README.md` for source and licence.
const LIST: &str = include_str!("../data/local_government_codes.csv");

/// The code of a municipality (市区町村, the 23 special wards of Tokyo among them): it may be a tenant or a member.
///
/// Six digits: two of the prefecture, three of the municipality, one check digit; shown zero padded (`"011002"`, 札幌市). Only codes of the published
/// list exist; prefectures and wards of designated cities are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MunicipalityCode(u32);

/// The code of a place where a dose was given: a municipality or a ward of a designated city (政令市の区).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceCode(u32);

/// Why a text isn't the code that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not exactly six ASCII digits.
    #[error("a municipality code has exactly 6 digits")]
    Format,
    /// The sixth digit doesn't belong to the five before it.
    #[error("the check digit of the municipality code is wrong")]
    CheckDigit,
    /// Well formed, but no such local government exists.
    #[error("no local government has this code")]
    Unknown,
    /// A prefecture: neither tenant nor member nor place of a dose.
    #[error("the code is a prefecture's; a municipality's is needed")]
    Prefecture,
    /// A ward of a designated city where a municipality is needed.
    #[error("the code is a ward's; its city's is needed")]
    Ward,
}

impl MunicipalityCode {
    /// The code as a number, without leading zeros.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Prefecture and municipality, e.g. `"神奈川県藤沢市"`.
    pub fn name(self) -> &'static str {
        name_of(self.0)
    }
}

impl PlaceCode {
    /// The code as a number, without leading zeros.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Prefecture, city and ward, e.g. `"北海道札幌市中央区"`.
    pub fn name(self) -> &'static str {
        name_of(self.0)
    }
}

impl TryFrom<u32> for MunicipalityCode {
    type Error = CodeError;

    fn try_from(code: u32) -> Result<Self, CodeError> {
        match checked(code)?.kind {
            Kind::Municipality => Ok(Self(code)),
            Kind::Ward => Err(CodeError::Ward),
            Kind::Prefecture => Err(CodeError::Prefecture),
        }
    }
}

impl TryFrom<u32> for PlaceCode {
    type Error = CodeError;

    fn try_from(code: u32) -> Result<Self, CodeError> {
        match checked(code)?.kind {
            Kind::Municipality | Kind::Ward => Ok(Self(code)),
            Kind::Prefecture => Err(CodeError::Prefecture),
        }
    }
}

impl FromStr for MunicipalityCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::try_from(six_digits(text)?)
    }
}

impl FromStr for PlaceCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::try_from(six_digits(text)?)
    }
}

impl From<MunicipalityCode> for PlaceCode {
    fn from(code: MunicipalityCode) -> Self {
        Self(code.0)
    }
}

impl fmt::Display for MunicipalityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Debug for MunicipalityCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MunicipalityCode({self})")
    }
}

impl fmt::Display for PlaceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

impl fmt::Debug for PlaceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlaceCode({self})")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prefecture,
    Municipality,
    Ward,
}

struct Row {
    code: u32,
    kind: Kind,
    name: String,
}

/// The list, by code. A row that can't be read is left out; the test that counts rows would see it.
static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let mut rows: Vec<Row> = LIST.lines().skip(1).filter_map(row).collect();
    rows.sort_unstable_by_key(|row| row.code);
    rows
});

fn row(line: &str) -> Option<Row> {
    let mut columns = line.split(',');
    let code = six_digits(columns.next()?).ok()?;
    let kind = match columns.next()? {
        "prefecture" => Kind::Prefecture,
        "municipality" => Kind::Municipality,
        "ward" => Kind::Ward,
        _ => return None,
    };
    // The list writes "札幌市 中央区"; an address has no space there.
    let name = columns
        .next()?
        .chars()
        .chain(columns.next()?.chars())
        .filter(|c| !c.is_whitespace())
        .collect();
    Some(Row { code, kind, name })
}

fn find(code: u32) -> Option<&'static Row> {
    let at = TABLE.binary_search_by_key(&code, |row| row.code).ok()?;
    TABLE.get(at)
}

fn name_of(code: u32) -> &'static str {
    find(code).map_or("", |row| row.name.as_str())
}

fn checked(code: u32) -> Result<&'static Row, CodeError> {
    if code > 999_999 {
        return Err(CodeError::Format);
    }
    if check_digit(code / 10) != code % 10 {
        return Err(CodeError::CheckDigit);
    }
    find(code).ok_or(CodeError::Unknown)
}

/// `(11 − (6a+5b+4c+3d+2e) mod 11) mod 10` over the five digits a to e.
fn check_digit(five: u32) -> u32 {
    let sum = 6 * (five / 10_000 % 10)
        + 5 * (five / 1_000 % 10)
        + 4 * (five / 100 % 10)
        + 3 * (five / 10 % 10)
        + 2 * (five % 10);
    (11 - sum % 11) % 10
}

fn six_digits(text: &str) -> Result<u32, CodeError> {
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CodeError::Format);
    }
    text.parse().map_err(|_| CodeError::Format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<MunicipalityCode, CodeError> {
        text.parse()
    }

    #[test]
    fn known_municipalities_are_accepted_and_named() {
        for (code, name) in [
            ("142051", "神奈川県藤沢市"),
            ("141003", "神奈川県横浜市"),
            ("011002", "北海道札幌市"),
            ("131016", "東京都千代田区"),
        ] {
            let parsed = parse(code).unwrap();
            assert_eq!((parsed.to_string().as_str(), parsed.name()), (code, name));
            assert_eq!(PlaceCode::from(parsed).to_string(), code);
        }
    }

    #[test]
    fn prefectures_and_wards_are_no_municipalities() {
        assert_eq!(parse("140007"), Err(CodeError::Prefecture));
        assert_eq!(parse("141011"), Err(CodeError::Ward));
    }

    #[test]
    fn a_ward_is_a_place_and_a_prefecture_is_not() {
        let ward: PlaceCode = "011011".parse().unwrap();
        assert_eq!(ward.name(), "北海道札幌市中央区");
        assert_eq!("140007".parse::<PlaceCode>(), Err(CodeError::Prefecture));
    }

    #[test]
    fn malformed_wrong_and_unknown_codes_are_told_apart() {
        for text in [
            "",
            "14205",
            "1420510",
            "14205a",
            "１４２０５１",
            " 142051",
            "+42051",
        ] {
            assert_eq!(parse(text), Err(CodeError::Format));
        }
        assert_eq!(parse("142052"), Err(CodeError::CheckDigit));
        // 149993: prefecture 14, municipality 999 with its right digit, but nobody's code.
        assert_eq!(
            parse(&format!("14999{}", check_digit(14_999))),
            Err(CodeError::Unknown)
        );
    }

    #[test]
    fn the_list_is_whole_and_every_check_digit_agrees() {
        let count = |kind| TABLE.iter().filter(|row| row.kind == kind).count();
        assert_eq!(
            [
                count(Kind::Prefecture),
                count(Kind::Municipality),
                count(Kind::Ward)
            ],
            [47, 1741, 175]
        );
        assert_eq!(TABLE.len(), LIST.lines().count() - 1);
        for row in TABLE.iter() {
            // Said otherwise: the one of 1 to 11 that fills the weighted sum up to a multiple of 11, of which the last digit is written.
            let digits: Vec<u32> = format!("{:06}", row.code)
                .chars()
                .map(|c| c.to_digit(10).unwrap())
                .collect();
            let sum: u32 = digits.iter().zip([6, 5, 4, 3, 2]).map(|(d, w)| d * w).sum();
            let filler = (1..=11)
                .find(|filler: &u32| (sum + filler).is_multiple_of(11))
                .unwrap();
            assert_eq!(filler % 10, digits[5]);
        }
    }

    proptest! {
        #[test]
        fn one_changed_digit_never_gives_the_same_place(index in 0_usize..1741, at in 0_u32..6, add in 1_u32..10) {
            let code = TABLE.iter().filter(|row| row.kind == Kind::Municipality).nth(index).unwrap().code;
            let mut digits: Vec<u32> = format!("{code:06}").chars().map(|c| c.to_digit(10).unwrap()).collect();
            digits[at as usize] = (digits[at as usize] + add) % 10;
            let text: String = digits.iter().map(ToString::to_string).collect();
            if let Ok(other) = parse(&text) {
                prop_assert_ne!(other.as_u32(), code);
            }
        }

        #[test]
        fn what_parses_prints_the_same(text in "[0-9]{6}") {
            if let Ok(code) = parse(&text) {
                prop_assert_eq!(code.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = parse(&text);
            let _ = text.parse::<PlaceCode>();
        }
    }
}
