//! A time in which the log took no entries, and the control entry that names it afterwards.
//!
//! Content of that entry: `from` and `to` (milliseconds since 1970), `why`, `refused` (how many entries were turned away meanwhile).

use vrx_domain::EntryKind;
use vrx_domain::audit::{Fields, desk_content};

use crate::entry::{Entry, Subject};

/// A gap that isn't named in the log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    /// When the first entry was turned away, milliseconds since 1970.
    pub(crate) from: u64,
    /// The first reason.
    pub(crate) why: String,
    /// Entries turned away.
    pub(crate) refused: u64,
}

impl Gap {
    /// The action in the entry's actor fields.
    pub(crate) const ACTION: &'static str = "log-gap";

    /// The entry about it.
    pub(crate) fn entry(&self, actor: Fields, now: u64) -> Entry {
        let (from, to, refused) = (
            self.from.to_string(),
            now.max(self.from).to_string(),
            self.refused.to_string(),
        );
        let content = desk_content(&[
            ("from", &from),
            ("to", &to),
            ("why", &self.why),
            ("refused", &refused),
        ]);
        Entry {
            kind: EntryKind::Control,
            actor,
            subject: Subject::Unknown,
            content,
        }
    }

    /// One line for the file beside the kept checkpoint.
    pub(crate) fn to_line(&self) -> String {
        format!("{} {} {}\n", self.from, self.refused, self.why)
    }

    /// The inverse of [`Gap::to_line`].
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.trim_end().splitn(3, ' ');
        let (from, refused, why) = (
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
            parts.next()?.to_owned(),
        );
        Some(Self { from, why, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_read_back_from_its_line() {
        let gap = Gap {
            from: 17,
            why: "failed fsync".to_owned(),
            refused: 3,
        };
        assert_eq!(Gap::from_line(&gap.to_line()), Some(gap));
        assert_eq!(Gap::from_line("yesterday"), None);
    }
}
