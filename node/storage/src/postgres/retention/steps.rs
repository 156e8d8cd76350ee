//! The steps of an erasure, each inside a transaction of its own.

use std::collections::HashSet;

use vrx_domain::{Date, ErasureId, PersonId, RetentionPolicy};

use super::list::{listed, set_back, set_back_to_rows, set_step};
use super::read::{bytes, holds, persons, put_run, run, with_keys};
use crate::StorageError;
use crate::hold::in_force;
use crate::postgres::apply::Applier;
use crate::postgres::failure::failure;
use crate::postgres::log::int;
use crate::postgres::register::imports;
use crate::postgres::session::{Mode, Session, Statement, statement};
use crate::postgres::tenant::{PostgresTenant, TenantState};
use crate::retention::{Claimed, ErasureRun, ErasureStage, OpeningsStep};
use crate::sealed::{OpenedSpan, approved, open_span};

/// What becomes of listed persons.
#[derive(Default)]
struct Turns {
    /// Due, and not on hold.
    due: Vec<OpenedSpan>,
    /// Not due, or on hold.
    stay: Vec<OpenedSpan>,
    /// There is no key.
    gone: Vec<PersonId>,
}

impl PostgresTenant {
    fn applier(&self) -> Applier<'_> {
        Applier {
            tenant: self.key,
            keyring: &self.options.keyring,
            random: &*self.options.random,
        }
    }

    /// A transaction that holds the log's head. Of a tenant that is being moved nothing changes.
    pub(super) async fn erasing(&self) -> Result<Session, StorageError> {
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

    pub(super) async fn claim_in(
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
        let list = if before.is_empty() {
            listed(session, self.key, 0).await?
        } else {
            before
        };
        if list.is_empty() {
            if set_back(session, self.key).await? {
                return Ok(Claimed::Persons(Vec::new()));
            }
            run.stage = ErasureStage::Rows;
            put_run(session, &self.applier(), &run).await?;
            return Ok(Claimed::Nobody);
        }
        let turns = self.turns(session, &list, policy, today).await?;
        let claimed: Vec<PersonId> = turns.due.iter().map(|due| due.person.id).collect();
        set_step(session, self.key, &claimed, 1).await?;
        set_step(session, self.key, &turns.gone, 2).await?;
        let erase = statement("-- erase_tags\nSELECT erase_tags($1, $2, $3, $4)");
        execute(session, with_tags(erase, &turns.due)).await?;
        self.leave(session, &mut run, &turns.stay).await?;
        put_run(session, &self.applier(), &run).await?;
        Ok(Claimed::Persons(claimed))
    }

    /// By the persons' own sealed records, whatever the list says of them.
    async fn turns(
        &self,
        session: &mut Session,
        list: &[PersonId],
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Turns, StorageError> {
        let (keyring, tenant) = (&self.options.keyring, &self.options.tenant.id);
        let holds = holds(session, self.key, keyring).await?;
        let held: HashSet<PersonId> = in_force(&holds, today).map(|held| held.person).collect();
        let approved = approved(&imports(session, self.key, keyring).await?);
        let mut turns = Turns::default();
        let mut found = HashSet::new();
        for sealed in persons(session, self.key, list).await? {
            let opened = open_span(keyring, tenant, &sealed, &approved)?;
            let id = opened.person.id;
            found.insert(id);
            if policy.is_due(&opened.person.span, today) && !held.contains(&id) {
                turns.due.push(opened);
            } else {
                turns.stay.push(opened);
            }
        }
        let gone = list.iter().filter(|id| !found.contains(id));
        turns.gone = gone.copied().collect();
        Ok(turns)
    }

    /// Takes persons off the list who stay. Whoever was claimed before is found again.
    async fn leave(
        &self,
        session: &mut Session,
        run: &mut ErasureRun,
        stay: &[OpenedSpan],
    ) -> Result<(), StorageError> {
        if stay.is_empty() {
            return Ok(());
        }
        let put_back = statement(
            "-- put_tags_back
             INSERT INTO person_tag (tenant, kind, key_id, tag, person_id)
             SELECT e.tenant, t.kind, t.key_id, t.tag, t.person_id
             FROM unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[]) AS t (kind, key_id, tag, person_id)
             JOIN erasure_person e ON e.person_id = t.person_id
             WHERE e.tenant = $5 AND e.step = 1
             ON CONFLICT DO NOTHING",
        );
        execute(session, with_tags(put_back, stay).bind(self.key)).await?;
        let stay: Vec<PersonId> = stay.iter().map(|opened| opened.person.id).collect();
        run.stayed += stay.len() as u64;
        let unlist = statement(
            "-- unlist_from_erasure
             DELETE FROM erasure_person WHERE tenant = $1 AND person_id = ANY ($2)",
        )
        .bind(self.key)
        .bind(bytes(&stay));
        execute(session, unlist).await
    }

    pub(super) async fn destroy_in(
        &self,
        session: &mut Session,
        id: ErasureId,
        persons: &[PersonId],
        (policy, today): (RetentionPolicy, Date),
    ) -> Result<(), StorageError> {
        let mut run = self.open_run(session, id).await?;
        if run.stage != ErasureStage::Keys {
            return Ok(());
        }
        let mut claimed = listed(session, self.key, 1).await?;
        claimed.retain(|id| persons.contains(id));
        let turns = self.turns(session, &claimed, policy, today).await?;
        for due in &turns.due {
            run.done.persons += 1;
            run.done.doses += u64::from(due.person.doses);
        }
        let due: Vec<PersonId> = turns.due.iter().map(|due| due.person.id).collect();
        let destroy = statement("-- destroy_person_keys\nSELECT destroy_person_keys($1)");
        execute(session, destroy.bind(bytes(&due))).await?;
        set_step(session, self.key, &due, 2).await?;
        set_step(session, self.key, &turns.gone, 2).await?;
        self.leave(session, &mut run, &turns.stay).await?;
        put_run(session, &self.applier(), &run).await
    }

    pub(super) async fn delete_rows_in(
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
            let stand = with_keys(session, self.key, &list).await?;
            set_step(session, self.key, &stand, 0).await?;
            let gone: Vec<PersonId> = list.into_iter().filter(|id| !stand.contains(id)).collect();
            let delete = statement("-- delete_person_rows\nSELECT delete_person_rows($1)");
            execute(session, delete.bind(bytes(&gone))).await?;
            set_step(session, self.key, &gone, 3).await?;
            return Ok(true);
        }
        let is_set_back = set_back(session, self.key).await?;
        if is_set_back
            || !listed(session, self.key, 0).await?.is_empty()
            || !listed(session, self.key, 1).await?.is_empty()
        {
            run.stage = ErasureStage::Keys;
            put_run(session, &self.applier(), &run).await?;
            return Ok(false);
        }
        if set_back_to_rows(session, self.key).await? {
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

    pub(super) async fn blank_in(
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
        let blanked = blanked.unwrap_or(0);
        step.check(blanked)?;
        run.went_on(step, blanked);
        put_run(session, &self.applier(), &run).await
    }
}

fn with_tags(statement: Statement, opened: &[OpenedSpan]) -> Statement {
    let tags: Vec<_> = opened.iter().flat_map(|opened| &opened.tags).collect();
    let keys = tags.iter().map(|row| i64::from(row.key.0));
    let persons = tags.iter().map(|row| *row.person.as_bytes());
    statement
        .bind(tags.iter().map(|row| row.kind as i16).collect::<Vec<_>>())
        .bind(keys.collect::<Vec<_>>())
        .bind(tags.iter().map(|row| row.tag.0).collect::<Vec<_>>())
        .bind(persons.collect::<Vec<_>>())
}

async fn execute(session: &mut Session, statement: Statement) -> Result<(), StorageError> {
    session
        .run(statement)
        .await
        .map(drop)
        .map_err(|error| failure(&error))
}
