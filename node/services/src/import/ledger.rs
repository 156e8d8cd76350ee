//! The doses file: the official layout 「予防接種台帳向け出力」 of the national record system (内閣官房「接種記録データの確認方法」, 2021-04-30).
//!
//! CSV as in [`records`](super::records), UTF-8 or CP932. The first row has the official names, in the official order: one column for the person, then
//! eight for each dose, `1回目…`, `2回目…` and so on up to `99回目…`; widths of digits and brackets don't matter.
//!
//! | column | needed | what |
//! | --- | --- | --- |
//! | 個別宛名番号(空欄) | | delivered empty, filled in by the municipality: 1 to 15 of `A-Z a-z 0-9 -`, spaces dropped |
//! | n回目接種履歴登録日時 | | `YYYYMMDDHHMMSS` |
//! | n回目接種日 | yes | `YYYYMMDD` or `YYYY-MM-DD`; a day in the future is taken and held back by rule |
//! | n回目券番号 | yes | 10 digits |
//! | n回目接種自治体コード | yes | 6 digits with check digit; a municipality or a ward |
//! | n回目接種会場名 | | at most 30 characters |
//! | n回目接種医師名 | | at most 20 characters |
//! | n回目ワクチンメーカー | | at most 20 characters |
//! | n回目ワクチンロット番号 | | at most 20 characters |
//!
//! A group whose eight columns are all empty is a dose that wasn't given. One bad dose refuses the row.

use vrx_domain::{
    AddresseeNumber, Date, Dose, DoseId, DoseNumber, DoseOrigin, PlaceCode, VoucherNumber,
    check_registered_at,
};

use super::field::Fields;
use super::refusal::{FileError, Reason};
use super::{Layout, Refusal};

/// The first column.
pub const ADDRESSEE: &str = "個別宛名番号(空欄)";
/// What stands after `n回目` in the eight columns of a dose.
pub const DOSE_COLUMNS: [&str; 8] = [
    "接種履歴登録日時",
    "接種日",
    "券番号",
    "接種自治体コード",
    "接種会場名",
    "接種医師名",
    "ワクチンメーカー",
    "ワクチンロット番号",
];
const MAX_DOSES: usize = 99;

/// What one row says: the doses of one person. No `Debug`.
pub struct LedgerRow {
    /// 宛名番号; where it is empty, a dose's voucher number may lead to the person.
    pub addressee: Option<AddresseeNumber>,
    /// The doses, by number; none when every group is empty.
    pub doses: Vec<LedgerDose>,
}

/// One dose as the ledger has it.
pub struct LedgerDose {
    /// 接種回
    pub number: DoseNumber,
    /// 接種履歴登録日時, `YYYYMMDDHHMMSS`
    pub registered_at: Option<String>,
    /// 接種日
    pub date: Date,
    /// 券番号
    pub voucher: VoucherNumber,
    /// 接種自治体コード
    pub place: PlaceCode,
    /// 接種会場名
    pub venue: String,
    /// 接種医師名
    pub doctor: String,
    /// ワクチンメーカー
    pub manufacturer: String,
    /// ワクチンロット番号
    pub lot_number: String,
}

impl LedgerDose {
    /// The dose as a record of this municipality's own.
    pub fn into_dose(self, id: DoseId) -> Dose {
        Dose {
            id,
            number: self.number,
            date: self.date,
            vaccine_code: String::new(),
            product_name: String::new(),
            manufacturer: self.manufacturer,
            lot_number: self.lot_number,
            venue: self.venue,
            doctor: self.doctor,
            place: self.place,
            voucher: self.voucher,
            registered_at: self.registered_at,
            revision: 1,
            origin: DoseOrigin::Own,
        }
    }
}

/// The layout above.
pub struct LedgerLayout;

impl Layout for LedgerLayout {
    type Row = LedgerRow;
    /// How many dose groups there are.
    type Columns = usize;

    fn columns(&self, names: &[String]) -> Result<usize, FileError> {
        let (first, groups) = names.split_first().ok_or(FileError::Empty)?;
        // Some municipalities drop the remark that the column comes empty once they have filled it.
        if first != ADDRESSEE && first != "個別宛名番号" {
            return Err(FileError::UnknownColumn { position: 1 });
        }
        for (at, name) in groups.iter().enumerate() {
            if name != &column_name(at / 8, at % 8) {
                return Err(FileError::UnknownColumn { position: at + 2 });
            }
        }
        let count = groups.len() / 8;
        if groups.len() % 8 != 0 || !(1..=MAX_DOSES).contains(&count) {
            return Err(FileError::DoseGroups);
        }
        Ok(count)
    }

