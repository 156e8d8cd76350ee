//! The steps of an erasure, each inside a transaction of its own.

use std::collections::HashSet;
use std::sync::Arc;

use vrx_domain::{Date, ErasureId, ImportId, PersonId, RetentionPolicy, TenantId};

use super::read::{each, holds, key_row, listed, put_run, run, sealed_span, set_step};
use crate::StorageError;
use crate::hold::in_force;
use crate::retention::{Claimed, ErasureRun, ErasureStage, OpeningsStep};
use crate::sealed::{OpenedSpan, PersonKeyRow, open_span};
use crate::sqlite::apply::Applier;
use crate::sqlite::sql::{Sql, failure, int};
use crate::sqlite::writer::Writer;

/// What a step works with, owned: the writer is borrowed by the transaction meanwhile.
pub(super) struct Step {
    pub(super) applier: Applier,
    id: TenantId,
    approved: Arc<HashSet<ImportId>>,
}

impl Step {
    pub(super) fn of(writer: &Writer, id: TenantId) -> Self {
        let Applier {
            tenant,
            keyring,
            random,
        } = &writer.applier;
        Self {
            applier: Applier {
                tenant: *tenant,
                keyring: Arc::clone(keyring),
                random: Arc::clone(random),
            },
            id,
            approved: writer.approved.snapshot(),
        }
    }

    fn run(&self, sql: &Sql, id: ErasureId) -> Result<ErasureRun, StorageError> {
        run(sql, self.applier.tenant, &self.applier.keyring, id)?
            .ok_or(StorageError::Invalid("there is no such erasure"))
    }

    fn open(&self, sql: &Sql, person: PersonKeyRow) -> Result<OpenedSpan, StorageError> {
        let sealed = sealed_span(sql, self.applier.tenant, person)?;
        open_span(&self.applier.keyring, &self.id, &sealed, &self.approved)
    }

