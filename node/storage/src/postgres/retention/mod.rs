//! Erasing in a cluster. Each step is a transaction that holds the log's head, so that no batch runs beside it. What nodes have no
//! right to do is done by functions that take claimed persons only (migration 4); rewriting the files is the owner's, in
//! `owner.rs` here.

mod changes;
mod list;
mod owner;
mod read;
mod steps;

use async_trait::async_trait;
use vrx_domain::{Date, ErasureId, PersonId, RetentionPolicy, UnixMillis};

use super::failure::failure;
use super::register::imports;
use super::session::Session;
use super::tenant::PostgresTenant;
use crate::StorageError;
use crate::decoys::DECOY_IMPORT;
use crate::hold::HoldRecord;
use crate::retention::{
    BlankOpenings, Claimed, ErasureRun, OpeningsStep, PersonSpan, RetentionStore,
};
use crate::sealed::{approved, open_span};

pub(super) use changes::{
    approve, check_unclaimed, lift_hold, place_hold, propose, record, settle,
};
pub use owner::Rewritten;
use read::{blank_places, holds, persons_after, runs, standing, standing_openings};

async fn commit(session: Session) -> Result<(), StorageError> {
    session.commit().await.map_err(|error| failure(&error))
}

#[async_trait]
impl RetentionStore for PostgresTenant {
    async fn spans(
        &self,
        after: Option<PersonId>,
        count: u32,
    ) -> Result<Vec<PersonSpan>, StorageError> {
        let (keyring, tenant) = (&self.options.keyring, &self.options.tenant.id);
        let mut session = self.reading().await?;
        let sealed = persons_after(&mut session, self.key, after, count).await?;
        let mut approved = approved(&imports(&mut session, self.key, keyring).await?);
        session.end().await?;
        approved.insert(DECOY_IMPORT);
        sealed
            .iter()
            .map(|sealed| open_span(keyring, tenant, sealed, &approved).map(|opened| opened.person))
            .collect()
    }

    async fn holds(&self) -> Result<Vec<HoldRecord>, StorageError> {
        let mut session = self.reading().await?;
        let holds = holds(&mut session, self.key, &self.options.keyring).await?;
        session.end().await?;
        Ok(holds)
    }

    async fn erasures(&self) -> Result<Vec<ErasureRun>, StorageError> {
        let mut session = self.reading().await?;
        let runs = runs(&mut session, self.key, &self.options.keyring).await?;
        session.end().await?;
        Ok(runs)
    }

    async fn claim(
        &self,
        run: ErasureId,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Claimed, StorageError> {
        let mut session = self.erasing().await?;
        let claimed = self.claim_in(&mut session, run, policy, today).await?;
        commit(session).await?;
        Ok(claimed)
    }

    async fn destroy_keys(
        &self,
        run: ErasureId,
        persons: &[PersonId],
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<(), StorageError> {
        let mut session = self.erasing().await?;
        let by = (policy, today);
        self.destroy_in(&mut session, run, persons, by).await?;
        commit(session).await
    }

    async fn delete_rows(&self, run: ErasureId) -> Result<bool, StorageError> {
        let mut session = self.erasing().await?;
        let more = self.delete_rows_in(&mut session, run).await?;
        commit(session).await?;
        Ok(more)
    }

    async fn blank_openings(&self, run: ErasureId, step: OpeningsStep) -> Result<(), StorageError> {
        let mut session = self.erasing().await?;
        self.blank_in(&mut session, run, &step).await?;
        commit(session).await
    }

    async fn blanks(&self) -> Result<BlankOpenings, StorageError> {
        let mut session = self.reading().await?;
        let places = blank_places(&mut session, self.key).await?;
        let runs = runs(&mut session, self.key, &self.options.keyring).await?;
        session.end().await?;
        Ok(BlankOpenings { places, runs })
    }

    async fn standing(&self, persons: Vec<PersonId>) -> Result<Vec<PersonId>, StorageError> {
        let mut session = self.reading().await?;
        let found = standing(&mut session, self.key, &self.options.keyring, &persons).await?;
        session.end().await?;
        Ok(found)
    }

    async fn standing_openings(&self, ranges: Vec<(u64, u64)>) -> Result<Vec<u64>, StorageError> {
        let mut session = self.reading().await?;
        let found = standing_openings(&mut session, self.key, &ranges).await?;
        session.end().await?;
        Ok(found)
    }

    /// The files are the owner's.
    async fn rewrite(&self, _run: ErasureId, _now: UnixMillis) -> Result<bool, StorageError> {
        Ok(false)
    }
}
