//! Erasing in a cluster. Each step is a transaction that holds the log's head, so that no batch runs beside it. What nodes have no
//! right to do is done by functions that take claimed persons only (migration 4); rewriting the files is the owner's, in
//! `owner.rs` here.

mod changes;
mod owner;
mod read;

use std::collections::HashSet;

use async_trait::async_trait;
use vrx_domain::{Date, ErasureId, PersonId, RetentionPolicy, UnixMillis};

use super::apply::Applier;
use super::failure::failure;
use super::log::int;
use super::register::imports;
use super::session::{Mode, Session, Statement, statement};
use super::tenant::{PostgresTenant, TenantState};
use crate::StorageError;
use crate::decoys::DECOY_IMPORT;
use crate::hold::{HoldRecord, in_force};
use crate::retention::{
    BlankOpenings, Claimed, ErasureRun, ErasureStage, OpeningsStep, PersonSpan, RetentionStore,
};
use crate::sealed::{approved, open_span};

pub(super) use changes::{
    approve, check_unclaimed, lift_hold, place_hold, propose, record, settle,
};
pub use owner::Rewritten;
use read::{
    blank_places, bytes, holds, listed, persons, persons_after, put_run, run, runs, standing,
    standing_openings,
};

impl PostgresTenant {
    fn applier(&self) -> Applier<'_> {
        Applier {
            tenant: self.key,
            keyring: &self.options.keyring,
            random: &*self.options.random,
        }
    }

    /// A transaction that holds the log's head. Of a tenant that is being moved nothing changes.
    async fn erasing(&self) -> Result<Session, StorageError> {
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        let mut session = Session::begin(&self.cluster, self.key, Mode::Write).await?;
        let hold = statement(
            "-- hold_head_to_erase
             SELECT m.state FROM log_head h JOIN tenant_meta m ON m.tenant = h.tenant
             WHERE h.tenant = $1 FOR UPDATE OF h",
        )
        .bind(self.key);
        let state: Option<i16> = session
            .row("log_head", hold, |row| sqlx::Row::try_get(row, 0))
            .await?;
        match state.and_then(TenantState::of) {
            Some(TenantState::Serving) => Ok(session),
            _ => Err(StorageError::ReadOnly),
        }
    }

    async fn open_run(
        &self,
        session: &mut Session,
        id: ErasureId,
    ) -> Result<ErasureRun, StorageError> {
        run(session, self.key, &self.options.keyring, id)
            .await?
            .ok_or(StorageError::Invalid("there is no such erasure"))
    }

    async fn claim_in(
        &self,
        session: &mut Session,
        id: ErasureId,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Claimed, StorageError> {
        let mut run = self.open_run(session, id).await?;
        if run.stage != ErasureStage::Keys {
            return Ok(Claimed::Nobody);
        }
        if !listed(session, self.key, 1).await?.is_empty() {
            // Whoever this node claimed has no tag any more. A row that says claimed and has some is somebody else's.
            let unclaim = statement(
                "-- unclaim
                 UPDATE erasure_person SET step = 0 WHERE tenant = $1 AND step = 1
                    AND person_id IN (SELECT person_id FROM person_tag WHERE tenant = $1)",
            );
            execute(session, unclaim.bind(self.key)).await?;
        }
        let before = listed(session, self.key, 1).await?;
        if !before.is_empty() {
            return Ok(Claimed::Persons(before));
        }
        let list = listed(session, self.key, 0).await?;
        if list.is_empty() {
            run.stage = ErasureStage::Rows;
            put_run(session, &self.applier(), &run).await?;
            return Ok(Claimed::Nobody);
        }
        let (keyring, tenant) = (&self.options.keyring, &self.options.tenant.id);
        let holds = holds(session, self.key, keyring).await?;
        let held: HashSet<PersonId> = in_force(&holds, today).map(|held| held.person).collect();
        let approved = approved(&imports(session, self.key, keyring).await?);
        let (mut claimed, mut tags) = (Vec::new(), Vec::new());
        for sealed in persons(session, self.key, &list).await? {
            let opened = open_span(keyring, tenant, &sealed, &approved)?;
            let id = opened.person.id;
            if policy.is_due(&opened.person.span, today) && !held.contains(&id) {
                run.done.persons += 1;
                run.done.doses += u64::from(opened.person.doses);
                claimed.push(id);
                tags.extend(opened.tags);
            }
        }
        let taken: HashSet<PersonId> = claimed.iter().copied().collect();
        let stay: Vec<PersonId> = list.into_iter().filter(|id| !taken.contains(id)).collect();
        run.stayed += stay.len() as u64;
        set_step(session, self.key, &claimed, 1).await?;
        let erase = statement("-- erase_tags\nSELECT erase_tags($1, $2, $3, $4)")
            .bind(tags.iter().map(|row| row.kind as i16).collect::<Vec<_>>())
            .bind(
                tags.iter()
                    .map(|row| i64::from(row.key.0))
                    .collect::<Vec<_>>(),
            )
            .bind(tags.iter().map(|row| row.tag.0).collect::<Vec<_>>())
            .bind(
                tags.iter()
                    .map(|row| *row.person.as_bytes())
                    .collect::<Vec<_>>(),
            );
        execute(session, erase).await?;
        let unlist = statement(
            "-- unlist_from_erasure
             DELETE FROM erasure_person WHERE tenant = $1 AND person_id = ANY ($2)",
        )
        .bind(self.key)
        .bind(bytes(&stay));
        execute(session, unlist).await?;
        put_run(session, &self.applier(), &run).await?;
        Ok(Claimed::Persons(claimed))
    }

    async fn delete_rows_in(
        &self,
        session: &mut Session,
        id: ErasureId,
    ) -> Result<bool, StorageError> {
        let mut run = self.open_run(session, id).await?;
        if run.stage != ErasureStage::Rows {
            return Ok(false);
        }
        let list = listed(session, self.key, 2).await?;
        if !list.is_empty() {
            let delete = statement("-- delete_person_rows\nSELECT delete_person_rows($1)");
            execute(session, delete.bind(bytes(&list))).await?;
            set_step(session, self.key, &list, 3).await?;
            return Ok(true);
        }
        execute(session, statement("-- sweep_erased\nSELECT sweep_erased()")).await?;
        let holds = statement(
            "-- sweep_erased_holds
             DELETE FROM hold WHERE tenant = $1 AND person_id IN (
                 SELECT person_id FROM erasure_person WHERE tenant = $1 AND step = 3)",
        );
        execute(session, holds.bind(self.key)).await?;
        let clear = statement(
            "-- clear_erasure_list
             DELETE FROM erasure_person WHERE tenant = $1",
        );
        execute(session, clear.bind(self.key)).await?;
        run.stage = ErasureStage::Openings;
        put_run(session, &self.applier(), &run).await?;
        Ok(false)
    }

    async fn blank_in(
        &self,
        session: &mut Session,
        id: ErasureId,
        step: &OpeningsStep,
    ) -> Result<(), StorageError> {
        let mut run = self.open_run(session, id).await?;
        if !run.stands_at(step) {
            return Ok(());
        }
        let (indexes, subjects): (Vec<i64>, Vec<[u8; 32]>) = step
            .places
            .iter()
            .map(|(index, subject)| (int(*index), *subject))
            .unzip();
        let blank = statement("-- blank_openings\nSELECT blank_openings($1, $2)")
            .bind(indexes)
            .bind(subjects);
        let blanked: Option<i64> = session
            .row("log_entry", blank, |row| sqlx::Row::try_get(row, 0))
            .await?;
        let blanked = blanked.and_then(|count| u64::try_from(count).ok());
        run.went_on(step, blanked.unwrap_or(0));
        put_run(session, &self.applier(), &run).await
    }
}

async fn set_step(
    session: &mut Session,
    tenant: i32,
    persons: &[PersonId],
    step: i16,
) -> Result<(), StorageError> {
    let set = statement(
        "-- set_erasure_step
         UPDATE erasure_person SET step = $3 WHERE tenant = $1 AND person_id = ANY ($2)",
    )
    .bind(tenant)
    .bind(bytes(persons))
    .bind(step);
    execute(session, set).await
}

async fn execute(session: &mut Session, statement: Statement) -> Result<(), StorageError> {
    session
        .run(statement)
        .await
        .map(drop)
        .map_err(|error| failure(&error))
}

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

    async fn destroy_keys(&self, persons: &[PersonId]) -> Result<(), StorageError> {
        let mut session = self.erasing().await?;
        let destroy = statement("-- destroy_person_keys\nSELECT destroy_person_keys($1)");
        execute(&mut session, destroy.bind(bytes(persons))).await?;
        let destroyed = statement(
            "-- keys_destroyed
             UPDATE erasure_person SET step = 2 WHERE tenant = $1 AND person_id = ANY ($2) AND step = 1",
        )
        .bind(self.key)
        .bind(bytes(persons));
        execute(&mut session, destroyed).await?;
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
