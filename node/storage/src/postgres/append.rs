//! A batch of the log: one transaction, the head's row locked from its first statement on.
//!
//! The lock makes one order out of the batches of several processes: whoever waits for it finds the head that the other has
//! left and goes on from there, so that a batch costs its commit and nobody is overtaken for ever.

use std::sync::Arc;

use vrx_crypto::Keyring;
use vrx_domain::Random;

use super::apply::{Applier, NotApplied};
use super::cluster::PostgresCluster;
use super::failure::{at_commit, before_commit, failure};
use super::hot::{Changes, Hot};
use super::log::{hold, int, leaves, subject_heads};
use super::session::{Session, prepared};
use super::tenant::TenantState;
use crate::fit::{behind, check_fit, is_gapless};
use crate::{
    AppendError, BatchItem, BatchRows, ChangeError, HeadRow, NotCommitted, Prepared, SealBatch,
    StorageError,
};

/// Entries from which a batch is sealed on a thread for such work: fewer cost less than the way there.
const SEAL_APART: usize = 16;

/// Entries, tiles and head in one statement. The head moves only from where the batch was put.
pub(super) const ADD_BATCH: &str = "-- add_batch
     WITH entries AS (
         INSERT INTO {log_entry} (tenant, idx, entry_id, kind, subject, subject_seq, leaf, opening_key, opening)
         SELECT $1, e.* FROM unnest($2::bigint[], $3::bytea[], $4::smallint[], $5::bytea[], $6::bigint[],
                                    $7::bytea[], $8::bytea[], $9::bytea[]) AS e
     ), tiles AS (
         INSERT INTO {log_tile} (tenant, level, idx, hashes)
         SELECT $1, t.* FROM unnest($10::smallint[], $11::bigint[], $12::bytea[]) AS t
     )
     UPDATE log_head SET size = $13, root = $14, epoch = $15, last_time = $16, checkpoint = $17
     WHERE tenant = $1 AND size = $18 AND root = $19";

/// What appending needs; owned, so that it runs to its end whoever goes away meanwhile.
pub(super) struct Append {
    pub(super) cluster: Arc<PostgresCluster>,
    pub(super) tenant: i32,
    pub(super) keyring: Arc<Keyring>,
    pub(super) hot: Arc<Hot>,
    pub(super) random: Arc<dyn Random>,
}

