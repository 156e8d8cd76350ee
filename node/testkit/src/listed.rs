//! A list of what was destroyed that ends with the test.

use async_trait::async_trait;
use parking_lot::Mutex;
use vrx_services::retention::{Destroyed, DestroyedList, NotListed};

/// The list, to be looked at.
#[derive(Default)]
pub struct ListedInMemory(pub Mutex<Vec<Destroyed>>);

#[async_trait]
impl DestroyedList for ListedInMemory {
    async fn add(&self, destroyed: &[Destroyed]) -> Result<(), NotListed> {
        self.0.lock().extend(destroyed);
        Ok(())
    }

    async fn openings(&self, epoch: u32) -> Result<Vec<(u64, u64)>, NotListed> {
        Ok(Destroyed::openings(&self.0.lock(), epoch))
    }

    async fn persons(&self) -> Result<u64, NotListed> {
        Ok(Destroyed::persons(&self.0.lock()))
    }
}
