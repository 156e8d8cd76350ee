//! The mathematics and the texts of the provision log (提供記録): what a municipality can later prove, and be held to.
//!
//! *What lives here*: the bytes of a leaf, commitments, RFC 6962 hashing, audit paths, the C2SP formats (tlog-tiles, signed-note,
//! tlog-checkpoint, tlog-proof, tlog-cosignature, tlog-witness), the growing tree of the one writer, the check of a receipt, the check of a whole log.
//! *What must not*: I/O, a clock, randomness, a private key, a resident. Everything is a pure function or a value.
//!
//! *Where to start*: [`leaf`] for what is logged, [`proof`] for what is checked, [`tree`] for how a log grows, [`receipt`] for what the
//! other side does with what it gets. *How to add one more*: a new committed field is a change of `vrx-domain`'s tables, not of this
//! room; a new signed text gets a file of its own beside [`checkpoint`], with the specification's own vectors at its bottom.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod checkpoint;
pub mod commitment;
pub mod cosignature;
mod error;
pub mod fsck;
pub mod hash;
pub mod leaf;
pub mod note;
pub mod proof;
pub mod quorum;
mod ranges;
pub mod receipt;
pub mod resource;
pub mod snapshot;
mod text;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod vkey;
pub mod witness;

pub use checkpoint::{Checkpoint, is_other_epoch, origin};
pub use commitment::{CommitTo, commit, opens};
pub use cosignature::{cosign, cosigned_message};
pub use error::{
    CheckpointError, FsckError, LeafError, NoteError, ProofError, QuorumError, ReceiptError,
    TlogError, WitnessRefusal,
};
pub use fsck::{Fsck, FsckReport};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, place_link};
pub use leaf::Leaf;
pub use note::{NoteSignature, SignedNote, sign_note};
pub use proof::{refutes_full_tree, verify_consistency, verify_inclusion};
pub use quorum::{Cosigned, Quorum};
pub use receipt::{Receipt, verify_receipt};
pub use resource::Resource;
pub use snapshot::{NoTiles, Snapshot, TileSource};
pub use text::{parse_decimal, parse_hash};
pub use tile::{HashTile, TILE_WIDTH, TileId, entry_bundle, read_entry_bundle, tiles_of};
pub use tlog_proof::TlogProof;
pub use tree::Tree;
pub use vkey::{VerifierKey, Vkey, WitnessKey, key_hash, witness_name};
pub use witness::AddCheckpoint;
