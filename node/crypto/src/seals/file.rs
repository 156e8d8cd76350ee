//! The count on disk: `vrx-seals 1`, then a line `<kind> <key id> <seals>` for each key; and the lock beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::SealCounter;
use crate::durable;
use crate::error::CryptoError;
use crate::keys::{KeyId, KeyKind};

const TITLE: &str = "vrx-seals 1";
/// How often the lock is tried, with this pause: whoever holds it only replaces one small file.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// One key's line.
pub(super) struct Line {
    pub(super) kind: KeyKind,
    pub(super) id: KeyId,
    /// Seals accounted for by all processes.
    pub(super) seals: u64,
}

/// Keeps other processes away from the file until it is dropped. The lock is of a file of its own, because the file itself
/// is replaced.
#[expect(
    clippy::disallowed_methods,
    reason = "a lock of the file system wakes nobody; the wait is bounded"
)]
pub(super) fn lock(path: &Path) -> Result<File, CryptoError> {
    let beside = path.with_extension("seals.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(CryptoError::io("open", &beside))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(CryptoError::io("lock", &beside)(error));
            }
        }
    }
    let held = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "another process holds it; see which one hangs",
    );
    Err(CryptoError::io("lock", &beside)(held))
}

pub(super) fn read(path: &Path) -> Result<Vec<Line>, CryptoError> {
    let text = std::fs::read_to_string(path).map_err(CryptoError::io("read", path))?;
    parse(&text).ok_or(CryptoError::Malformed(
        "the count of seals beside the keyring",
    ))
}

/// Puts these lines in the place of the file, durably.
pub(super) fn replace(path: &Path, lines: &[Line]) -> Result<(), CryptoError> {
    let lines = lines
        .iter()
        .map(|line| format!("{} {} {}\n", line.kind, line.id, line.seals));
    let text = format!("{TITLE}\n{}", lines.collect::<String>());
    durable::replace(path, text.as_bytes())
}

fn parse(text: &str) -> Option<Vec<Line>> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != TITLE {
        return None;
    }
    let mut parsed: Vec<Line> = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let kind = KeyKind::from_word(words.next()?)?;
        let id = KeyId(words.next()?.parse().ok()?);
        let seals: u64 = words.next()?.parse().ok()?;
        if words.next().is_some()
            || seals > SealCounter::LIMIT
            || parsed.iter().any(|line| line.kind == kind && line.id == id)
        {
            return None;
        }
        parsed.push(Line { kind, id, seals });
    }
    Some(parsed)
}
