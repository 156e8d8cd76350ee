//! C2SP tlog-proof: a receipt as one text file (`.tlog-proof`) that other people's tools verify.

use std::fmt;

use crate::checkpoint::Checkpoint;
use crate::error::{CheckpointError, ReceiptError};
use crate::hash::Hash;
use crate::proof::verify_inclusion;
use crate::text::{base64, parse_decimal, parse_hash, unbase64};
use crate::vkey::VerifierKey;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// No tree has more levels.
const MAX_PROOF: usize = 64;

/// An offline proof that an entry stands in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data for the application, not authenticated; here the leaf's 134 bytes, so that the file stands alone.
    pub extra: Option<Vec<u8>>,
    /// Place of the entry.
    pub index: u64,
    /// Audit path from the leaf up.
    pub inclusion_proof: Vec<Hash>,
    /// The log's checkpoint with all its signature lines, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Parses the text strictly.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(malformed("no empty line stands before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("the first line isn't c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines
            .next_if(|line| line.starts_with("extra "))
            .and_then(|line| line.strip_prefix("extra "))
        {
            Some(encoded) => {
                Some(unbase64(encoded).ok_or(malformed("the extra data isn't base64"))?)
            }
            None => None,
        };
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(parse_decimal);
        let index = index.ok_or(malformed("no index line"))?;
        let inclusion_proof: Vec<Hash> = lines
            .take(MAX_PROOF + 1)
            .map(|line| {
                parse_hash(line).ok_or(malformed("a line of the proof isn't a hash in base64"))
            })
            .collect::<Result<_, _>>()?;
        if inclusion_proof.len() > MAX_PROOF {
            return Err(malformed("the proof is longer than any tree is high"));
        }
        Ok(Self {
            extra,
            index,
            inclusion_proof,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Checks that the entry with `leaf_hash` stands in the log of `key`, whose name is the log's origin.
    pub fn verify(&self, leaf_hash: &Hash, key: &VerifierKey) -> Result<Checkpoint, ReceiptError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key, key.name())?;
        verify_inclusion(
            self.index,
            checkpoint.size,
            leaf_hash,
            &self.inclusion_proof,
            &checkpoint.root,
        )
        .map_err(ReceiptError::Inclusion)?;
        Ok(checkpoint)
    }
}

impl From<&crate::Receipt> for TlogProof {
    fn from(receipt: &crate::Receipt) -> Self {
        Self {
            extra: Some(receipt.leaf.to_vec()),
            index: receipt.log_index,
            inclusion_proof: receipt.inclusion_proof.clone(),
            checkpoint: receipt.checkpoint.clone(),
        }
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.inclusion_proof {
            writeln!(f, "{}", base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::sign_note;
    use ed25519_dalek::{Signer, SigningKey};

    fn sample() -> (TlogProof, VerifierKey, Hash) {
        let mut tree = crate::Tree::new();
        for i in 0..5_u8 {
            tree.append(crate::leaf_hash(&[i]));
        }
        let signing = SigningKey::from_bytes(&[6; 32]);
        let key =
            VerifierKey::from_public_key("example.jp/log", signing.verifying_key().as_bytes())
                .unwrap();
        let body = Checkpoint {
            origin: "example.jp/log".into(),
            size: 5,
            root: tree.root(),
        }
        .body();
        let proof = TlogProof {
            extra: Some(b"leaf".to_vec()),
            index: 2,
            inclusion_proof: tree.snapshot().inclusion(2, &crate::NoTiles).unwrap(),
            checkpoint: sign_note(&body, &key, |m| signing.sign(m).to_bytes()),
        };
        (proof, key, crate::leaf_hash(&[2]))
    }

    #[test]
    fn a_proof_is_read_back_from_its_text_and_holds() {
        let (proof, key, leaf) = sample();
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra bGVhZg==\nindex 2\n"));
        let read = TlogProof::parse(&text).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&leaf, &key).unwrap().size, 5);
        assert!(read.verify(&[0; 32], &key).is_err());
        let bare = TlogProof {
            extra: None,
            ..proof
        };
        assert_eq!(TlogProof::parse(&bare.to_string()).unwrap(), bare);
    }

    #[test]
    fn other_texts_are_refused() {
        let text = sample().0.to_string();
        for bad in [
            text.replace("@v1", "@v2"),
            text.replace("index 2", "index 02"),
            text.replace("index 2\n", ""),
            text.replace("index 2\n", "index 2\nindex 2\n"),
            text.replace("extra bGVhZg==", "extra bGVhZg="),
            text.replace("\n\n", "\n"),
            text.replace(
                "index 2\n",
                &format!("index 2\n{}", format!("{}\n", base64(&[0; 32])).repeat(70)),
            ),
        ] {
            assert!(TlogProof::parse(&bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_parser_panic_and_what_is_read_is_written_back(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z0-9+/=]{0,8}\n)?(index [0-9]{0,20}\n)?([A-Za-z0-9+/]{43}=\n){0,2}\n?.{0,40}(\n\n)?(\u{2014} [a-z]{0,3} [A-Za-z0-9+/]{0,12}\n)?") {
            if let Ok(proof) = TlogProof::parse(&text) {
                proptest::prop_assert_eq!(proof.to_string(), text.clone());
            }
            if let Ok(note) = crate::SignedNote::parse(&text) {
                proptest::prop_assert_eq!(note.to_string(), text.clone());
            }
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                proptest::prop_assert_eq!(checkpoint.body(), text.clone());
            }
            let _ = VerifierKey::parse(&text);
        }
    }
}
