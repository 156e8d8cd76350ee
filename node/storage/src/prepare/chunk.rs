//! Preparing a whole chunk over whatever database: probe, read what stands, compare and seal.

use std::sync::Arc;

use async_trait::async_trait;
use vrx_crypto::{Drawn, TagKind};
use vrx_domain::ImportId;

use super::doses::{Incoming, prepare_doses, probe_doses};
use super::persons::{prepare_persons, probe_persons};
use super::{Against, Existing, Keys, Probe, Sealing, keyring_error, voucher_value};
use crate::body::encode_inquiry;
use crate::change::{Op, SealedInquiry};
use crate::registry::{Adoption, DoseRow, InquiryRecord, PersonRow, PreparedChunk};
use crate::sealed::{inconsistent, open_keys};
use crate::{CHUNK_ROWS, Change, StorageError};

/// Rows from which a chunk is sealed on a thread for such work: fewer cost less than the way there.
const SEAL_APART: usize = 16;

/// Random bytes drawn from the source at once: nonces of some hundreds of rows.
const DRAWN: usize = 4_096;

/// What preparing needs of a backend.
#[async_trait]
pub(crate) trait Probing: Sync {
    /// Keys and randomness.
    fn keys(&self) -> Keys;

    /// Reads whom the probes lead to, in one state of the database; gives the probes back.
    async fn existing(
        &self,
        probes: Vec<Probe>,
        against: Against,
    ) -> Result<(Vec<Probe>, Existing), StorageError>;
}

/// See [`crate::RegistryStore::prepare_persons`].
pub(crate) async fn persons_chunk(
    store: &impl Probing,
    import: ImportId,
    rows: Arc<[PersonRow]>,
) -> Result<PreparedChunk, StorageError> {
    check_rows(rows.len())?;
    let keys = store.keys();
    let probes = probe_persons(&keys.sealing(), &rows);
    let (probes, existing) = store.existing(probes, Against::Person).await?;
    apart(rows.len(), move || {
        drawing(&keys, |sealing| {
            prepare_persons(sealing, import, &rows, &probes, &existing)
        })
    })
    .await
}

/// See [`crate::RegistryStore::prepare_doses`].
pub(crate) async fn doses_chunk(
    store: &impl Probing,
    import: ImportId,
    rows: Arc<[DoseRow]>,
) -> Result<PreparedChunk, StorageError> {
    check_rows(rows.len())?;
    let keys = store.keys();
    let probes = probe_doses(&keys.sealing(), &rows);
    let (probes, existing) = store.existing(probes, Against::Doses).await?;
    apart(rows.len(), move || {
        let pairs = probes.chunks_exact(2).zip(existing.found.chunks_exact(2));
        let incoming = rows.iter().zip(pairs).filter_map(|(row, (probes, found))| {
            Some(Incoming {
                owner: *found.first()?,
                dose: &row.dose,
                voucher: &probes.last()?.tags,
                voucher_owner: *found.last()?,
            })
        });
        drawing(&keys, |sealing| {
            prepare_doses(sealing, import, incoming, &existing)
        })
    })
    .await
}

/// See [`crate::RegistryStore::prepare_adoption`].
pub(crate) async fn adoption_chunk(
    store: &impl Probing,
    adoption: &Adoption,
) -> Result<PreparedChunk, StorageError> {
    check_rows(adoption.doses.len())?;
    // One probe for the person, then one a voucher.
    let keys = store.keys();
    let probes = {
        let keyring = &keys.keyring;
        let mut probes = vec![Probe {
            kind: TagKind::Number,
            tags: keyring.tags(TagKind::Number, adoption.number.digits()),
        }];
        probes.extend(adoption.doses.iter().map(|dose| Probe {
            kind: TagKind::Voucher,
            tags: keyring.tags(TagKind::Voucher, &voucher_value(dose)),
        }));
        probes
    };
    let (probes, existing) = store.existing(probes, Against::Doses).await?;
    let sealing = keys.sealing();
    let owner = existing.found.first().copied().flatten();
    if let Some(id) = owner {
        let standing = existing
            .persons
            .get(&id)
            .ok_or_else(|| inconsistent("person", "person_id", &id))?;
        let (_, number) = open_keys(sealing.keyring, &standing.row)?;
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

/// See [`crate::RegistryStore::prepare_inquiry`].
pub(crate) fn inquiry_change(
    sealing: &Sealing<'_>,
    inquiry: &InquiryRecord,
) -> Result<Change, StorageError> {
    let plain = encode_inquiry(inquiry.version, inquiry.expires_at, &inquiry.body);
    let sealed = sealing
        .keyring
        .seal_inquiry(sealing.random, inquiry.id, &plain)
        .map_err(|error| keyring_error(&error))?;
    Ok(Change(Op::PutInquiry(SealedInquiry {
        id: inquiry.id,
        expires_at: inquiry.expires_at,
        version: inquiry.version,
        wrapped_key: sealed.wrapped_key.into_bytes(),
        body: sealed.body.into_bytes(),
    })))
}

/// Runs the work of a chunk: many rows on a thread for such work, so that no question waits behind them.
async fn apart<T: Send + 'static>(
    rows: usize,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    if rows < SEAL_APART {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // A shutdown that waits for no import any more; a panic has been told of already.
        Err(_) => Err(StorageError::Closed),
    }
}

/// Seals with randomness that is drawn for many rows at once.
fn drawing<T>(keys: &Keys, work: impl FnOnce(&Sealing<'_>) -> T) -> T {
    let random = Drawn::new(&*keys.random, DRAWN);
    work(&Sealing {
        random: &random,
        ..keys.sealing()
    })
}

fn check_rows(count: usize) -> Result<(), StorageError> {
    if count <= CHUNK_ROWS {
        Ok(())
    } else {
        Err(StorageError::Invalid("a chunk has at most 500 rows"))
    }
}
