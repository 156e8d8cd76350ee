//! The traits, over one tenant's threads.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use vrx_crypto::TagKind;
use vrx_domain::{ImportId, IndividualNumber, InquiryId, MunicipalityCode, PersonId, UnixMillis};

use super::heads::subject_head;
use super::log;
use super::lookup::LookupRequest;
use super::register;
use super::sql::{Sql, failure, int};
use super::tenant::{SqliteTenant, write_canary};
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
impl PersonStore for SqliteTenant {
    async fn lookup(&self, number: &IndividualNumber) -> Result<Lookup, StorageError> {
        let keyring = &self.options.keyring;
        let mut decoy = [0; 16];
        self.options.random.fill(&mut decoy);
        let tags = keyring.tags(TagKind::Number, number.digits());
        let (reply, answer) = oneshot::channel();
        self.lookups.push(LookupRequest { tags, decoy, reply })?;
        let found: SealedLookup = answer.await.map_err(|_| StorageError::Closed)??;
        open_lookup(keyring, &self.options.tenant.id, number, &found)
    }
}

#[async_trait]
impl Probing for SqliteTenant {
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
        let key = self.key;
        self.read(move |sql| {
            let existing = register::existing(sql, key, &probes, against)?;
            Ok((probes, existing))
        })
        .await
    }
}

#[async_trait]
impl TenantStore for SqliteTenant {
    async fn close(&self) -> Result<(), StorageError> {
        Self::close(self).await
    }

    fn statements(&self) -> u64 {
        Self::statements(self)
    }

    fn lookup_queue(&self) -> LookupQueue {
        LookupQueue {
            waiting: self.lookups.waiting(),
            limit: self.lookups.capacity(),
        }
    }
}

#[async_trait]
impl RegistryStore for SqliteTenant {
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
        let (key, keyring) = (self.key, self.options.keyring.clone());
        self.read(move |sql| register::import(sql, key, &keyring, id))
            .await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StorageError> {
        let (key, keyring) = (self.key, self.options.keyring.clone());
        self.read(move |sql| register::imports(sql, key, &keyring))
            .await
    }

    async fn entered_with(&self, person: PersonId) -> Result<Vec<EnteredWith>, StorageError> {
        let key = self.key;
        self.read(move |sql| register::entered_with(sql, key, person))
            .await
    }

    async fn prepare_inquiry(&self, inquiry: &InquiryRecord) -> Result<Change, StorageError> {
        inquiry_change(&self.keys().sealing(), inquiry)
    }

    async fn inquiry(
        &self,
        id: InquiryId,
        now: UnixMillis,
    ) -> Result<Option<InquiryRecord>, StorageError> {
        let key = self.key;
        let row = self
            .read(move |sql| register::inquiry(sql, key, id, now))
            .await?;
        row.map(|row| row.open(&self.options.keyring, id))
            .transpose()
    }

    async fn expire_inquiries(&self, now: UnixMillis) -> Result<u64, StorageError> {
        let key = self.key;
        let expire = move |sql: &Sql| {
            sql.run(
                "-- expire_inquiries
                 DELETE FROM inquiry WHERE tenant = ?1 AND expires_at <= ?2",
                (key, int(now.0)),
            )
            .map(|count| count as u64)
            .map_err(failure)
        };
        self.write(move |writer| writer.write_aside(expire)).await
    }

    async fn peer_checkpoint(
        &self,
        peer: MunicipalityCode,
    ) -> Result<Option<PeerCheckpoint>, StorageError> {
        let key = self.key;
        self.read(move |sql| register::peer_checkpoint(sql, key, peer))
            .await
    }

    async fn counts(&self) -> Result<Counts, StorageError> {
        let key = self.key;
        self.read(move |sql| register::counts(sql, key)).await
    }
}

#[async_trait]
impl LogStore for SqliteTenant {
    async fn head(&self) -> Result<HeadRow, StorageError> {
        let key = self.key;
        self.read(move |sql| log::head(sql, key)).await
    }

    async fn append(
        &self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        let closed = || AppendError::from(NotCommitted::Closed);
        let writes = self.writes.as_ref().ok_or_else(closed)?;
        let (reply, answer) = oneshot::channel();
        writes
            .push(Box::new(move |writer| {
                drop(reply.send(writer.append(expected, &items, seal)));
            }))
            .map_err(|error| match error {
                StorageError::Busy => NotCommitted::Busy.into(),
                _ => closed(),
            })?;
        // The thread ended with the batch in its hands: only the file knows.
        let ended = || AppendError::Unknown("the writer's thread ended".to_owned());
        answer.await.map_err(|_| ended())?
    }

    async fn leaves(&self, from: u64, count: u32) -> Result<Vec<LeafRow>, StorageError> {
        let key = self.key;
        self.read(move |sql| log::leaves(sql, key, from, count))
            .await
    }

    async fn tiles(&self, ids: &[(u8, u64)]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let (key, ids) = (self.key, ids.to_vec());
        self.read(move |sql| ids.into_iter().map(|id| log::tile(sql, key, id)).collect())
            .await
    }

    async fn entries(&self, from: u64, count: u32) -> Result<Vec<EntryRow>, StorageError> {
        let key = self.key;
        self.read(move |sql| log::entries(sql, key, from, count))
            .await
    }

    async fn subject_head(&self, subject: SubjectTag) -> Result<Option<SubjectHead>, StorageError> {
        let key = self.key;
        self.read(move |sql| subject_head(sql, key, &subject)).await
    }

    async fn canary(&self) -> Result<(), StorageError> {
        self.write(|writer| {
            let key = writer.tenant;
            writer.write_aside(|sql| write_canary(sql, key))
        })
        .await
    }
}
