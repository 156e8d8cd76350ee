//! The receipts that are held of a provider's log, and of its older epochs.

use std::ops::Range;

use vrx_domain::MunicipalityCode;
use vrx_storage::KeptReceipt;

use crate::{
    error::ServiceError,
    record::{own_deadline, storage_error},
    tenants::TenantServices,
};

/// Receipts read at once.
const AT_ONCE: u32 = 500;
/// How many older epochs of a log are looked at: each stands for a disk that was lost.
const OLDER_EPOCHS: usize = 16;

/// The receipts of one log.
pub(super) struct HeldOf<'a> {
    pub(super) ctx: &'a TenantServices,
    pub(super) provider: MunicipalityCode,
    /// The log's name, with its epoch.
    pub(super) origin: &'a str,
}

impl HeldOf<'_> {
    /// The first one from a place on.
    pub(super) async fn first_from(&self, from: u64) -> Result<Option<KeptReceipt>, ServiceError> {
        Ok(self.read(self.origin, from, 1).await?.into_iter().next())
    }

    /// All of a stretch.
    pub(super) async fn within(
        &self,
        range: &Range<u64>,
    ) -> Result<Vec<KeptReceipt>, ServiceError> {
        self.within_log(self.origin, range).await
    }

    /// All of a stretch of the epochs before.
    pub(super) async fn of_older_epochs(
        &self,
        range: &Range<u64>,
    ) -> Result<Vec<KeptReceipt>, ServiceError> {
        let mut receipts = Vec::new();
        for origin in older_epochs(self.origin) {
            receipts.extend(self.within_log(&origin, range).await?);
        }
        Ok(receipts)
    }

    async fn within_log(
        &self,
        origin: &str,
        range: &Range<u64>,
    ) -> Result<Vec<KeptReceipt>, ServiceError> {
        let (mut receipts, mut from) = (Vec::new(), range.start);
        while from < range.end {
            let some = self.read(origin, from, AT_ONCE).await?;
            let last = some.last().map(|kept| kept.log_index);
            let whole = some.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
            receipts.extend(some.into_iter().filter(|kept| kept.log_index < range.end));
            match last {
                Some(last) if !whole => from = last.saturating_add(1),
                _ => break,
            }
        }
        Ok(receipts)
    }

    async fn read(
        &self,
        origin: &str,
        from: u64,
        count: u32,
    ) -> Result<Vec<KeptReceipt>, ServiceError> {
        let read = self
            .ctx
            .receipts
            .receipts(self.provider, origin, from, count);
        own_deadline()
            .wait(read)
            .await
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(|error| storage_error(self.ctx, &error))
    }
}

/// The names of the epochs before that of `origin`, the newest first.
fn older_epochs(origin: &str) -> Vec<String> {
    let Some((log, epoch)) = origin.rsplit_once('/') else {
        return Vec::new();
    };
    let epoch: u32 = epoch.parse().unwrap_or(1);
    let older = (1..epoch).rev().take(OLDER_EPOCHS);
    older.map(|epoch| format!("{log}/{epoch}")).collect()
}

#[cfg(test)]
mod tests {
    use super::older_epochs;

    #[test]
    fn the_epochs_before_have_the_same_name_and_smaller_numbers() {
        assert_eq!(older_epochs("a/log/3"), ["a/log/2", "a/log/1"]);
        assert_eq!(older_epochs("a/log/1"), [""; 0]);
        assert_eq!(older_epochs("a/log/x"), [""; 0]);
        assert_eq!(older_epochs("a/log/4000000000").len(), 16);
    }
}
