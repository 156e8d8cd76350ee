//! A log as other people's code reads it: Cloudflare's `signed_note` and `tlog_tiles`, and nothing of `vrx_tlog`.
//!
//! Only what these two lack is written here, from the specifications: the layout of entry bundles and of a tlog-proof.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use signed_note::{Note, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::{
    Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record,
    check_tree, prove_record, prove_tree, record_hash, tree_hash,
};

/// Opens a signed checkpoint under a log's verifier key, whose name has to be its origin.
///
/// # Errors
/// If it is malformed, not signed by the key, or another log's.
pub fn checkpoint(note: &str, vkey: &str) -> anyhow::Result<Checkpoint> {
    let verifier = StandardVerifier::new(vkey).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let name = verifier.name().to_owned();
    let note = Note::from_bytes(note.as_bytes()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let (verified, _) = note
        .verify(&VerifierList::new(vec![Box::new(verifier)]))
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(verified.len() == 1, "signed {} times", verified.len());
    let checkpoint =
        Checkpoint::from_bytes(note.text()).map_err(|error| anyhow::anyhow!("{error}"))?;
    ensure!(
        checkpoint.origin() == name,
        "the origin isn't the key's name"
    );
    ensure!(checkpoint.extension().is_empty(), "it has extension lines");
    Ok(checkpoint)
}

/// Checks that `leaf` is the entry `index` of a checkpoint's tree.
///
/// # Errors
/// If the proof doesn't lead to the root.
pub fn included(
    checkpoint: &Checkpoint,
    index: u64,
    leaf: &[u8],
    path: Vec<[u8; 32]>,
) -> anyhow::Result<()> {
    let path = path.into_iter().map(Hash).collect();
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    check_record(&path, size, root, index, record_hash(leaf))
        .map_err(|error| anyhow::anyhow!("entry {index} of {size}: {error}"))
}

/// Checks that a checkpoint's tree begins with the tree of `size` entries with `root`.
///
/// # Errors
/// If the proof doesn't lead to both roots.
pub fn continues(
    checkpoint: &Checkpoint,
    size: u64,
    root: [u8; 32],
    path: Vec<[u8; 32]>,
) -> anyhow::Result<()> {
    let path = path.into_iter().map(Hash).collect();
    let (new, new_root) = (checkpoint.size(), *checkpoint.hash());
    check_tree(&path, new, new_root, size, Hash(root))
        .map_err(|error| anyhow::anyhow!("{size} to {new}: {error}"))
}

/// Checks a tlog-proof whose extra data is the entry, and gives back the entry's index.
///
/// # Errors
/// If a line isn't what the specification says, or the proof doesn't hold.
pub fn tlog_proof(text: &str, vkey: &str) -> anyhow::Result<u64> {
    let (head, note) = text.split_once("\n\n").context("no empty line")?;
    let mut lines = head.split('\n');
    ensure!(lines.next() == Some("c2sp.org/tlog-proof@v1"), "first line");
    let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
    let leaf = STANDARD.decode(extra.context("no extra line")?)?;
    let index = lines.next().and_then(|line| line.strip_prefix("index "));
    let index: u64 = index.context("no index line")?.parse()?;
    let path = lines
        .map(|line| {
            <[u8; 32]>::try_from(STANDARD.decode(line)?).map_err(|_| anyhow::anyhow!("{line}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    included(&checkpoint(note, vkey)?, index, &leaf, path)?;
    Ok(index)
}

/// A folder in the layout of tlog-tiles.
pub struct Export {
    folder: PathBuf,
    /// Its checkpoint, signature checked.
    pub checkpoint: Checkpoint,
}

impl Export {
    /// Opens a folder under the log's key.
    ///
    /// # Errors
    /// If its checkpoint isn't signed by the key.
    pub fn open(folder: &Path, vkey: &str) -> anyhow::Result<Self> {
        let note = std::fs::read_to_string(folder.join("checkpoint"))?;
        Ok(Self {
            folder: folder.to_owned(),
            checkpoint: checkpoint(&note, vkey)?,
        })
    }

    /// Reads every entry and every tile and compares them with each other and with the signed root.
    ///
    /// # Errors
    /// On the first that doesn't fit.
    pub fn check_all(&self) -> anyhow::Result<()> {
        let (size, root) = (self.checkpoint.size(), *self.checkpoint.hash());
        let entries = self.entries()?;
        ensure!(entries.len() as u64 == size, "{} entries", entries.len());
        // The reader compares each tile that it loads with the root.
        let reader = TileHashReader::new(size, root, self);
        let computed = tree_hash(size, &reader).map_err(|error| anyhow::anyhow!("{error}"))?;
        ensure!(computed == root, "the tiles' root isn't the signed one");
        for tile in Tile::new_tiles(8, 0, size) {
            let bytes = self.read(&tile)?;
            ensure!(bytes.len() == 32 * tile.width() as usize, "{}", tile.path());
            let indexes: Vec<u64> = (0..u64::from(tile.width()))
                .map(|place| {
                    let place = (tile.level_index() << 8) + place;
                    tlog_tiles::stored_hash_index(8 * tile.level(), place)
                })
                .collect();
            let hashes = reader
                .read_hashes(&indexes)
                .map_err(|error| anyhow::anyhow!("{}: {error}", tile.path()))?;
            let expected: Vec<u8> = hashes.into_iter().flat_map(|hash| hash.0).collect();
            ensure!(expected == bytes, "{} differs", tile.path());
        }
        for (index, entry) in (0_u64..).zip(&entries) {
            let proof = prove_record(size, index, &reader)
                .map_err(|error| anyhow::anyhow!("entry {index}: {error}"))?;
            check_record(&proof, size, root, index, record_hash(entry))
                .map_err(|error| anyhow::anyhow!("entry {index}: {error}"))?;
        }
        Ok(())
    }

    /// A consistency proof from an older size, made from the tiles.
    ///
    /// # Errors
    /// If a tile doesn't fit.
    pub fn prove_consistency(&self, old: u64) -> anyhow::Result<Vec<[u8; 32]>> {
        let (size, root) = (self.checkpoint.size(), *self.checkpoint.hash());
        let reader = TileHashReader::new(size, root, self);
        let proof =
            prove_tree(size, old, &reader).map_err(|error| anyhow::anyhow!("{old}: {error}"))?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }

    /// The entries of all bundles, each behind its 16-bit big-endian length.
    fn entries(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        for mut tile in Tile::new_tiles(8, 0, self.checkpoint.size()) {
            if tile.level() > 0 {
                continue;
            }
            tile.set_is_data();
            let bundle = self.read(&tile)?;
            let mut rest = bundle.as_slice();
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                let (entry, after) = after.split_at_checked(length).context("a cut bundle")?;
                entries.push(entry.to_vec());
                rest = after;
            }
            if !rest.is_empty() {
                bail!("{} ends inside a length", tile.path());
            }
        }
        Ok(entries)
    }

    fn read(&self, tile: &Tile) -> anyhow::Result<Vec<u8>> {
        // The library names tiles as its forerunner did, with the height; tlog-tiles leaves it out and says `entries`.
        let path =
            tile.path()
                .replacen("tile/8/", "tile/", 1)
                .replacen("tile/data/", "tile/entries/", 1);
        std::fs::read(self.folder.join(&path)).context(path)
    }
}

impl TileReader for Export {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        tiles
            .iter()
            .map(|tile| self.read(tile).map_err(|_| Error::InvalidTile))
            .collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}
