//! The promises every database makes, then what is SQLite's alone.

mod copies;
mod erasure;
mod faults;
mod tampering;
mod work;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use vrx_crypto::Keyring;
use vrx_domain::{Random, Tenant, TenantId};

use super::{SqliteOptions, SqliteTenant};
use crate::conformance::{Fixture, Seeded};

mod conformance {
    crate::conformance_suite!(crate::sqlite::tests::fresh);
}

/// What a test holds on to: the store as its own type, and its folder.
struct Keep {
    sqlite: Arc<SqliteTenant>,
    options: SqliteOptions,
    folder: TempDir,
}

async fn fresh() -> (Fixture, Keep) {
    fresh_for(Fixture::tenant().id).await
}

/// The same keys and the same ids for every tenant: what differs is the tenant alone.
async fn fresh_for(id: TenantId) -> (Fixture, Keep) {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), id);
    let sqlite = Arc::new(SqliteTenant::create(options.clone()).await.unwrap());
    (
        fixture(&options, &sqlite),
        Keep {
            sqlite,
            options,
            folder,
        },
    )
}

fn options(state_dir: &Path, id: TenantId) -> SqliteOptions {
    let random: Arc<dyn Random> = Arc::new(Seeded::new(1));
    let tenant = Tenant {
        id,
        ..Fixture::tenant()
    };
    let keyring = Arc::new(Keyring::create(&tenant, &*random).ok().unwrap());
    SqliteOptions {
        state_dir: state_dir.to_owned(),
        tenant,
        keyring,
        random,
    }
}

fn fixture(options: &SqliteOptions, sqlite: &Arc<SqliteTenant>) -> Fixture {
    Fixture {
        store: sqlite.clone(),
        // One process a database: there is no second handle.
        second: sqlite.clone(),
        tenant: options.tenant,
        keyring: options.keyring.clone(),
        random: Arc::new(Seeded::new(2)),
    }
}

impl Keep {
    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("142051/vrx.db")
    }

    /// The person whom the first number tag of the closed database leads to.
    fn person_of_first_tag(&self) -> Vec<u8> {
        self.intruder()
            .query_row(
                "SELECT person_id FROM person_tag WHERE kind = 1 LIMIT 1",
                [],
                |row| row.get(0),
            )
            .unwrap()
    }

    /// A connection of somebody who can write to the file.
    fn intruder(&self) -> rusqlite::Connection {
        self.sqlite.until_nobody_reads();
        rusqlite::Connection::open(self.database()).unwrap()
    }

    /// As after a crash: nothing is tidied up.
    async fn crash_and_open(self, fixture: Fixture) -> (Fixture, Self) {
        let Self {
            sqlite,
            options,
            folder,
        } = self;
        drop(fixture);
        drop(Arc::into_inner(sqlite).unwrap());
        let sqlite = Arc::new(SqliteTenant::open(options.clone()).await.unwrap());
        let mut fixture = self::fixture(&options, &sqlite);
        // Ids go on where they would: not those of the process before.
        fixture.random = Arc::new(Seeded::new(3));
        (
            fixture,
            Self {
                sqlite,
                options,
                folder,
            },
        )
    }
}
