//! Whole files, in the bytes that municipal systems really write.

use proptest::prelude::*;
use vrx_domain::{DateError, NumberError, PersonError, Sex};

use super::ledger::tests::{DOSE, ledger_text, line};
use super::persons::COLUMNS;
use super::*;

/// A person whose fields are all good: number, addressee, kanji, kana, birth, sex, address, became, ceased, protected from, until.
const GOOD: [&str; 11] = [
    "123456789018",
    "  000012",
    "髙橋　花子",
    "ﾀｶﾊｼ ﾊﾅｺ",
    "1980-05-05",
    "2",
    "神奈川県藤沢市朝日町１－１～２",
    "20100401",
    "2021-04-30",
    "",
    "",
];

fn today() -> Date {
    "2026-11-23".parse().unwrap()
}

pub(super) fn encode(encoding: Encoding, text: &str) -> Vec<u8> {
    match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Cp932 => {
            let (bytes, _, unmappable) = encoding_rs::SHIFT_JIS.encode(text);
            assert!(!unmappable, "the test's own text must exist in CP932");
            bytes.into_owned()
        }
    }
}

fn persons_text(rows: &[[&str; 11]]) -> String {
    let mut text = COLUMNS.join(",") + "\r\n";
    for row in rows {
        text.push_str(&row.join(","));
        text.push_str("\r\n");
    }
    text
}

fn persons(encoding: Option<Encoding>, bytes: &[u8]) -> Result<Vec<Row<PersonEntry>>, FileError> {
    let mut import = CsvImport::persons(encoding, today());
    let mut rows = import.push(bytes)?;
    rows.extend(import.finish()?);
    Ok(rows)
}

pub(super) fn parsed<T>(row: &Row<T>) -> &T {
    match row {
        Row::Parsed(row) => &row.row,
        Row::Refused(refused) => panic!(
            "line {} refused: {} {}",
            refused.line, refused.column, refused.reason
        ),
    }
}

pub(super) fn refusal<T>(row: &Row<T>) -> (u64, &str, Reason) {
    match row {
        Row::Parsed(row) => panic!("line {} taken", row.line),
        Row::Refused(refused) => (refused.line, refused.column.as_str(), refused.reason),
    }
}

/// The refusal of a person who is good but for one field.
fn with(column: usize, value: &str) -> Option<(String, Reason)> {
    let mut row = GOOD;
    row[column] = value;
    let rows = persons(None, persons_text(&[row]).as_bytes()).unwrap();
    assert_eq!(rows.len(), 1);
    match &rows[0] {
        Row::Parsed(_) => None,
        Row::Refused(refused) => Some((refused.column.clone(), refused.reason)),
    }
}

#[test]
fn a_person_is_read_the_same_from_either_encoding() {
    for encoding in [Encoding::Utf8, Encoding::Cp932] {
        let bytes = encode(encoding, &persons_text(&[GOOD]));
        for given in [None, Some(encoding)] {
            let mut import = CsvImport::persons(given, today());
            let rows = import.push(&bytes).unwrap();
            assert_eq!((import.encoding(), import.rows()), (Some(encoding), 1));
            let PersonEntry { number, person } = parsed(&rows[0]);
            assert_eq!(number.digits(), b"123456789018");
            assert_eq!(person.addressee_number.as_str(), "000012");
            assert_eq!(person.name_kanji.as_str(), "髙橋　花子");
            assert_eq!(person.name_kana.as_str(), "タカハシ ハナコ");
            assert_eq!(person.birth_date.to_string(), "1980-05-05");
            assert_eq!(person.sex, Sex::Female);
            assert_eq!(person.address.as_str(), "神奈川県藤沢市朝日町１－１～２");
            assert_eq!(person.became_resident.unwrap().to_string(), "2010-04-01");
            assert_eq!(person.ceased_resident.unwrap().to_string(), "2021-04-30");
            assert!(person.protection.is_none());
        }
    }
}