    pub(super) fn claim(
        &self,
        sql: &Sql,
        id: ErasureId,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Claimed, StorageError> {
        let tenant = self.applier.tenant;
        let mut run = self.run(sql, id)?;
        if run.stage != ErasureStage::Keys {
            return Ok(Claimed::Nobody);
        }
        if !listed(sql, tenant, 1)?.is_empty() {
            // Whoever this node claimed has no tag any more. A row that says claimed and has some is somebody else's.
            sql.run(
                "-- unclaim
                 UPDATE erasure_person SET step = 0 WHERE tenant = ?1 AND step = 1
                    AND person_id IN (SELECT person_id FROM person_tag WHERE tenant = ?1)",
                [tenant],
            )
            .map_err(failure)?;
        }
        let before = listed(sql, tenant, 1)?;
        if !before.is_empty() {
            return Ok(Claimed::Persons(before));
        }
        let list = listed(sql, tenant, 0)?;
        if list.is_empty() {
            run.stage = ErasureStage::Rows;
            put_run(&self.applier, sql, &run)?;
            return Ok(Claimed::Nobody);
        }
        let holds = holds(sql, tenant, &self.applier.keyring)?;
        let held: HashSet<PersonId> = in_force(&holds, today).map(|held| held.person).collect();
        let (mut claimed, mut stay) = (Vec::new(), Vec::new());
        for person in list {
            let opened = match key_row(sql, tenant, person)? {
                Some(row) => Some(self.open(sql, row)?),
                None => None,
            };
            match opened {
                Some(opened)
                    if policy.is_due(&opened.person.span, today) && !held.contains(&person) =>
                {
                    sql.run_each(
                        "-- erase_tags
                         DELETE FROM person_tag
                         WHERE tenant = ?1 AND kind = ?2 AND key_id = ?3 AND tag = ?4 AND person_id = ?5",
                        opened.tags.iter().map(|row| {
                            (tenant, row.kind as u8, row.key.0, row.tag.0, person.as_bytes())
                        }),
                    )
                    .map_err(failure)?;
                    run.done.persons += 1;
                    run.done.doses += u64::from(opened.person.doses);
                    claimed.push(person);
                }
                _ => stay.push(person),
            }
        }
        run.stayed += stay.len() as u64;
        set_step(sql, tenant, &claimed, 1)?;
        each(
            sql,
            tenant,
            "-- unlist_from_erasure
             DELETE FROM erasure_person WHERE tenant = ?1 AND person_id = ?2",
            &stay,
        )?;
        put_run(&self.applier, sql, &run)?;
        Ok(Claimed::Persons(claimed))
    }

    pub(super) fn destroy_keys(&self, sql: &Sql, persons: &[PersonId]) -> Result<(), StorageError> {
        let tenant = self.applier.tenant;
        each(
            sql,
            tenant,
            "-- destroy_person_keys
             DELETE FROM person WHERE tenant = ?1 AND person_id = ?2 AND EXISTS (
                 SELECT 1 FROM erasure_person WHERE tenant = ?1 AND person_id = ?2 AND step = 1)",
            persons,
        )?;
        each(
            sql,
            tenant,
            "-- keys_destroyed
             UPDATE erasure_person SET step = 2 WHERE tenant = ?1 AND person_id = ?2 AND step = 1",
            persons,
        )
    }

    pub(super) fn delete_rows(&self, sql: &Sql, id: ErasureId) -> Result<bool, StorageError> {
        let tenant = self.applier.tenant;
        let mut run = self.run(sql, id)?;
        if run.stage != ErasureStage::Rows {
            return Ok(false);
        }
        let persons = listed(sql, tenant, 2)?;
        if !persons.is_empty() {
            for text in [
                "-- delete_person_revisions
                 DELETE FROM person_revision WHERE tenant = ?1 AND person_id = ?2",
                "-- delete_dose_revisions
                 DELETE FROM dose_revision WHERE tenant = ?1 AND person_id = ?2",
            ] {
                each(sql, tenant, text, &persons)?;
            }
            set_step(sql, tenant, &persons, 3)?;
            return Ok(true);
        }
        for text in [
            "-- sweep_erased_tags
             DELETE FROM person_tag WHERE tenant = ?1 AND person_id IN (
                 SELECT person_id FROM erasure_person WHERE tenant = ?1 AND step = 3)",
            "-- sweep_erased_holds
             DELETE FROM hold WHERE tenant = ?1 AND person_id IN (
                 SELECT person_id FROM erasure_person WHERE tenant = ?1 AND step = 3)",
            "-- clear_erasure_list
             DELETE FROM erasure_person WHERE tenant = ?1",
        ] {
            sql.run(text, [tenant]).map_err(failure)?;
        }
        run.stage = ErasureStage::Openings;
        put_run(&self.applier, sql, &run)?;
        Ok(false)
    }

    pub(super) fn blank_openings(
        &self,
        sql: &Sql,
        id: ErasureId,
        step: &OpeningsStep,
    ) -> Result<(), StorageError> {
        let tenant = self.applier.tenant;
        let mut run = self.run(sql, id)?;
        if !run.stands_at(step) {
            return Ok(());
        }
        let mut all = 0;
        for (index, subject) in &step.places {
            all += blank(sql, tenant, *index, subject)?;
        }
        run.went_on(step, all);
        put_run(&self.applier, sql, &run)
    }
}

/// Blanks an opening; gives 0 where it is blank. Nobody's list ends at an entry that is nobody's any more.
pub(super) fn blank(
    sql: &Sql,
    tenant: i64,
    index: u64,
    subject: &[u8; 32],
) -> Result<u64, StorageError> {
    sql.run(
        "-- forget_subject_head
         DELETE FROM subject_head WHERE tenant = ?1 AND last_index = ?2
             AND subject = (SELECT subject FROM log_entry WHERE tenant = ?1 AND idx = ?2)",
        (tenant, int(index)),
    )
    .map_err(failure)?;
    let blanked = sql.run(
        "-- blank_opening
         UPDATE log_entry SET opening_key = x'', opening = x'', subject = ?3
         WHERE tenant = ?1 AND idx = ?2 AND opening_key <> x''",
        (tenant, int(index), subject),
    );
    blanked.map(|rows| rows as u64).map_err(failure)
}
