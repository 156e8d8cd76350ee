//! C2SP verifier keys (vkey): one line with a name, a short id, a signature type and an Ed25519 public key.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::error::NoteError;
use crate::text::{base64, unbase64};

/// Signature type of plain Ed25519 notes: what a log signs its checkpoints with.
const ED25519: u8 = 0x01;
/// Signature type of timestamped Ed25519 cosignatures: what a witness signs with.
const COSIGNATURE_V1: u8 = 0x04;

/// The key of a log: it checks the log's checkpoints, and its name is the log's origin.
pub type VerifierKey = Vkey<ED25519>;
/// The key of a witness: it checks cosignatures (cosignature/v1).
pub type WitnessKey = Vkey<COSIGNATURE_V1>;

/// A verifier key for signatures of one type. Keys of another type aren't read as this one: a witness's signature is no log's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vkey<const TYPE: u8> {
    name: String,
    key_hash: u32,
    key: VerifyingKey,
}

impl<const TYPE: u8> Vkey<TYPE> {
    /// The verifier key of a public key under a name (for a log: its origin).
    pub fn from_public_key(name: &str, public_key: &[u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key(
                "the name is empty or has a space, a control character or a plus sign",
            ));
        }
        let key = VerifyingKey::from_bytes(public_key)
            .map_err(|_| NoteError::Key("not an Ed25519 public key"))?;
        Ok(Self {
            name: name.to_owned(),
            key_hash: key_hash(name, TYPE, public_key),
            key,
        })
    }

    /// Parses `<name>+<8 hexadecimal digits>+<base64(type ‖ public key)>`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has the form name+id+key"));
        };
        let bytes = unbase64(key).ok_or(NoteError::Key("the key isn't base64"))?;
        let public = match bytes.split_first() {
            Some((found, public)) if *found == TYPE => public,
            Some((&ED25519, _)) => {
                return Err(NoteError::Key("it is a log's key, a witness's is wanted"));
            }
            Some((&COSIGNATURE_V1, _)) => {
                return Err(NoteError::Key("it is a witness's key, a log's is wanted"));
            }
            _ => {
                return Err(NoteError::Key(
                    "its type is neither 1 (Ed25519, a log) nor 4 (cosignature/v1, a witness)",
                ));
            }
        };
        let public: &[u8; 32] = public
            .try_into()
            .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let made = Self::from_public_key(name, public)?;
        if id.len() != 8 || id != format!("{:08x}", made.key_hash) {
            return Err(NoteError::Key("the id isn't that of name and key"));
        }
        Ok(made)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's short id.
    pub fn key_hash(&self) -> u32 {
        self.key_hash
    }

    /// The 32 bytes of the Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Checks an Ed25519 signature over `message`.
    pub(crate) fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        let signature = Signature::from_slice(signature).map_err(|_| NoteError::BadSignature)?;
        self.key
            .verify_strict(message, &signature)
            .map_err(|_| NoteError::BadSignature)
    }
}

impl<const TYPE: u8> fmt::Display for Vkey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![TYPE];
        typed.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.key_hash, base64(&typed))
    }
}

/// The name of a municipality's witness key: `<trust domain>/municipality/<code>/witness`.
pub fn witness_name(trust_domain: &str, municipality: &str) -> String {
    format!("{trust_domain}/municipality/{municipality}/witness")
}

/// Key id: the first four bytes of `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`.
pub fn key_hash(name: &str, alg: u8, public_key: &[u8]) -> u32 {
    let mut sha = Sha256::new();
    sha.update(name.as_bytes());
    sha.update([b'\n', alg]);
    sha.update(public_key);
    let hash: [u8; 32] = sha.finalize().into();
    hash.first_chunk::<4>()
        .map_or(0, |id| u32::from_be_bytes(*id))
}

/// A key's name: not empty, without Unicode spaces, plus signs and ASCII control characters.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c < ' ' || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the C2SP signed-note specification.
    const LOG: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    /// A public witness's key, as transparency-dev/formats has it in its tests.
    const WITNESS: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

    #[test]
    fn keys_of_the_wild_are_read_and_written_back_the_same() {
        let log = VerifierKey::parse(LOG).unwrap();
        assert_eq!(
            (log.name(), log.key_hash()),
            ("example.com/foo", 0x530d_903a)
        );
        assert_eq!(log.to_string(), LOG);
        let witness = WitnessKey::parse(WITNESS).unwrap();
        assert_eq!(witness.to_string(), WITNESS);
        assert_eq!(
            WitnessKey::from_public_key("remora.n621.de", &witness.public_key()),
            Ok(witness)
        );
    }

    #[test]
    fn a_logs_key_is_no_witnesss_and_the_other_way_round() {
        assert_eq!(
            WitnessKey::parse(LOG),
            Err(NoteError::Key("it is a log's key, a witness's is wanted"))
        );
        assert_eq!(
            VerifierKey::parse(WITNESS),
            Err(NoteError::Key("it is a witness's key, a log's is wanted"))
        );
    }

    #[test]
    fn malformed_keys_are_refused() {
        for bad in [
            "",
            "a+b",
            &LOG.replace("530d903a", "530D903A"),
            &LOG.replace("530d903a", "530d903b"),
            &LOG.replace("530d903a", "30d903a"),
            &LOG.replace("+Ae", "+Ai"),
            &LOG[..LOG.len() - 4],
            &LOG.replace("/foo", "/f oo"),
            &LOG.replace("/foo", "/f\u{3000}oo"),
            &LOG.replace("example.com/foo", ""),
            &format!("{LOG}\n"),
        ] {
            assert!(VerifierKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
