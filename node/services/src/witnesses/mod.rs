//! Witnesses (C2SP tlog-witness): who else has seen this tenant's log, and whose logs this tenant has seen.
//!
//! Whoever holds all of a machine, its keys among them, can rewrite a log, sign it anew and delete the kept checkpoint: nothing on that
//! machine shows it. Witnesses do. Each remembers the newest checkpoint that it cosigned of a log and cosigns only what continues it.
//!
//! - [`cosign`]: being a witness for the members' logs.
//! - [`rules`]: which witnesses a tenant asks and how many it needs; `ask` asks one of them once, `rounds` asks all of them again and
//!   again in the background, [`begin`] before the tenant serves.
//! - [`state`]: what came of it, and whether the tenant may provide.

mod ask;
pub mod cosign;
mod rounds;
pub mod rules;
pub mod state;

pub use cosign::{NotCosigned, add_checkpoint, cosigned_checkpoint};
pub use rounds::{Asking, begin};
pub use rules::{OwnWitness, WitnessPlace, WitnessRules};
pub use state::{Contradiction, WitnessSeen, Witnessing, WitnessingSeen};

#[cfg(test)]
mod tests;
