//! The steps of an erasure, each inside a transaction of its own.

use std::collections::HashSet;
use std::sync::Arc;

use vrx_domain::{Date, ErasureId, ImportId, PersonId, RetentionPolicy, TenantId};

use super::read::{
    each, holds, key_row, listed, put_run, run, sealed_span, set_back, set_back_to_rows, set_step,
    with_keys,
};
use crate::StorageError;
use crate::hold::in_force;
use crate::retention::{Claimed, ErasureRun, ErasureStage, OpeningsStep};
use crate::sealed::{OpenedSpan, open_span};
use crate::sqlite::apply::Applier;
use crate::sqlite::sql::{Sql, failure, int};
use crate::sqlite::writer::Writer;

/// What a step works with, owned: the writer is borrowed by the transaction meanwhile.
pub(super) struct Step {
    pub(super) applier: Applier,
    id: TenantId,
    approved: Arc<HashSet<ImportId>>,
}

/// By what a person's turn is decided.
struct Asked {
    policy: RetentionPolicy,
    today: Date,
    held: HashSet<PersonId>,
}

/// What becomes of a listed person.
enum Turn {
    /// Due, and not on hold.
    Due(OpenedSpan),
    /// Not due, or on hold.
    Stays(OpenedSpan),
    /// There is no key.
    Gone,
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

    /// By the person's own sealed records, whatever the list says of them.
    fn turn(&self, sql: &Sql, person: PersonId, asked: &Asked) -> Result<Turn, StorageError> {
        let tenant = self.applier.tenant;
        let Some(row) = key_row(sql, tenant, person)? else {
            return Ok(Turn::Gone);
        };
        let sealed = sealed_span(sql, tenant, row)?;
        let opened = open_span(&self.applier.keyring, &self.id, &sealed, &self.approved)?;
        let is_due =
            asked.policy.is_due(&opened.person.span, asked.today) && !asked.held.contains(&person);
        Ok(if is_due {
            Turn::Due(opened)
        } else {
            Turn::Stays(opened)
        })
    }

