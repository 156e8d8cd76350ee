//! C2SP tlog-cosignature, cosignature/v1: a witness says that, at a time, it saw this checkpoint continue all that it had seen of the log.
//!
//! What is signed is `cosignature/v1\ntime <seconds>\n` and the whole text of the checkpoint; the signature's bytes are the time as a
//! big-endian `u64` and the 64 bytes of Ed25519.

use crate::error::NoteError;
use crate::note::{NoteSignature, SignedNote};
use crate::vkey::WitnessKey;

/// No later time is ever cosigned: 2^63 - 1 seconds since 1970-01-01T00:00:00Z.
pub const LATEST: u64 = (1 << 63) - 1;

/// The bytes that a witness signs: `body` is the checkpoint's text with its final newline, `time` seconds since 1970.
pub fn cosigned_message(body: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{body}").into_bytes()
}

/// Cosigns a checkpoint's text at `time` with the private half of `key`, held by the caller. The line stands below the note as it prints.
/// A time of 0 would say that the witness knows none, and later than [`LATEST`] there is none: both are refused.
pub fn cosign(
    body: &str,
    key: &WitnessKey,
    time: u64,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<NoteSignature, NoteError> {
    if time == 0 || time > LATEST {
        return Err(NoteError::Time);
    }
    let mut signature = time.to_be_bytes().to_vec();
    signature.extend_from_slice(&sign(&cosigned_message(body, time)));
    Ok(NoteSignature {
        name: key.name().to_owned(),
        key_hash: key.key_hash(),
        signature,
    })
}

impl SignedNote {
    /// Checks the cosignature of `key` and says when it was given (seconds since 1970); of several the latest. Lines of other keys are
    /// passed over, a wrong one of this key refuses the note.
    pub fn cosigned(&self, key: &WitnessKey) -> Result<u64, NoteError> {
        let mut latest = None;
        for line in self.by(key) {
            latest = latest.max(Some(self.check_cosignature(key, &line.signature)?));
        }
        latest.ok_or(NoteError::NotSigned)
    }

    pub(crate) fn check_cosignature(
        &self,
        key: &WitnessKey,
        bytes: &[u8],
    ) -> Result<u64, NoteError> {
        let (time, signature) = bytes
            .split_first_chunk::<8>()
            .ok_or(NoteError::BadSignature)?;
        let time = u64::from_be_bytes(*time);
        if time > LATEST {
            return Err(NoteError::BadSignature);
        }
        key.check(&cosigned_message(self.text(), time), signature)?;
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    /// The example of the C2SP specification: what is signed, and the two lines below it.
    const BODY: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    const LINES: &str = "\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn witness(seed: u8) -> (SigningKey, WitnessKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = WitnessKey::from_public_key("w.example/1", key.verifying_key().as_bytes());
        (key, public.unwrap())
    }

    fn note(lines: &[NoteSignature]) -> SignedNote {
        let text: String = lines.iter().map(NoteSignature::to_string).collect();
        SignedNote::parse(&format!("{BODY}\n{text}")).unwrap()
    }

    #[test]
    fn the_signed_message_is_that_of_the_specification() {
        assert_eq!(
            cosigned_message(BODY, 1_679_315_147),
            format!("cosignature/v1\ntime 1679315147\n{BODY}").into_bytes()
        );
        // The example's second line carries that time.
        let lines = NoteSignature::parse_lines(LINES).unwrap();
        assert_eq!(lines[1].name, "witness.example.com/w1");
        assert_eq!(lines[1].key_hash, 0x8d66_cf3f);
        assert_eq!(lines[1].signature.len(), 72);
        assert_eq!(lines[1].signature[..8], 1_679_315_147_u64.to_be_bytes());
        assert_eq!(
            lines.iter().map(ToString::to_string).collect::<String>(),
            LINES
        );
    }

    #[test]
    fn a_cosignature_holds_beside_those_of_others_and_says_its_time() {
        let (key, public) = witness(1);
        let (_, other) = witness(2);
        let line = cosign(BODY, &public, 1_700_000_000, |m| key.sign(m).to_bytes()).unwrap();
        let later = cosign(BODY, &public, 1_700_000_009, |m| key.sign(m).to_bytes()).unwrap();
        let read = note(std::slice::from_ref(&line));
        assert_eq!(read.cosigned(&public), Ok(1_700_000_000));
        assert_eq!(read.cosigned(&other), Err(NoteError::NotSigned));
        let more = NoteSignature::parse_lines(LINES).unwrap();
        let both = more.into_iter().fold(read.with(later), SignedNote::with);
        assert_eq!(both.cosigned(&public), Ok(1_700_000_009));
        assert_eq!(both.signatures().len(), 4);
        assert_eq!(both.clone().with(line), both);
    }

    #[test]
    fn each_changed_bit_of_a_cosignature_is_refused() {
        let (key, public) = witness(1);
        let line = cosign(BODY, &public, 1_700_000_000, |m| key.sign(m).to_bytes()).unwrap();
        for bit in 0..line.signature.len() * 8 {
            let mut changed = line.clone();
            changed.signature[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                note(&[changed]).cosigned(&public),
                Err(NoteError::BadSignature),
                "{bit}"
            );
        }
        for length in [1, 8, 64, 71] {
            let mut cut = line.clone();
            cut.signature.truncate(length);
            assert_eq!(
                note(&[line.clone(), cut]).cosigned(&public),
                Err(NoteError::BadSignature)
            );
        }
        let text = note(&[line]).to_string().replace("20852163", "20852164");
        assert_eq!(
            SignedNote::parse(&text).unwrap().cosigned(&public),
            Err(NoteError::BadSignature)
        );
    }

    #[test]
    fn a_plain_signature_by_the_same_key_is_no_cosignature() {
        let (key, public) = witness(1);
        let plain = NoteSignature {
            name: public.name().to_owned(),
            key_hash: public.key_hash(),
            signature: key.sign(BODY.as_bytes()).to_bytes().to_vec(),
        };
        assert_eq!(
            note(&[plain]).cosigned(&public),
            Err(NoteError::BadSignature)
        );
    }

    #[test]
    fn times_that_no_witness_may_say_are_neither_signed_nor_believed() {
        let (key, public) = witness(1);
        for time in [0, LATEST + 1, u64::MAX] {
            let made = cosign(BODY, &public, time, |m| key.sign(m).to_bytes());
            assert_eq!(made, Err(NoteError::Time));
        }
        assert!(cosign(BODY, &public, LATEST, |m| key.sign(m).to_bytes()).is_ok());
        let mut signature = (LATEST + 1).to_be_bytes().to_vec();
        signature.extend(key.sign(&cosigned_message(BODY, LATEST + 1)).to_bytes());
        let line = NoteSignature {
            name: public.name().to_owned(),
            key_hash: public.key_hash(),
            signature,
        };
        assert_eq!(
            note(&[line]).cosigned(&public),
            Err(NoteError::BadSignature)
        );
    }
}
