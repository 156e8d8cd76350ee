//! How often each key has sealed.
//!
//! Nonces are random, so a key may seal at most 2^32 times before a repeated nonce stops being absurd. A file beside the
//! keyring says how many seals of each key are accounted for, by all processes together. A process reserves a block of
//! 2^24 there, synced, before it uses the first of it; what it didn't use it gives back on a clean close. After a crash the
//! rest of the block is lost, which errs on the safe side.
//!
//! The file holds sums, not places: a process adds what it reserves and subtracts what it gives back, each time to what
//! stands there, under the lock of a file beside it. So any number of processes may share a folder of keyrings, and give
//! back in any order. What they must not do is to work with copies of it: copies count apart.

mod file;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::file::{Line, lock, read, replace};
use crate::error::CryptoError;
use crate::keys::{KeyId, KeyKind};

const LACKS_A_KEY: CryptoError =
    CryptoError::Malformed("the count of seals lacks a key of the keyring");

/// The count of seals of all keys of one keyring that seal under random nonces.
pub struct SealCounter {
    /// Where it is kept; `None` until the keyring is saved: counted in memory alone.
    file: Mutex<Option<PathBuf>>,
    counts: Vec<Count>,
}

/// One key's count in this process. All but `taken` changes under the lock of [`SealCounter::file`] alone.
struct Count {
    kind: KeyKind,
    id: KeyId,
    /// Tickets that seals of this process took, from 0.
    taken: AtomicU64,
    /// The tickets below this one are accounted for.
    reserved: AtomicU64,
    /// What all processes together have accounted for, when this one last looked; its own reservation among it.
    total: AtomicU64,
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
        let counts: Vec<Count> = read(path)?.iter().map(Count::of).collect();
        if !keys
            .iter()
            .all(|(kind, id)| counts.iter().any(|count| count.is(*kind, *id)))
        {
            return Err(LACKS_A_KEY);
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

    /// From now on the count is kept in this file. What other processes have accounted for there stands.
    pub(crate) fn keep_in(&self, path: &Path) -> Result<(), CryptoError> {
        let mut file = self.file.lock();
        let _lock = lock(path)?;
        let is_kept_there = file.as_deref() == Some(path);
        let mut lines = match read(path) {
            Ok(lines) => lines,
            Err(error) if is_kept_there => return Err(error),
            // This keyring was never counted there: what its keys have sealed is in memory.
            Err(_) => Vec::new(),
        };
        for count in &self.counts {
            let unused = count.give_back();
            let own = count.total().saturating_sub(unused);
            match lines.iter_mut().find(|line| count.is(line.kind, line.id)) {
                Some(line) if is_kept_there => line.seals = line.seals.saturating_sub(unused),
                Some(line) => line.seals = line.seals.max(own),
                None => lines.push(Line {
                    kind: count.kind,
                    id: count.id,
                    seals: own,
                }),
            }
        }
        replace(path, &lines)?;
        self.look_at(&lines);
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
        let ticket = count.taken.fetch_add(1, Ordering::SeqCst);
        if ticket < count.reserved.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.reserve(count, ticket)
    }

    /// How often a key has sealed, as far as this process knows: what others reserved counts as used.
    pub fn used(&self, kind: KeyKind, id: KeyId) -> Option<u64> {
        let _file = self.file.lock();
        let count = self.counts.iter().find(|count| count.is(kind, id))?;
        let reserved = count.reserved.load(Ordering::SeqCst);
        let taken = count.taken.load(Ordering::SeqCst).min(reserved);
        Some(count.total().saturating_sub(reserved - taken))
    }

    /// Gives back what this process reserved and didn't use, whatever others reserved meanwhile. Sealing after it reserves
    /// again.
    pub(crate) fn close(&self) -> Result<(), CryptoError> {
        let file = self.file.lock();
        let unused: Vec<_> = self
            .counts
            .iter()
            .map(|count| (count, count.give_back()))
            .filter(|(_, unused)| *unused > 0)
            .collect();
        let Some(path) = file.as_deref() else {
            for (count, unused) in unused {
                count.total.fetch_sub(unused, Ordering::SeqCst);
            }
            return Ok(());
        };
        if unused.is_empty() {
            return Ok(());
        }
        let _lock = lock(path)?;
        let mut lines = read(path)?;
        for (count, unused) in unused {
            let line = count.line_of(&mut lines)?;
            line.seals = line.seals.saturating_sub(unused);
        }
        replace(path, &lines)?;
        self.look_at(&lines);
        Ok(())
    }

    fn reserve(&self, count: &Count, ticket: u64) -> Result<(), CryptoError> {
        let file = self.file.lock();
        let reserved = count.reserved.load(Ordering::SeqCst);
        if ticket < reserved {
            return Ok(()); // Another thread reserved while this one waited.
        }
        match file.as_deref() {
            None => {
                let total = count.total();
                let more = count.more(total, ticket - reserved)?;
                count.total.store(total + more, Ordering::SeqCst);
                count.reserved.store(reserved + more, Ordering::SeqCst);
            }
            Some(path) => {
                let _lock = lock(path)?;
                let mut lines = read(path)?;
                let line = count.line_of(&mut lines)?;
                let more = count.more(line.seals, ticket - reserved)?;
                line.seals += more;
                // Synced before the first seal of the block: the ticket is spent even when this fails.
                replace(path, &lines)?;
                count.reserved.store(reserved + more, Ordering::SeqCst);
                self.look_at(&lines);
            }
        }
        Ok(())
    }

    fn look_at(&self, lines: &[Line]) {
        for count in &self.counts {
            if let Some(line) = lines.iter().find(|line| count.is(line.kind, line.id)) {
                count.total.store(line.seals, Ordering::SeqCst);
            }
        }
    }
}

impl Count {
    fn new(kind: KeyKind, id: KeyId, total: u64) -> Self {
        Self {
            kind,
            id,
            taken: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            total: AtomicU64::new(total),
        }
    }

    fn of(line: &Line) -> Self {
        Self::new(line.kind, line.id, line.seals)
    }

    fn is(&self, kind: KeyKind, id: KeyId) -> bool {
        self.kind == kind && self.id == id
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::SeqCst)
    }

    fn line_of<'a>(&self, lines: &'a mut [Line]) -> Result<&'a mut Line, CryptoError> {
        lines
            .iter_mut()
            .find(|line| self.is(line.kind, line.id))
            .ok_or(LACKS_A_KEY)
    }

    /// How many seals to reserve on top of `total`, when so many tickets were taken in vain before the one that waits.
    fn more(&self, total: u64, in_vain: u64) -> Result<u64, CryptoError> {
        let left = SealCounter::LIMIT.saturating_sub(total);
        if left <= in_vain {
            return Err(CryptoError::Exhausted(self.kind, self.id));
        }
        Ok((in_vain + SealCounter::BLOCK).min(left))
    }

    /// Lowers the reservation to what is taken; says how much of it that gives back.
    fn give_back(&self) -> u64 {
        // Zero first: a seal counted after the look at `taken` finds no reservation and waits for the lock.
        let reserved = self.reserved.swap(0, Ordering::SeqCst);
        let taken = self.taken.load(Ordering::SeqCst).min(reserved);
        self.reserved.store(taken, Ordering::SeqCst);
        reserved - taken
    }
}
