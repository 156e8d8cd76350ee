//! Names of keys: what a key is for, which version, and in which state of its life.

use std::fmt;

/// The version of a key of one kind. It stands in the header of every ciphertext. Counted from 1; 0 is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a key of the keyring is for. The numbers are in the keyring file and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// HMAC-SHA256 of the values rows are found by.
    Tag = 1,
    /// One half of the key that seals an individual number (個人番号); the person's key is the other.
    Number = 2,
    /// Wraps person keys and inquiry keys, seals small rows of the tenant.
    Record = 3,
    /// Wraps the keys of the provision log's openings.
    Log = 4,
    /// Ed25519: signs this tenant's checkpoints.
    LogSigning = 5,
    /// Ed25519: cosigns the checkpoints of others; apart from the log's own signature.
    Witness = 6,
}

impl KeyKind {
    /// All kinds, in the order of the keyring file.
    pub const ALL: [Self; 6] = [
        Self::Tag,
        Self::Number,
        Self::Record,
        Self::Log,
        Self::LogSigning,
        Self::Witness,
    ];

    /// The word for it in files, messages and the count of seals.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Number => "number",
            Self::Record => "record",
            Self::Log => "log",
            Self::LogSigning => "log-signing",
            Self::Witness => "witness",
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The life of a key: pending -> active -> retired -> destroyed, never back. The numbers are in the keyring file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, but its recovery copy isn't proved yet: seals nothing.
    Pending = 1,
    /// The one that seals, tags and signs.
    Active = 2,
    /// Seals no more, still opens and still tags.
    Retired = 3,
    /// Its bytes are gone; only its id is remembered, so that it is never given out again.
    Destroyed = 4,
}

impl KeyState {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Retired, Self::Destroyed]
            .into_iter()
            .find(|state| *state as u8 == byte)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Destroyed => "destroyed",
        })
    }
}
