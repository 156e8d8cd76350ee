//! The node's way to the outside: TLS, identity, gRPC, and the client that asks other nodes.
//!
//! **What may live here.** Everything that knows a socket, a certificate or a message: parse, call one function of
//! `vrx-services`, convert. **Never here:** a rule about who may see which record. A caller is made from the certificate of its
//! connection and from nothing else; personal data is sent only out of `Recorded<_>`.
//!
//! **Where to start reading.** [`serve()`] (the listener), `grpc::dispatch` (every call's way in), `grpc::exchange` (the main
//! call), `tlog` (the log over HTTPS, and the witness), [`client`] (the same from the other side), [`tls`] (which CA vouches for whom).
//!
//! **How to add a service.** A file in `grpc` beside `registry`, a line in `access::Service` with the role that may call it (a
//! service that isn't there refuses everyone), a line in [`serve()`].

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod access;
pub mod client;
mod grpc;
mod limits;
mod metrics;
pub mod peer;
mod serve;
mod status;
#[cfg(test)]
mod testing;
mod tlog;
pub mod tls;
mod traffic;
mod wire;

pub use client::{ForeignWitness, PeerClient, submission_url};
pub use grpc::health::Readiness;
pub use limits::Limits;
pub use metrics::{MetricsText, serve_metrics};
pub use serve::{Served, Shutdown, serve};
pub use tls::accept::AcceptLimits;
pub use tls::{TenantFiles, TlsError, TlsFiles, TlsMaterial};
pub use traffic::{Traffic, TrafficSeen};
pub use wire::answer::ProstAnswerCodec;
