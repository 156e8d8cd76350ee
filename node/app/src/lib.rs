//! The node that a Japanese municipality runs to keep its residents' vaccination records and to exchange them with other
//! municipalities about people who moved. This page explains the house; each room's first page explains the room.
//!
//! # What holds everywhere
//!
//! 1. **A municipality owns its partition.** Every key, table, cache, cursor and file starts with the municipality.
//! 2. **Nothing leaves unrecorded.** An answer's bytes come back out of the provision log (提供記録), after the entry is durable:
//!    [`Recorded`](vrx_provision_log::Recorded) is the only way to an answer.
//! 3. **Nothing on no match.** No such person, no doses, a protected person: the same empty message after the same work.
//! 4. **The number is radioactive.** The individual number (個人番号) is at rest only as a keyed tag and a ciphertext.
//!
//! # The rooms, from the inside out
//!
//! | room | what lives there |
//! | --- | --- |
//! | [`vrx_domain`] | numbers, codes, doses, consent, identities; parsing and rules, no I/O |
//! | [`vrx_crypto`] | keyring, sealed columns, number tags, the log's signer |
//! | [`vrx_storage`] | small traits and SQLite behind them; plaintext enters and leaves only here |
//! | [`vrx_tlog`] | the log's mathematics and text: tree, proofs, checkpoints |
//! | [`vrx_provision_log`] | the tenant's one writer, recovery, verification, receipts |
//! | [`vrx_services`] | the use cases, one file a verb: provide, inquire, adopt, import, audit |
//! | [`vrx_transport`] | mutual TLS, callers from certificates, thin gRPC services, the client to other nodes |
//! | `vrx_node` (here) | configuration, composition, lifecycle, the operator's local verbs |
//!
//! Outside stand `vrx_proto` (the wire; its comments are the specification), `vrx_cli` (the program `vrx`), `vrx_certs_dev`
//! (certificates for development) and the tests. A test keeps the rooms apart.
//!
//! # One question, through the house
//!
//! TLS accepts a client certificate; its one URI becomes a caller; the gRPC service asks whether this role may call it and
//! parses the message into domain types; `provide` in [`vrx_services`] asks the policy, looks the person up and decides; the
//! log's writer makes the entry durable; only then do the bytes leave, with a receipt that the requester can check.
//!
//! # This room
//!
//! It puts the others together and holds no rule of its own. Start reading at [`command`] (what the binary does), then
//! [`compose`] (how a node is put together) and [`serve`] (how it lives and ends). [`config`] is one file parsed whole;
//! `src/config/node.toml` documents every key.
//!
//! The operator's pages: [`manual`], on PostgreSQL [`manual::postgresql`], on metrics [`manual::metrics`], on witnesses
//! [`manual::witnesses`], after a lost disk [`manual::recovery`], on proofs that need no node [`manual::verify`],
//! on what two municipalities' logs say of each other [`manual::reconciliation`]; the privacy officer's, in Japanese,
//! [`manual::officer`]; on the end of records [`manual::retention`].
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

pub mod backup;
pub mod canary;
pub mod clock;
pub mod command;
pub mod compose;
pub mod config;
pub mod erase;
pub mod failure;
pub mod hardening;
pub mod init;
pub mod local_log;
#[cfg(doc)]
pub mod manual;
pub mod metrics;
pub mod migrate;
mod progress;
pub mod recovered;
pub mod recovery;
pub mod restore;
pub mod returned;
pub mod serve;
pub mod stores;
pub mod telemetry;
pub mod tenant_id;
pub mod tenant_move;
pub mod trial;
mod unwitnessed;

pub use clock::SystemClock;
pub use config::Config;
pub use failure::{ExitCode, Failure};
