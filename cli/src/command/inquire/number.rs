//! The individual number (個人番号) on its way in: from the keyboard without being shown, from standard input, or from a file.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use vrx_domain::IndividualNumber;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Reads one number and checks its digits. A second line is refused: whoever wrote two numbers would take the answer for both.
pub(crate) fn read_number(file: Option<&Path>) -> Result<IndividualNumber, Failure> {
    let text = match file {
        Some(path) => read_all(
            &mut std::fs::File::open(path)
                .map_err(|error| Failure::file("読み込み", path, &error))?,
        )
        .map_err(|error| Failure::file("読み込み", path, &error))?,
        None if std::io::stdin().is_terminal() => prompt().map_err(|error| no_input(&error))?,
        None => read_all(&mut std::io::stdin().lock()).map_err(|error| no_input(&error))?,
    };
    // Editors on Windows begin a file with a byte order mark.
    let digits = text.trim_start_matches('\u{feff}').trim();
    if digits.contains('\n') || text.len() >= MOST {
        return Err(Failure::Usage(
            "個人番号が2行以上あります。1人分を1行だけ書いてください / more than one line: write one number alone".to_owned(),
        ));
    }
    // What was typed is never repeated, not even a part of it.
    IndividualNumber::parse(digits).map_err(|_| {
        Failure::Usage(
            "個人番号が正しくありません（検査数字を含む12桁）/ not an individual number".to_owned(),
        )
    })
}

fn no_input(error: &std::io::Error) -> Failure {
    Failure::Usage(format!(
        "個人番号を読み取れません / can't read the number: {error}"
    ))
}

/// Bytes that are read at most: a line and what an editor leaves around it.
const MOST: usize = 256;

/// What there is, as far as it matters, wiped when dropped.
fn read_all(input: &mut dyn std::io::Read) -> std::io::Result<Zeroizing<String>> {
    // Made at its full length: growing would leave a copy of the number behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(1_024));
    input.take(MOST as u64).read_to_end(&mut bytes)?;
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Asks on the terminal, with its echo off.
fn prompt() -> std::io::Result<Zeroizing<String>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let before = tcgetattr(&input)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let mut error_output = std::io::stderr().lock();
    write!(
        error_output,
        "個人番号（表示されません）/ individual number: "
    )?;
    error_output.flush()?;
    tcsetattr(&input, OptionalActions::Flush, &silent)?;
    let mut line = Zeroizing::new(String::with_capacity(64));
    let read = input.lock().read_line(&mut line);
    tcsetattr(&input, OptionalActions::Flush, &before)?;
    writeln!(error_output)?;
    read.map(|_| line)
}

#[cfg(test)]
mod tests {
    use super::read_number;

    #[test]
    fn a_second_line_is_refused_and_empty_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        for one in [
            "123456789018",
            "123456789018\r\n\r\n",
            "\u{feff}123456789018\n",
            "\n 123456789018 \n",
        ] {
            std::fs::write(&path, one).unwrap();
            assert!(read_number(Some(&path)).is_ok(), "{one:?}");
        }
        for two in [
            "123456789018\n621498320257\n",
            "123456789018\r\n\r\n#\n",
            "1\n2",
        ] {
            std::fs::write(&path, two).unwrap();
            let Err(failure) = read_number(Some(&path)) else {
                unreachable!("two lines")
            };
            assert_eq!(failure.exit_code(), 2);
            assert!(
                failure.to_string().contains("more than one line"),
                "{failure}"
            );
        }
        std::fs::write(&path, "").unwrap();
        assert!(read_number(Some(&path)).is_err());
    }

    #[test]
    fn a_wrong_number_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "123456789010\n").unwrap();
        let Err(failure) = read_number(Some(&path)) else {
            unreachable!("the check digit is wrong")
        };
        assert_eq!(failure.exit_code(), 2);
        assert!(!failure.to_string().contains("1234"));
        std::fs::write(&path, "123456789018\n").unwrap();
        assert!(read_number(Some(&path)).is_ok());
    }
}
