//! The known vectors, the recursion of the specification, and what every change of a proof comes to.

use super::*;
use crate::{NoTiles, Tree, leaf_hash};

/// The eight leaves of certificate-transparency's Merkle tree tests.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
/// The roots of their first one to eight.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn h(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn hs(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|t| h(t)).collect()
}

fn known(size: usize) -> Tree {
    let mut tree = Tree::new();
    LEAVES[..size]
        .iter()
        .for_each(|leaf| tree.append(leaf_hash(&hex::decode(leaf).unwrap())));
    tree
}

#[test]
fn the_known_roots_are_made() {
    for size in 1..=8 {
        assert_eq!(known(size).root(), h(ROOTS[size - 1]), "{size}");
    }
}

#[test]
fn the_known_audit_paths_are_made_and_hold() {
    // (index, size, path) of certificate-transparency's test vectors.
    let vectors: [(u64, usize, Vec<Hash>); 4] = [
        (0, 1, vec![]),
        (
            0,
            8,
            hs(&[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]),
        ),
        (
            5,
            8,
            hs(&[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]),
        ),
        (
            2,
            3,
            hs(&["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        ),
    ];
    for (index, size, path) in vectors {
        let tree = known(size);
        assert_eq!(tree.snapshot().inclusion(index, &NoTiles).unwrap(), path);
        let leaf = leaf_hash(&hex::decode(LEAVES[usize::try_from(index).unwrap()]).unwrap());
        assert_eq!(
            verify_inclusion(index, size as u64, &leaf, &path, &tree.root()),
            Ok(())
        );
    }
}

#[test]
fn the_known_consistency_proofs_are_made_and_hold() {
    let vectors: [(usize, usize, Vec<Hash>); 4] = [
        (1, 1, vec![]),
        (
            1,
            8,
            hs(&[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]),
        ),
        (
            6,
            8,
            hs(&[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]),
        ),
        (
            2,
            5,
            hs(&[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]),
        ),
    ];
    for (old, new, proof) in vectors {
        assert_eq!(
            known(new)
                .snapshot()
                .consistency(old as u64, &NoTiles)
                .unwrap(),
            proof
        );
        let (a, b) = (known(old).root(), known(new).root());
        assert_eq!(
            verify_consistency(old as u64, new as u64, &a, &b, &proof),
            Ok(())
        );
    }
}

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// RFC 6962 section 2.1.1.
fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, sibling) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(sibling);
    path
}

/// RFC 6962 section 2.1.2.
fn naive_consistency(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut proof, sibling) = if m <= k {
        (
            naive_consistency(m, &leaves[..k], whole),
            naive_root(&leaves[k..]),
        )
    } else {
        (
            naive_consistency(m - k, &leaves[k..], false),
            naive_root(&leaves[..k]),
        )
    };
    proof.push(sibling);
    proof
}

fn numbered(count: u32) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn all_proofs_of_trees_up_to_130_leaves_are_those_of_the_recursion() {
    let leaves = numbered(130);
    let mut tree = Tree::new();
    let mut roots = vec![EMPTY_ROOT];
    for size in 1..=leaves.len() {
        tree.append(leaves[size - 1]);
        let root = naive_root(&leaves[..size]);
        assert_eq!(tree.root(), root);
        roots.push(root);
        let snapshot = tree.snapshot();
        for index in 0..size {
            let path = snapshot.inclusion(index as u64, &NoTiles).unwrap();
            assert_eq!(path, naive_path(index, &leaves[..size]));
            assert_eq!(
                verify_inclusion(index as u64, size as u64, &leaves[index], &path, &root),
                Ok(())
            );
        }
        for (old, old_root) in roots.iter().enumerate() {
            let proof = snapshot.consistency(old as u64, &NoTiles).unwrap();
            if old > 0 {
                assert_eq!(proof, naive_consistency(old, &leaves[..size], true));
            }
            assert_eq!(snapshot.root_at(old as u64, &NoTiles), Ok(*old_root));
            assert_eq!(
                verify_consistency(old as u64, size as u64, old_root, &root, &proof),
                Ok(())
            );
        }
    }
}

#[test]
fn all_pairs_up_to_300_leaves_verify_across_the_edge_of_a_tile() {
    let leaves = numbered(300);
    let mut tree = Tree::new();
    let mut roots = vec![EMPTY_ROOT];
    for (n, leaf) in leaves.iter().enumerate() {
        tree.append(*leaf);
        let size = n as u64 + 1;
        let root = tree.root();
        roots.push(root);
        // Tiles aren't taken, so that all of them stay in the snapshot.
        let snapshot = tree.snapshot();
        for index in 0..size {
            let at = usize::try_from(index).unwrap();
            let path = snapshot.inclusion(index, &NoTiles).unwrap();
            assert_eq!(
                verify_inclusion(index, size, &leaves[at], &path, &root),
                Ok(()),
                "{index} {size}"
            );
            let proof = snapshot.consistency(index, &NoTiles).unwrap();
            assert_eq!(
                verify_consistency(index, size, &roots[at], &root, &proof),
                Ok(()),
                "{index} {size}"
            );
        }
    }
}

