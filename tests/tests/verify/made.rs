//! A log as a node makes it, made without one: leaves, tiles, checkpoints, receipts, witnesses. And `vrx verify` in an empty environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use tempfile::TempDir;
use vrx_tests::demo::program;
use vrx_tests::desk::Ended;
use vrx_tlog::{
    Checkpoint, CommitTo, Hash, Leaf, Receipt, SignedNote, TILE_WIDTH, TileId, TlogProof, Tree,
    VerifierKey, WitnessKey, commit, cosign, entry_bundle, leaf_hash, origin, sign_note,
};

/// The individual number (made up) that entry 5 is about.
pub(crate) const NUMBER: &str = "123456789018";
/// The keys of entry 5's commitments.
const KEYS: [[u8; 32]; 3] = [[0x11; 32], [0x22; 32], [0x33; 32]];

/// A log of any size, its key, and a folder to put files in.
pub(crate) struct Made {
    signing: SigningKey,
    pub(crate) key: VerifierKey,
    pub(crate) leaves: Vec<[u8; 134]>,
    pub(crate) folder: TempDir,
}

impl Made {
    pub(crate) fn new(size: u64) -> Self {
        let signing = SigningKey::from_bytes(&[3; 32]);
        let name = origin("vrx.example", "142051", 1);
        let key = VerifierKey::from_public_key(&name, signing.verifying_key().as_bytes()).unwrap();
        Self {
            signing,
            key,
            leaves: (0..size).map(|index| leaf(index).encode()).collect(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The tree over the first `size` leaves, with all its tiles in memory.
    pub(crate) fn tree(&self, size: u64) -> Tree {
        let mut tree = Tree::new();
        for leaf in &self.leaves[..usize::try_from(size).unwrap()] {
            tree.append(leaf_hash(leaf));
        }
        tree
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The signed checkpoint over the first `size` leaves, cosigned by the witnesses with these seeds.
    pub(crate) fn note(&self, size: u64, witnesses: &[u8]) -> String {
        let body = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root: self.tree(size).root(),
        }
        .body();
        let note = sign_note(&body, &self.key, |text| self.signing.sign(text).to_bytes());
        let note = SignedNote::parse(&note).unwrap();
        let cosigned = witnesses.iter().fold(note, |note, seed| {
            let line = cosign(note.text(), &witness(*seed), 1_800_000_000, |text| {
                witness_key(*seed).sign(text).to_bytes()
            });
            note.with(line.unwrap())
        });
        cosigned.to_string()
    }

    pub(crate) fn receipt(&self, index: u64, size: u64, known: u64) -> Receipt {
        let snapshot = self.tree(size).snapshot();
        Receipt {
            log_index: index,
            leaf: self.leaves[usize::try_from(index).unwrap()],
            checkpoint: self.note(size, &[1]),
            inclusion_proof: snapshot.inclusion(index, &vrx_tlog::NoTiles).unwrap(),
            consistency_proof: snapshot.consistency(known, &vrx_tlog::NoTiles).unwrap(),
        }
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn proof_file(&self, index: u64, size: u64) -> String {
        let proof = TlogProof::from(&self.receipt(index, size, 0));
        self.file(&format!("{index}-of-{size}.tlog-proof"), proof.to_string())
    }

    /// Writes the log as an export below `name`.
    pub(crate) fn export(&self, name: &str, entries: bool) -> PathBuf {
        let mut tree = Tree::new();
        let put = |path: String, bytes: Vec<u8>| self.file(&format!("{name}/{path}"), bytes);
        for leaf in &self.leaves {
            tree.append(leaf_hash(leaf));
            for (id, bytes) in tree.take_full_tiles() {
                put(id.path(TILE_WIDTH), bytes);
            }
        }
        let snapshot = tree.snapshot();
        for level in 0..8 {
            if let Some(tile) = snapshot.partial_tile(level) {
                let index = self.size() >> (8 * (u32::from(level) + 1)).min(63);
                put(TileId { level, index }.path(tile.width()), tile.to_bytes());
            }
        }
        if entries {
            for (index, leaves) in (0_u64..).zip(self.leaves.chunks(256)) {
                let id = TileId { level: 0, index };
                let bundle = entry_bundle(leaves.iter().map(<[u8; 134]>::as_slice)).unwrap();
                put(id.entries_path(leaves.len() as u64), bundle);
            }
        }
        put(
            "checkpoint".to_owned(),
            self.note(self.size(), &[1, 2]).into_bytes(),
        );
        self.folder.path().join(name)
    }

    /// Runs `vrx --json verify …` with the log's key, in an environment that has no profile, and a standard input.
    pub(crate) fn verify(&self, what: &str, arguments: &[&str], input: &str) -> Ended {
        let vkey = self.key.to_string();
        let mut all = vec!["--json", "verify", what, "--vkey", &vkey];
        all.extend(arguments);
        vrx(&all, self.folder.path(), input)
    }
}

/// A leaf; entry 5 commits to something.
fn leaf(index: u64) -> Leaf {
    let committed =
        |to, key: usize, fields: &[&[u8]]| commit(&KEYS[key], to, fields.iter().copied()).unwrap();
    let about = index == 5;
    Leaf {
        kind: if about { 1 } else { 4 },
        index,
        time: 1_770_000_000_000 + index,
        entry_id: [u8::try_from(index % 251).unwrap(); 16],
        key_epoch: 1,
        c_subject: if about {
            committed(CommitTo::Subject, 0, &[NUMBER.as_bytes(), b"provided"])
        } else {
            [1; 32]
        },
        c_actor: if about {
            let values: Vec<Vec<u8>> = (0..16).map(|n| format!("v{n}").into_bytes()).collect();
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            committed(CommitTo::Actor, 1, &values)
        } else {
            [2; 32]
        },
        c_content: if about {
            committed(CommitTo::Content, 2, &[b"found", &[9; 32], b"0", &[7; 16]])
        } else {
            [3; 32]
        },
    }
}

/// What entry 5 commits to, as a file for `--openings`.
pub(crate) fn openings() -> serde_json::Value {
    let hex = |bytes: &[u8]| serde_json::json!({ "hex": hex::encode(bytes) });
    serde_json::json!({
        "subject": { "key": hex::encode(KEYS[0]), "values": [null, "provided"] },
        "actor": {
            "key": hex::encode(KEYS[1]),
            "values": (0..16).map(|n| format!("v{n}")).collect::<Vec<_>>(),
        },
        "content": {
            "key": hex::encode(KEYS[2]),
            "values": ["found", hex(&[9; 32]), "0", hex(&[7; 16])],
        },
    })
}

fn witness_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[100 + seed; 32])
}

/// The public key of a witness.
pub(crate) fn witness(seed: u8) -> WitnessKey {
    let key = witness_key(seed).verifying_key();
    WitnessKey::from_public_key(&format!("w{seed}.example"), key.as_bytes()).unwrap()
}

pub(crate) fn b64(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Runs `vrx` with nothing in its environment.
pub(crate) fn vrx(arguments: &[&str], folder: &Path, input: &str) -> Ended {
    let mut child = Command::new(program("vrx").unwrap())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that doesn't read its input may have ended already.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}
