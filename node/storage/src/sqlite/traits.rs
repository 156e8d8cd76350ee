//! The traits, over one tenant's threads.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use vrx_crypto::TagKind;
use vrx_domain::{ImportId, IndividualNumber, InquiryId, MunicipalityCode, UnixMillis};

use super::heads::subject_head;
use super::log;
use super::lookup::LookupRequest;
use super::register::{self, Against};
use super::sql::{Sql, failure, int};
use super::tenant::{SqliteTenant, write_canary};
use crate::body::encode_inquiry;
use crate::change::{Op, SealedInquiry};
use crate::prepare::{
    Incoming, Probe, prepare_doses, prepare_persons, probe_doses, probe_persons, voucher_value,
};
use crate::registry::{
    Adoption, Counts, DoseRow, ImportRecord, InquiryRecord, PeerCheckpoint, PersonRow,
    PreparedChunk,
};
use crate::sealed::{SealedLookup, inconsistent, open_keys, open_lookup};
use crate::{
    AppendError, BatchItem, CHUNK_ROWS, Change, EntryRow, HeadRow, LeafRow, LogStore, Lookup,
    NotCommitted, PersonStore, Prepared, RegistryStore, SealBatch, StorageError, SubjectHead,
    SubjectTag,
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
impl RegistryStore for SqliteTenant {
    async fn prepare_persons(
        &self,
        import: ImportId,
        rows: &[PersonRow],
    ) -> Result<PreparedChunk, StorageError> {
        check_rows(rows.len())?;
        let probes = probe_persons(&self.sealing(), rows);
        let (probes, existing) = self.existing(probes, Against::Person).await?;
        prepare_persons(&self.sealing(), import, rows, &probes, &existing)
    }

    async fn prepare_doses(
        &self,
        import: ImportId,
        rows: &[DoseRow],
    ) -> Result<PreparedChunk, StorageError> {
        check_rows(rows.len())?;
        let probes = probe_doses(&self.sealing(), rows);
        let (probes, existing) = self.existing(probes, Against::Doses).await?;
        let pairs = probes.chunks_exact(2).zip(existing.found.chunks_exact(2));
        let incoming = rows.iter().zip(pairs).filter_map(|(row, (probes, found))| {
            Some(Incoming {
                owner: *found.first()?,
                dose: &row.dose,
                voucher: &probes.last()?.tags,
                voucher_owner: *found.last()?,
            })
        });
        prepare_doses(&self.sealing(), import, incoming, &existing)
    }

    async fn prepare_adoption(&self, adoption: &Adoption) -> Result<PreparedChunk, StorageError> {
        check_rows(adoption.doses.len())?;
        let sealing = self.sealing();
        let keyring = &self.options.keyring;
        // One probe for the person, then one a voucher.
        let tags = keyring.tags(TagKind::Number, adoption.number.digits());
        let mut probes = vec![Probe {
            kind: TagKind::Number,
            tags,
        }];
        probes.extend(adoption.doses.iter().map(|dose| Probe {
            kind: TagKind::Voucher,
            tags: keyring.tags(TagKind::Voucher, &voucher_value(dose)),
        }));
        let (probes, existing) = self.existing(probes, Against::Doses).await?;
        let owner = existing.found.first().copied().flatten();
        if let Some(id) = owner {
            let standing = existing
                .persons
                .get(&id)
                .ok_or_else(|| inconsistent("person", "person_id", &id))?;
            let (_, number) = open_keys(keyring, &standing.row)?;
            if !number.ct_eq(&adoption.number) {
                return Err(inconsistent("person_tag", "person_id", &id));
            }
        }
        let vouchers = probes.iter().zip(&existing.found).skip(1);
        let incoming = adoption
            .doses
            .iter()
            .zip(vouchers)
            .map(|(dose, (probe, found))| Incoming {
                owner,
                dose,
                voucher: &probe.tags,
                voucher_owner: *found,
            });
        let prepared = prepare_doses(&sealing, adoption.import.id, incoming, &existing)?;
        let change = prepared
            .change
            .map(|chunk| Change::all(vec![Change::create_import(adoption.import.clone()), chunk]));
        Ok(PreparedChunk { change, ..prepared })
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

    async fn prepare_inquiry(&self, inquiry: &InquiryRecord) -> Result<Change, StorageError> {
        let plain = encode_inquiry(inquiry.version, inquiry.expires_at, &inquiry.body);
        let sealed = self
            .options
            .keyring
            .seal_inquiry(&*self.options.random, inquiry.id, &plain)
            .map_err(|error| StorageError::Keyring(error.to_string()))?;
        Ok(Change(Op::PutInquiry(SealedInquiry {
            id: inquiry.id,
            expires_at: inquiry.expires_at,
            version: inquiry.version,
            wrapped_key: sealed.wrapped_key.into_bytes(),
            body: sealed.body.into_bytes(),
        })))
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

fn check_rows(count: usize) -> Result<(), StorageError> {
    if count <= CHUNK_ROWS {
        Ok(())
    } else {
        Err(StorageError::Invalid("a chunk has at most 500 rows"))
    }
}
