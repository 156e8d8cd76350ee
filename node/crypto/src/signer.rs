//! Ed25519 signatures of checkpoints and cosignatures.

use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::error::CryptoError;
use crate::key_set::Prepare;
use crate::secret::SecretKey;

/// A signing key, expanded once from its 32-byte seed.
pub(crate) struct Signer(Box<Ed25519KeyPair>);

impl Signer {
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0u8; 64];
        signature.copy_from_slice(self.0.sign(message).as_ref());
        signature
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        let mut key = [0u8; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }
}

impl Prepare for Signer {
    fn prepare(seed: &SecretKey) -> Result<Self, CryptoError> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .map(|pair| Self(Box::new(pair)))
            .map_err(|_| CryptoError::Malformed("not an Ed25519 seed"))
    }
}
