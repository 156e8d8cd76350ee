//! Files as a municipality's own systems write them, for tests.
#![expect(
    clippy::format_push_string,
    reason = "test files are short and read better so"
)]

use vrx_domain::IndividualNumber;

use crate::import::{ledger, persons};

/// One line of a persons file and the days of the person's doses.
#[derive(Clone)]
pub(crate) struct Resident {
    pub(crate) serial: u32,
    pub(crate) birth: &'static str,
    pub(crate) ceased: &'static str,
    pub(crate) protected_from: &'static str,
    pub(crate) doses: Vec<&'static str>,
}

impl Resident {
    /// Somebody who moved out after two doses.
    pub(crate) fn moved(serial: u32) -> Self {
        Self {
            serial,
            birth: "1980-05-05",
            ceased: "2026-11-01",
            protected_from: "",
            doses: vec!["20210601", "20210622"],
        }
    }
}

/// The n-th valid individual number of the tests.
pub(crate) fn number(serial: u32) -> IndividualNumber {
    let payload = format!("{:011}", 10_000_000_000 + u64::from(serial) * 7919);
    let digits: &[u8; 11] = payload.as_bytes().first_chunk().unwrap();
    let check = char::from(IndividualNumber::check_digit(digits).unwrap());
    IndividualNumber::parse(&format!("{payload}{check}"))
        .ok()
        .unwrap()
}

pub(crate) fn persons_csv(residents: &[Resident]) -> String {
    let mut csv = persons::COLUMNS.join(",") + "\r\n";
    for resident in residents {
        let number = number(resident.serial);
        csv += &format!(
            "{},A{},湘南花子,ショウナンハナコ,{},2,神奈川県藤沢市朝日町1-1,,{},{},\r\n",
            std::str::from_utf8(number.digits()).unwrap(),
            resident.serial,
            resident.birth,
            resident.ceased,
            resident.protected_from,
        );
    }
    csv
}

pub(crate) fn doses_csv(residents: &[Resident]) -> String {
    let groups = residents
        .iter()
        .map(|resident| resident.doses.len())
        .max()
        .unwrap_or(0)
        .max(1);
    let mut csv = ledger::ADDRESSEE.to_owned();
    for group in 1..=groups {
        for column in ledger::DOSE_COLUMNS {
            csv += &format!(",{group}回目{column}");
        }
    }
    csv += "\r\n";
    for resident in residents {
        csv += &format!("A{}", resident.serial);
        for group in 0..groups {
            csv += &match resident.doses.get(group) {
                Some(date) => {
                    format!(
                        ",,{date},{:010},142051,市民会館,湘南太郎,ファイザー,EX3617",
                        resident.serial
                    )
                }
                None => ",".repeat(8),
            };
        }
        csv += "\r\n";
    }
    csv
}