#[test]
fn both_byte_forms_of_taka_are_one_character() {
    let bytes = encode(Encoding::Cp932, &persons_text(&[GOOD]));
    let at = bytes
        .windows(2)
        .position(|pair| pair == b"\xfb\xfc")
        .expect("encoding_rs writes FB FC");
    let mut other = bytes.clone();
    other[at..at + 2].copy_from_slice(b"\xee\xe0");
    for bytes in [bytes, other] {
        let rows = persons(None, &bytes).unwrap();
        assert_eq!(parsed(&rows[0]).person.name_kanji.as_str(), "髙橋　花子");
    }
}

#[test]
fn a_bad_character_costs_its_row_and_names_its_column() {
    for (bad, reason) in [
        (&b"\xf0\x40"[..], Reason::PrivateUse),
        (b"\xa0", Reason::Undecodable),
        (b"\xff", Reason::Undecodable),
        (b"\x81", Reason::Undecodable),
        (b"\x01", Reason::Control),
    ] {
        let row = |kanji: &[u8]| {
            let text = persons_text(&[GOOD]);
            let line = text.lines().nth(1).unwrap().to_owned() + "\r\n";
            let (head, tail) = line.split_once("髙橋　花子").unwrap();
            [
                &encode(Encoding::Cp932, head)[..],
                kanji,
                &encode(Encoding::Cp932, tail),
            ]
            .concat()
        };
        let header = encode(Encoding::Cp932, &persons_text(&[]));
        let file = [header, row(b"\x8e\x52"), row(bad), row(b"\x8e\x52")].concat();
        let rows = persons(None, &file).unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(parsed(&rows[0]).person.name_kanji.as_str(), "山");
        assert_eq!(refusal(&rows[1]), (3, "漢字氏名", reason));
        assert_eq!(parsed(&rows[2]).person.name_kanji.as_str(), "山");
    }
}

#[test]
fn each_field_of_a_person_is_checked() {
    let refused = |column: usize, reason: Reason| Some((COLUMNS[column].to_owned(), reason));
    for (column, value, reason) in [
        (0, "123456789010", Reason::Number(NumberError::CheckDigit)),
        (0, "000000000000", Reason::Number(NumberError::AllZeros)),
        (
            0,
            "１２３４５６７８９０１８",
            Reason::Number(NumberError::Format),
        ),
        (0, "", Reason::Missing),
        (1, "", Reason::Missing),
        (
            1,
            "1234567890123456",
            Reason::Person(PersonError::AddresseeNumber),
        ),
        (2, "　", Reason::Missing),
        (4, "", Reason::Missing),
        (4, "2026-11-24", Reason::Future),
        (4, "1980-02-30", Reason::Date(DateError::NoSuchDay)),
        (4, "S55.5.5", Reason::Date(DateError::Format)),
        (4, "19800230", Reason::Date(DateError::NoSuchDay)),
        (5, "3", Reason::Sex),
        (5, "男", Reason::Sex),
        (5, "", Reason::Missing),
        (6, "", Reason::Missing),
        (7, "20261124", Reason::Future),
        (7, "19800504", Reason::Order),
        (8, "20100331", Reason::Order),
        (9, "x", Reason::Date(DateError::Format)),
    ] {
        assert_eq!(
            with(column, value),
            refused(column, reason),
            "{} {value}",
            COLUMNS[column]
        );
    }
    assert_eq!(with(2, &"山".repeat(101)), refused(2, Reason::TooLong));
    assert_eq!(with(6, &"山".repeat(2000)), refused(6, Reason::TooLong));
    assert_eq!(with(10, "20210430"), refused(9, Reason::Missing));
    for (column, value) in [
        (3, ""),
        (7, ""),
        (8, ""),
        (8, "2027-01-01"),
        (0, " 123456789018 "),
    ] {
        assert_eq!(with(column, value), None, "{} {value}", COLUMNS[column]);
    }
}

