//! C2SP signed-note with Ed25519: a text and, below an empty line, who signed it.

use std::fmt;

use crate::error::NoteError;
use crate::text::{base64, unbase64};
use crate::vkey::{VerifierKey, Vkey, is_key_name};

/// Longer notes are refused unread: 16 signatures of the largest assigned kind fit.
const MAX_NOTE: usize = 128 * 1024;
/// Most signature lines that are read.
const MAX_SIGNATURES: usize = 64;

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
        Ok(Self {
            text: text.to_owned(),
            signatures: parse_lines(lines)?,
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
        let mut signed = false;
        for line in self.by(key) {
            key.check(self.text.as_bytes(), &line.signature)?;
            signed = true;
        }
        if signed {
            Ok(())
        } else {
            Err(NoteError::NotSigned)
        }
    }

    /// The same text with one more signature below; a line that stands there already isn't repeated.
    #[must_use]
    pub fn with(mut self, signature: NoteSignature) -> Self {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
        self
    }

    /// The same text with those of its signatures that `keep` is true of.
    #[must_use]
    pub fn retain(mut self, keep: impl FnMut(&NoteSignature) -> bool) -> Self {
        self.signatures.retain(keep);
        self
    }

    /// The signature lines that name `key`, in their order.
    pub(crate) fn by<const TYPE: u8>(
        &self,
        key: &Vkey<TYPE>,
    ) -> impl Iterator<Item = &NoteSignature> {
        self.signatures
            .iter()
            .filter(|line| line.name == key.name() && line.key_hash == key.key_hash())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| write!(f, "{line}"))
    }
}

impl NoteSignature {
    /// Parses signature lines that stand alone, each with its newline: what a witness answers.
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("the last line doesn't end"))?;
        parse_lines(lines)
    }
}

impl fmt::Display for NoteSignature {
    /// The whole line, with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_hash.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.signature);
        writeln!(f, "\u{2014} {} {}", self.name, base64(&bytes))
    }
}

/// Signs `text` (which ends in a newline) with the private half of `key`, held by the caller.
pub fn sign_note(text: &str, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> String {
    let line = NoteSignature {
        name: key.name().to_owned(),
        key_hash: key.key_hash(),
        signature: sign(text.as_bytes()).to_vec(),
    };
    format!("{text}\n{line}")
}

fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let signatures: Vec<_> = lines
        .split('\n')
        .take(MAX_SIGNATURES + 1)
        .map(parse_signature)
        .collect::<Result<_, _>>()?;
    if signatures.len() > MAX_SIGNATURES {
        return Err(NoteError::Malformed("it has too many signatures"));
    }
    Ok(signatures)
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
    fn malformed_notes_are_refused() {
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
    }
}
