//! The operator's manual, as pages.

#[doc = include_str!("postgresql.md")]
pub mod postgresql {}
