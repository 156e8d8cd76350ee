//! The node's use cases: what may be asked, by whom, what is answered, and which entry records it.
//!
//! **What this room is for.** Every verb of the node is one function in one file: it takes a caller whose identity was
//! already proved, asks `policy`, reads or prepares through `storage`, and hands entry, change and answer to the tenant's
//! provision log. What comes back is `Recorded<_>`: an answer that exists only once its entry is durable.
//!
//! **What may live here.** Rules, decisions, entries' content, ports to the outside (`ports`). No sockets, no wire encoding,
//! no SQL: `transport` parses and converts, `storage` keeps, and neither decides who may see what.
//!
//! **Where to start reading.** [`tenants`] (what a verb works on), then [`exchange::provide()`] (the main job), then
//! [`registry::inquire()`] (the same from the other side).
//!
//! **How to add a verb.** A file named after it in the folder of its service: request type, answer type, one `pub async fn`
//! that ends in `ProvisionLog::record`, tests at the bottom. Then one thin method in `transport`.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod audit;
pub mod background;
mod error;
pub mod exchange;
pub mod import;
pub mod jobs;
pub mod policy;
pub mod ports;
pub mod receipts;
pub mod reconciliation;
mod record;
pub mod refusals;
pub mod registry;
pub mod retention;
pub mod tenants;
#[cfg(test)]
mod testing;
pub mod tlog;
pub mod witnesses;

pub use error::{DamagedPart, ServiceError};
pub use policy::{ReviewPolicy, TenantPolicy};
pub use ports::{
    AnswerCodec, AskWitness, CodecError, GivenReceipt, PeerError, PeerExchange, PeerOutcome,
    PeerReply, ProvisionsQuery, ProvisionsReply, ReceiptsQuery, ReceiptsReply, WitnessAddress,
    WitnessReply,
};
pub use tenants::{NodeServices, TenantServices, Tenants};
/// What `transport` needs of the provision log, which is below this room.
pub use vrx_provision_log::{Deadline, Openings, Recorded};
