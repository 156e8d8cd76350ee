//! Files that an officer gets: only the own account can read them, and none of them holds the individual number.

use std::{
    borrow::Cow,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use vrx_tlog::{Receipt, TlogProof};

use crate::failure::Failure;

/// Writes a new file for the own account alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::file("書き込み", path, &error))
}

/// Saves each proof as `<index>.tlog-proof`; other people's tools check them without a node.
pub(super) fn save_proofs(folder: &Path, receipts: &[Receipt]) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::file("作成", folder, &error))?;
    receipts.iter().try_for_each(|receipt| {
        write(
            &proof_path(folder, receipt),
            TlogProof::from(receipt).to_string().as_bytes(),
        )
    })
}

/// Where an entry's proof is saved.
pub(super) fn proof_path(folder: &Path, receipt: &Receipt) -> PathBuf {
    folder.join(format!("{}.tlog-proof", receipt.log_index))
}

/// A table as CSV: UTF-8 with a byte order mark, as spreadsheets in municipal offices expect it. What a spreadsheet would take for a
/// formula stands behind an apostrophe: another municipality's words calculate nothing here.
pub(super) fn csv(header: &[&str], rows: &[Vec<String>]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    let written = writer.write_record(header).and_then(|()| {
        rows.iter()
            .try_for_each(|row| writer.write_record(row.iter().map(|cell| inert(cell))))
    });
    written
        .map_err(std::io::Error::other)
        .and_then(|()| {
            writer
                .into_inner()
                .map_err(|error| std::io::Error::other(error.to_string()))
        })
        .map_err(|error| Failure::output(&error))
}

fn inert(cell: &str) -> Cow<'_, [u8]> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        Cow::Owned(format!("'{cell}").into_bytes())
    } else {
        Cow::Borrowed(cell.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn a_table_begins_with_a_mark_of_its_encoding_and_calculates_nothing() {
        let row = ["=1+1", "-A1", "+81", "@x", "＝1", "2-1", "K-1"].map(str::to_owned);
        let table = csv(&["a"; 7], &[row.to_vec()]).unwrap();
        let text = String::from_utf8(table).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("\u{feff}a,"), "{text}");
        assert_eq!(lines[1], "'=1+1,'-A1,'+81,'@x,'＝1,2-1,K-1");
    }
}
