//! The node's binary: configuration, composition, lifecycle, and the operator's local verbs.
//!
//! This room puts the others together and holds no rule of its own. What may live here: parsing of arguments and
//! configuration, the order in which things open and close, logs, signals, exit codes.
//!
//! Start reading at [`command`] (what the binary does), then [`compose`] (how a node is put together) and [`serve`] (how
//! it lives and ends). [`config`] is one file parsed whole; `src/config/node.toml` documents every key.
//!
//! To add a verb: a variant in [`command`] and a module named after it. To add a key: a field of the raw and of the
//! checked configuration, a commented line in the sample, a test with a wrong value.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod canary;
pub mod clock;
pub mod command;
pub mod compose;
pub mod config;
pub mod failure;
pub mod hardening;
pub mod init;
pub mod local_log;
pub mod recovery;
pub mod restore;
pub mod serve;
pub mod telemetry;
pub mod tenant_id;

pub use clock::SystemClock;
pub use config::Config;
pub use failure::{ExitCode, Failure};
