//! Page tokens: where to go on, sealed to tenant, caller and query, with an end.
//!
//! The key belongs to the tenant, so a token of another tenant doesn't open; caller and query are hashed into the token's row
//! id, which is associated data, so a token of another caller or another query doesn't open either.

use sha2::{Digest, Sha256};
use vrx_crypto::{Context, Keyring};
use vrx_domain::{Caller, Random, UnixMillis};

use crate::error::ServiceError;

/// How long a token may be used.
const LIFE_MS: u64 = 15 * 60 * 1000;

/// What a token belongs to.
pub(crate) struct Scope {
    row: [u8; 16],
}

impl Scope {
    /// The scope of one verb's query by one caller. `query` must be an unambiguous encoding of all that shapes the list.
    pub(crate) fn new(caller: &Caller, verb: &str, query: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"vrx/page-token/1\0");
        for part in [caller.id.to_string().as_bytes(), verb.as_bytes(), query] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut row = [0; 16];
        row.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
        Self { row }
    }
}

/// A token that goes on at `position`.
pub(crate) fn seal(
    keyring: &Keyring,
    random: &dyn Random,
    scope: &Scope,
    position: u64,
    now: UnixMillis,
) -> Result<Vec<u8>, ServiceError> {
    let mut plain = Vec::with_capacity(17);
    plain.push(1);
    plain.extend_from_slice(&position.to_be_bytes());
    plain.extend_from_slice(&now.0.saturating_add(LIFE_MS).to_be_bytes());
    keyring
        .seal_record(random, Context::PageToken, scope.row, &plain)
        .map(vrx_crypto::Sealed::into_bytes)
        .map_err(|_| ServiceError::unavailable())
}

/// The position in `token`; 0 for the empty token of a first page.
pub(crate) fn open(
    keyring: &Keyring,
    scope: &Scope,
    token: &[u8],
    now: UnixMillis,
) -> Result<u64, ServiceError> {
    const REFUSED: ServiceError = ServiceError::InvalidArgument {
        field: "page_token",
        why: "isn't a current token of this caller and query",
    };
    if token.is_empty() {
        return Ok(0);
    }
    let plain = keyring
        .open_record(Context::PageToken, scope.row, token)
        .map_err(|_| REFUSED)?;
    let (version, rest) = plain.split_first().ok_or(REFUSED)?;
    let (position, rest) = rest.split_first_chunk::<8>().ok_or(REFUSED)?;
    let (expires, rest) = rest.split_first_chunk::<8>().ok_or(REFUSED)?;
    if *version != 1 || !rest.is_empty() || now.0 > u64::from_be_bytes(*expires) {
        return Err(REFUSED);
    }
    Ok(u64::from_be_bytes(*position))
}

/// The size of a page: what was asked, 50 by default, 500 at most.
pub(crate) fn page_size(asked: u32) -> usize {
    match asked {
        0 => 50,
        asked => usize::try_from(asked.min(500)).unwrap_or(500),
    }
}
