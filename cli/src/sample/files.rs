//! Writes invented residents as the CSV files that a municipality loads: persons, doses in the official ledger layout, and a list for programs.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Kind, LEDGER_DOSES, Sample, SamplePerson, compact};
use crate::{encoding::Encoding, failure::Failure};

/// Columns of the register file. `vrx import persons` reads exactly these.
pub(crate) const PERSON_COLUMNS: [&str; 11] = [
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

/// Columns of one dose in the official ledger (予防接種台帳向け出力), after its ordinal and 回目.
const DOSE_COLUMNS: [&str; 8] = [
    "接種履歴登録日時",
    "接種日",
    "券番号",
    "接種自治体コード",
    "接種会場名",
    "接種医師名",
    "ワクチンメーカー",
    "ワクチンロット番号",
];

/// Where the files of a sample are.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SampleFiles {
    /// Persons to import and approve.
    pub(crate) persons: PathBuf,
    /// Their doses.
    pub(crate) doses: PathBuf,
    /// Persons of a later file that nobody approves; absent when none were asked for.
    pub(crate) entered_persons: Option<PathBuf>,
    /// Their doses.
    pub(crate) entered_doses: Option<PathBuf>,
    /// All of them for programs: number, kind, doses. Invented numbers only.
    pub(crate) list: PathBuf,
}

#[derive(Serialize)]
struct ListedPerson<'a> {
    individual_number: &'a str,
    kind: Kind,
    doses: usize,
}

/// Writes everything `sample` yields into `dir`, which is made, and hands each person to `seen` as well.
pub(crate) fn write(
    sample: Sample,
    dir: &Path,
    encoding: Encoding,
    mut seen: impl FnMut(&SamplePerson),
) -> Result<SampleFiles, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::file("作成", dir, &error))?;
    let mut persons = CsvFile::create(dir.join("persons.csv"), encoding)?;
    let mut doses = CsvFile::create(dir.join("doses.csv"), encoding)?;
    let mut entered: Option<(CsvFile, CsvFile)> = None;
    let mut list = BufWriter::new(
        File::create(dir.join("persons.json"))
            .map_err(|error| Failure::file("作成", dir, &error))?,
    );
    persons.row(&PERSON_COLUMNS.map(str::to_owned))?;
    doses.row(&dose_header())?;
    let listed =
        |error: std::io::Error| Failure::file("書き込み", &dir.join("persons.json"), &error);
    let mut separator = "[\n";
    for person in sample {
        let (persons, doses) = if person.kind == Kind::Entered {
            if entered.is_none() {
                let mut late = CsvFile::create(dir.join("entered-persons.csv"), encoding)?;
                let mut late_doses = CsvFile::create(dir.join("entered-doses.csv"), encoding)?;
                late.row(&PERSON_COLUMNS.map(str::to_owned))?;
                late_doses.row(&dose_header())?;
                entered = Some((late, late_doses));
            }
            match &mut entered {
                Some((late, late_doses)) => (late, late_doses),
                None => (&mut persons, &mut doses),
            }
        } else {
            (&mut persons, &mut doses)
        };
        persons.row(&person_row(&person))?;
        if !person.doses.is_empty() {
            doses.row(&dose_row(&person))?;
        }
        let item = ListedPerson {
            individual_number: &person.individual_number,
            kind: person.kind,
            doses: person.doses.len(),
        };
        let item = serde_json::to_string(&item).map_err(|error| listed(error.into()))?;
        write!(list, "{separator}{item}").map_err(listed)?;
        separator = ",\n";
        seen(&person);
    }
    writeln!(list, "\n]")
        .and_then(|()| list.flush())
        .map_err(listed)?;
    let (entered_persons, entered_doses) = match entered {
        Some((late, late_doses)) => (Some(late.finish()?), Some(late_doses.finish()?)),
        None => (None, None),
    };
    Ok(SampleFiles {
        persons: persons.finish()?,
        doses: doses.finish()?,
        entered_persons,
        entered_doses,
        list: dir.join("persons.json"),
    })
}

/// Writes a register file alone: the demo gives the new municipality its movers with it.
pub(crate) fn write_persons<'a>(
    persons: impl IntoIterator<Item = &'a SamplePerson>,
    path: PathBuf,
    encoding: Encoding,
) -> Result<PathBuf, Failure> {
    let mut file = CsvFile::create(path, encoding)?;
    file.row(&PERSON_COLUMNS.map(str::to_owned))?;
    for person in persons {
        file.row(&person_row(person))?;
    }
    file.finish()
}

