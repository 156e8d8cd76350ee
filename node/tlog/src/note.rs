//! C2SP signed-note with Ed25519: a text and, below an empty line, who signed it.

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::error::NoteError;
use crate::text::{base64, unbase64};

/// Signature type of plain Ed25519 notes.
const ED25519: u8 = 0x01;
/// Longer notes are refused unread: 16 signatures of the largest assigned kind fit.
const MAX_NOTE: usize = 128 * 1024;
/// Most signature lines that are read.
const MAX_SIGNATURES: usize = 64;

/// A verifier key (vkey): the name, the short id and the Ed25519 public key that check a log's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_hash: u32,
    key: VerifyingKey,
}

impl VerifierKey {
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
            key_hash: key_hash(name, ED25519, public_key),
            key,
        })
    }

    /// Parses `<name>+<8 hexadecimal digits>+<base64(0x01 ‖ public key)>`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has the form name+id+key"));
        };
        let bytes = unbase64(key).ok_or(NoteError::Key("the key isn't base64"))?;
        let Some((&ED25519, public)) = bytes.split_first() else {
            return Err(NoteError::Key("the key isn't of type 1 (Ed25519)"));
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
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut typed = vec![ED25519];
        typed.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.key_hash, base64(&typed))
    }
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

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_hash: u32,
    /// The signature's bytes, of a length that its type knows.
    pub signature: Vec<u8>,
}

/// A note as it was read. Its text means nothing until [`SignedNote::verify`] agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Parses a note: the text is all above the last empty line, its final newline included.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError::Malformed("it is too long"));
        }
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("it has a control character"));
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Malformed(
            "no empty line stands before the signatures",
        ))?;
        let (text, below) = note.split_at(split + 1);
        let lines = below
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Malformed("the last line doesn't end"))?;
        let signatures: Vec<_> = lines
            .split('\n')
            .take(MAX_SIGNATURES + 1)
            .map(parse_signature)
            .collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed("it has too many signatures"));
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The signed text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, known or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks the signature of `key`; lines of other keys are passed over, a wrong one of this key refuses the note.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let mut mine = self
            .signatures
            .iter()
            .filter(|s| s.name == key.name && s.key_hash == key.key_hash)
            .peekable();
        if mine.peek().is_none() {
            return Err(NoteError::NotSigned);
        }
        for line in mine {
            let signature =
                Signature::from_slice(&line.signature).map_err(|_| NoteError::BadSignature)?;
            key.key
                .verify_strict(self.text.as_bytes(), &signature)
                .map_err(|_| NoteError::BadSignature)?;
        }
        Ok(())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|s| f.write_str(&signature_line(&s.name, s.key_hash, &s.signature)))
    }
}

/// Signs `text` (which ends in a newline) with the private half of `key`, held by the caller.
pub fn sign_note(text: &str, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let line = signature_line(&key.name, key.key_hash, &sign(text.as_bytes()));
    format!("{text}\n{line}")
}

fn signature_line(name: &str, key_hash: u32, signature: &[u8]) -> String {
    let mut bytes = key_hash.to_be_bytes().to_vec();
    bytes.extend_from_slice(signature);
    format!("\u{2014} {name} {}\n", base64(&bytes))
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let malformed = NoteError::Malformed("a signature line has the form: em dash, name, base64");
    let (name, encoded) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or(malformed)?;
    let bytes = unbase64(encoded).ok_or(malformed)?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or(malformed)?;
    if !is_key_name(name) || signature.is_empty() {
        return Err(malformed);
    }
    Ok(NoteSignature {
        name: name.to_owned(),
        key_hash: u32::from_be_bytes(*id),
        signature: signature.to_vec(),
    })
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    /// The example of the C2SP specification.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn signer() -> (SigningKey, VerifierKey) {
        let key = SigningKey::from_bytes(&[9; 32]);
        let vkey =
            VerifierKey::from_public_key("example.jp/log", key.verifying_key().as_bytes()).unwrap();
        (key, vkey)
    }

    #[test]
    fn the_specifications_example_verifies_and_is_written_back_the_same() {
        let key = VerifierKey::parse(VKEY).unwrap();
        let note = SignedNote::parse(NOTE).unwrap();
        assert_eq!(note.verify(&key), Ok(()));
        assert_eq!(note.text(), "This is an example message.\n");
        assert_eq!(
            (key.to_string().as_str(), note.to_string().as_str()),
            (VKEY, NOTE)
        );
    }

    #[test]
    fn an_own_signature_verifies_beside_unknown_ones() {
        let (key, vkey) = signer();
        let note = sign_note("a\n\nb\n", &vkey, |m| key.sign(m).to_bytes());
        let stranger = "\u{2014} other.example AAAAAQID\n\u{2014} example.jp/log AAAAAQID\n";
        let read = SignedNote::parse(&format!("{note}{stranger}")).unwrap();
        assert_eq!(read.text(), "a\n\nb\n");
        assert_eq!(read.verify(&vkey), Ok(()));
    }

    #[test]
    fn a_changed_text_or_signature_is_refused_and_a_missing_one_named() {
        let (key, vkey) = signer();
        let note = sign_note("text\n", &vkey, |m| key.sign(m).to_bytes());
        assert_eq!(
            SignedNote::parse(&note.replace("text", "tект"))
                .unwrap()
                .verify(&vkey),
            Err(NoteError::BadSignature)
        );
        assert_eq!(
            SignedNote::parse(NOTE).unwrap().verify(&vkey),
            Err(NoteError::NotSigned)
        );
        let wrong = sign_note("text\n", &vkey, |_| [0; 64]);
        assert_eq!(
            SignedNote::parse(&format!("{note}{}", wrong.rsplit_once("\n\n").unwrap().1))
                .unwrap()
                .verify(&vkey),
            Err(NoteError::BadSignature)
        );
    }

    #[test]
    fn malformed_notes_and_keys_are_refused() {
        for bad in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n\u{2014} a AAAAAQI=",
            "text\n\n- a AAAAAQID\n",
            "t\u{7}\n\n\u{2014} a AAAAAQID\n",
            "text\n\n\u{2014} a+b AAAAAQID\n",
            "text\n\n\u{2014} a AAAA\n",
            "text\n\n\u{2014}  AAAAAQID\n",
        ] {
            assert!(SignedNote::parse(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "a+b",
            &VKEY.replace("530d903a", "530D903A"),
            &VKEY.replace("530d903a", "530d903b"),
            &VKEY.replace("+Ae", "+Ai"),
            &VKEY[..VKEY.len() - 4],
            &VKEY.replace("/foo", "/f oo"),
        ] {
            assert!(VerifierKey::parse(bad).is_err(), "{bad:?}");
        }
    }
}