    fn asked(
        &self,
        sql: &Sql,
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<Asked, StorageError> {
        let holds = holds(sql, self.applier.tenant, &self.applier.keyring)?;
        Ok(Asked {
            policy,
            today,
            held: in_force(&holds, today).map(|held| held.person).collect(),
        })
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
        let list = if before.is_empty() {
            listed(sql, tenant, 0)?
        } else {
            before
        };
        if list.is_empty() {
            if set_back(sql, tenant)? {
                return Ok(Claimed::Persons(Vec::new()));
            }
            run.stage = ErasureStage::Rows;
            put_run(&self.applier, sql, &run)?;
            return Ok(Claimed::Nobody);
        }
        let asked = self.asked(sql, policy, today)?;
        let (mut claimed, mut stay, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for person in list {
            match self.turn(sql, person, &asked)? {
                Turn::Due(opened) => {
                    take_tags(sql, tenant, &opened)?;
                    claimed.push(person);
                }
                Turn::Stays(opened) => stay.push(opened),
                Turn::Gone => gone.push(person),
            }
        }
        set_step(sql, tenant, &claimed, 1)?;
        set_step(sql, tenant, &gone, 2)?;
        self.leave(sql, &mut run, &stay)?;
        put_run(&self.applier, sql, &run)?;
        Ok(Claimed::Persons(claimed))
    }

    /// Takes persons off the list who stay. Whoever was claimed before is found again.
    fn leave(
        &self,
        sql: &Sql,
        run: &mut ErasureRun,
        stay: &[OpenedSpan],
    ) -> Result<(), StorageError> {
        let tenant = self.applier.tenant;
        for opened in stay {
            sql.run_each(
                "-- put_tags_back
                 INSERT INTO person_tag (tenant, kind, key_id, tag, person_id)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (
                     SELECT 1 FROM erasure_person WHERE tenant = ?1 AND person_id = ?5 AND step = 1)
                 ON CONFLICT DO NOTHING",
                tags(tenant, opened),
            )
            .map_err(failure)?;
        }
        let stay: Vec<PersonId> = stay.iter().map(|opened| opened.person.id).collect();
        run.stayed += stay.len() as u64;
        each(
            sql,
            tenant,
            "-- unlist_from_erasure
             DELETE FROM erasure_person WHERE tenant = ?1 AND person_id = ?2",
            &stay,
        )
    }

    pub(super) fn destroy_keys(
        &self,
        sql: &Sql,
        id: ErasureId,
        persons: &[PersonId],
        policy: RetentionPolicy,
        today: Date,
    ) -> Result<(), StorageError> {
        let tenant = self.applier.tenant;
        let mut run = self.run(sql, id)?;
        if run.stage != ErasureStage::Keys {
            return Ok(());
        }
        let asked = self.asked(sql, policy, today)?;
        let claimed: HashSet<PersonId> = listed(sql, tenant, 1)?.into_iter().collect();
        let (mut destroyed, mut stay, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for person in persons.iter().filter(|person| claimed.contains(person)) {
            match self.turn(sql, *person, &asked)? {
                Turn::Due(opened) => {
                    run.done.persons += 1;
                    run.done.doses += u64::from(opened.person.doses);
                    destroyed.push(*person);
                }
                Turn::Stays(opened) => stay.push(opened),
                Turn::Gone => gone.push(*person),
            }
        }
        each(
            sql,
            tenant,
            "-- destroy_person_keys
             DELETE FROM person WHERE tenant = ?1 AND person_id = ?2",
            &destroyed,
        )?;
        set_step(sql, tenant, &destroyed, 2)?;
        set_step(sql, tenant, &gone, 2)?;
        self.leave(sql, &mut run, &stay)?;
        put_run(&self.applier, sql, &run)
    }

    pub(super) fn delete_rows(&self, sql: &Sql, id: ErasureId) -> Result<bool, StorageError> {
        let tenant = self.applier.tenant;
        let mut run = self.run(sql, id)?;
        if run.stage != ErasureStage::Rows {
            return Ok(false);
        }
        let persons = listed(sql, tenant, 2)?;
        if !persons.is_empty() {
            let stand = with_keys(sql, tenant, &persons)?;
            set_step(sql, tenant, &stand, 0)?;
            let gone: Vec<PersonId> = persons
                .into_iter()
                .filter(|person| !stand.contains(person))
                .collect();
            for text in [
                "-- delete_person_revisions
                 DELETE FROM person_revision WHERE tenant = ?1 AND person_id = ?2",
                "-- delete_dose_revisions
                 DELETE FROM dose_revision WHERE tenant = ?1 AND person_id = ?2",
            ] {
                each(sql, tenant, text, &gone)?;
            }
            set_step(sql, tenant, &gone, 3)?;
            return Ok(true);
        }
        let is_set_back = set_back(sql, tenant)?;
        if is_set_back || !listed(sql, tenant, 0)?.is_empty() || !listed(sql, tenant, 1)?.is_empty()
        {
            run.stage = ErasureStage::Keys;
            put_run(&self.applier, sql, &run)?;
            return Ok(false);
        }
        if set_back_to_rows(sql, tenant)? {
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
        step.check(all)?;
        run.went_on(step, all);
        put_run(&self.applier, sql, &run)
    }
}

fn tags(
    tenant: i64,
    opened: &OpenedSpan,
) -> impl Iterator<Item = (i64, u8, u32, [u8; 32], &[u8; 16])> {
    let tags = opened.tags.iter();
    tags.map(move |row| {
        (
            tenant,
            row.kind as u8,
            row.key.0,
            row.tag.0,
            row.person.as_bytes(),
        )
    })
}

fn take_tags(sql: &Sql, tenant: i64, opened: &OpenedSpan) -> Result<(), StorageError> {
    sql.run_each(
        "-- erase_tags
         DELETE FROM person_tag
         WHERE tenant = ?1 AND kind = ?2 AND key_id = ?3 AND tag = ?4 AND person_id = ?5",
        tags(tenant, opened),
    )
    .map_err(failure)
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