/// The header of the ledger: its first column is delivered empty, and the municipality fills it before loading.
pub(crate) fn dose_header() -> Vec<String> {
    let mut header = vec!["個別宛名番号(空欄)".to_owned()];
    for number in 1..=LEDGER_DOSES {
        header.extend(
            DOSE_COLUMNS
                .iter()
                .map(|column| format!("{number}回目{column}")),
        );
    }
    header
}

fn person_row(person: &SamplePerson) -> Vec<String> {
    let date = |date: Option<jiff::civil::Date>| date.map(compact).unwrap_or_default();
    vec![
        person.individual_number.clone(),
        person.addressee_number.clone(),
        person.name_kanji.clone(),
        person.name_kana.clone(),
        compact(person.birth_date),
        person.sex.to_string(),
        person.address.clone(),
        date(person.became_resident),
        date(person.ceased_resident),
        date(person.protected_from),
        date(person.protected_until),
    ]
}

fn dose_row(person: &SamplePerson) -> Vec<String> {
    let mut row = vec![person.addressee_number.clone()];
    for dose in &person.doses {
        row.extend([
            dose.registered_at.clone(),
            compact(dose.date),
            dose.voucher.clone(),
            dose.place.clone(),
            dose.venue.clone(),
            dose.doctor.clone(),
            dose.maker.clone(),
            dose.lot.clone(),
        ]);
    }
    row.resize(1 + LEDGER_DOSES * DOSE_COLUMNS.len(), String::new());
    row
}

/// A CSV file in a chosen encoding, with the line ends that municipal systems write.
struct CsvFile {
    path: PathBuf,
    encoding: Encoding,
    out: BufWriter<File>,
    line: u64,
}

impl CsvFile {
    fn create(path: PathBuf, encoding: Encoding) -> Result<Self, Failure> {
        let out = BufWriter::new(
            File::create(&path).map_err(|error| Failure::file("作成", &path, &error))?,
        );
        Ok(Self {
            path,
            encoding,
            out,
            line: 0,
        })
    }

    fn row(&mut self, fields: &[String]) -> Result<(), Failure> {
        self.line += 1;
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        let text = writer
            .write_record(fields)
            .ok()
            .and_then(|()| writer.into_inner().ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                Failure::Configuration(format!(
                    "{}: {} 行目を書けません",
                    self.path.display(),
                    self.line
                ))
            })?;
        let bytes = self.encoding.encode(&text).ok_or_else(|| {
            Failure::Configuration(format!(
                "{}: {} 行目に CP932 にない文字があります",
                self.path.display(),
                self.line
            ))
        })?;
        self.out
            .write_all(&bytes)
            .map_err(|error| Failure::file("書き込み", &self.path, &error))
    }

    fn finish(mut self) -> Result<PathBuf, Failure> {
        self.out
            .flush()
            .map_err(|error| Failure::file("書き込み", &self.path, &error))?;
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::plan, Encoding, Sample, dose_header, write};

    #[test]
    fn both_encodings_hold_the_same_text() {
        let folder = tempfile::tempdir().unwrap();
        let utf8 = write(
            Sample::new(plan(100)).unwrap(),
            &folder.path().join("u"),
            Encoding::Utf8,
            |_| (),
        )
        .unwrap();
        let cp932 = write(
            Sample::new(plan(100)).unwrap(),
            &folder.path().join("c"),
            Encoding::Cp932,
            |_| (),
        )
        .unwrap();
        for (utf8, cp932) in [(&utf8.persons, &cp932.persons), (&utf8.doses, &cp932.doses)] {
            let utf8 = std::fs::read_to_string(utf8).unwrap();
            let cp932 = std::fs::read(cp932).unwrap();
            let (decoded, _, broken) = encoding_rs::SHIFT_JIS.decode(&cp932);
            assert!(!broken && decoded == utf8);
            assert!(
                !cp932.windows(2).any(|pair| pair == b"&#"),
                "no numeric character reference"
            );
        }
        assert!(
            std::fs::read_to_string(&utf8.persons)
                .unwrap()
                .contains('髙')
        );
    }

    #[test]
    fn the_list_names_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(
            Sample::new(plan(100)).unwrap(),
            folder.path(),
            Encoding::Utf8,
            |_| (),
        )
        .unwrap();
        let list: serde_json::Value =
            serde_json::from_slice(&std::fs::read(files.list).unwrap()).unwrap();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), 120);
        assert!(
            list.iter()
                .any(|item| item.get("kind").unwrap() == "entered")
        );
    }

    #[test]
    fn the_ledger_has_one_column_and_five_groups_of_eight() {
        let header = dose_header();
        assert_eq!(header.len(), 41);
        assert_eq!(header.first().unwrap(), "個別宛名番号(空欄)");
        assert_eq!(header.get(1).unwrap(), "1回目接種履歴登録日時");
        assert_eq!(header.last().unwrap(), "5回目ワクチンロット番号");
    }
}
