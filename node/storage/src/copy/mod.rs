//! A consistent copy of one tenant that either database can give and take: what backup, restore and moving are made of.
//!
//! Rows are copied as they stand. Every ciphertext is bound to the tenant's uuid and its row's ids, so it opens in any
//! database with the same keyring and nowhere else; nothing is opened on the way. A [`TenantSource`] gives rows in their
//! key's order within one snapshot, a [`TenantSink`] takes them and can be asked where it stands, so that an interrupted
//! copy goes on where it ended. [`StreamWriter`] and [`StreamReader`] hold the same rows as bytes.
//!
//! To copy one more table: an entry in [`TABLES`] with a number of its own, and a next format of the stream that has it.

mod log_rows;
mod row;
mod stream;
mod tables;

use async_trait::async_trait;
use vrx_domain::Tenant;

use crate::StorageError;

pub use log_rows::{entry_row, head, head_of, head_row, lost_row, tile_row};
pub use row::{Key, Malformed, Row, Value};
pub use stream::{Next, RowCounts, StreamError, StreamReader, StreamWriter};
pub use tables::{
    Column, Kind, LOG_ENTRY, LOG_HEAD, LOG_TILE, LOST_LOG, TABLES, TENANT_META, Table,
};

/// Rows read and written at once.
pub const CHUNK: usize = 512;

/// One tenant's rows in one state of its database.
#[async_trait]
pub trait TenantSource: Send {
    /// Whose rows.
    fn tenant(&self) -> Tenant;

    /// How many rows a table has.
    async fn count(&mut self, table: &'static Table) -> Result<u64, StorageError>;

    /// Up to [`CHUNK`] rows after a key, or from the first, in the key's order.
    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&Key>,
    ) -> Result<Vec<Row>, StorageError>;
}

/// A database that takes a tenant's rows and serves nobody yet.
#[async_trait]
pub trait TenantSink: TenantSource {
    /// The last key that stands in a table.
    async fn last(&mut self, table: &'static Table) -> Result<Option<Key>, StorageError>;

    /// Adds rows in a transaction of their own. A row that stands already is refused, and the others with it.
    async fn put(&mut self, table: &'static Table, rows: &[Row]) -> Result<(), StorageError>;
}

/// What watches rows go by, and may refuse them.
pub type Watch<'a> = dyn FnMut(&'static Table, &[Row]) -> Result<(), StorageError> + Send + 'a;

/// Reads every row of a source, table by table.
pub async fn read_all(
    source: &mut dyn TenantSource,
    watch: &mut Watch<'_>,
) -> Result<RowCounts, StorageError> {
    let mut counts = RowCounts::default();
    for table in TABLES {
        let mut after: Option<Key> = None;
        loop {
            let rows = source.rows(table, after.as_ref()).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key(table));
            watch(table, &rows)?;
            counts.add(table, rows.len() as u64);
        }
    }
    Ok(counts)
}

/// Copies what the sink hasn't yet. The source must not have changed since the sink took its first row; [`compare`] says
/// whether it did.
pub async fn copy(
    source: &mut dyn TenantSource,
    sink: &mut dyn TenantSink,
    watch: &mut Watch<'_>,
) -> Result<(), StorageError> {
    if source.tenant() != sink.tenant() {
        return Err(StorageError::OtherTenant);
    }
    for table in TABLES {
        let mut after = sink.last(table).await?;
        loop {
            let rows = source.rows(table, after.as_ref()).await?;
            let Some(last) = rows.last() else { break };
            let key = last.key(table);
            sink.put(table, &rows).await?;
            watch(table, &rows)?;
            after = Some(key);
        }
    }
    Ok(())
}

/// Reads both sides and holds every row of one against the other's; gives the rows of each table, the same on both sides.
pub async fn compare(
    source: &mut dyn TenantSource,
    target: &mut dyn TenantSource,
    watch: &mut Watch<'_>,
) -> Result<RowCounts, StorageError> {
    if source.tenant() != target.tenant() {
        return Err(StorageError::OtherTenant);
    }
    let mut counts = RowCounts::default();
    for table in TABLES {
        let mut after: Option<Key> = None;
        loop {
            let rows = source.rows(table, after.as_ref()).await?;
            let copied = target.rows(table, after.as_ref()).await?;
            if rows != copied {
                return Err(StorageError::Inconsistent {
                    table: table.name,
                    column: "*",
                    row: difference(table, &rows, &copied),
                });
            }
            let Some(last) = copied.last() else { break };
            after = Some(last.key(table));
            watch(table, &copied)?;
            counts.add(table, copied.len() as u64);
        }
    }
    Ok(counts)
}

/// Which row the two sides don't share first: its place alone, never a value.
fn difference(table: &Table, rows: &[Row], copied: &[Row]) -> String {
    let same = rows.iter().zip(copied).take_while(|(a, b)| a == b).count();
    match (rows.get(same), copied.get(same)) {
        (Some(a), Some(b)) if a.key(table) == b.key(table) => {
            "a row has other values in the copy".to_owned()
        }
        (None, Some(_)) => "the copy has a row that its source hasn't".to_owned(),
        _ => "a row of the source isn't in the copy".to_owned(),
    }
}
