//! Files that a command is to write, looked at before it asks the node for anything: what is asked is recorded, and then there must be a
//! place for the answer.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// One thing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A file that isn't there yet, in a folder that is: what is proved or disclosed replaces no other file.
    File(&'a Path),
    /// A folder without anything in it, or one that isn't there yet: what is another person's, or isn't disclosed any more, never stands
    /// among what is written.
    Folder(&'a Path),
}

/// Refuses places that are taken, that can't be made, and two that are one.
pub(crate) fn free<'a>(places: impl IntoIterator<Item = Place<'a>>) -> Result<(), Failure> {
    let mut taken = BTreeSet::new();
    for place in places {
        let (Place::File(path) | Place::Folder(path)) = place;
        let whole = located(path)?;
        match (place, std::fs::symlink_metadata(path)) {
            (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            (_, Err(error)) => return Err(Failure::file("作成", path, &error)),
            (Place::File(_), Ok(_)) => return Err(there(path)),
            (Place::Folder(_), Ok(_)) => empty(path)?,
        }
        if !taken.insert(whole) {
            return Err(Failure::Usage(format!(
                "{} が2つの書き出し先に指定されています / two options name this file",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The path with its folder as the system names it; the folder has to be there.
fn located(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.file_name().map(OsStr::to_owned).ok_or_else(|| {
        Failure::Usage(format!(
            "{} はファイルの名前ではありません / not a file name",
            path.display()
        ))
    })?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let found = folder.canonicalize().and_then(|folder| {
        if folder.is_dir() {
            Ok(folder)
        } else {
            Err(std::io::ErrorKind::NotADirectory.into())
        }
    });
    found.map(|folder| folder.join(name)).map_err(|error| {
        Failure::Usage(format!(
            "{} の書き込みができません（フォルダー {} を確認してください）/ {error}",
            path.display(),
            folder.display()
        ))
    })
}

fn empty(folder: &Path) -> Result<(), Failure> {
    let mut inside =
        std::fs::read_dir(folder).map_err(|error| Failure::file("作成", folder, &error))?;
    if inside.next().is_none() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} は空ではありません。ほかの人の証明が混ざらないよう、新しいフォルダーにしてください / the folder isn't empty",
        folder.display()
    )))
}

fn there(path: &Path) -> Failure {
    Failure::Usage(format!(
        "{} はすでにあります。別の名前にしてください / the file is there already",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::{Place, free};

    #[test]
    fn a_new_file_and_a_folder_that_is_new_or_empty_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("empty")).unwrap();
        let (pdf, csv) = (at("h.pdf"), at("h.csv"));
        for proofs in [at("empty"), at("new")] {
            let places = [Place::File(&pdf), Place::File(&csv), Place::Folder(&proofs)];
            free(places).unwrap();
        }
        assert!(!at("new").exists() && !pdf.exists(), "nothing is made yet");
    }

    #[test]
    fn what_is_there_what_has_no_folder_and_one_name_twice_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("full")).unwrap();
        std::fs::write(at("full/1.tlog-proof"), "").unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
        for (place, why) in [
            (Place::File(&at("full/1.tlog-proof")), "すでにあります"),
            (Place::File(&at("full")), "すでにあります"),
            (Place::File(&at("link")), "すでにあります"),
            (Place::File(&at("none/h.pdf")), "フォルダー"),
            (Place::File(&at("full/1.tlog-proof/h.pdf")), "フォルダー"),
            (Place::File(std::path::Path::new("/")), "名前ではありません"),
            (Place::Folder(&at("full")), "空ではありません"),
            (Place::Folder(&at("full/1.tlog-proof")), "作成"),
        ] {
            let failure = free([place]).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains(why), "{failure}");
        }
        let (one, same) = (at("h"), at("full/../h"));
        let twice = free([Place::File(&one), Place::Folder(&same)]).unwrap_err();
        assert!(twice.to_string().contains("2つの"), "{twice}");
    }
}
