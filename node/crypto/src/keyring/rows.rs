//! Rows that belong to no person: under the record key itself, or under a key of their own that is wrapped.

use vrx_domain::{EntryId, InquiryId, Random};
use zeroize::Zeroizing;

use super::{Keyring, SealedOpening};
use crate::context::{Context, NO_OWNER, Place};
use crate::envelope::{Cipher, NONCE, Sealed, key_id};
use crate::error::CryptoError;
use crate::key_set::Version;
use crate::keys::KeyKind;
use crate::person_key::ONLY_VERSION;
use crate::secret::SecretKey;

/// # Rows that belong to no person
impl Keyring {
    /// Seals a log entry's opening under a key of its own, wrapped by the log key.
    pub fn seal_opening(
        &self,
        random: &dyn Random,
        entry: EntryId,
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        let wrapping = self.log.active();
        self.seals.take(KeyKind::Log, wrapping.id)?;
        let contexts = (Context::OpeningKey, Context::Opening);
        self.seal_under_own_key(random, wrapping, contexts, entry.as_bytes(), plaintext)
    }

    /// Opens a log entry's opening.
    pub fn open_opening(
        &self,
        entry: EntryId,
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(wrapped_key)
            .and_then(|id| self.log.opener(id))
            .ok_or(CryptoError::Open)?;
        let contexts = (Context::OpeningKey, Context::Opening);
        self.open_under_own_key(version, contexts, entry.as_bytes(), wrapped_key, body)
    }

    /// Seals an inquiry (照会) under a key of its own, wrapped by the record key.
    pub fn seal_inquiry(
        &self,
        random: &dyn Random,
        inquiry: InquiryId,
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        let wrapping = self.record.active();
        self.seals.take(KeyKind::Record, wrapping.id)?;
        let contexts = (Context::InquiryKey, Context::InquiryBody);
        self.seal_under_own_key(random, wrapping, contexts, inquiry.as_bytes(), plaintext)
    }

    /// Opens an inquiry.
    pub fn open_inquiry(
        &self,
        inquiry: InquiryId,
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(wrapped_key)
            .and_then(|id| self.record.opener(id))
            .ok_or(CryptoError::Open)?;
        let contexts = (Context::InquiryKey, Context::InquiryBody);
        self.open_under_own_key(version, contexts, inquiry.as_bytes(), wrapped_key, body)
    }

    /// Seals a small row of the tenant under the record key.
    pub fn seal_record(
        &self,
        random: &dyn Random,
        context: Context,
        row: [u8; 16],
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        self.seal_record_of(random, context, &row, &NO_OWNER, plaintext)
    }

    /// Opens a small row of the tenant.
    pub fn open_record(
        &self,
        context: Context,
        row: [u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.open_record_of(context, &row, &NO_OWNER, sealed)
    }

    pub(super) fn seal_record_of(
        &self,
        random: &dyn Random,
        context: Context,
        row: &[u8; 16],
        owner: &[u8; 16],
        plaintext: &[u8],
    ) -> Result<Sealed, CryptoError> {
        let active = self.record.active();
        self.seals.take(KeyKind::Record, active.id)?;
        let place = Place {
            tenant: &self.tenant,
            context,
            row,
            owner,
        };
        active.prepared.seal(active.id, random, &place, plaintext)
    }

    pub(super) fn open_record_of(
        &self,
        context: Context,
        row: &[u8; 16],
        owner: &[u8; 16],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let version = key_id(sealed)
            .and_then(|id| self.record.opener(id))
            .ok_or(CryptoError::Open)?;
        version.prepared.open(
            &Place {
                tenant: &self.tenant,
                context,
                row,
                owner,
            },
            sealed,
        )
    }

    fn seal_under_own_key(
        &self,
        random: &dyn Random,
        wrapping: &Version<Cipher>,
        (key_context, body_context): (Context, Context),
        row: &[u8; 16],
        plaintext: &[u8],
    ) -> Result<SealedOpening, CryptoError> {
        // One draw for the key and both nonces: this runs for every log entry.
        let mut drawn = Zeroizing::new([0u8; 32 + 2 * NONCE]);
        random.fill(drawn.as_mut_slice());
        let too_short = CryptoError::Malformed("a draw of randomness");
        let (secret, nonces) = drawn
            .split_first_chunk::<32>()
            .ok_or_else(|| too_short.clone())?;
        let (key_nonce, rest) = nonces
            .split_first_chunk::<NONCE>()
            .ok_or_else(|| too_short.clone())?;
        let body_nonce = rest.first_chunk::<NONCE>().ok_or(too_short)?;
        let own = Cipher::new(&SecretKey::from_bytes(Zeroizing::new(*secret)));
        let place = |context| Place {
            tenant: &self.tenant,
            context,
            row,
            owner: &NO_OWNER,
        };
        Ok(SealedOpening {
            wrapped_key: wrapping.prepared.seal_with(
                wrapping.id,
                *key_nonce,
                &place(key_context),
                secret,
            )?,
            body: own.seal_with(ONLY_VERSION, *body_nonce, &place(body_context), plaintext)?,
        })
    }

    fn open_under_own_key(
        &self,
        wrapping: &Version<Cipher>,
        (key_context, body_context): (Context, Context),
        row: &[u8; 16],
        wrapped_key: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let place = |context| Place {
            tenant: &self.tenant,
            context,
            row,
            owner: &NO_OWNER,
        };
        let secret = secret_of(&wrapping.prepared.open(&place(key_context), wrapped_key)?)?;
        if key_id(body) != Some(ONLY_VERSION) {
            return Err(CryptoError::Open);
        }
        Cipher::new(&secret).open(&place(body_context), body)
    }
}

pub(super) fn secret_of(bytes: &[u8]) -> Result<SecretKey, CryptoError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| CryptoError::Open)?;
    Ok(SecretKey::from_bytes(Zeroizing::new(bytes)))
}
