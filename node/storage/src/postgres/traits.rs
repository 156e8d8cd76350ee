//! The traits, over one tenant's rows.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use vrx_crypto::TagKind;
use vrx_domain::{ImportId, IndividualNumber, InquiryId, MunicipalityCode, PersonId, UnixMillis};

use super::append::Append;
use super::failure::failure;
use super::log::{self, int};
use super::lookup::LookupRequest;
use super::register;
use super::session::statement;
use super::tenant::{LOOKUPS, PostgresTenant};
use crate::prepare::{
    Against, Existing, Keys, Probe, Probing, adoption_chunk, doses_chunk, inquiry_change,
    persons_chunk,
};
use crate::registry::{
    Adoption, Counts, DoseRow, EnteredWith, ImportRecord, InquiryRecord, PeerCheckpoint, PersonRow,
    PreparedChunk,
};
use crate::sealed::{SealedLookup, open_lookup};
use crate::{
    AppendError, BatchItem, Change, EntryRow, HeadRow, LeafRow, LogStore, Lookup, LookupQueue,
    NotCommitted, PersonStore, Prepared, RegistryStore, SealBatch, StorageError, SubjectHead,
    SubjectTag, TenantStore,
};

#[async_trait]
impl PersonStore for PostgresTenant {
    async fn lookup(&self, number: &IndividualNumber) -> Result<Lookup, StorageError> {
        let keyring = &self.options.keyring;
        let mut decoy = [0; 16];
        self.options.random.fill(&mut decoy);
        let tags = keyring.tags(TagKind::Number, number.digits());
        let (reply, answer) = oneshot::channel();
        let request = LookupRequest { tags, decoy, reply };
        match &*self.lookups.read() {
            None => return Err(StorageError::Closed),
            Some(lookups) => lookups.try_send(request).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => StorageError::Busy,
                mpsc::error::TrySendError::Closed(_) => StorageError::Closed,
            })?,
        }
        let found: SealedLookup = answer.await.map_err(|_| StorageError::Closed)??;
        open_lookup(keyring, &self.options.tenant.id, number, &found)
    }
}

#[async_trait]
impl Probing for PostgresTenant {
    fn keys(&self) -> Keys {
        Keys {
            tenant: self.options.tenant.id,
            keyring: Arc::clone(&self.options.keyring),
            random: Arc::clone(&self.options.random),
        }
    }

    async fn existing(
        &self,
        probes: Vec<Probe>,
        against: Against,
    ) -> Result<(Vec<Probe>, Existing), StorageError> {
        let mut session = self.reading().await?;
        let existing = register::existing(&mut session, self.key, &probes, against).await?;
        session.end().await?;
        Ok((probes, existing))
    }
}

#[async_trait]
impl TenantStore for PostgresTenant {
    async fn close(&self) -> Result<(), StorageError> {
        Self::close(self).await
    }

    fn statements(&self) -> u64 {
        self.cluster.statements()
    }

    fn lookup_queue(&self) -> LookupQueue {
        let open = self.lookups.read();
        let room = open.as_ref().map_or(LOOKUPS, mpsc::Sender::capacity);
        LookupQueue {
            waiting: LOOKUPS.saturating_sub(room),
            limit: LOOKUPS,
        }
    }
}

#[async_trait]
impl RegistryStore for PostgresTenant {
    async fn prepare_persons(
        &self,
        import: ImportId,
        rows: Arc<[PersonRow]>,
    ) -> Result<PreparedChunk, StorageError> {
        persons_chunk(self, import, rows).await
    }

    async fn prepare_doses(
        &self,
        import: ImportId,
        rows: Arc<[DoseRow]>,
    ) -> Result<PreparedChunk, StorageError> {
        doses_chunk(self, import, rows).await
    }

    async fn prepare_adoption(&self, adoption: &Adoption) -> Result<PreparedChunk, StorageError> {
        adoption_chunk(self, adoption).await
    }