    fn row(&self, groups: &usize, fields: &Fields<'_>) -> Result<LedgerRow, Refusal> {
        let addressee = addressee(fields).map_err(|reason| Refusal {
            column: ADDRESSEE.to_owned(),
            reason,
        })?;
        let mut doses = Vec::new();
        for group in 0..*groups {
            let start = 1 + group * 8;
            if (start..start + 8).any(|at| !fields.is_empty(at)) {
                doses.push(dose(group, fields)?);
            }
        }
        Ok(LedgerRow { addressee, doses })
    }
}

fn addressee(fields: &Fields<'_>) -> Result<Option<AddresseeNumber>, Reason> {
    let text = fields.text(0, 64)?;
    if text.is_empty() {
        Ok(None)
    } else {
        Ok(Some(AddresseeNumber::parse(&text)?))
    }
}

fn dose(group: usize, fields: &Fields<'_>) -> Result<LedgerDose, Refusal> {
    let at = |column: usize| 1 + group * 8 + column;
    let refuse = |column: usize| {
        move |reason: Reason| Refusal {
            column: column_name(group, column),
            reason,
        }
    };
    let needed = |column: usize| {
        let text = fields.code(at(column)).map_err(refuse(column))?;
        if text.is_empty() {
            Err(refuse(column)(Reason::Missing))
        } else {
            Ok(text)
        }
    };
    let text = |column: usize, longest: usize| {
        fields
            .text(at(column), longest)
            .map(|text| text.as_str().to_owned())
            .map_err(refuse(column))
    };

    let number = u32::try_from(group + 1).unwrap_or(u32::MAX);
    let number = DoseNumber::new(number).map_err(|error| refuse(1)(error.into()))?;
    let registered_at = fields.code(at(0)).map_err(refuse(0))?;
    let registered_at = if registered_at.is_empty() {
        None
    } else {
        check_registered_at(registered_at).map_err(|error| refuse(0)(error.into()))?;
        Some(registered_at.to_owned())
    };
    let date = fields
        .date(at(1))
        .and_then(|date| date.ok_or(Reason::Missing))
        .map_err(refuse(1))?;
    let voucher = VoucherNumber::parse(needed(2)?).map_err(|error| refuse(2)(error.into()))?;
    let place = needed(3)?
        .parse::<PlaceCode>()
        .map_err(|error| refuse(3)(error.into()))?;
    Ok(LedgerDose {
        number,
        registered_at,
        date,
        voucher,
        place,
        venue: text(4, 30)?,
        doctor: text(5, 20)?,
        manufacturer: text(6, 20)?,
        lot_number: text(7, 20)?,
    })
}

