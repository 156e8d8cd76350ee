//! Work that no caller waits for: owned tasks that end when told.

use std::sync::Arc;

use crate::tenants::Tenants;

/// The node's running jobs.
pub struct Jobs {}

impl Jobs {
    /// Starts them (expiry of kept answers, counts of refusals).
    pub fn start(tenants: Arc<Tenants>) -> Self {
        todo!()
    }

    /// Ends them and waits: the last counts of refusals are recorded before this returns. Call it before the logs shut down.
    pub async fn shutdown(self) {
        todo!()
    }
}
