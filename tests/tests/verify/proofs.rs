//! Every proof of small trees, made and judged by our code and by code that isn't ours: the same hashes, the same verdicts.

use proptest::prelude::*;
use tlog_tiles::{
    Error, Hash as ForeignHash, HashReader, check_record, check_tree, prove_record, prove_tree,
    stored_hash_index, stored_hashes_for_record_hash, tree_hash,
};
use vrx_tlog::{Hash, NoTiles, Tree, leaf_hash, verify_consistency, verify_inclusion};

/// Trees up to this many leaves: past the edge of a tile.
const MOST: u64 = 300;

/// All nodes of the largest tree, in the order of the other implementation.
struct Stored(Vec<ForeignHash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<ForeignHash>, Error> {
        let at = |index: &u64| self.0.get(usize::try_from(*index).ok()?).copied();
        indexes
            .iter()
            .map(|index| at(index).ok_or(Error::InvalidTile))
            .collect()
    }
}

impl Stored {
    fn of(size: u64) -> Self {
        (0..size).fold(Self(Vec::new()), |mut stored, index| {
            let more = stored_hashes_for_record_hash(index, ForeignHash(leaf(index)), &stored);
            let more = more.unwrap();
            assert_eq!(stored.0.len() as u64, stored_hash_index(0, index));
            stored.0.extend(more);
            stored
        })
    }

