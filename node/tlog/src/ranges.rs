//! Which subtrees a proof names: RFC 6962's recursions, unrolled into ranges of leaves and those into full subtrees.

/// A range of leaves `[from, to)` that is one node of the tree: full, or ending at the tree's right edge.
pub(crate) type Range = (u64, u64);

/// The siblings on the way from leaf `index` up to the root of `size` leaves, from the bottom. `index < size`.
pub(crate) fn of_inclusion(index: u64, size: u64) -> Vec<Range> {
    let (mut from, mut to) = (0, size);
    let mut out = Vec::with_capacity(24);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            out.push((middle, to));
            to = middle;
        } else {
            out.push((from, middle));
            from = middle;
        }
    }
    out.reverse();
    out
}

/// The nodes of the consistency proof between `old` and `new` leaves. `0 < old <= new`.
pub(crate) fn of_consistency(old: u64, new: u64) -> Vec<Range> {
    let (mut from, mut to) = (0, new);
    let mut out = Vec::with_capacity(24);
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            out.push((middle, to));
            to = middle;
        } else {
            out.push((from, middle));
            from = middle;
        }
    }
    if from != 0 {
        out.push((from, to));
    }
    out.reverse();
    out
}

/// The full subtrees, from the left, whose fold from the right is the node over `range`, as (height, place at that height).
pub(crate) fn peaks(range: Range) -> impl Iterator<Item = (u32, u64)> {
    let (mut from, to) = range;
    std::iter::from_fn(move || {
        let left = to.checked_sub(from).filter(|left| *left > 0)?;
        let height = left.ilog2();
        let place = from >> height;
        from += 1 << height;
        Some((height, place))
    })
}

/// The largest power of two below `n`, for `n > 1`.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
