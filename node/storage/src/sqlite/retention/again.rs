//! Erasing again, while no node serves the file: what was erased once and came back with an older copy of it.

use std::path::PathBuf;
use std::sync::Arc;

use vrx_domain::{Random, Tenant};

use super::read::standing_openings;
use super::steps::blank;
use super::{SqliteRewriting, empty_write_ahead_log, vacuum};
use crate::StorageError;
use crate::copy::TABLES;
use crate::retention::{ErasedAgain, ErasedBefore};
use crate::sqlite::files::Folder;
use crate::sqlite::sql::{Access, Sql, failure, int};
use crate::sqlite::tenant::{blocking, take};

impl SqliteRewriting {
    /// Deletes the rows of these persons and blanks the openings in these ranges, in one transaction; then the file is rewritten. A
    /// node that serves is [`StorageError::Locked`].
    pub async fn erase_again(
        state_dir: PathBuf,
        tenant: Tenant,
        listed: Box<dyn ErasedBefore>,
        random: Arc<dyn Random>,
    ) -> Result<ErasedAgain, StorageError> {
        let folder = Folder::of(&state_dir, tenant.code);
        let lock = take(&folder).await?;
        blocking(move || {
            let _lock = lock;
            let sql = Sql::open(&folder.database(), Access::Write, Arc::default())?;
            let key = i64::from(tenant.code.as_u32());
            let begun = sql.connection().unchecked_transaction();
            let begun = begun.map_err(failure)?;
            let erased = erase(&sql, key, &*listed, &*random)?;
            begun.commit().map_err(failure)?;
            sql.connection()
                .pragma_update(None, "temp_store", "file")
                .map_err(failure)?;
            vacuum(&sql)?;
            empty_write_ahead_log(&sql)?;
            Ok(erased)
        })
        .await
    }
}

fn erase(
    sql: &Sql,
    tenant: i64,
    listed: &dyn ErasedBefore,
    random: &dyn Random,
) -> Result<ErasedAgain, StorageError> {
    let mut erased = ErasedAgain::default();
    let persons = listed.persons();
    for table in TABLES.iter().filter(|table| table.person.is_some()) {
        let delete = format!(
            "-- erase_again
             DELETE FROM {} WHERE tenant = ?1 AND person_id = ?2",
            table.name
        );
        for person in &persons {
            let deleted = sql.run(&delete, (tenant, person.as_bytes()));
            erased.rows += deleted.map_err(failure)? as u64;
        }
    }
    let epoch = sql.row(
        "log_head",
        "-- epoch
         SELECT epoch FROM log_head WHERE tenant = ?1",
        [tenant],
        |row| row.get::<_, u32>(0),
    )?;
    let openings = epoch.map_or_else(Vec::new, |epoch| listed.openings(epoch));
    for place in standing_openings(sql, tenant, &openings)? {
        let leaf: Option<Vec<u8>> = sql.row(
            "log_entry",
            "-- leaf
             SELECT leaf FROM log_entry WHERE tenant = ?1 AND idx = ?2",
            (tenant, int(place)),
            |row| row.get(0),
        )?;
        if !leaf.is_some_and(|leaf| listed.could_be_erased(&leaf)) {
            continue;
        }
        let mut nobody = [0; 32];
        random.fill(&mut nobody);
        erased.openings += blank(sql, tenant, place, &nobody)?;
    }
    Ok(erased)
}
