//! The wire: what nodes, staff and officers say to each other, as gRPC messages.
//!
//! The `.proto` files under `vrx/v1/` are the specification; their comments say what each field means, in which format
//! and unit, with its Japanese term. This crate holds the code generated from them, and nothing that decides anything.
//!
//! - Start reading at `vrx/v1/exchange.proto`: the one call between municipalities, and how a receipt is computed.
//! - [`v1`] is the generated code, checked in so that nobody needs a protobuf compiler. `tests/generated.rs` makes it
//!   again and compares; `VRX_REGENERATE=1 cargo test -p vrx-proto --features regenerate --test generated` rewrites it.
//! - To add a message: write it with comments, never edit a field that has landed, put it on the list in `redact.rs`
//!   when it can carry a resident or a key, regenerate.

/// Package `vrx.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated; the comments stand in the .proto files"
)]
pub mod v1 {
    include!("gen/vrx.v1.rs");
}

// Off while the code is made again: a message that is new on the list doesn't exist yet.
#[cfg(not(feature = "regenerate"))]
mod redact;

/// Outcome of a *nothing*, the value of the trailer [`TRAILER_OUTCOME`].
pub const OUTCOME_NOTHING: &str = "nothing";
/// The trailer that says that an empty message is an answer.
pub const TRAILER_OUTCOME: &str = "vrx-outcome";
/// The trailer that repeats the request's id, hyphenated, lower case.
pub const TRAILER_REQUEST_ID: &str = "vrx-request-id";
/// The trailer that carries an encoded [`v1::Nothing`].
pub const TRAILER_RECEIPT: &str = "vrx-receipt-bin";
