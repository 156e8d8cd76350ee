//! The operator's manual, as pages.

#[doc = include_str!("postgresql.md")]
pub mod postgresql {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}

#[doc = include_str!("witnesses.md")]
pub mod witnesses {}

#[doc = include_str!("recovery.md")]
pub mod recovery {}

#[doc = include_str!("verify.md")]
pub mod verify {}

#[doc = include_str!("officer.md")]
pub mod officer {}

#[doc = include_str!("reconciliation.md")]
pub mod reconciliation {}

#[doc = include_str!("retention.md")]
pub mod retention {}
