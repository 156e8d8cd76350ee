//! The privacy officer's reading of the provision log. Every read is an entry itself.

pub mod bundle;
pub mod list;
pub(crate) mod page_token;
pub mod show;
pub mod verify;

pub use bundle::entry_bundle;
pub use list::{EntryFilter, EntryPage, EntrySummary, ListRequest, list};
pub use show::{ShownEntry, ShownField, show};
pub use verify::{LogVerified, VerifyProgress, verify};

#[cfg(test)]
mod tests;
