//! What every database checks of a batch in the same way: onto which head it may go, and whether what was sealed fits it.

use crate::{BatchItem, BatchRows, HeadRow, LeafRow, MOST_BEHIND, NotCommitted, Prepared};

/// How many leaves lie between the expected head and the found one, if the batch may go onto the found one.
pub(crate) fn behind(expected: (u64, [u8; 32]), found: &HeadRow) -> Result<u64, NotCommitted> {
    match found.size.checked_sub(expected.0) {
        Some(0) if found.root == expected.1 => Ok(0),
        Some(count @ 1..=MOST_BEHIND) => Ok(count),
        _ => Err(NotCommitted::SwapLost),
    }
}

/// Whether these are all the leaves from the expected size up to the found head.
pub(crate) fn is_gapless(expected: u64, found: &HeadRow, since: &[LeafRow]) -> bool {
    (expected..found.size).eq(since.iter().map(|leaf| leaf.index))
}

/// What was sealed must be what was asked for: one entry for each accepted item, in order, and the head after them, in no
/// earlier epoch.
pub(crate) fn check_fit(
    items: &[BatchItem],
    prepared: &Prepared,
    rows: &BatchRows,
) -> Result<(), NotCommitted> {
    let accepted = items
        .iter()
        .zip(&prepared.results)
        .filter(|(_, result)| result.is_ok())
        .map(|(item, _)| item.subject);
    let from = prepared.head.size;
    let to = from + accepted.clone().count() as u64;
    let subjects = rows.entries.iter().map(|entry| entry.subject);
    let indexes = rows.entries.iter().map(|entry| entry.index);
    if !indexes.eq(from..to) {
        Err(NotCommitted::Mismatch("the indexes of the entries"))
    } else if !subjects.eq(accepted) {
        Err(NotCommitted::Mismatch("the subjects of the entries"))
    } else if rows.head.size != to {
        Err(NotCommitted::Mismatch("the size of the head"))
    } else if rows.head.epoch < prepared.head.epoch {
        Err(NotCommitted::Fenced)
    } else {
        Ok(())
    }
}
