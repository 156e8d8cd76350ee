//! The room of keys: everything that seals, opens, tags or signs for one tenant.
//!
//! What may live here: the envelope and its associated data, person keys, tags, signers, the keyring and its file, the
//! root key, the count of seals. What may not: tables, sockets, rules about who sees what.
//!
//! Start reading at [`Keyring`]: it is the only way to a key. [`Sealed`] is what lands in a column, [`Context`] names
//! the columns, [`Tags`] find a row without showing what it holds.
//!
//! To seal one more kind of row: add a [`Context`] with its label (labels are on disk and never change), then seal it
//! under the person's key ([`PersonKey::seal`]) or, for rows of the tenant, under the record key
//! ([`Keyring::seal_record`]). To add a key: one more [`KeyKind`], and a field of [`Keyring`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod context;
mod durable;
mod envelope;
mod error;
mod key_set;
mod keyring;
mod keys;
mod person_key;
mod random;
mod root_key;
mod seals;
mod secret;
mod signer;
mod tag;

pub use context::Context;
pub use envelope::Sealed;
pub use error::CryptoError;
pub use keyring::{Keyring, PendingKeyring, SealedOpening};
pub use keys::{KeyId, KeyKind, KeyState};
pub use person_key::PersonKey;
pub use random::{Drawn, SystemRandom};
pub use root_key::RootKey;
pub use seals::SealCounter;
pub use secret::SecretKey;
pub use tag::{Tag, TagKind, Tags};

#[cfg(test)]
mod testing;
