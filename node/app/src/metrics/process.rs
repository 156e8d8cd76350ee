//! The process itself.

use std::fmt;

use super::families::{Families, number};

pub(super) fn encode(families: &mut Families<'_>) -> fmt::Result {
    families.gauge(
        "vrx_build",
        "Always 1; the label says which version runs",
        [(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
    )?;
    families.gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is in the machine's memory now",
        resident().map(|bytes| (vec![], number(bytes))),
    )
}

/// Where the kernel says so; nothing where it doesn't.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_some_megabytes() {
        assert!(super::resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
