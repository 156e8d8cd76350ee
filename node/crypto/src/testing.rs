//! What this room's tests share.

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use vrx_domain::{Random, Tenant, TenantId};

use crate::Keyring;

/// Randomness that repeats: SHA-256 of seed and counter.
pub(crate) struct Seeded(Mutex<(u64, u64)>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new((seed, 0)))
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock();
        for chunk in bytes.chunks_mut(32) {
            state.1 += 1;
            let block = Sha256::digest([state.0.to_be_bytes(), state.1.to_be_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// A tenant's id made of one byte.
pub(crate) fn tenant(byte: u8) -> TenantId {
    TenantId::from_bytes([byte; 16])
}

/// A keyring of a tenant made of one byte; the keys follow from the byte.
pub(crate) fn keyring(byte: u8) -> Keyring {
    let tenant = Tenant {
        id: tenant(byte),
        code: "142051".parse().unwrap(),
    };
    Keyring::create(&tenant, &Seeded::new(u64::from(byte)))
        .ok()
        .unwrap()
}
