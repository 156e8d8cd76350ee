//! What tests of several rooms share: time that stands until it is moved, randomness that repeats, a whole tenant in a
//! folder that vanishes, a log store that fails when told. A dev-dependency only; it never ships.
//!
//! Start reading at [`TestTenant`]: keys, database, log and services of one municipality, made as `vrx-node` makes them,
//! that can be closed and opened again. To break its storage: [`faulty_log_store`]. A real PostgreSQL that can be killed and
//! followed by a standby: [`postgres`]; a connection to it that can be stalled and cut: [`Link`];
//! a disk that can be filled: [`SmallDisk`]. Whether times tell two kinds of calls apart: [`Turns`].
//!
//! To add a helper: only when tests of two rooms need it; what one room needs stays beside its tests.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that can't be set up should stop where it is"
)]

mod clock;
pub mod faulty_log_store;
mod link;
mod listed;
mod peers;
pub mod postgres;
mod random;
mod small_disk;
mod tenant;
mod turns;

pub use clock::FakeClock;
pub use link::{Link, LinkState};
pub use listed::ListedInMemory;
pub use peers::NoPeers;
pub use random::SeededRandom;
pub use small_disk::SmallDisk;
pub use tenant::TestTenant;
pub use turns::Turns;