    async fn import(&self, id: ImportId) -> Result<Option<ImportRecord>, StorageError> {
        let mut session = self.reading().await?;
        let import = register::import(&mut session, self.key, &self.options.keyring, id).await?;
        session.end().await?;
        Ok(import)
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StorageError> {
        let mut session = self.reading().await?;
        let imports = register::imports(&mut session, self.key, &self.options.keyring).await?;
        session.end().await?;
        Ok(imports)
    }

    async fn entered_with(&self, person: PersonId) -> Result<Vec<EnteredWith>, StorageError> {
        let mut session = self.reading().await?;
        let entered = register::entered_with(&mut session, self.key, person).await?;
        session.end().await?;
        Ok(entered)
    }

    async fn prepare_inquiry(&self, inquiry: &InquiryRecord) -> Result<Change, StorageError> {
        inquiry_change(&self.keys().sealing(), inquiry)
    }

    async fn inquiry(
        &self,
        id: InquiryId,
        now: UnixMillis,
    ) -> Result<Option<InquiryRecord>, StorageError> {
        let mut session = self.reading().await?;
        let row = register::inquiry(&mut session, self.key, id, now).await?;
        session.end().await?;
        row.map(|row| row.open(&self.options.keyring, id))
            .transpose()
    }

    async fn expire_inquiries(&self, now: UnixMillis) -> Result<u64, StorageError> {
        let mut session = self.writing().await?;
        let expire = statement(
            "-- expire_inquiries
             DELETE FROM inquiry WHERE tenant = $1 AND expires_at <= $2",
        )
        .bind(self.key)
        .bind(int(now.0));
        let expired = session.run(expire).await.map_err(|error| failure(&error))?;
        session.commit().await.map_err(|error| failure(&error))?;
        Ok(expired)
    }

    async fn peer_checkpoint(
        &self,
        peer: MunicipalityCode,
    ) -> Result<Option<PeerCheckpoint>, StorageError> {
        let mut session = self.reading().await?;
        let checkpoint = register::peer_checkpoint(&mut session, self.key, peer).await?;
        session.end().await?;
        Ok(checkpoint)
    }

    async fn counts(&self) -> Result<Counts, StorageError> {
        let mut session = self.reading().await?;
        let counts = register::counts(&mut session, self.key).await?;
        session.end().await?;
        Ok(counts)
    }
}

#[async_trait]
impl LogStore for PostgresTenant {
    async fn head(&self) -> Result<HeadRow, StorageError> {
        let mut session = self.reading().await?;
        let head = log::head(&mut session, self.key).await?;
        session.end().await?;
        Ok(head)
    }

    async fn append(
        &self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        let _open = self.appending.read().await;
        if self.is_closed() {
            return Err(NotCommitted::Closed.into());
        }
        let append = Append {
            cluster: Arc::clone(&self.cluster),
            tenant: self.key,
            keyring: Arc::clone(&self.options.keyring),
            hot: Arc::clone(&self.hot),
            random: Arc::clone(&self.options.random),
        };
        // Dropped on the way, it takes its connection along: nothing after the last statement sent happens.
        append.run(expected, items, seal).await
    }

    /// A server is asked again when it is back; the head's row says what became of a batch.
    fn outcome_is_knowable(&self) -> bool {
        true
    }

    async fn leaves(&self, from: u64, count: u32) -> Result<Vec<LeafRow>, StorageError> {
        let mut session = self.reading().await?;
        let leaves = log::leaves(&mut session, self.key, from, count).await?;
        session.end().await?;
        Ok(leaves)
    }

    async fn tiles(&self, ids: &[(u8, u64)]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let mut session = self.reading().await?;
        let tiles = log::tiles(&mut session, self.key, ids).await?;
        session.end().await?;
        Ok(tiles)
    }

    async fn entries(&self, from: u64, count: u32) -> Result<Vec<EntryRow>, StorageError> {
        let mut session = self.reading().await?;
        let entries = log::entries(&mut session, self.key, from, count).await?;
        session.end().await?;
        Ok(entries)
    }

    async fn subject_head(&self, subject: SubjectTag) -> Result<Option<SubjectHead>, StorageError> {
        let mut session = self.reading().await?;
        let heads = log::subject_heads(
            &mut session,
            self.key,
            &self.hot.subjects,
            std::iter::once(subject),
        )
        .await?;
        session.end().await?;
        Ok(heads.first().copied().flatten())
    }

    async fn canary(&self) -> Result<(), StorageError> {
        let mut session = self.writing().await?;
        let write = statement(
            "-- write_canary
             UPDATE canary SET written = written + 1 WHERE tenant = $1",
        )
        .bind(self.key);
        session.run_one("canary", write).await?;
        session.commit().await.map_err(|error| failure(&error))
    }
}