#[test]
fn a_support_measure_is_read_and_one_that_ends_too_early_is_refused() {
    let mut row = GOOD;
    (row[9], row[10]) = ("20200401", "2021-03-31");
    let rows = persons(None, persons_text(&[row]).as_bytes()).unwrap();
    let protection = parsed(&rows[0]).person.protection.unwrap();
    assert_eq!(protection.until.unwrap().to_string(), "2021-03-31");
    row[10] = "20200331";
    let rows = persons(None, persons_text(&[row]).as_bytes()).unwrap();
    assert_eq!(
        refusal(&rows[0]),
        (
            2,
            "支援措置終了日",
            Reason::Person(PersonError::ProtectionPeriod)
        )
    );
}

#[test]
fn columns_may_stand_in_any_order_and_quoted() {
    let reversed = |row: [&str; 11]| {
        row.iter()
            .rev()
            .map(|field| format!("\"{field}\""))
            .collect::<Vec<_>>()
            .join(",")
    };
    let text = format!("\u{feff}{}\n{}", reversed(COLUMNS), reversed(GOOD));
    let rows = persons(None, text.as_bytes()).unwrap();
    assert_eq!(parsed(&rows[0]).person.addressee_number.as_str(), "000012");
}

#[test]
fn a_line_break_within_quotes_is_a_space_and_lines_are_counted_on() {
    let mut first = GOOD;
    first[6] = "\"朝日町\r\n1,\"\"ア\"\"\"";
    let mut second = GOOD;
    second[0] = "x";
    let rows = persons(None, persons_text(&[first, second]).as_bytes()).unwrap();
    assert_eq!(parsed(&rows[0]).person.address.as_str(), "朝日町 1,\"ア\"");
    assert_eq!(refusal(&rows[1]).0, 4);
}

#[test]
fn too_few_and_too_many_columns_refuse_the_row_alone() {
    let text = persons_text(&[GOOD]) + "a,b\r\n" + &GOOD.join(",") + ",x\r\n" + &GOOD.join(",");
    let rows = persons(None, text.as_bytes()).unwrap();
    assert!(matches!(rows[0], Row::Parsed(_)) && matches!(rows[3], Row::Parsed(_)));
    assert_eq!(refusal(&rows[1]), (3, "", Reason::ColumnCount));
    assert_eq!(refusal(&rows[2]), (4, "", Reason::ColumnCount));
}

#[test]
fn an_open_quotation_mark_does_not_swallow_the_rows_behind_it() {
    let mut open = GOOD;
    open[2] = "\"山";
    let rows = persons(None, persons_text(&[open, GOOD, GOOD]).as_bytes()).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(refusal(&rows[0]), (2, "", Reason::Quote));
    assert!(matches!(rows[2], Row::Parsed(_)));
}

#[test]
fn a_bad_header_is_one_error_for_the_file_and_is_not_echoed() {
    let error = |text: &str| persons(None, text.as_bytes()).err().unwrap();
    assert_eq!(error(""), FileError::Empty);
    assert_eq!(error("\r\n\r\n"), FileError::Empty);
    assert_eq!(
        error("123456789018,山田\n"),
        FileError::UnknownColumn { position: 1 }
    );
    assert!(!error("123456789018,山田\n").to_string().contains("1234"));
    let without = COLUMNS[..10].join(",");
    assert_eq!(error(&without), FileError::MissingColumn("支援措置終了日"));
    assert_eq!(
        error(&(COLUMNS.join(",") + ",個人番号")),
        FileError::RepeatedColumn("個人番号")
    );
    assert_eq!(
        error(&(COLUMNS.join(",") + ",x")),
        FileError::UnknownColumn { position: 12 }
    );
    assert_eq!(error("\"個人番号,x"), FileError::Header);
}

