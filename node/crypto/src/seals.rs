//! How often each key has sealed.
//!
//! Nonces are random, so a key may seal at most 2^32 times before a repeated nonce stops being absurd. A file beside the
//! keyring says up to where each key's seals are accounted for. A process reserves a block of 2^24 there, synced, before
//! it uses the first of it; what it didn't use it gives back on a clean close. After a crash the rest of the block is
//! lost, which errs on the safe side.
//!
//! The file is text: `vrx-seals 1`, then a line `<kind> <key id> <seals>` for each key.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::durable;
use crate::error::CryptoError;
use crate::keys::{KeyId, KeyKind};

const TITLE: &str = "vrx-seals 1";

/// The count of seals of all keys of one keyring that seal under random nonces.
pub struct SealCounter {
    /// Where it is kept; `None` until the keyring is saved: counted in memory alone.
    file: Mutex<Option<PathBuf>>,
    counts: Vec<Count>,
}

struct Count {
    kind: KeyKind,
    id: KeyId,
    used: AtomicU64,
    reserved: AtomicU64,
}

impl SealCounter {
    /// How many seals are reserved at once.
    pub const BLOCK: u64 = 1 << 24;
    /// How often a key may seal in its life.
    pub const LIMIT: u64 = 1 << 32;

    pub(crate) fn in_memory(
        keys: impl IntoIterator<Item = (KeyKind, KeyId)>,
        already: u64,
    ) -> Self {
        let counts = keys
            .into_iter()
            .map(|(kind, id)| Count::new(kind, id, already))
            .collect();
        Self {
            file: Mutex::new(None),
            counts,
        }
    }

    /// Reads the file beside a keyring. Every key that seals must stand in it.
    pub(crate) fn load(path: &Path, keys: &[(KeyKind, KeyId)]) -> Result<Self, CryptoError> {
        let text = std::fs::read_to_string(path).map_err(CryptoError::io("read", path))?;
        let counts = parse(&text).ok_or(CryptoError::Malformed(
            "the count of seals beside the keyring",
        ))?;
        if !keys
            .iter()
            .all(|(kind, id)| counts.iter().any(|count| count.is(*kind, *id)))
        {
            return Err(CryptoError::Malformed(
                "the count of seals lacks a key of the keyring",
            ));
        }
        Ok(Self {
            file: Mutex::new(Some(path.to_owned())),
            counts,
        })
    }

    /// Counts a key that is new.
    pub(crate) fn add(&mut self, kind: KeyKind, id: KeyId) {
        self.counts.push(Count::new(kind, id, 0));
    }

    /// From now on the count is kept in this file.
    pub(crate) fn keep_in(&self, path: &Path) -> Result<(), CryptoError> {
        let mut file = self.file.lock();
        for count in &self.counts {
            count.give_back();
        }
        durable::replace(path, self.text().as_bytes())?;
        *file = Some(path.to_owned());
        Ok(())
    }

    /// Accounts for one seal, before it is made.
    pub(crate) fn take(&self, kind: KeyKind, id: KeyId) -> Result<(), CryptoError> {
        let count = self
            .counts
            .iter()
            .find(|count| count.is(kind, id))
            .ok_or(CryptoError::UnknownKey(kind, id))?;
        let number = count.used.fetch_add(1, Ordering::SeqCst);
        if number < count.reserved.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.reserve(count, number)
    }

    /// How often a key has sealed, as far as this process knows.
    pub fn used(&self, kind: KeyKind, id: KeyId) -> Option<u64> {
        let count = self.counts.iter().find(|count| count.is(kind, id))?;
        Some(count.used.load(Ordering::SeqCst).min(Self::LIMIT))
    }

    /// Gives back what was reserved and not used. Sealing after it reserves again.
    pub(crate) fn close(&self) -> Result<(), CryptoError> {
        let file = self.file.lock();
        let mut changed = false;
        for count in &self.counts {
            changed |= count.give_back();
        }
        match file.as_deref() {
            Some(path) if changed => durable::replace(path, self.text().as_bytes()),
            _ => Ok(()),
        }
    }

    fn reserve(&self, count: &Count, number: u64) -> Result<(), CryptoError> {
        let exhausted = CryptoError::Exhausted(count.kind, count.id);
        if number >= Self::LIMIT {
            return Err(exhausted);
        }
        let file = self.file.lock();
        let before = count.reserved.load(Ordering::SeqCst);
        if number < before {
            return Ok(()); // Another thread reserved while this one waited.
        }
        let reserved = (before.max(number) + Self::BLOCK).min(Self::LIMIT);
        if let Some(path) = file.as_deref() {
            let text = self.text_with(|each| {
                if std::ptr::eq(each, count) {
                    reserved
                } else {
                    each.reserved.load(Ordering::SeqCst)
                }
            });
            // Synced before the first seal of the block: the number above is spent even when this fails.
            durable::replace(path, text.as_bytes())?;
        }
        count.reserved.store(reserved, Ordering::SeqCst);
        Ok(())
    }

    fn text(&self) -> String {
        self.text_with(|count| count.reserved.load(Ordering::SeqCst))
    }

