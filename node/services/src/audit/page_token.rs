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

/// Where a list goes on, and where it ends: both fixed by the first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next one to look at.
    pub(crate) next: u64,
    /// The first one not to look at.
    pub(crate) end: u64,
}

/// A token that goes on at `position`.
pub(crate) fn seal(
    keyring: &Keyring,
    random: &dyn Random,
    scope: &Scope,
    position: Position,
    now: UnixMillis,
) -> Result<Vec<u8>, ServiceError> {
    let mut plain = Vec::with_capacity(25);
    plain.push(1);
    plain.extend_from_slice(&position.next.to_be_bytes());
    plain.extend_from_slice(&position.end.to_be_bytes());
    plain.extend_from_slice(&now.0.saturating_add(LIFE_MS).to_be_bytes());
    keyring
        .seal_record(random, Context::PageToken, scope.row, &plain)
        .map(vrx_crypto::Sealed::into_bytes)
        .map_err(|_| ServiceError::unavailable())
}

/// The position in `token`; none for the empty token of a first page.
pub(crate) fn open(
    keyring: &Keyring,
    scope: &Scope,
    token: &[u8],
    now: UnixMillis,
) -> Result<Option<Position>, ServiceError> {
    const REFUSED: ServiceError = ServiceError::InvalidArgument {
        field: "page_token",
        why: "isn't a current token of this caller and query",
    };
    if token.is_empty() {
        return Ok(None);
    }
    let plain = keyring
        .open_record(Context::PageToken, scope.row, token)
        .map_err(|_| REFUSED)?;
    let (version, rest) = plain.split_first().ok_or(REFUSED)?;
    let (next, rest) = rest.split_first_chunk::<8>().ok_or(REFUSED)?;
    let (end, rest) = rest.split_first_chunk::<8>().ok_or(REFUSED)?;
    let (expires, rest) = rest.split_first_chunk::<8>().ok_or(REFUSED)?;
    if *version != 1 || !rest.is_empty() || now.0 > u64::from_be_bytes(*expires) {
        return Err(REFUSED);
    }
    Ok(Some(Position {
        next: u64::from_be_bytes(*next),
        end: u64::from_be_bytes(*end),
    }))
}

/// The size of a page: what was asked, 50 by default, 500 at most.
pub(crate) fn page_size(asked: u32) -> usize {
    match asked {
        0 => 50,
        asked => usize::try_from(asked.min(500)).unwrap_or(500),
    }
}

#[cfg(test)]
mod tests {
    use vrx_domain::{Role, SpiffeId, Tenant, TenantId};

    use super::*;
    use crate::testing::Seeded;

    fn caller(name: &str) -> Caller {
        let id = SpiffeId::new(
            "vrx.example",
            "142051".parse().unwrap(),
            Role::Officer,
            Some(name),
        );
        Caller {
            id: id.unwrap(),
            fingerprint: [1; 32],
            spki: [2; 32],
        }
    }

    fn keyring(byte: u8) -> Keyring {
        let tenant = Tenant {
            id: TenantId::from_bytes([byte; 16]),
            code: "142051".parse().unwrap(),
        };
        Keyring::create(&tenant, &Seeded::new(7)).unwrap()
    }

    #[test]
    fn a_token_serves_only_its_tenant_caller_and_query_and_only_for_a_while() {
        let (keyring_a, now) = (keyring(1), UnixMillis(1_000_000));
        let scope = Scope::new(&caller("a"), "list", b"q");
        let position = Position { next: 5, end: 9 };
        let token = seal(&keyring_a, &Seeded::new(1), &scope, position, now).unwrap();
        assert_eq!(open(&keyring_a, &scope, &token, now), Ok(Some(position)));
        assert_eq!(open(&keyring_a, &scope, &[], now), Ok(None));
        let later = UnixMillis(now.0 + LIFE_MS);
        assert_eq!(open(&keyring_a, &scope, &token, later), Ok(Some(position)));
        let refused = |result: Result<Option<Position>, ServiceError>| {
            matches!(
                result,
                Err(ServiceError::InvalidArgument {
                    field: "page_token",
                    ..
                })
            )
        };
        assert!(refused(open(
            &keyring_a,
            &scope,
            &token,
            UnixMillis(later.0 + 1)
        )));
        assert!(refused(open(
            &keyring_a,
            &Scope::new(&caller("b"), "list", b"q"),
            &token,
            now
        )));
        assert!(refused(open(
            &keyring_a,
            &Scope::new(&caller("a"), "list", b"r"),
            &token,
            now
        )));
        assert!(refused(open(
            &keyring_a,
            &Scope::new(&caller("a"), "other", b"q"),
            &token,
            now
        )));
        assert!(refused(open(&keyring(2), &scope, &token, now)));
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert!(refused(open(&keyring_a, &scope, &changed, now)));
        }
    }
}