#[test]
fn a_path_of_a_longer_tree_is_told_from_one_over_other_first_leaves() {
    let leaves = numbered(40);
    let tree_of = |leaves: &[Hash]| {
        let mut tree = Tree::new();
        for leaf in leaves {
            tree.append(*leaf);
        }
        tree.snapshot()
    };
    // What was restored goes on otherwise than what was lost.
    let shared = 21;
    let mut continued = leaves[..shared].to_vec();
    continued.extend(numbered(60).iter().skip(50));
    let restored = tree_of(&continued);
    let mut other = leaves.clone();
    other[3] = leaf_hash(b"another");
    for size in shared + 1..=leaves.len() {
        let (lost, forked) = (tree_of(&leaves[..size]), tree_of(&other[..size]));
        for index in shared..size {
            let at = (index as u64, size as u64);
            let path = lost.inclusion(at.0, &NoTiles).unwrap();
            let shares = |path: &[Hash]| {
                restored
                    .shares_path(shared as u64, at, path, &NoTiles)
                    .unwrap()
            };
            assert!(shares(&path), "{at:?}");
            // A node over the first sixteen leaves stands in the path as long as it is no part of a larger one.
            let told = index < 32;
            let forked = forked.inclusion(at.0, &NoTiles).unwrap();
            assert_eq!(shares(&forked), !told, "{at:?}");
            assert!(!told || !shares(&[]), "{at:?}");
        }
    }
    assert!(restored.shares_path(21, (5, 5), &[], &NoTiles).is_err());
    assert!(restored.shares_path(32, (33, 34), &[], &NoTiles).is_err());
}