    fn root(&self, size: u64) -> Hash {
        tree_hash(size, self).unwrap().0
    }
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

fn ours(path: Vec<ForeignHash>) -> Vec<Hash> {
    path.into_iter().map(|hash| hash.0).collect()
}

fn theirs(path: &[Hash]) -> Vec<ForeignHash> {
    path.iter().copied().map(ForeignHash).collect()
}

/// A number whose next values look random (xorshift), so that a failure comes again.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// `hash` with one bit changed.
fn changed(hash: &Hash, state: &mut u64) -> Hash {
    let mut hash = *hash;
    let bit = usize::try_from(next(state) % 256).unwrap();
    hash[bit / 8] ^= 1 << (bit % 8);
    hash
}

#[test]
fn all_proofs_of_all_trees_up_to_300_leaves_are_the_same_and_no_changed_bit_passes() {
    let stored = Stored::of(MOST);
    let mut tree = Tree::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for size in 1..=MOST {
        tree.append(leaf(size - 1));
        let (root, snapshot) = (tree.root(), tree.snapshot());
        assert_eq!(root, stored.root(size));
        for index in 0..size {
            let path = snapshot.inclusion(index, &NoTiles).unwrap();
            assert_eq!(path, ours(prove_record(size, index, &stored).unwrap()));
            let leaf = leaf(index);
            let holds = |index, leaf: &Hash, path: &[Hash], root: &Hash| {
                verify_inclusion(index, size, leaf, path, root).is_ok()
            };
            assert!(holds(index, &leaf, &path, &root), "{index} {size}");
            let other = next(&mut state) % size;
            assert_eq!(holds(other, &leaf, &path, &root), other == index);
            assert!(!holds(index, &changed(&leaf, &mut state), &path, &root));
            assert!(!holds(index, &leaf, &path, &changed(&root, &mut state)));
            for at in 0..path.len() {
                let mut bad = path.clone();
                bad[at] = changed(&path[at], &mut state);
                assert!(!holds(index, &leaf, &bad, &root), "{index} {size} {at}");
            }
        }
        for old in 1..=size {
            let path = snapshot.consistency(old, &NoTiles).unwrap();
            assert_eq!(path, ours(prove_tree(size, old, &stored).unwrap()));
            let old_root = stored.root(old);
            let holds = |old_root: &Hash, path: &[Hash], root: &Hash| {
                verify_consistency(old, size, old_root, root, path).is_ok()
            };
            assert!(holds(&old_root, &path, &root), "{old} {size}");
            assert!(!holds(&changed(&old_root, &mut state), &path, &root));
            assert!(!holds(&old_root, &path, &changed(&root, &mut state)));
            for at in 0..path.len() {
                let mut bad = path.clone();
                bad[at] = changed(&path[at], &mut state);
                assert!(!holds(&old_root, &bad, &root), "{old} {size} {at}");
            }
        }
    }
}

#[test]
fn a_proof_under_another_size_or_index_gets_the_verdict_of_the_other_implementation() {
    let stored = Stored::of(70);
    for size in 1..=70 {
        let root = stored.root(size);
        for index in 0..size {
            let path = prove_record(size, index, &stored).unwrap();
            for claimed_size in 1..=72 {
                for claimed in [index, index ^ 1, index + 1, claimed_size - 1] {
                    // An audit path alone doesn't bind the size: a checkpoint does.
                    let judged = verify_inclusion(
                        claimed,
                        claimed_size,
                        &leaf(index),
                        &ours(path.clone()),
                        &root,
                    );
                    let foreign = check_record(
                        &path,
                        claimed_size,
                        ForeignHash(root),
                        claimed,
                        ForeignHash(leaf(index)),
                    );
                    assert_eq!(
                        judged.is_ok(),
                        foreign.is_ok(),
                        "{index} {size} as {claimed} {claimed_size}"
                    );
                }
            }
        }
    }
}

proptest! {
    /// Sizes, hashes and paths of no tree at all: both refuse, or both accept. (The other implementation knows no proof from size 0.)
    #[test]
    fn no_made_up_proof_is_judged_differently(
        size in 1_u64..(1 << 62),
        part in 0.0_f64..1.0,
        seed in any::<[u8; 32]>(),
        length in 0_usize..70,
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "any index will do")]
        let index = ((size as f64 * part) as u64).min(size - 1);
        let path: Vec<Hash> = (0..length).map(|n| leaf_hash(&[seed.as_slice(), &n.to_be_bytes()].concat())).collect();
        let root = leaf_hash(&seed);
        let judged = verify_inclusion(index, size, &seed, &path, &root).is_ok();
        let foreign = check_record(&theirs(&path), size, ForeignHash(root), index, ForeignHash(seed)).is_ok();
        prop_assert_eq!(judged, foreign);
        let judged = verify_consistency(index + 1, size, &seed, &root, &path).is_ok();
        let foreign = check_tree(&theirs(&path), size, ForeignHash(root), index + 1, ForeignHash(seed)).is_ok();
        prop_assert_eq!(judged, foreign);
    }

    /// The right path of a leaf in a tree of any size, made from the top by RFC 6962's recursion with made-up subtrees, holds; and with
    /// any bit of it changed it doesn't.
    #[test]
    fn a_path_in_a_tree_of_any_size_holds_as_it_is_and_in_no_other_way(
        size in prop_oneof![1_u64..100, 1_u64..=u64::MAX, (1_u64 << 63) - 3..=(1 << 63) + 3, u64::MAX - 3..=u64::MAX],
        place in any::<u64>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let index = place % size;
        let (path, root) = made_up(index, size, [5; 32]);
        prop_assert_eq!(verify_inclusion(index, size, &[5; 32], &path, &root), Ok(()));
        let mut all: Vec<u8> = [[5; 32], root].iter().chain(&path).flatten().copied().collect();
        let bit = bit.index(all.len() * 8);
        all[bit / 8] ^= 1 << (bit % 8);
        let hashes: Vec<Hash> = all.as_chunks::<32>().0.to_vec();
        prop_assert!(verify_inclusion(index, size, &hashes[0], &hashes[2..], &hashes[1]).is_err());
        prop_assert!(verify_inclusion(index, size, &[5; 32], &path[path.len().min(1)..], &root).is_err() || path.is_empty());
    }
}

/// An audit path from the leaf up, and the root that it leads to.
fn made_up(index: u64, size: u64, leaf: Hash) -> (Vec<Hash>, Hash) {
    if size == 1 {
        return (Vec::new(), leaf);
    }
    let left = 1_u64 << (size - 1).ilog2();
    let sibling = leaf_hash(&size.to_be_bytes());
    let (mut path, inner) = if index < left {
        made_up(index, left, leaf)
    } else {
        made_up(index - left, size - left, leaf)
    };
    path.push(sibling);
    let root = if index < left {
        vrx_tlog::node_hash(&inner, &sibling)
    } else {
        vrx_tlog::node_hash(&sibling, &inner)
    };
    (path, root)
}
