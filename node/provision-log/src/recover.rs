//! From stored rows back to a tree: at start, and whenever the head turns out to be another one than expected.

use std::collections::HashMap;

use vrx_domain::EntryKind;
use vrx_storage::{HeadRow, LogStore};
use vrx_tlog::{
    Checkpoint, EMPTY_ROOT, Hash, HashTile, Leaf, Snapshot, TILE_WIDTH, Tree, VerifierKey,
    leaf_hash,
};

use crate::deadline::Deadline;
use crate::error::{ReadError, StartError};
use crate::kept;
use crate::options::{LogOptions, MissingKept};
use crate::tiles;

/// Where the log stands, and its tree.
pub(crate) struct Recovered {
    pub(crate) head: HeadRow,
    pub(crate) tree: Tree,
    /// The checkpoint kept at the second path, as it was found.
    pub(crate) kept: Option<Checkpoint>,
}

/// Reads the log and holds it against everything this node ever signed and can still see.
pub(crate) async fn recover(
    store: &dyn LogStore,
    options: &LogOptions,
    key: &VerifierKey,
) -> Result<Recovered, StartError> {
    let deadline = Deadline::after(options.store_timeout);
    let head = deadline
        .wait(store.head())
        .await
        .map_err(|_| StartError::Deadline)??;
    if head.size > 0 && head.epoch != options.epoch {
        return Err(StartError::Epoch {
            expected: options.epoch,
            found: head.epoch,
        });
    }
    let kept = kept::read(&options.kept_checkpoint, key)?;
    let path = options.kept_checkpoint.display().to_string();
    if let Some(kept) = kept.as_ref().filter(|kept| kept.size > head.size) {
        return Err(StartError::RolledBack {
            kept: kept.size,
            found: head.size,
            path,
        });
    }
    // A node that died right after its first entry hasn't kept anything yet.
    if kept.is_none() && head.size > 1 && options.missing_kept == MissingKept::Refuse {
        return Err(StartError::NothingKept {
            size: head.size,
            path,
        });
    }
    let tree = edge(store, &head, deadline).await?;
    let snapshot = tree.snapshot();
    if let Some(kept) = &kept
        && !begins_with(store, &snapshot, kept.size, &kept.root, deadline).await?
    {
        return Err(StartError::Rewritten {
            size: kept.size,
            path,
        });
    }
    if let Some(note) = &head.checkpoint {
        let stored = Checkpoint::open(note, key, key.name());
        let stored = stored.map_err(|_| {
            StartError::Corrupt("the stored checkpoint isn't signed by this log's key")
        })?;
        if stored.size > head.size {
            return Err(StartError::Corrupt(
                "the stored checkpoint is ahead of the entries",
            ));
        }
        if !begins_with(store, &snapshot, stored.size, &stored.root, deadline).await? {
            return Err(StartError::Rewritten {
                size: stored.size,
                path: "the database".to_owned(),
            });
        }
    }
    if head.size > 0 {
        first_and_last(store, &head, deadline).await?;
    }
    Ok(Recovered { head, tree, kept })
}

/// Rebuilds the right edge that `head` speaks of and compares the root.
pub(crate) async fn edge(
    store: &dyn LogStore,
    head: &HeadRow,
    deadline: Deadline,
) -> Result<Tree, StartError> {
    let in_tail = head.size % TILE_WIDTH;
    let tail: Vec<Hash> = if in_tail == 0 {
        Vec::new()
    } else {
        let from = head.size - in_tail;
        let rows = deadline
            .wait(store.leaves(from, u32::try_from(in_tail).unwrap_or(u32::MAX)))
            .await;
        let rows = rows.map_err(|_| StartError::Deadline)??;
        let in_order = (from..head.size).eq(rows.iter().map(|row| row.index));
        if !in_order {
            return Err(StartError::Corrupt("entries are missing at the log's end"));
        }
        rows.iter().map(|row| leaf_hash(&row.leaf)).collect()
    };
    let ids = Tree::tiles_for_restore(head.size);
    let stored = tiles::read(store, &ids, deadline)
        .await
        .map_err(start_error)?;
    let mut stored: HashMap<_, _> = stored.into_iter().collect();
    let tree = Tree::restore::<vrx_tlog::ProofError>(head.size, &tail, &mut |id| {
        stored
            .remove(&id)
            .ok_or(vrx_tlog::ProofError::MissingTile(id))
    })?;
    let expected = if head.size == 0 {
        EMPTY_ROOT
    } else {
        head.root
    };
    if tree.root() != expected {
        return Err(StartError::Corrupt(
            "the entries don't hash to the root in the head",
        ));
    }
    Ok(tree)
}

/// Whether the first `size` entries of the tree have this root.
pub(crate) async fn begins_with(
    store: &dyn LogStore,
    snapshot: &Snapshot,
    size: u64,
    root: &Hash,
    deadline: Deadline,
) -> Result<bool, StartError> {
    let ids = snapshot.missing_for_root_at(size);
    let mut loaded = HashMap::new();
    for (id, bytes) in tiles::read(store, &ids, deadline)
        .await
        .map_err(start_error)?
    {
        loaded.insert(
            id,
            std::sync::Arc::new(HashTile::from_full_bytes(id, &bytes)?),
        );
    }
    Ok(snapshot.root_at(size, &loaded)? == *root)
}

async fn first_and_last(
    store: &dyn LogStore,
    head: &HeadRow,
    deadline: Deadline,
) -> Result<(), StartError> {
    for (index, last) in [(0, false), (head.size - 1, true)] {
        let rows = deadline
            .wait(store.leaves(index, 1))
            .await
            .map_err(|_| StartError::Deadline)??;
        let leaf = rows
            .first()
            .and_then(|row| Leaf::decode(&row.leaf).ok())
            .filter(|leaf| leaf.index == index);
        let leaf = leaf.ok_or(StartError::Corrupt(
            "the first or the last entry isn't a leaf of its place",
        ))?;
        if !last && leaf.kind != EntryKind::Genesis.code() {
            return Err(StartError::Corrupt(
                "the first entry isn't the log's genesis",
            ));
        }
        if last && leaf.time != head.last_time {
            return Err(StartError::Corrupt(
                "the head has another time than the last entry",
            ));
        }
    }
    Ok(())
}

fn start_error(error: ReadError) -> StartError {
    match error {
        ReadError::Storage(error) => StartError::Storage(error),
        ReadError::Proof(error) => StartError::Tree(error),
        ReadError::DeadlineExceeded => StartError::Deadline,
        ReadError::TileMissing(id) => StartError::Tree(vrx_tlog::ProofError::MissingTile(id)),
        _ => StartError::Corrupt("entries or tiles can't be read"),
    }
}
