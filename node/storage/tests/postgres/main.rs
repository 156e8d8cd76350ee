//! The promises every database makes, kept by PostgreSQL, and what is PostgreSQL's alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod alike;
mod cancellation;
mod disk;
mod failures;
mod isolation;
mod plans;
mod refusals;
mod scene;

use scene::fresh;

mod conformance {
    vrx_storage::conformance_suite!(crate::fresh);
}
