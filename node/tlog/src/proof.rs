//! Checking audit paths: RFC 9162 sections 2.1.3.2 and 2.1.4.2 (the same proofs as RFC 6962).

use crate::error::ProofError;
use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Checks that the leaf with `leaf_hash` stands at `index` in the tree of `size` leaves with `root`.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf_hash: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange);
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Mismatch)
    }
}

/// Checks that the tree of `new` leaves with `new_root` begins with the tree of `old` leaves with `old_root`.
///
/// The empty tree begins every tree: its proof has no hashes and its root is [`EMPTY_ROOT`]. Equal sizes need equal roots and no hashes.
///
/// A proof that doesn't hold shows nothing about the trees: anybody can make one. [`ProofError::Contradiction`] does: where both roots
/// were signed, the signer stands for two logs. It is said where two roots of one size differ, and where the proof's hashes make the
/// newer root, so that they are nodes of that very tree, and another older root than the given one. Of an older tree with a power of two
/// as its size the proof doesn't name the root, so that it can't convict; [`refutes_full_tree`] can.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed);
    }
    if old == new && old_root != new_root {
        return Err(ProofError::Contradiction);
    }
    if old == new || old == 0 {
        if !proof.is_empty() {
            return Err(ProofError::WrongLength);
        }
        // Of no leaves there is one tree.
        return if old != 0 || *old_root == EMPTY_ROOT {
            Ok(())
        } else {
            Err(ProofError::Mismatch)
        };
    }
    // An old tree that is one full subtree is its own first node, and isn't repeated in the proof.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::WrongLength)?
    };
    let (old_hash, new_hash) = roots(old, new, first, rest, |_| {})?;
    match (old_hash == *old_root, new_hash == *new_root) {
        (true, true) => Ok(()),
        (false, true) => Err(ProofError::Contradiction),
        (_, false) => Err(ProofError::Mismatch),
    }
}

/// Whether the tree of `new` leaves with `new_root` begins with another tree than that of `old` leaves with `old_root`, where `old` is a
/// power of two: what [`verify_consistency`] can't show. `proof` is the consistency proof from `old + 1` leaves; it names the root of the
/// first `old`. False where it shows nothing.
pub fn refutes_full_tree(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> bool {
    let Some((first, rest)) = proof.split_first() else {
        return false;
    };
    if !old.is_power_of_two() || old == 1 || old.checked_add(1).is_none_or(|next| new <= next) {
        return false;
    }
    let mut begun = None;
    let roots = roots(old + 1, new, first, rest, |left| begun = Some(*left));
    // Of the leaf at `old`, only the first `old` leaves stand to the left.
    roots.is_ok_and(|(_, hash)| hash == *new_root) && begun.is_some_and(|begun| begun != *old_root)
}

/// The roots of both trees as a consistency proof makes them; `left` is told each node that stands to the left.
fn roots(
    old: u64,
    new: u64,
    first: &Hash,
    rest: &[Hash],
    mut left: impl FnMut(&Hash),
) -> Result<(Hash, Hash), ProofError> {
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if node & 1 == 1 || node == last {
            left(sibling);
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 {
        Ok((old_hash, new_hash))
    } else {
        Err(ProofError::WrongLength)
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
