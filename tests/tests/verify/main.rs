//! What leaves a node can be verified without one: by `vrx verify` from files and keys alone, and by programs that aren't ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod foreign;
mod made;
mod offline;
mod proofs;
