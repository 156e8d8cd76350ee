//! What a tenant's copy consists of: the tables, their columns, and the order of their rows.
//!
//! The municipality code isn't a column here: it stands once, in front of the copy. What one database derives from the
//! others' rows (SQLite's `subject_head`, both databases' `canary`) is made anew where the copy is loaded.

/// One table of a copy.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its number in the format of a copy; never reused.
    pub number: u8,
    /// Its name in both databases.
    pub name: &'static str,
    /// Its columns without the municipality code; those of the key first, in the key's order.
    pub columns: &'static [Column],
    /// How many of the columns make the key; none in a table of one row a tenant.
    pub key: usize,
    /// Where a person's id stands, in the tables that go when the person does.
    pub person: Option<usize>,
}

/// One column of a copy.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in both databases.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
    /// Whether nothing may stand in it.
    pub nullable: bool,
}

/// What stands in a column. SQLite keeps one width of integers; PostgreSQL's is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `smallint`
    Small,
    /// `integer`
    Integer,
    /// `bigint`
    Big,
    /// `bytea`, `BLOB`
    Bytes,
    /// `text`
    Text,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        nullable: false,
    }
}

/// Whose database: the one row that every sink checks before it takes another.
pub const TENANT_META: &Table = &Table {
    number: 1,
    name: "tenant_meta",
    columns: &[
        column("tenant_uuid", Kind::Bytes),
        column("decoys", Kind::Integer),
    ],
    key: 0,
    person: None,
};

/// The entries of the log.
pub const LOG_ENTRY: &Table = &Table {
    number: 9,
    name: "log_entry",
    columns: &[
        column("idx", Kind::Big),
        column("entry_id", Kind::Bytes),
        column("kind", Kind::Small),
        column("subject", Kind::Bytes),
        column("subject_seq", Kind::Big),
        column("leaf", Kind::Bytes),
        column("opening_key", Kind::Bytes),
        column("opening", Kind::Bytes),
    ],
    key: 1,
    person: None,
};

/// The full tiles of its tree.
pub const LOG_TILE: &Table = &Table {
    number: 10,
    name: "log_tile",
    columns: &[
        column("level", Kind::Small),
        column("idx", Kind::Big),
        column("hashes", Kind::Bytes),
    ],
    key: 2,
    person: None,
};

/// Where the log stands.
pub const LOG_HEAD: &Table = &Table {
    number: 11,
    name: "log_head",
    columns: &[
        column("size", Kind::Big),
        column("root", Kind::Bytes),
        column("epoch", Kind::Big),
        column("last_time", Kind::Big),
        Column {
            name: "checkpoint",
            kind: Kind::Text,
            nullable: true,
        },
    ],
    key: 0,
    person: None,
};

/// The own logs that lost their end.
pub const LOST_LOG: &Table = &Table {
    number: 13,
    name: "lost_log",
    columns: &[
        column("origin", Kind::Text),
        column("from_index", Kind::Big),
        column("signed_size", Kind::Big),
        Column {
            name: "signed_root",
            kind: Kind::Bytes,
            nullable: true,
        },
    ],
    key: 1,
    person: None,
};

/// The persons that an open erasure works through.
const ERASURE_PERSON: &Table = &Table {
    number: 22,
    name: "erasure_person",
    columns: &[
        column("person_id", Kind::Bytes),
        column("step", Kind::Small),
    ],
    key: 1,
    person: Some(0),
};

/// All tables, in the order in which they are copied: whose it is first, the log's head last.
pub const TABLES: [&Table; 20] = [
    TENANT_META,
    &Table {
        number: 2,
        name: "person",
        columns: &[
            column("person_id", Kind::Bytes),
            column("wrapped_key", Kind::Bytes),
            column("number", Kind::Bytes),
        ],
        key: 1,
        person: Some(0),
    },
    &Table {
        number: 3,
        name: "person_revision",
        columns: &[
            column("person_id", Kind::Bytes),
            column("revision", Kind::Integer),
            column("import_id", Kind::Bytes),
            column("log_index", Kind::Big),
            column("body", Kind::Bytes),
        ],
        key: 2,
        person: Some(0),
    },
    &Table {
        number: 4,
        name: "dose_revision",
        columns: &[
            column("person_id", Kind::Bytes),
            column("dose_id", Kind::Bytes),
            column("revision", Kind::Integer),
            column("import_id", Kind::Bytes),
            column("log_index", Kind::Big),
            column("body", Kind::Bytes),
        ],
        key: 3,
        person: Some(0),
    },
    &Table {
        number: 5,
        name: "person_tag",
        columns: &[
            column("kind", Kind::Small),
            column("key_id", Kind::Big),
            column("tag", Kind::Bytes),
            column("person_id", Kind::Bytes),
        ],
        key: 3,
        person: Some(3),
    },
    &Table {
        number: 6,
        name: "import",
        columns: &[
            column("import_id", Kind::Bytes),
            column("body", Kind::Bytes),
        ],
        key: 1,
        person: None,
    },
    &Table {
        number: 7,
        name: "inquiry",
        columns: &[
            column("inquiry_id", Kind::Bytes),
            column("version", Kind::Integer),
            column("expires_at", Kind::Big),
            column("wrapped_key", Kind::Bytes),
            column("body", Kind::Bytes),
        ],
        key: 1,
        person: None,
    },
    &Table {
        number: 8,
        name: "peer_checkpoint",
        columns: &[
            column("peer", Kind::Integer),
            column("size", Kind::Big),
            column("note", Kind::Text),
        ],
        key: 1,
        person: None,
    },
    &Table {
        number: 12,
        name: "receipt",
        columns: &[
            column("provider", Kind::Integer),
            column("origin", Kind::Text),
            column("log_index", Kind::Big),
            column("entered_at", Kind::Big),
            column("request_id", Kind::Bytes),
            column("leaf", Kind::Bytes),
            column("note", Kind::Text),
            column("proof", Kind::Bytes),
        ],
        key: 3,
        person: None,
    },
    LOST_LOG,
    &Table {
        number: 14,
        name: "recovered_entry",
        columns: &[
            column("origin", Kind::Text),
            column("log_index", Kind::Big),
            column("leaf", Kind::Bytes),
            column("tree_size", Kind::Big),
            column("tree_root", Kind::Bytes),
            column("member", Kind::Integer),
            column("request_id", Kind::Bytes),
            column("entered_index", Kind::Big),
        ],
        key: 2,
        person: None,
    },
    &Table {
        number: 15,
        name: "recovery_answer",
        columns: &[
            column("origin", Kind::Text),
            column("member", Kind::Integer),
            column("answered_at", Kind::Big),
            column("receipts", Kind::Big),
            column("refused", Kind::Big),
            column("entered_index", Kind::Big),
        ],
        key: 2,
        person: None,
    },
    &Table {
        number: 16,
        name: "witnessed_log",
        columns: &[
            column("origin", Kind::Text),
            column("size", Kind::Big),
            column("root", Kind::Bytes),
            column("note", Kind::Text),
        ],
        key: 1,
        person: None,
    },
    &Table {
        number: 17,
        name: "cosigned_checkpoint",
        columns: &[
            column("origin", Kind::Text),
            column("size", Kind::Big),
            column("note", Kind::Text),
        ],
        key: 1,
        person: None,
    },
    &Table {
        number: 20,
        name: "hold",
        columns: &[
            column("person_id", Kind::Bytes),
            column("body", Kind::Bytes),
        ],
        key: 1,
        person: Some(0),
    },
    &Table {
        number: 21,
        name: "erasure_run",
        columns: &[
            column("run_id", Kind::Bytes),
            Column {
                name: "rewritten_at",
                kind: Kind::Big,
                nullable: true,
            },
            column("body", Kind::Bytes),
        ],
        key: 1,
        person: None,
    },
    ERASURE_PERSON,
    LOG_ENTRY,
    LOG_TILE,
    LOG_HEAD,
];

