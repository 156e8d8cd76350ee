//! Finding a person by individual number: the hot path of the exchange.

use async_trait::async_trait;
use vrx_domain::{Dose, IndividualNumber, Person, PersonId};

use crate::StorageError;

/// What stands under an individual number.
///
/// Never `Debug` and never `Clone`: it carries a resident.
pub enum Lookup {
    /// No person here has this number. A decoy was read and opened in their place.
    Unknown,
    /// The person whose sealed number is the one asked (compared in constant time, after the tag proposed the row).
    Found(Box<PersonRecord>),
    /// The tag led to a row that holds another number: somebody moved tags or rows. Raise an alarm, answer nothing.
    Mismatch {
        /// The row the tag led to.
        person: PersonId,
    },
}

/// A person with what the exchange may speak of.
pub struct PersonRecord {
    /// Row id.
    pub id: PersonId,
    /// The newest *approved* state; `None` while only entered ones exist.
    pub approved: Option<Person>,
    /// A newer state that was entered but not yet approved says that this person is protected (支援措置対象者), whatever
    /// still newer ones say. Protection counts from the moment it is entered: waiting for the second person must not expose
    /// anybody.
    pub entered_protection: bool,
    /// Approved doses in their newest approved state, without cancelled ones; by dose number, then date.
    pub doses: Vec<Dose>,
}

/// Lookups of one tenant's persons.
#[async_trait]
pub trait PersonStore: Send + Sync {
    /// Finds a person. Lookups that arrive while a batch runs are answered together in the next one. The same
    /// statements run and the same number of ciphertexts is opened whether or not somebody is found.
    async fn lookup(&self, number: &IndividualNumber) -> Result<Lookup, StorageError>;
}
