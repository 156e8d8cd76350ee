//! Which witnesses a tenant asks, how many it needs, and how long it may be without them.

use std::time::Duration;

use vrx_domain::MunicipalityCode;
use vrx_tlog::{Quorum, QuorumError, WitnessKey};

/// Where a witness is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessPlace {
    /// At the node of a member municipality, as the member directory has it.
    Member(MunicipalityCode),
    /// At this submission prefix (`https://witness.example/w1`): a witness of another house.
    Url(String),
}

/// One of the witnesses that a tenant asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWitness {
    /// The key that its cosignatures are checked with.
    pub key: WitnessKey,
    /// Where it is asked.
    pub place: WitnessPlace,
}

/// What a tenant asks of its witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessRules {
    pub(super) places: Vec<WitnessPlace>,
    pub(super) quorum: Quorum,
    pub(super) limit: Duration,
}

impl WitnessRules {
    /// How long a tenant provides without a quorum, where it says nothing else.
    pub const LIMIT: Duration = Duration::from_hours(4);

    /// `needed` of these witnesses must have cosigned within `limit`; otherwise the tenant stops providing.
    pub fn new(
        witnesses: Vec<OwnWitness>,
        needed: usize,
        limit: Duration,
    ) -> Result<Self, QuorumError> {
        let (keys, places) = witnesses
            .into_iter()
            .map(|witness| (witness.key, witness.place))
            .unzip();
        Ok(Self {
            places,
            quorum: Quorum::new(keys, needed)?,
            limit,
        })
    }

    /// The keys of the witnesses.
    pub fn keys(&self) -> &[WitnessKey] {
        self.quorum.witnesses()
    }

    /// The witnesses with their places.
    pub(super) fn witnesses(&self) -> impl Iterator<Item = (&WitnessKey, &WitnessPlace)> {
        self.quorum.witnesses().iter().zip(&self.places)
    }

    /// From this part of the limit on it is said that there was no quorum for some time.
    pub(super) const TOLD: u32 = 8;

    /// A quorum of this age is renewed even while the log doesn't grow; well before anything is said of it.
    pub(super) fn renewed_after(&self) -> Duration {
        (self.limit / 16).min(Duration::from_mins(10))
    }
}
