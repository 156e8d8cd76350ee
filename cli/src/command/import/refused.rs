//! The list of refused rows, for people to work through: line, column, reason; never a value.

use std::path::PathBuf;

use vrx_proto::v1::RefusedRow;

use super::FileArgs;
use crate::failure::Failure;

/// Where the list stands.
pub(super) fn refused_path(args: &FileArgs) -> PathBuf {
    args.refused.clone().unwrap_or_else(|| {
        let mut name = args.file.clone().into_os_string();
        name.push(".refused.csv");
        PathBuf::from(name)
    })
}

/// The list replaces what stands at its path, so that must not be the file that is read.
pub(super) fn spares_the_file(args: &FileArgs) -> Result<(), Failure> {
    let list = std::fs::canonicalize(refused_path(args));
    let file = std::fs::canonicalize(&args.file);
    match (list, file) {
        (Ok(list), Ok(file)) if list == file => Err(Failure::Usage(
            "--refused が取込ファイルそのものを指しています。別の名前を指定してください / --refused names the file that is read"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The list of refused rows: made with the first one, so that a clean import leaves no file; an older list of the same name goes.
pub(super) struct RefusedFile {
    path: PathBuf,
    writer: Option<csv::Writer<std::fs::File>>,
}

impl RefusedFile {
    /// A list that isn't there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, writer: None }
    }

    /// One more row.
    pub(super) fn add(&mut self, row: &RefusedRow) -> Result<(), Failure> {
        let path = &self.path;
        let failed =
            |error: csv::Error| Failure::file("書き込み", path, &std::io::Error::other(error));
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let mut writer = csv::Writer::from_path(path).map_err(failed)?;
            writer
                .write_record(["line", "column", "reason", "reason_en", "code"])
                .map_err(failed)?;
            self.writer.insert(writer)
        };
        let reason = if row.reason_ja.is_empty() {
            &row.reason_en
        } else {
            &row.reason_ja
        };
        writer
            .write_record([
                &row.line.to_string(),
                &row.column,
                reason,
                &row.reason_en,
                &row.reason_code,
            ])
            .map_err(failed)
    }

    /// The end of the list.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        let failed = |error: std::io::Error| Failure::file("書き込み", &path, &error);
        match self.writer {
            Some(mut writer) => writer.flush().map_err(failed),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileArgs, RefusedFile, RefusedRow, refused_path, spares_the_file};

    fn row(line: u64) -> RefusedRow {
        RefusedRow {
            line,
            column: "個人番号".to_owned(),
            reason_code: "check-digit".to_owned(),
            reason_ja: "検査数字が合いません".to_owned(),
            reason_en: "wrong check digit".to_owned(),
        }
    }

    #[test]
    fn the_list_of_refused_rows_exists_only_when_there_are_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.refused.csv");
        let mut refused = RefusedFile::new(path.clone());
        refused.add(&row(7)).unwrap();
        refused.finish().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "line,column,reason,reason_en,code\n7,個人番号,検査数字が合いません,wrong check digit,check-digit\n"
        );
        RefusedFile::new(path.clone()).finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_list_never_replaces_the_file_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("persons.csv");
        std::fs::write(&file, "x").unwrap();
        let mut args = FileArgs {
            file: file.clone(),
            check: false,
            encoding: None,
            refused: Some(folder.path().join("./persons.csv")),
        };
        assert_eq!(spares_the_file(&args).unwrap_err().exit_code(), 2);
        args.refused = None;
        assert!(spares_the_file(&args).is_ok());
    }

    #[test]
    fn the_list_stands_beside_the_file() {
        let mut args = FileArgs {
            file: "in/persons.csv".into(),
            check: false,
            encoding: None,
            refused: None,
        };
        assert_eq!(
            refused_path(&args),
            std::path::Path::new("in/persons.csv.refused.csv")
        );
        args.refused = Some("elsewhere.csv".into());
        assert_eq!(refused_path(&args), std::path::Path::new("elsewhere.csv"));
    }
}
