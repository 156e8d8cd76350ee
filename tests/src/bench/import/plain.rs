//! The reference: rows of the same sizes and keys, put into equal tables by nothing but the database, as often made durable.

use std::path::Path;

use rusqlite::Connection;
use tokio::time::Instant;
use vrx_testkit::postgres::{DATABASE, PostgresServer};

use super::files::DOSES;

/// Rows a transaction: a chunk of an import.
const CHUNK: u64 = 500;
/// Bytes of a sealed dose of [`super::files`].
pub(super) const BODY: usize = 157;

/// Rows a second into a `SQLite` file of its own in `folder`, with the settings of a node.
///
/// # Errors
/// If the file can't be written.
pub(super) fn on_sqlite(folder: &Path, rows: u64) -> anyhow::Result<f64> {
    let path = folder.join("plain-inserts.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA mmap_size = 68719476736;
         CREATE TABLE dose (tenant INTEGER, person_id BLOB, dose_id BLOB, revision INTEGER, import_id BLOB, log_index INTEGER, body BLOB,
                            PRIMARY KEY (tenant, person_id, dose_id, revision)) STRICT, WITHOUT ROWID;
         CREATE TABLE tag (tenant INTEGER, kind INTEGER, key_id INTEGER, tag BLOB, person_id BLOB,
                           PRIMARY KEY (tenant, kind, key_id, tag)) STRICT, WITHOUT ROWID;",
    )?;
    let begun = Instant::now();
    let body = [0x5a_u8; BODY];
    let mut nth = 0;
    while nth < rows {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut dose =
            connection.prepare_cached("INSERT INTO dose VALUES (1, ?1, ?2, 1, ?3, ?4, ?5)")?;
        let mut tag = connection.prepare_cached("INSERT INTO tag VALUES (1, 3, 1, ?1, ?2)")?;
        for nth in nth..(nth + CHUNK).min(rows) {
            let person = scattered(nth / DOSES);
            dose.execute((
                person,
                scattered(!nth),
                [7_u8; 16],
                i64::try_from(nth)?,
                body,
            ))?;
            if nth.is_multiple_of(DOSES) {
                tag.execute(([scattered(nth << 32), scattered(nth)].concat(), person))?;
            }
        }
        connection.execute_batch("COMMIT")?;
        nth += CHUNK;
    }
    let rate = per_second(rows, begun);
    drop(connection);
    for file in [
        "plain-inserts.db",
        "plain-inserts.db-wal",
        "plain-inserts.db-shm",
    ] {
        let path = folder.join(file);
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(rate)
}

/// The same into tables of a `PostgreSQL` server, by the server alone.
pub(super) fn on_postgres(server: &PostgresServer, rows: u64) -> f64 {
    let sql = |text: &str| server.sql(DATABASE, text);
    sql("CREATE TABLE plain_dose (tenant integer NOT NULL, person_id bytea NOT NULL, dose_id bytea NOT NULL, revision integer NOT NULL,
                                  import_id bytea NOT NULL, log_index bigint NOT NULL, body bytea NOT NULL,
                                  PRIMARY KEY (tenant, person_id, dose_id, revision));
         ALTER TABLE plain_dose ALTER body SET STORAGE EXTERNAL;
         CREATE TABLE plain_tag (tenant integer NOT NULL, kind smallint NOT NULL, key_id bigint NOT NULL, tag bytea NOT NULL,
                                 person_id bytea NOT NULL, PRIMARY KEY (tenant, kind, key_id, tag))");
    let chunks = rows.div_ceil(CHUNK);
    let begun = Instant::now();
    sql(&format!(
        "DO $$ BEGIN FOR chunk IN 0..{chunks} - 1 LOOP
             INSERT INTO plain_dose
             SELECT 1, decode(md5((n / {DOSES})::text), 'hex'), decode(md5('d' || n), 'hex'), 1, '\\x00112233445566778899aabbccddeeff', n,
                    decode(repeat('5a', {BODY}), 'hex')
             FROM generate_series(chunk * {CHUNK}::bigint, chunk * {CHUNK} + {CHUNK} - 1) AS n;
             INSERT INTO plain_tag
             SELECT 1, 3, 1, sha256(n::text::bytea), decode(md5((n / {DOSES})::text), 'hex')
             FROM generate_series(chunk * {CHUNK}::bigint, chunk * {CHUNK} + {CHUNK} - 1, {DOSES}) AS n;
             COMMIT;
         END LOOP; END $$"
    ));
    let rate = per_second(chunks * CHUNK, begun);
    sql("DROP TABLE plain_dose, plain_tag");
    rate
}

/// Sixteen bytes that lie anywhere among those of other numbers: the finaliser of `SplitMix64`, twice.
fn scattered(nth: u64) -> [u8; 16] {
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = (mix(nth), mix(!nth));
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

#[expect(clippy::cast_precision_loss, reason = "rows are far below 2^52")]
pub(super) fn per_second(rows: u64, begun: Instant) -> f64 {
    rows as f64 / begun.elapsed().as_secs_f64()
}
