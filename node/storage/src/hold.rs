//! 消去の保留 as a store keeps it: one row a person, with a hold for each matter. None of them ends or shortens another.

use vrx_crypto::{Context, Keyring};
use vrx_domain::{Date, Hold, PersonId, Random, Reference};

use crate::body::encode_hold;
use crate::{ChangeError, StorageError};

/// Holds in force of one person at most.
pub const HOLDS_MOST: usize = 100;

/// A person's holds with the tags of their log entries: those that stand, or one that is to be placed beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRecord {
    /// Whose records stay.
    pub person: PersonId,
    /// Why and how long: at least one, each of another reference, in the order in which they were placed.
    pub holds: Vec<Hold>,
    /// Subject tags of the person's entries, under every version of the tag key that was live.
    pub subjects: Vec<[u8; 32]>,
}

/// # A person's holds, the same in every database
impl HoldRecord {
    /// Whether any of them counts on a day.
    pub fn is_in_force(&self, today: Date) -> bool {
        self.holds.iter().any(|hold| hold.is_in_force(today))
    }

    /// Puts the holds of another record beside these. One of a reference that stands takes its place, and never ends earlier.
    pub(crate) fn join(&mut self, placed: &Self) -> Result<(), ChangeError> {
        for hold in &placed.holds {
            let same = |stands: &&mut Hold| stands.reference == hold.reference;
            match self.holds.iter_mut().find(same) {
                Some(stands) if !hold.lasts_as_long_as(stands) => {
                    return Err(ChangeError::State(LASTS_LONGER));
                }
                Some(stands) => stands.clone_from(hold),
                None => self.holds.push(hold.clone()),
            }
            let day = hold.placed_at.date_jst();
            self.holds.retain(|stands| stands.is_in_force(day));
        }
        if self.holds.len() > HOLDS_MOST {
            return Err(ChangeError::State(TOO_MANY));
        }
        for subject in &placed.subjects {
            if !self.subjects.contains(subject) {
                self.subjects.push(*subject);
            }
        }
        Ok(())
    }

    /// Takes one out by its reference.
    pub(crate) fn lift(&mut self, reference: &Reference) -> Result<(), ChangeError> {
        let before = self.holds.len();
        self.holds.retain(|hold| hold.reference != *reference);
        if self.holds.len() == before {
            return Err(ChangeError::NotFound(HOLD));
        }
        Ok(())
    }
}

/// Seals the body of a person's holds.
pub(crate) fn seal_hold(
    keyring: &Keyring,
    random: &dyn Random,
    record: &HoldRecord,
) -> Result<Vec<u8>, StorageError> {
    let plain = encode_hold(record)
        .map_err(|_| StorageError::Invalid("a field of the hold is too long"))?;
    keyring
        .seal_record(random, Context::Hold, *record.person.as_bytes(), &plain)
        .map(vrx_crypto::Sealed::into_bytes)
        .map_err(|error| StorageError::Keyring(error.to_string()))
}

/// What isn't there when nothing is lifted.
pub(crate) const HOLD: &str = "the hold";
/// Why a hold isn't placed again.
pub(crate) const LASTS_LONGER: &str =
    "a hold of this reference stands that ends later; lift it first to shorten it";
/// Why another hold isn't placed.
pub(crate) const TOO_MANY: &str = "100 holds of this person are in force already";

/// The holds that count on a day: whose, and the subjects of their entries.
pub fn in_force(holds: &[HoldRecord], today: Date) -> impl Iterator<Item = &HoldRecord> {
    holds.iter().filter(move |record| record.is_in_force(today))
}