/// The tables with the greatest number in copies of each format, the first format first: an earlier version's backup holds
/// fewer.
pub(crate) const LAST_OF_FORMAT: [u8; 3] = [11, 15, 22];

impl Table {
    /// The table of this number.
    pub fn numbered(number: u8) -> Option<&'static Self> {
        TABLES.into_iter().find(|table| table.number == number)
    }

    /// The columns of the key.
    pub(crate) fn key_columns(&self) -> &'static [Column] {
        self.columns.get(..self.key).unwrap_or_default()
    }

    /// All names, comma between, for a statement.
    pub(crate) fn names(&self) -> String {
        join(self.columns)
    }

    /// The key's names, comma between.
    pub(crate) fn key_names(&self) -> String {
        join(self.key_columns())
    }
}

fn join(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every column of every table of a schema, as its `CREATE TABLE` statements have them.
    fn columns_of(schema: &str) -> Vec<(String, Vec<String>)> {
        let mut tables = Vec::new();
        for part in schema.split("CREATE TABLE ").skip(1) {
            let (name, rest) = part.split_once(" (").unwrap();
            let body = rest.split("\n)").next().unwrap();
            let names = body
                .lines()
                .filter_map(|line| line.split_whitespace().next());
            let columns = names
                .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                .map(str::to_owned)
                .collect();
            tables.push((name.to_owned(), columns));
        }
        tables
    }

    #[test]
    fn a_copy_leaves_out_no_column_of_either_schema_but_what_is_derived() {
        let derived = [
            ("tenant_meta", "heads_flushed"),
            ("tenant_meta", "approvals"),
            ("tenant_meta", "state"),
        ];
        for schema in [
            concat!(
                include_str!("../../../../migrations/sqlite/0001_initial.sql"),
                include_str!("../../../../migrations/sqlite/0002_receipts.sql"),
                include_str!("../../../../migrations/sqlite/0003_witness.sql"),
                include_str!("../../../../migrations/sqlite/0004_erasure.sql"),
            ),
            concat!(
                include_str!("../../../../migrations/postgres/0001_initial.sql"),
                include_str!("../../../../migrations/postgres/0002_receipts.sql"),
                include_str!("../../../../migrations/postgres/0003_witness.sql"),
                include_str!("../../../../migrations/postgres/0004_erasure.sql"),
            ),
        ] {
            let mut seen = 0;
            for (name, columns) in columns_of(schema) {
                if ["subject_head", "canary", "schema_step"].contains(&name.as_str()) {
                    continue;
                }
                seen += 1;
                let table = TABLES.into_iter().find(|table| table.name == name).unwrap();
                let mut copied: Vec<&str> =
                    table.columns.iter().map(|column| column.name).collect();
                let mut there: Vec<&str> = columns
                    .iter()
                    .map(String::as_str)
                    .filter(|column| {
                        *column != "tenant" && !derived.contains(&(table.name, column))
                    })
                    .collect();
                copied.sort_unstable();
                there.sort_unstable();
                assert_eq!(copied, there, "{name}");
            }
            assert_eq!(seen, TABLES.len());
        }
    }

    #[test]
    fn numbers_are_their_tables_own() {
        for table in TABLES {
            assert_eq!(Table::numbered(table.number), Some(table));
        }
        assert_eq!(Table::numbered(0), None);
        let last = TABLES.iter().map(|table| table.number).max();
        assert_eq!(last, LAST_OF_FORMAT.last().copied());
    }
}
