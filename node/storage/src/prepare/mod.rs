//! Turning accepted rows into sealed changes: compare with what stands, then seal. One file a kind of row.
//!
//! Knows no database: a backend reads [`Existing`] for the probes asked, gives it here, and gets a [`crate::Change`] back.

mod chunk;
mod doses;
mod persons;

use std::collections::HashMap;
use std::sync::Arc;

use vrx_crypto::{Keyring, Tag, TagKind, Tags};
use vrx_domain::{Dose, PersonId, Random, TenantId};

pub(crate) use chunk::{Probing, adoption_chunk, doses_chunk, inquiry_change, persons_chunk};
pub(crate) use persons::Sealer;

use crate::StorageError;
use crate::change::TagRow;
use crate::sealed::{DoseRevisionRow, PersonKeyRow, PersonRevisionRow};

/// Whom does a tag lead to? All live versions of one value.
pub(crate) struct Probe {
    pub(crate) kind: TagKind,
    pub(crate) tags: Tags,
}

/// Which of a person's rows a change is prepared against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Person,
    Doses,
}

/// What stands where the probes led.
pub(crate) struct Existing {
    /// In the order of the probes.
    pub(crate) found: Vec<Option<PersonId>>,
    /// Everybody found, once.
    pub(crate) persons: HashMap<PersonId, ExistingPerson>,
}

/// A person who stands already, with the newest revision of everything, entered or approved.
pub(crate) struct ExistingPerson {
    pub(crate) row: PersonKeyRow,
    pub(crate) newest: Option<PersonRevisionRow>,
    pub(crate) doses: Vec<DoseRevisionRow>,
}

/// What sealing needs.
pub(crate) struct Sealing<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) keyring: &'a Keyring,
    pub(crate) random: &'a dyn Random,
}

/// The same, owned: sealing a chunk takes milliseconds, which it spends on a thread for such work.
pub(crate) struct Keys {
    pub(crate) tenant: TenantId,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) random: Arc<dyn Random>,
}

impl Keys {
    pub(crate) fn sealing(&self) -> Sealing<'_> {
        Sealing {
            tenant: &self.tenant,
            keyring: &self.keyring,
            random: &*self.random,
        }
    }
}

/// The tag value of a voucher: the number is unique only where it was issued, so the place stands before it (six digits,
/// then ten).
pub(crate) fn voucher_value(dose: &Dose) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(
        format!("{:06}{}", dose.place.as_u32(), dose.voucher.as_str()).into_bytes(),
    )
}

/// Rows of `person_tag` for one value: one a live version of the tag key.
pub(crate) fn tag_rows(rows: &mut Vec<TagRow>, kind: TagKind, tags: &Tags, person: PersonId) {
    rows.extend(tags.live().map(|(key, tag)| TagRow {
        kind,
        key,
        tag,
        person,
    }));
}

/// Clustered tables take rows best in the order of their key.
fn sort_tags(rows: &mut [TagRow]) {
    rows.sort_by_key(|row| (row.kind as u8, row.key.0, row.tag.0));
}

fn active(tags: &Tags) -> Tag {
    tags.active().1
}

fn keyring_error(error: &vrx_crypto::CryptoError) -> StorageError {
    StorageError::Keyring(error.to_string())
}
