//! Statements that read and write a copy's rows, made from the list of tables.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};

use crate::copy::{CHUNK, Key, Kind, Row, TENANT_META, Table, Value};

pub(super) type Rows = Query<'static, Postgres, PgArguments>;

/// Counts a table's rows.
pub(super) fn count(table: &'static Table, tenant: i32) -> Rows {
    let text = format!(
        "-- copy_count\nSELECT count(*) FROM {} WHERE tenant = $1",
        table.name
    );
    sqlx::query(AssertSqlSafe(text)).bind(tenant)
}

/// Reads the rows after a key, in the key's order.
pub(super) fn rows(table: &'static Table, tenant: i32, after: Option<&Key>) -> Rows {
    let beyond = if after.is_some() {
        let marks: Vec<String> = (2..table.key + 2).map(|at| format!("${at}")).collect();
        format!("AND ({}) > ({})", table.key_names(), marks.join(", "))
    } else {
        String::new()
    };
    let text = format!(
        "-- copy_rows\nSELECT {} FROM {} WHERE tenant = $1 {beyond} ORDER BY {} LIMIT {CHUNK}",
        table.names(),
        table.name,
        order(table, ""),
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(tenant);
    let key = after.into_iter().flat_map(|key| key.0.clone());
    table
        .key_columns()
        .iter()
        .zip(key)
        .fold(query, |query, (column, value)| match (column.kind, value) {
            (Kind::Small, Value::Integer(value)) => {
                query.bind(i16::try_from(value).unwrap_or(i16::MAX))
            }
            (Kind::Integer, Value::Integer(value)) => {
                query.bind(i32::try_from(value).unwrap_or(i32::MAX))
            }
            (_, Value::Integer(value)) => query.bind(value),
            (_, Value::Bytes(bytes)) => query.bind(bytes),
            (_, Value::Text(text)) => query.bind(text),
            (_, Value::Null) => query.bind(None::<Vec<u8>>),
        })
}

/// Reads the greatest key.
pub(super) fn last(table: &'static Table, tenant: i32) -> Rows {
    let names = match table.key {
        0 => "tenant".to_owned(),
        _ => table.key_names(),
    };
    let text = format!(
        "-- copy_last\nSELECT {names} FROM {} WHERE tenant = $1 ORDER BY {} LIMIT 1",
        table.name,
        order(table, " DESC"),
    );
    sqlx::query(AssertSqlSafe(text)).bind(tenant)
}

/// Adds rows. A tenant's first row says that it is arriving: no node serves it before the copy is whole.
pub(super) fn insert(table: &'static Table, tenant: i32, rows: &[Row]) -> Rows {
    let (more, arriving) = if table == TENANT_META {
        ("state, ", "3::smallint, ")
    } else {
        ("", "")
    };
    let arrays: Vec<String> = table
        .columns
        .iter()
        .zip(2..)
        .map(|(column, at)| format!("${at}::{}[]", name_of(column.kind)))
        .collect();
    let text = format!(
        "-- copy_put\nINSERT INTO {} ({more}tenant, {}) SELECT {arriving}$1, * FROM unnest({})",
        table.name,
        table.names(),
        arrays.join(", "),
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(tenant);
    (0..table.columns.len()).fold(query, |query, at| {
        let values = rows.iter().map(|row| row.0.get(at).unwrap_or(&Value::Null));
        let integers = || values.clone().map(integer);
        match table.columns.get(at).map(|column| column.kind) {
            Some(Kind::Small) => query.bind(
                integers()
                    .map(|value| value.and_then(|value| i16::try_from(value).ok()))
                    .collect::<Vec<Option<i16>>>(),
            ),
            Some(Kind::Integer) => query.bind(
                integers()
                    .map(|value| value.and_then(|value| i32::try_from(value).ok()))
                    .collect::<Vec<Option<i32>>>(),
            ),
            Some(Kind::Big) => query.bind(integers().collect::<Vec<Option<i64>>>()),
            Some(Kind::Bytes) => query.bind(values.map(bytes).collect::<Vec<Option<Vec<u8>>>>()),
            Some(Kind::Text) | None => {
                query.bind(values.map(text_of).collect::<Vec<Option<String>>>())
            }
        }
    })
}

/// Reads the first `columns` columns of a row.
pub(super) fn read(table: &'static Table, columns: usize, row: &PgRow) -> Result<Row, sqlx::Error> {
    let value = |(at, column): (usize, &crate::copy::Column)| {
        Ok(match column.kind {
            Kind::Small => row
                .try_get::<Option<i16>, _>(at)?
                .map(|value| Value::Integer(value.into())),
            Kind::Integer => row
                .try_get::<Option<i32>, _>(at)?
                .map(|value| Value::Integer(value.into())),
            Kind::Big => row.try_get::<Option<i64>, _>(at)?.map(Value::Integer),
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Value::Bytes),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::Text),
        }
        .unwrap_or(Value::Null))
    };
    table
        .columns
        .iter()
        .take(columns)
        .enumerate()
        .map(value)
        .collect::<Result<_, sqlx::Error>>()
        .map(Row)
}

fn order(table: &Table, direction: &str) -> String {
    let names: Vec<String> = table
        .key_columns()
        .iter()
        .map(|column| format!("{}{direction}", column.name))
        .collect();
    if names.is_empty() {
        "tenant".to_owned()
    } else {
        names.join(", ")
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Small => "smallint",
        Kind::Integer => "integer",
        Kind::Big => "bigint",
        Kind::Bytes => "bytea",
        Kind::Text => "text",
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(value) => Some(*value),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}
