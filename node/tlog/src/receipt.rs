//! A receipt: what the one who asked keeps, and how it proves that the answer stands in the other side's log.

use crate::checkpoint::Checkpoint;
use crate::error::{ProofError, ReceiptError};
use crate::hash::{Hash, leaf_hash};
use crate::leaf::Leaf;
use crate::proof::{verify_consistency, verify_inclusion};
use crate::vkey::VerifierKey;

/// The proof that one entry stands in a log (提供記録の受領証). It holds no secret: the openings travel and are kept apart from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Place of the entry in the log.
    pub log_index: u64,
    /// The entry's leaf.
    pub leaf: [u8; Leaf::LEN],
    /// Signed checkpoint of a tree that holds the leaf.
    pub checkpoint: String,
    /// Audit path from the leaf to the checkpoint's root.
    pub inclusion_proof: Vec<Hash>,
    /// Proof that the checkpoint continues the one that the requester said it knew; empty when it knew none.
    pub consistency_proof: Vec<Hash>,
}

/// Checks a receipt under the log's key, whose name is the log's origin. `known` is the checkpoint (size and root) that the requester
/// named when it asked. What the leaf commits to is checked apart, with `commitment::opens`.
pub fn verify_receipt(
    receipt: &Receipt,
    key: &VerifierKey,
    known: Option<(u64, Hash)>,
) -> Result<(Leaf, Checkpoint), ReceiptError> {
    let checkpoint = Checkpoint::open(&receipt.checkpoint, key, key.name())?;
    let leaf = Leaf::decode(&receipt.leaf)?;
    if leaf.index != receipt.log_index {
        return Err(ReceiptError::Index);
    }
    verify_inclusion(
        receipt.log_index,
        checkpoint.size,
        &leaf_hash(&receipt.leaf),
        &receipt.inclusion_proof,
        &checkpoint.root,
    )
    .map_err(ReceiptError::Inclusion)?;
    match known {
        Some((size, root)) if size > 0 => verify_consistency(
            size,
            checkpoint.size,
            &root,
            &checkpoint.root,
            &receipt.consistency_proof,
        ),
        _ if receipt.consistency_proof.is_empty() => Ok(()),
        _ => Err(ProofError::WrongLength),
    }
    .map_err(ReceiptError::Consistency)?;
    Ok((leaf, checkpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::sign_note;
    use crate::{NoTiles, Tree, origin};
    use ed25519_dalek::{Signer, SigningKey};

    fn leaf(index: u64) -> Leaf {
        Leaf {
            kind: 1,
            index,
            time: index,
            entry_id: [0; 16],
            key_epoch: 1,
            c_subject: [1; 32],
            c_actor: [2; 32],
            c_content: [3; 32],
        }
    }

    fn sample() -> (Receipt, VerifierKey, (u64, Hash)) {
        let mut tree = Tree::new();
        let mut known = (0, crate::EMPTY_ROOT);
        for index in 0..21 {
            tree.append(leaf(index).hash());
            if index == 8 {
                known = (tree.size(), tree.root());
            }
        }
        let signing = SigningKey::from_bytes(&[5; 32]);
        let name = origin("vrx.example", "141003", 1);
        let key = VerifierKey::from_public_key(&name, signing.verifying_key().as_bytes()).unwrap();
        let body = Checkpoint {
            origin: name,
            size: 21,
            root: tree.root(),
        }
        .body();
        let receipt = Receipt {
            log_index: 13,
            leaf: leaf(13).encode(),
            checkpoint: sign_note(&body, &key, |m| signing.sign(m).to_bytes()),
            inclusion_proof: tree.snapshot().inclusion(13, &NoTiles).unwrap(),
            consistency_proof: tree.snapshot().consistency(known.0, &NoTiles).unwrap(),
        };
        (receipt, key, known)
    }

    #[test]
    fn an_honest_receipt_holds() {
        let (receipt, key, known) = sample();
        let (leaf, checkpoint) = verify_receipt(&receipt, &key, Some(known)).unwrap();
        assert_eq!((leaf.index, checkpoint.size), (13, 21));
        let first = Receipt {
            consistency_proof: Vec::new(),
            ..receipt
        };
        assert!(verify_receipt(&first, &key, None).is_ok());
        assert!(verify_receipt(&first, &key, Some((0, crate::EMPTY_ROOT))).is_ok());
    }

    #[test]
    fn every_changed_part_is_refused() {
        let (receipt, key, known) = sample();
        let refused = |r: Receipt| verify_receipt(&r, &key, Some(known)).unwrap_err();
        for byte in 0..Leaf::LEN {
            let mut changed = receipt.clone();
            changed.leaf[byte] ^= 1;
            refused(changed);
        }
        assert_eq!(
            refused(Receipt {
                log_index: 14,
                ..receipt.clone()
            }),
            ReceiptError::Index
        );
        for at in 0..receipt.inclusion_proof.len() {
            let mut changed = receipt.clone();
            changed.inclusion_proof[at][31] ^= 0x80;
            assert_eq!(
                refused(changed),
                ReceiptError::Inclusion(ProofError::Mismatch)
            );
        }
        for at in 0..receipt.consistency_proof.len() {
            let mut changed = receipt.clone();
            changed.consistency_proof[at][0] ^= 1;
            assert_eq!(
                refused(changed),
                ReceiptError::Consistency(ProofError::Mismatch)
            );
        }
        refused(Receipt {
            consistency_proof: Vec::new(),
            ..receipt.clone()
        });
        refused(Receipt {
            checkpoint: receipt.checkpoint.replace("\n21\n", "\n22\n"),
            ..receipt.clone()
        });
        assert!(verify_receipt(&receipt, &key, Some((known.0, [0; 32]))).is_err());
        assert!(verify_receipt(&receipt, &key, Some((known.0 + 1, known.1))).is_err());
        assert!(verify_receipt(&receipt, &key, Some((22, known.1))).is_err());
        assert!(verify_receipt(&receipt, &key, None).is_err());
    }
}
