//! What a node's log holds on disk, read from an export (C2SP tlog-tiles) without asking the node's code.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use sha2::{Digest as _, Sha256};
use vrx_tlog::{Checkpoint, Hash, VerifierKey};

use crate::demo::Demo;
use crate::exchange::tlog_receipt;
use vrx_proto::v1::Receipt;

/// The leaf hashes of an exported log, in order, and its signed checkpoint.
pub struct ExportedLog {
    /// Its checkpoint, signature checked.
    pub checkpoint: Checkpoint,
    /// Level 0 of the tree.
    pub leaf_hashes: Vec<Hash>,
}

impl ExportedLog {
    /// Exports the log of `code` (serving or not) into a fresh folder and reads it back.
    ///
    /// # Errors
    /// If the export fails, a tile is missing or the tiles don't hash to the signed root.
    pub fn of(demo: &Demo, code: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("export");
        let (exit, _, errors) =
            demo.vrx_node(code, &["log", "export", "--dir", &target.to_string_lossy()])?;
        ensure!(exit == 0, "log export ended with {exit}: {errors}");
        let vkey = VerifierKey::parse(&demo.node(code)?.log_vkey)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Self::read(&target, &vkey, &demo.description.trust_domain, code)
    }

    fn read(
        dir: &Path,
        vkey: &VerifierKey,
        trust_domain: &str,
        code: &str,
    ) -> anyhow::Result<Self> {
        let note = std::fs::read_to_string(dir.join("checkpoint"))?;
        let origin = vrx_tlog::origin(trust_domain, code, 1);
        let checkpoint =
            Checkpoint::open(&note, vkey, &origin).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut leaf_hashes = Vec::new();
        let mut index = 0;
        while (leaf_hashes.len() as u64) < checkpoint.size {
            let width = (checkpoint.size - leaf_hashes.len() as u64).min(256);
            let path = dir.join(level_zero_path(index, width));
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            ensure!(
                bytes.len() as u64 == width * 32,
                "{} is short",
                path.display()
            );
            for hash in bytes.chunks_exact(32) {
                leaf_hashes.push(hash.try_into()?);
            }
            index += 1;
        }
        ensure!(
            root(&leaf_hashes) == checkpoint.root,
            "the tiles don't hash to the signed root"
        );
        Ok(Self {
            checkpoint,
            leaf_hashes,
        })
    }

    /// Checks that every receipt a caller holds is in this log: its leaf at its index, its checkpoint a prefix.
    ///
    /// # Errors
    /// On the first that isn't.
    pub fn holds_all(&self, receipts: &[Receipt], vkey: &str) -> anyhow::Result<()> {
        let vkey = VerifierKey::parse(vkey).map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut roots: HashMap<u64, Hash> = HashMap::new();
        for receipt in receipts {
            let receipt = tlog_receipt(receipt)?;
            let (_, checkpoint) = vrx_tlog::verify_receipt(&receipt, &vkey, None)
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            let index = usize::try_from(receipt.log_index)?;
            let Some(found) = self.leaf_hashes.get(index) else {
                bail!("entry {index} of a receipt isn't in the log any more");
            };
            ensure!(
                *found == leaf_hash(&receipt.leaf),
                "entry {index} isn't the one in the receipt"
            );
            roots.insert(checkpoint.size, checkpoint.root);
        }
        for (size, signed) in roots {
            let prefix = self
                .leaf_hashes
                .get(..usize::try_from(size)?)
                .with_context(|| {
                    format!("a receipt was signed at size {size}, past the log's end")
                })?;
            ensure!(root(prefix) == signed, "the log forked before size {size}");
        }
        Ok(())
    }
}

/// RFC 6962's leaf hash, written here again so that the log isn't judged by its own code.
fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// RFC 6962's tree head by its recursive definition.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest(b"").into(),
        [one] => *one,
        more => {
            let split = more.len().next_power_of_two() / 2;
            let (left, right) = more.split_at(split);
            Sha256::new()
                .chain_update([1])
                .chain_update(root(left))
                .chain_update(root(right))
                .finalize()
                .into()
        }
    }
}

fn level_zero_path(index: u64, width: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < 256 {
        path = format!("{path}.p/{width}");
    }
    format!("tile/0/{path}")
}
