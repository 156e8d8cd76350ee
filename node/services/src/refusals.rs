//! Refused calls are entries too: one each up to 60 a minute and caller, then one a caller and minute with counts.

use vrx_domain::Caller;

use crate::error::ServiceError;

/// Counts and records refusals of one tenant.
pub struct Refusals {}

impl Refusals {
    /// Records that `caller` got `error`. Call it once for every error returned to a caller whose identity was understood and
    /// whose tenant is here; it picks those that are refusals (`Unavailable`, `DeadlineExceeded` and `Internal` aren't) and
    /// waits until the entry is durable or the log says no. Never fails: the caller is told of `error` either way.
    pub async fn note(&self, caller: &Caller, error: &ServiceError) {
        todo!()
    }
}
