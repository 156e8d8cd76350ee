//! The persons file (住民の取込): our own layout, since no public one exists.
//!
//! CSV as in [`records`](super::records), UTF-8 or CP932. The first row names the columns; all of them must be there, in any order, no others:
//!
//! | column | needed | what |
//! | --- | --- | --- |
//! | 個人番号 | yes | 12 digits with check digit |
//! | 宛名番号 | yes | 1 to 15 of `A-Z a-z 0-9 -`, spaces around it dropped |
//! | 漢字氏名 | yes | at most 100 characters |
//! | カナ氏名 | | at most 200 characters; half-width katakana become full-width |
//! | 生年月日 | yes | a real day, not in the future |
//! | 性別 | yes | 1 男, 2 女, 9 不明 (ISO/IEC 5218) |
//! | 住所 | yes | at most 200 characters |
//! | 住民となった日 | | not in the future, not before birth |
//! | 住民でなくなった日 | | moved out or died; may lie ahead (転出予定日); not before 住民となった日 |
//! | 支援措置開始日 | | set: the person is protected, and stays so until a later file has it empty |
//! | 支援措置終了日 | | planned end; only together with 支援措置開始日 |
//!
//! Days are `YYYY-MM-DD` or `YYYYMMDD` of the western calendar. User-defined characters (外字) are refused: replace them by 代用漢字.

use vrx_domain::{
    AddresseeNumber, Date, IndividualNumber, NumberError, Person, PersonError, PersonalText,
    Protection, Sex,
};

use super::field::{Fields, widths_normalised};
use super::refusal::{FileError, Reason};
use super::{Layout, Refusal};

const NUMBER: usize = 0;
const ADDRESSEE: usize = 1;
const KANJI: usize = 2;
const KANA: usize = 3;
const BIRTH: usize = 4;
const SEX: usize = 5;
const ADDRESS: usize = 6;
const BECAME: usize = 7;
const CEASED: usize = 8;
const PROTECTED_FROM: usize = 9;
const PROTECTED_UNTIL: usize = 10;

/// The columns, in the order in which the sample generator writes them.
pub const COLUMNS: [&str; 11] = [
    "個人番号",
    "宛名番号",
    "漢字氏名",
    "カナ氏名",
    "生年月日",
    "性別",
    "住所",
    "住民となった日",
    "住民でなくなった日",
    "支援措置開始日",
    "支援措置終了日",
];

/// One resident of the file. No `Debug`.
pub struct PersonEntry {
    /// 個人番号
    pub number: IndividualNumber,
    /// All else.
    pub person: Person,
}

/// The layout above.
pub struct PersonsLayout {
    today: Date,
}

impl PersonsLayout {
    /// The layout, with the day after which no birth can lie.
    pub fn new(today: Date) -> Self {
        Self { today }
    }
}

impl Layout for PersonsLayout {
    type Row = PersonEntry;
    /// Where each of [`COLUMNS`] stands in the file.
    type Columns = [usize; 11];

    fn columns(&self, names: &[String]) -> Result<Self::Columns, FileError> {
        let mut places = [None; 11];
        for (place, name) in names.iter().enumerate() {
            let found = places
                .iter_mut()
                .zip(COLUMNS)
                .find(|(_, column)| column == name);
            let (slot, column) = found.ok_or(FileError::UnknownColumn {
                position: place + 1,
            })?;
            if slot.replace(place).is_some() {
                return Err(FileError::RepeatedColumn(column));
            }
        }
        let mut columns = [0; 11];
        for ((column, place), name) in columns.iter_mut().zip(places).zip(COLUMNS) {
            *column = place.ok_or(FileError::MissingColumn(name))?;
        }
        Ok(columns)
    }

    fn row(&self, columns: &Self::Columns, fields: &Fields<'_>) -> Result<PersonEntry, Refusal> {
        let at = |column: usize| columns.get(column).copied().unwrap_or(usize::MAX);
        let needed_date = |column| {
            fields
                .date(at(column))
                .and_then(|date| date.ok_or(Reason::Missing))
                .map_err(refuse(column))
        };
        let date = |column| fields.date(at(column)).map_err(refuse(column));

        let number = number(fields.ascii(at(NUMBER))).map_err(refuse(NUMBER))?;
        let addressee = fields
            .needed_text(at(ADDRESSEE), 64)
            .map_err(refuse(ADDRESSEE))?;
        let addressee_number =
            AddresseeNumber::parse(&addressee).map_err(|error| refuse(ADDRESSEE)(error.into()))?;
        let name_kanji = fields.needed_text(at(KANJI), 100).map_err(refuse(KANJI))?;
        let name_kana = fields.text(at(KANA), 200).map_err(refuse(KANA))?;
        let birth_date = needed_date(BIRTH)?;
        if birth_date > self.today {
            return Err(refuse(BIRTH)(Reason::Future));
        }
        let sex = sex(fields.ascii(at(SEX))).map_err(refuse(SEX))?;
        let address = fields
            .needed_text(at(ADDRESS), 200)
            .map_err(refuse(ADDRESS))?;
        let became_resident = date(BECAME)?;
        match became_resident {
            Some(became) if became > self.today => return Err(refuse(BECAME)(Reason::Future)),
            Some(became) if became < birth_date => return Err(refuse(BECAME)(Reason::Order)),
            _ => {}
        }
        let ceased_resident = date(CEASED)?;
        if ceased_resident.is_some_and(|ceased| ceased < became_resident.unwrap_or(birth_date)) {
            return Err(refuse(CEASED)(Reason::Order));
        }
        let protection = protection(date(PROTECTED_FROM)?, date(PROTECTED_UNTIL)?)?;

        let own = |text: &str| PersonalText::new(text.to_owned());
        let person = Person {
            addressee_number,
            name_kanji: own(&name_kanji),
            name_kana: own(&widths_normalised(&name_kana)),
            birth_date,
            sex,
            address: own(&address),
            became_resident,
            ceased_resident,
            protection,
        };
        Ok(PersonEntry { number, person })
    }
}

fn refuse(column: usize) -> impl Fn(Reason) -> Refusal {
    move |reason| Refusal {
        column: COLUMNS.get(column).copied().unwrap_or_default().to_owned(),
        reason,
    }
}

fn number(digits: &[u8]) -> Result<IndividualNumber, Reason> {
    match IndividualNumber::from_digits(digits) {
        Err(NumberError::Format) if digits.is_empty() => Err(Reason::Missing),
        other => Ok(other?),
    }
}

fn sex(code: &[u8]) -> Result<Sex, Reason> {
    match code {
        [] => Err(Reason::Missing),
        [digit @ b'0'..=b'9'] => Sex::from_code(digit - b'0').ok_or(Reason::Sex),
        _ => Err(Reason::Sex),
    }
}

fn protection(from: Option<Date>, until: Option<Date>) -> Result<Option<Protection>, Refusal> {
    match (from, until) {
        (None, None) => Ok(None),
        // An end without a beginning: somebody meant to protect this person.
        (None, Some(_)) => Err(refuse(PROTECTED_FROM)(Reason::Missing)),
        (Some(from), until) => Protection::new(from, until)
            .map(Some)
            .map_err(|error: PersonError| refuse(PROTECTED_UNTIL)(error.into())),
    }
}
