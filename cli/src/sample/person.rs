//! An invented resident, as plain data.

use jiff::civil::Date;
use serde::Serialize;
use vrx_domain::MunicipalityCode;

/// What an invented resident is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Moved out, with doses: another municipality that asks gets them.
    Provided,
    /// Moved out, never vaccinated: *nothing*.
    Doseless,
    /// Moved out, with doses, under support measures (支援措置): *nothing*, a person decides.
    Protected,
    /// Lives here, with doses: *nothing*.
    Resident,
    /// Entered and never approved by a second person: *nothing*.
    Entered,
}

/// What to make.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Same seed, same residents.
    pub(crate) seed: u64,
    /// How many residents, all kinds but `entered` together.
    pub(crate) residents: usize,
    /// How many more persons in the later file that nobody approves.
    pub(crate) entered: usize,
    /// The first addressee number; the others follow it.
    pub(crate) first_addressee: u64,
    /// Whose residents.
    pub(crate) municipality: MunicipalityCode,
    /// The day the files are made for: nothing in them is later.
    pub(crate) today: Date,
}

/// An invented resident as the register of persons writes it.
#[derive(Clone, Debug)]
pub(crate) struct SamplePerson {
    pub(crate) kind: Kind,
    pub(crate) individual_number: String,
    pub(crate) addressee_number: String,
    pub(crate) name_kanji: String,
    pub(crate) name_kana: String,
    pub(crate) birth_date: Date,
    /// ISO 5218.
    pub(crate) sex: u8,
    pub(crate) address: String,
    pub(crate) became_resident: Option<Date>,
    pub(crate) ceased_resident: Option<Date>,
    pub(crate) protected_from: Option<Date>,
    pub(crate) protected_until: Option<Date>,
    pub(crate) doses: Vec<SampleDose>,
}

/// An invented dose as the official ledger writes it.
#[derive(Clone, Debug)]
pub(crate) struct SampleDose {
    /// YYYYMMDDHHMMSS.
    pub(crate) registered_at: String,
    pub(crate) date: Date,
    pub(crate) voucher: String,
    pub(crate) place: String,
    pub(crate) venue: String,
    pub(crate) doctor: String,
    pub(crate) maker: String,
    pub(crate) lot: String,
}