impl Append {
    /// See [`crate::LogStore::append`].
    pub(super) async fn run(
        self,
        expected: (u64, [u8; 32]),
        items: Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<Prepared, AppendError> {
        let changes = match items.iter().any(|item| item.change.is_some()) {
            true => Changes::Some,
            false => Changes::None,
        };
        let mut session = self
            .hot
            .batch(&self.cluster, self.tenant, changes)
            .await
            .map_err(before_commit)?;
        match self.transaction(&mut session, expected, &items, seal).await {
            Ok((prepared, Written::Batch)) => {
                // THE COMMIT POINT: when this returns, the primary's disk has the batch, and that of every synchronous standby;
                // it stands, whatever happens to this process. Nothing that depends on it may be told to anybody before.
                session.commit().await.map_err(|error| at_commit(&error))?;
                Ok(prepared)
            }
            Ok((prepared, Written::Nothing)) => {
                session.roll_back().await;
                Ok(prepared)
            }
            Err(error) => {
                session.roll_back().await;
                Err(error)
            }
        }
    }

    async fn transaction(
        &self,
        session: &mut Session,
        expected: (u64, [u8; 32]),
        items: &Arc<[BatchItem]>,
        seal: SealBatch,
    ) -> Result<(Prepared, Written), AppendError> {
        let subjects = || items.iter().map(|item| item.subject);
        let held = hold(
            session,
            self.tenant,
            &self.hot.head_and_subjects,
            subjects(),
        )
        .await
        .map_err(before_commit)?;
        let head = serving(held.head)?;
        let since = match u32::try_from(behind(expected, &head)?).unwrap_or(u32::MAX) {
            0 => Vec::new(),
            count => leaves(session, self.tenant, expected.0, count)
                .await
                .map_err(before_commit)?,
        };
        if !is_gapless(expected.0, &head, &since) {
            return Err(AppendError::Broken(
                "entries are missing before the head".to_owned(),
            ));
        }
        let results = self.apply(session, items, head.size).await?;
        let heads = if since.is_empty() {
            held.subjects
        } else {
            // Somebody else's entries came first, perhaps while the head was waited for.
            subject_heads(session, self.tenant, &self.hot.subjects, subjects())
                .await
                .map_err(before_commit)?
        };
        let prepared = Prepared {
            head,
            since,
            results,
            heads,
        };
        if prepared.results.iter().all(Result::is_err) {
            return Ok((prepared, Written::Nothing));
        }
        let (prepared, rows) = sealed(seal, prepared).await?;
        check_fit(items, &prepared, &rows)?;
        self.write(session, &prepared.head, rows).await?;
        Ok((prepared, Written::Batch))
    }

    async fn apply(
        &self,
        session: &mut Session,
        items: &[BatchItem],
        from: u64,
    ) -> Result<Vec<Result<(), ChangeError>>, AppendError> {
        let applier = Applier {
            tenant: self.tenant,
            keyring: &self.keyring,
            random: &*self.random,
        };
        let mut results = Vec::with_capacity(items.len());
        let mut next = from;
        for item in items {
            let result = match &item.change {
                None => Ok(()),
                Some(change) => {
                    session.savepoint().await.map_err(before_commit)?;
                    match applier.apply(session, &change.0, next).await {
                        Ok(()) => {
                            session.release_savepoint().await.map_err(before_commit)?;
                            Ok(())
                        }
                        Err(NotApplied::Refused(why)) => {
                            session
                                .rollback_to_savepoint()
                                .await
                                .map_err(before_commit)?;
                            Err(why)
                        }
                        Err(NotApplied::Failed(error)) => return Err(before_commit(error)),
                    }
                }
            };
            next += u64::from(result.is_ok());
            results.push(result);
        }
        Ok(results)
    }

    async fn write(
        &self,
        session: &mut Session,
        onto: &HeadRow,
        rows: BatchRows,
    ) -> Result<(), AppendError> {
        let mut entries = EntryColumns::default();
        rows.entries
            .into_iter()
            .for_each(|entry| entries.push(entry));
        let (mut levels, mut places, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for tile in rows.tiles {
            levels.push(i16::from(tile.level));
            places.push(int(tile.index));
            hashes.push(tile.hashes);
        }
        let batch = prepared("add_batch", &self.hot.add_batch)
            .bind(self.tenant)
            .bind(entries.index)
            .bind(entries.id)
            .bind(entries.kind)
            .bind(entries.subject)
            .bind(entries.subject_seq)
            .bind(entries.leaf)
            .bind(entries.opening_key)
            .bind(entries.opening)
            .bind(levels)
            .bind(places)
            .bind(hashes)
            .bind(int(rows.head.size))
            .bind(rows.head.root)
            .bind(i64::from(rows.head.epoch))
            .bind(int(rows.head.last_time))
            .bind(rows.head.checkpoint)
            .bind(int(onto.size))
            .bind(onto.root);
        match session.run(batch).await {
            Ok(1) => Ok(()),
            Ok(_) => Err(NotCommitted::SwapLost.into()),
            Err(error) => Err(before_commit(failure(&error))),
        }
    }
}

/// The head of a tenant that takes entries.
fn serving(held: Option<(HeadRow, i16)>) -> Result<HeadRow, AppendError> {
    match held {
        Some((head, state)) if TenantState::of(state) == Some(TenantState::Serving) => Ok(head),
        Some(_) => Err(NotCommitted::ReadOnly.into()),
        None => Err(NotCommitted::Inconsistent(StorageError::OtherTenant).into()),
    }
}

/// Whether there is anything to commit.
enum Written {
    Batch,
    Nothing,
}

/// The columns of a batch's entries, as the statement takes them.
#[derive(Default)]
struct EntryColumns {
    index: Vec<i64>,
    id: Vec<[u8; 16]>,
    kind: Vec<i16>,
    subject: Vec<[u8; 32]>,
    subject_seq: Vec<i64>,
    leaf: Vec<[u8; 134]>,
    opening_key: Vec<Vec<u8>>,
    opening: Vec<Vec<u8>>,
}

impl EntryColumns {
    fn push(&mut self, entry: crate::EntryRow) {
        self.index.push(int(entry.index));
        self.id.push(entry.entry_id);
        self.kind.push(i16::from(entry.kind));
        self.subject.push(entry.subject.0);
        self.subject_seq.push(int(entry.subject_seq));
        self.leaf.push(entry.leaf);
        self.opening_key.push(entry.opening_key);
        self.opening.push(entry.opening);
    }
}

async fn sealed(seal: SealBatch, prepared: Prepared) -> Result<(Prepared, BatchRows), AppendError> {
    let apart = prepared.results.len() >= SEAL_APART || !prepared.since.is_empty();
    let work = move || {
        let rows = seal(&prepared);
        (prepared, rows)
    };
    let refused = |why: String| AppendError::from(NotCommitted::Seal(why));
    let (prepared, rows) = if apart {
        let joined = tokio::task::spawn_blocking(work).await;
        joined.map_err(|_| refused("sealing panicked".to_owned()))?
    } else {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
            .map_err(|_| refused("sealing panicked".to_owned()))?
    };
    Ok((prepared, rows.map_err(refused)?))
}
