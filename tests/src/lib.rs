//! # vrx-tests: the house seen from the street
//!
//! End-to-end tests over the real programs, real TLS and real databases, and the load generator. Nothing here reaches
//! into private parts: it starts `vrx` and `vrx-node`, speaks gRPC to them, and reads what they leave on disk.
//!
//! * [`demo`] starts two municipalities with `vrx demo --keep` and stops them again.
//! * [`desk`] runs `vrx` as staff and officers do.
//! * [`tls`] connects to a node as a foreign client does.
//! * [`exchange`] makes requests and checks answers.
//! * [`load`] keeps asking while a test breaks something.
//! * [`process`] runs more processes of one municipality.
//! * [`foreign`] reads a log with code that isn't ours.
//! * [`log`] reads what a node's log holds on disk.
//! * [`trace`] sees the system calls of a node.
//! * [`mod@bench`] measures; `make bench` runs it.
//!
//! A new end-to-end test is a file under `tests/tests/` named after what it shows.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod bench;
pub mod demo;
pub mod desk;
pub mod exchange;
pub mod foreign;
pub mod load;
pub mod log;
pub mod metrics;
pub mod process;
pub mod tls;
pub mod trace;
