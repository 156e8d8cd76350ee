//! The individual number (個人番号) on its way in: from the keyboard without being shown, from standard input, or from a file.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
};

use vrx_domain::IndividualNumber;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Reads one number and checks its digits.
pub(crate) fn read_number(file: Option<&Path>) -> Result<IndividualNumber, Failure> {
    let text = match file {
        Some(path) => read_line(
            &mut std::fs::File::open(path)
                .map_err(|error| Failure::file("読み込み", path, &error))?,
        )
        .map_err(|error| Failure::file("読み込み", path, &error))?,
        None if std::io::stdin().is_terminal() => prompt().map_err(|error| no_input(&error))?,
        None => read_line(&mut std::io::stdin().lock()).map_err(|error| no_input(&error))?,
    };
    // Editors on Windows begin a file with a byte order mark.
    let digits = text.trim_start_matches('\u{feff}').trim();
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

/// At most a line's worth of bytes, wiped when dropped.
fn read_line(input: &mut dyn std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    input.take(64).read_to_end(&mut bytes)?;
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(Zeroizing::new(String::from_utf8_lossy(line).into_owned()))
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
    use super::{read_line, read_number};

    #[test]
    fn the_number_is_the_first_line_of_what_is_read() {
        assert_eq!(
            read_line(&mut "123456789018\r\nmore".as_bytes())
                .unwrap()
                .trim(),
            "123456789018"
        );
        assert_eq!(read_line(&mut "".as_bytes()).unwrap().as_str(), "");
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