fn flips(hash: &Hash) -> impl Iterator<Item = Hash> {
    (0..256).map(move |bit| {
        let mut changed = *hash;
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn each_single_bit_change_of_an_inclusion_proof_is_refused() {
    let leaves = numbered(23);
    let size = leaves.len() as u64;
    let mut tree = Tree::new();
    for leaf in &leaves {
        tree.append(*leaf);
    }
    let root = tree.root();
    for index in 0..size {
        let leaf = leaves[usize::try_from(index).unwrap()];
        let path = tree.snapshot().inclusion(index, &NoTiles).unwrap();
        let refused = |i: u64, n: u64, leaf: &Hash, path: &[Hash], root: &Hash| {
            assert!(verify_inclusion(i, n, leaf, path, root).is_err(), "{i} {n}");
        };
        flips(&leaf).for_each(|bad| refused(index, size, &bad, &path, &root));
        flips(&root).for_each(|bad| refused(index, size, &leaf, &path, &bad));
        for at in 0..path.len() {
            for bad in flips(&path[at]) {
                let mut changed = path.clone();
                changed[at] = bad;
                refused(index, size, &leaf, &changed, &root);
            }
        }
        (0..64)
            .filter(|other| *other != index)
            .for_each(|other| refused(other, size, &leaf, &path, &root));
        refused(index, index, &leaf, &path, &root);
        refused(index, size, &leaf, &path[1..], &root);
        refused(index, size, &leaf, &path[..path.len() - 1], &root);
        refused(
            index,
            size,
            &leaf,
            &[path.as_slice(), &[root]].concat(),
            &root,
        );
        refused(
            index,
            size,
            &leaf,
            &[&[root], path.as_slice()].concat(),
            &root,
        );
    }
}

#[test]
fn each_single_bit_change_of_a_consistency_proof_is_refused() {
    let leaves = numbered(19);
    let size = leaves.len() as u64;
    let mut tree = Tree::new();
    for leaf in &leaves {
        tree.append(*leaf);
    }
    let root = tree.root();
    for old in 1..size {
        let old_root = tree.snapshot().root_at(old, &NoTiles).unwrap();
        let proof = tree.snapshot().consistency(old, &NoTiles).unwrap();
        let refused = |m: u64, n: u64, a: &Hash, b: &Hash, proof: &[Hash]| {
            assert!(verify_consistency(m, n, a, b, proof).is_err(), "{m} {n}");
        };
        flips(&old_root).for_each(|bad| refused(old, size, &bad, &root, &proof));
        flips(&root).for_each(|bad| refused(old, size, &old_root, &bad, &proof));
        for at in 0..proof.len() {
            for bad in flips(&proof[at]) {
                let mut changed = proof.clone();
                changed[at] = bad;
                refused(old, size, &old_root, &root, &changed);
            }
        }
        (1..64)
            .filter(|other| *other != old)
            .for_each(|other| refused(other, size, &old_root, &root, &proof));
        refused(old, size, &old_root, &root, &proof[1..]);
        refused(old, size, &old_root, &root, &[]);
        refused(
            old,
            size,
            &old_root,
            &root,
            &[proof.as_slice(), &[root]].concat(),
        );
        refused(size, old, &root, &old_root, &proof);
    }
    assert_eq!(
        verify_consistency(5, 5, &root, &EMPTY_ROOT, &[]),
        Err(ProofError::Contradiction)
    );
    assert_eq!(
        verify_consistency(0, 5, &root, &root, &[]),
        Err(ProofError::Mismatch)
    );
    assert_eq!(
        verify_consistency(5, 5, &root, &root, &[root]),
        Err(ProofError::WrongLength)
    );
}

#[test]
fn only_a_proof_of_the_newer_tree_itself_shows_that_it_doesnt_continue_the_older_one() {
    let mut tree = Tree::new();
    let mut other = Tree::new();
    for index in 0..40_u64 {
        tree.append(leaf_hash(&index.to_be_bytes()));
        other.append(leaf_hash(&(index + u64::from(index > 2)).to_be_bytes()));
    }
    let root = tree.root();
    for old in 1..40_u64 {
        let begun = tree.snapshot().root_at(old, &NoTiles).unwrap();
        let elsewhere = other.snapshot().root_at(old, &NoTiles).unwrap();
        let proof = tree.snapshot().consistency(old, &NoTiles).unwrap();
        let judged = verify_consistency(old, 40, &elsewhere, &root, &proof);
        let expected = match (elsewhere == begun, old.is_power_of_two()) {
            (true, _) => Ok(()),
            (false, false) => Err(ProofError::Contradiction),
            (false, true) => Err(ProofError::Mismatch),
        };
        assert_eq!(judged, expected, "{old}");
        // Whatever else is handed in convicts nobody.
        for at in 0..proof.len() {
            let mut junk = proof.clone();
            junk[at][0] ^= 1;
            for first in [&begun, &elsewhere] {
                let judged = verify_consistency(old, 40, first, &root, &junk);
                assert_eq!(judged, Err(ProofError::Mismatch), "{old} {at}");
            }
        }
        let none = verify_consistency(old, 40, &elsewhere, &root, &[]);
        assert_eq!(none, Err(ProofError::WrongLength), "{old}");
    }
    for (old, size) in [2_u64, 4, 8, 16, 32]
        .into_iter()
        .flat_map(|old| [(old, 40), (old, old + 2)])
    {
        let full = |tree: &Tree| tree.snapshot().root_at(old, &NoTiles).unwrap();
        let new = tree.snapshot().root_at(size, &NoTiles).unwrap();
        let snapshot = tree.snapshot();
        let proof = snapshot
            .consistency_within(old + 1, size, &NoTiles)
            .unwrap();
        let refutes =
            |first: &Hash, proof: &[Hash]| refutes_full_tree(old, size, first, &new, proof);
        assert!(!refutes(&full(&tree), &proof), "{old}");
        assert_eq!(refutes(&full(&other), &proof), old > 2, "{old}");
        for at in 0..proof.len() {
            let mut junk = proof.clone();
            junk[at][0] ^= 1;
            assert!(!refutes(&full(&tree), &junk), "{old} {at}");
            assert!(!refutes(&full(&other), &junk), "{old} {at}");
        }
        assert!(!refutes(&full(&other), &[]) && !refutes(&full(&other), &proof[1..]));
    }
    assert!(!refutes_full_tree(3, 40, &root, &root, &[root]));
    assert!(!refutes_full_tree(1 << 63, u64::MAX, &root, &root, &[root]));
    assert_eq!(
        verify_consistency(40, 40, &other.root(), &root, &[[1; 32]]),
        Err(ProofError::Contradiction),
        "two roots of one size need no proof"
    );
}

#[test]
fn the_largest_sizes_neither_overflow_nor_pass() {
    let hashes = [[0; 32]; 64];
    assert!(verify_inclusion(u64::MAX - 1, u64::MAX, &EMPTY_ROOT, &hashes, &EMPTY_ROOT).is_err());
    assert!(verify_inclusion(u64::MAX, u64::MAX, &EMPTY_ROOT, &hashes, &EMPTY_ROOT).is_err());
    assert!(verify_consistency(u64::MAX - 1, u64::MAX, &EMPTY_ROOT, &EMPTY_ROOT, &hashes).is_err());
    assert!(verify_consistency(1 << 63, u64::MAX, &EMPTY_ROOT, &EMPTY_ROOT, &hashes).is_err());
}
