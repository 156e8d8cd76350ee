//! The provision log over a store that fails on command.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

#[path = "../../../testkit/src/faulty_log_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the test kit's file, of which this binary uses what it needs"
)]
mod faulty_log_store;

mod erasures;
mod faults;
mod history;
mod looking;
mod recording;
mod scene;
mod sharing;
mod sqlite;
mod starting;
mod verifying;