/// The official name of a column: the `column`-th of the `group`-th dose, both from 0.
pub fn column_name(group: usize, column: usize) -> String {
    format!(
        "{}回目{}",
        group + 1,
        DOSE_COLUMNS.get(column).copied().unwrap_or_default()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use vrx_domain::{CodeError, DateError, DoseError, PersonError, VoucherError};

    use super::super::tests::{encode, parsed, refusal};
    use super::super::{CsvImport, Encoding, Row};
    use super::*;

    pub(in crate::import) const DOSE: [&str; 8] = [
        "20210430153000",
        "20210430",
        "0000000001",
        "142051",
        "藤沢市民会館",
        "山田　太郎",
        "武田/モデルナ",
        "  3001234",
    ];

    pub(in crate::import) fn ledger_text(groups: usize, rows: &[Vec<&str>]) -> String {
        let mut header = vec![ADDRESSEE.to_owned()];
        header.extend(
            (0..groups).flat_map(|group| (0..8).map(move |column| column_name(group, column))),
        );
        let rows = rows.iter().map(|row| row.join(","));
        [header.join(",")]
            .into_iter()
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\r\n")
    }

    fn ledger(encoding: Option<Encoding>, bytes: &[u8]) -> Result<Vec<Row<LedgerRow>>, FileError> {
        let mut import = CsvImport::ledger(encoding);
        let mut rows = import.push(bytes)?;
        rows.extend(import.finish()?);
        Ok(rows)
    }

    pub(in crate::import) fn line<'a>(addressee: &'a str, groups: &[[&'a str; 8]]) -> Vec<&'a str> {
        [addressee]
            .into_iter()
            .chain(groups.iter().flatten().copied())
            .collect()
    }

    #[test]
    fn a_ledger_row_gives_its_doses_in_either_encoding_without_a_last_newline() {
        let mut third = DOSE;
        third[0] = "";
        third[3] = "141011";
        let text = ledger_text(3, &[line("       A-12", &[DOSE, [""; 8], third])]);
        for encoding in [Encoding::Utf8, Encoding::Cp932] {
            let rows = ledger(None, &encode(encoding, &text)).unwrap();
            let row = parsed(&rows[0]);
            assert_eq!(row.addressee.as_ref().unwrap().as_str(), "A-12");
            let numbers: Vec<u32> = row.doses.iter().map(|dose| dose.number.get()).collect();
            assert_eq!(numbers, [1, 3]);
            assert_eq!(
                row.doses[0].registered_at.as_deref(),
                Some("20210430153000")
            );
            assert_eq!(row.doses[1].registered_at, None);
            assert_eq!(row.doses[1].place.to_string(), "141011");
            let Some(Row::Parsed(row)) = rows.into_iter().next() else {
                panic!("parsed above")
            };
            let dose = row
                .row
                .doses
                .into_iter()
                .next()
                .unwrap()
                .into_dose(DoseId::from_bytes([1; 16]));
            assert_eq!(
                (dose.date.to_string().as_str(), dose.voucher.as_str()),
                ("2021-04-30", "0000000001")
            );
            assert_eq!(
                (dose.venue.as_str(), dose.doctor.as_str()),
                ("藤沢市民会館", "山田　太郎")
            );
            assert_eq!(
                (dose.manufacturer.as_str(), dose.lot_number.as_str()),
                ("武田/モデルナ", "3001234")
            );
        }
    }

    #[test]
    fn an_empty_addressee_and_empty_groups_are_no_errors() {
        let rows = ledger(
            None,
            ledger_text(
                2,
                &[
                    line("   ", &[DOSE, ["", " ", "　", "", "", "", "", ""]]),
                    line("7", &[[""; 8]; 2]),
                ],
            )
            .as_bytes(),
        );
        let rows = rows.unwrap();
        assert!(parsed(&rows[0]).addressee.is_none());
        assert_eq!(parsed(&rows[0]).doses.len(), 1);
        assert!(parsed(&rows[1]).doses.is_empty());
    }

    #[test]
    fn each_field_of_a_dose_is_checked_and_named() {
        for (column, value, reason) in [
            (0, "20210430", Reason::Dose(DoseError::RegisteredAt)),
            (1, "", Reason::Missing),
            (1, "20210431", Reason::Date(DateError::NoSuchDay)),
            (2, "", Reason::Missing),
            (2, "1", Reason::Voucher(VoucherError::Number)),
            (3, "", Reason::Missing),
            (3, "142052", Reason::Code(CodeError::CheckDigit)),
            (3, "140007", Reason::Code(CodeError::Prefecture)),
            (
                4,
                "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一",
                Reason::TooLong,
            ),
            (
                5,
                "一二三四五六七八九十一二三四五六七八九十一",
                Reason::TooLong,
            ),
            (6, "\u{e000}", Reason::PrivateUse),
            (7, "123456789012345678901", Reason::TooLong),
        ] {
            let mut second = DOSE;
            second[column] = value;
            let rows = ledger(
                None,
                ledger_text(2, &[line("1", &[DOSE, second]), line("2", &[DOSE, DOSE])]).as_bytes(),
            )
            .unwrap();
            assert_eq!(
                refusal(&rows[0]),
                (2, column_name(1, column).as_str(), reason)
            );
            assert_eq!(parsed(&rows[1]).doses.len(), 2);
        }
        let rows = ledger(None, ledger_text(1, &[line("１", &[DOSE])]).as_bytes()).unwrap();
        assert_eq!(
            refusal(&rows[0]),
            (2, ADDRESSEE, Reason::Person(PersonError::AddresseeNumber))
        );
    }

    #[test]
    fn a_dose_in_the_future_is_taken_for_the_rules_to_hold_back() {
        let mut dose = DOSE;
        dose[1] = "20991231";
        let rows = ledger(None, ledger_text(1, &[line("1", &[dose])]).as_bytes()).unwrap();
        assert_eq!(parsed(&rows[0]).doses[0].date.year(), 2099);
    }

    #[test]
    fn a_ledger_header_has_the_official_names_in_order() {
        let error = |text: &str| ledger(None, text.as_bytes()).err().unwrap();
        let good = ledger_text(2, &[]);
        assert!(ledger(None, good.as_bytes()).unwrap().is_empty());
        assert!(
            ledger(
                None,
                good.replace("(空欄)", "（空欄）")
                    .replace("1回目", "１回目")
                    .as_bytes()
            )
            .is_ok()
        );
        assert!(ledger(None, good.replace("(空欄)", "").as_bytes()).is_ok());
        assert_eq!(
            error(&good.replacen("1回目接種日", "2回目接種日", 1)),
            FileError::UnknownColumn { position: 3 }
        );
        assert_eq!(error("宛名番号"), FileError::UnknownColumn { position: 1 });
        assert_eq!(error(ADDRESSEE), FileError::DoseGroups);
        assert_eq!(
            error(good.rsplit_once(',').unwrap().0),
            FileError::DoseGroups
        );
        assert!(ledger(None, ledger_text(99, &[]).as_bytes()).is_ok());
        assert_eq!(error(&ledger_text(100, &[])), FileError::DoseGroups);
    }
}
