//! 保管期間と消去: what is due, who proposes and approves its erasure, what exempts a person, and the work itself.
//!
//! Start reading at [`plan()`] (what a run would erase), then [`propose()`] and [`approve()`] (four eyes), then [`advance()`] (one
//! bounded step of the work), `replay.rs` (what the log says is over stays over). All of it is the privacy officers'; each call is an entry of the log.

mod account;
mod approve;
mod certificate;
mod hold;
mod jobs;
mod list;
mod plan;
mod propose;
mod replay;
mod run;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use async_trait::async_trait;
use vrx_domain::PersonId;

pub use approve::{ErasureApproval, approve};
pub use hold::{HoldReport, HoldRequest, lift_hold, place_hold};
pub use jobs::Erasures;
pub use list::{ErasureList, list};
pub use plan::{ErasurePlan, SurveyProgress, plan};
pub use propose::{Earlier, ErasureProposal, propose};
pub use run::{Advanced, advance};
/// What `transport` needs of the store, which is below this room.
pub use vrx_storage::{ErasureCounts, ErasureRun, ErasureStage};

/// What must not come back with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destroyed {
    /// A person's key.
    Person(PersonId),
    /// The openings of entries from one place in the log to before another.
    Openings {
        /// The epoch of the log: in the next one, another entry may stand at such a place.
        epoch: u32,
        /// The first.
        from: u64,
        /// The one after the last.
        below: u64,
    },
}

impl Destroyed {
    /// The ranges of openings of an epoch among these.
    pub fn openings(destroyed: &[Self], of: u32) -> Vec<(u64, u64)> {
        let range = |what: &Self| match what {
            Self::Openings { epoch, from, below } if *epoch == of => Some((*from, *below)),
            _ => None,
        };
        destroyed.iter().filter_map(range).collect()
    }

    /// How many persons are among these.
    pub fn persons(destroyed: &[Self]) -> u64 {
        let person = |what: &Self| match what {
            Self::Person(person) => Some(*person),
            Self::Openings { .. } => None,
        };
        let persons: HashSet<PersonId> = destroyed.iter().filter_map(person).collect();
        persons.len() as u64
    }
}

/// The list of what was destroyed couldn't be written or read; the text is for the node's own log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the list of what was destroyed can't be used: {0}")]
pub struct NotListed(pub String);

/// The tenant's list of what was destroyed, outside of every database and every backup. A restore reads it before it serves.
#[async_trait]
pub trait DestroyedList: Send + Sync {
    /// Adds to it, durably: when this returns, a restore leaves these out.
    async fn add(&self, destroyed: &[Destroyed]) -> Result<(), NotListed>;

    /// The tenant's openings on it, as far as they are of this epoch of the log too: ranges from one place to before another, in any
    /// order.
    async fn openings(&self, epoch: u32) -> Result<Vec<(u64, u64)>, NotListed>;

    /// How many of the tenant's persons are on it.
    async fn persons(&self) -> Result<u64, NotListed>;
}