#[test]
fn a_header_that_is_not_legible_in_the_encoding_is_an_error() {
    let text = persons_text(&[GOOD]);
    let cp932 = encode(Encoding::Cp932, &text);
    assert_eq!(
        persons(Some(Encoding::Utf8), &cp932).err(),
        Some(FileError::Encoding)
    );
    assert!(persons(Some(Encoding::Cp932), text.as_bytes()).is_err());
    let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(
        persons(Some(Encoding::Cp932), &with_mark).err(),
        Some(FileError::Encoding)
    );
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(persons(None, &utf16).is_err());
}

#[test]
fn after_a_file_error_every_call_repeats_it() {
    let mut import = CsvImport::persons(None, today());
    let error = import.push("x\n".as_bytes()).err().unwrap();
    assert_eq!(
        import.push(persons_text(&[GOOD]).as_bytes()).err(),
        Some(error.clone())
    );
    assert_eq!(import.finish().err(), Some(error));
}

/// A field as a stranger might fill it: long enough that finding it in a message is no accident.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{8,14}",
        "[a-zA-Z0-9 /-]{8,20}",
        "[ぁ-んァ-ヶ一-龠]{4,20}",
        "[\u{e000}-\u{e010}]{4,6}"
    ]
}

proptest! {
    /// No refusal and no file error repeats what stood in the file, whichever field is bad, the header included.
    #[test]
    fn no_message_ever_repeats_a_value(values in proptest::collection::vec(hostile(), 17), in_header: bool, column in 0_usize..11) {
        let mut header = COLUMNS.map(str::to_owned).to_vec();
        if in_header {
            header[column].clone_from(&values[column]);
        }
        let persons_file = header.join(",") + "\n" + &values[..11].join(",") + "\n" + &values.join(",");
        let ledger_file = ledger_text(2, &[values.iter().map(String::as_str).collect(), line(&values[0], &[DOSE, DOSE])]);
        for outline in [
            outline(CsvImport::persons(None, today()), persons_file.as_bytes(), 7),
            outline(CsvImport::ledger(None), ledger_file.as_bytes(), 7),
        ] {
            let mut messages = vec![format!("{outline:?}")];
            match outline {
                Ok(rows) => messages.extend(rows.into_iter().filter_map(|(_, refused)| refused).map(|(column, reason)| format!("{column} {reason}"))),
                Err(error) => messages.push(error.to_string()),
            }
            let text = messages.join("\n");
            for value in &values {
                prop_assert!(!text.contains(value.trim()), "{value:?} in {text}");
            }
        }
    }

    #[test]
    fn whatever_the_bytes_chunks_make_no_difference(choice: u8, chunk in 1_u8..20, bytes: Vec<u8>) {
        fuzz(&[&[choice, chunk], bytes.as_slice()].concat());
        for text in [persons_text(&[GOOD]), ledger_text(2, &[])] {
            fuzz(&[&[choice, chunk], text.as_bytes(), bytes.as_slice()].concat());
            fuzz(&[&[choice, chunk], encode(Encoding::Cp932, &text).as_slice(), bytes.as_slice()].concat());
        }
    }

    /// One damaged byte costs at most the row in which it lies; the other rows are read as before.
    #[test]
    fn a_damaged_byte_costs_at_most_its_own_row(at in 0_usize..400, byte: u8) {
        prop_assume!(byte != b'\n' && byte != b'"');
        let header = encode(Encoding::Cp932, &persons_text(&[]));
        let row = encode(Encoding::Cp932, &(GOOD.join(",") + "\r\n"));
        let mut file = [&header[..], &row, &row, &row].concat();
        let at = header.len() + row.len() + at % row.len();
        // Damage to the line break itself joins two rows.
        prop_assume!(file[at] != b'\n');
        file[at] = byte;
        let rows = persons(None, &file).unwrap();
        prop_assert_eq!(rows.len(), 3);
        prop_assert!(matches!((&rows[0], &rows[2]), (Row::Parsed(_), Row::Parsed(_))));
    }
}