    fn text_with(&self, seals: impl Fn(&Count) -> u64) -> String {
        let lines = self
            .counts
            .iter()
            .map(|count| format!("{} {} {}\n", count.kind, count.id, seals(count)));
        format!("{TITLE}\n{}", lines.collect::<String>())
    }
}

impl Count {
    fn new(kind: KeyKind, id: KeyId, used: u64) -> Self {
        Self {
            kind,
            id,
            used: AtomicU64::new(used),
            reserved: AtomicU64::new(used),
        }
    }

    fn is(&self, kind: KeyKind, id: KeyId) -> bool {
        self.kind == kind && self.id == id
    }

    /// Lowers the reservation to what is used; says whether anything had been reserved.
    fn give_back(&self) -> bool {
        // Zero first: a seal counted after the look at `used` finds no reservation and waits for the lock.
        let reserved = self.reserved.swap(0, Ordering::SeqCst);
        let used = self.used.load(Ordering::SeqCst).min(SealCounter::LIMIT);
        self.reserved.store(used, Ordering::SeqCst);
        reserved != used
    }
}

fn parse(text: &str) -> Option<Vec<Count>> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != TITLE {
        return None;
    }
    let mut counts: Vec<Count> = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let kind = KeyKind::from_word(words.next()?)?;
        let id = KeyId(words.next()?.parse().ok()?);
        let used: u64 = words.next()?.parse().ok()?;
        if words.next().is_some()
            || used > SealCounter::LIMIT
            || counts.iter().any(|count| count.is(kind, id))
        {
            return None;
        }
        counts.push(Count::new(kind, id, used));
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (KeyKind, KeyId) = (KeyKind::Record, KeyId(1));

    fn kept(path: &Path) -> u64 {
        SealCounter::load(path, &[KEY])
            .unwrap()
            .used(KEY.0, KEY.1)
            .unwrap()
    }

    fn counter(path: &Path, already: u64) -> SealCounter {
        let counter = SealCounter::in_memory([KEY], already);
        counter.keep_in(path).unwrap();
        counter
    }

    #[test]
    fn a_block_is_on_disk_before_its_first_seal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.seals");
        let counter = counter(&path, 0);
        assert_eq!(kept(&path), 0);
        counter.take(KEY.0, KEY.1).unwrap();
        assert_eq!(kept(&path), SealCounter::BLOCK);
    }

    #[test]
    fn a_crash_costs_the_block_and_a_clean_close_gives_the_rest_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.seals");
        let first = counter(&path, 0);
        first.take(KEY.0, KEY.1).unwrap();
        drop(first); // no close: a crash
        let second = SealCounter::load(&path, &[KEY]).unwrap();
        for _ in 0..3 {
            second.take(KEY.0, KEY.1).unwrap();
        }
        assert_eq!(kept(&path), 2 * SealCounter::BLOCK);
        second.close().unwrap();
        assert_eq!(kept(&path), SealCounter::BLOCK + 3);
        second.take(KEY.0, KEY.1).unwrap();
        assert_eq!(kept(&path), 2 * SealCounter::BLOCK + 3);
    }

    #[test]
    fn nothing_is_sealed_past_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.seals");
        let counter = counter(&path, SealCounter::LIMIT - 2);
        assert_eq!(counter.take(KEY.0, KEY.1), Ok(()));
        assert_eq!(counter.take(KEY.0, KEY.1), Ok(()));
        assert_eq!(
            counter.take(KEY.0, KEY.1),
            Err(CryptoError::Exhausted(KEY.0, KEY.1))
        );
        counter.close().unwrap();
        let again = SealCounter::load(&path, &[KEY]).unwrap();
        assert_eq!(
            again.take(KEY.0, KEY.1),
            Err(CryptoError::Exhausted(KEY.0, KEY.1))
        );
    }

    #[test]
    fn a_reservation_that_cannot_be_written_seals_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("t.seals");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let counter = counter(&path, 0);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(matches!(
            counter.take(KEY.0, KEY.1),
            Err(CryptoError::Io { .. })
        ));
    }

    #[test]
    fn threads_count_every_seal() {
        let counter = SealCounter::in_memory([KEY], 0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| counter.take(KEY.0, KEY.1).unwrap()));
            }
        });
        assert_eq!(counter.used(KEY.0, KEY.1), Some(4000));
    }

    #[test]
    fn a_file_in_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.seals");
        let texts = [
            "",
            "vrx-seals 1",
            "vrx-seals 2\nrecord 1 0\n",
            "vrx-seals 1\nrecord 1\n",
            "vrx-seals 1\n",
            "vrx-seals 1\nrecord 1 0\nrecord 1 0\n",
            "vrx-seals 1\nrecord 1 4294967297\n",
            "vrx-seals 1\nother 1 0\n",
        ];
        for text in texts {
            std::fs::write(&path, text).unwrap();
            assert!(
                matches!(
                    SealCounter::load(&path, &[KEY]),
                    Err(CryptoError::Malformed(_))
                ),
                "{text:?}"
            );
        }
    }
}
