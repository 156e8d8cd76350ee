//! The tables, what a node may do to each, and a tenant's partitions of them.

/// A table of the schema.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Whether each tenant has a partition of its own.
    pub(super) partitioned: bool,
    /// Whether nodes also reach a tenant's partition by its own name, with the same rights (`hot.rs`).
    pub(super) direct: bool,
    /// What the nodes' role may do: nothing else, and on leaves and tiles never more than adding.
    pub(super) rights: &'static str,
}

const fn partitioned(name: &'static str, rights: &'static str) -> Table {
    Table {
        name,
        partitioned: true,
        direct: false,
        rights,
    }
}

/// Rows are only ever added to it and read.
const fn hot(name: &'static str) -> Table {
    Table {
        direct: true,
        ..partitioned(name, ADD_AND_READ)
    }
}

const ADD_AND_READ: &str = "SELECT, INSERT";

const fn single(name: &'static str, rights: &'static str) -> Table {
    Table {
        name,
        partitioned: false,
        direct: false,
        rights,
    }
}

/// Every table that holds a tenant's rows.
pub(super) const TABLES: &[Table] = &[
    single("tenant_meta", "SELECT, UPDATE (approvals, state)"),
    hot("person"),
    hot("person_revision"),
    hot("dose_revision"),
    hot("person_tag"),
    partitioned("import", "SELECT, INSERT, UPDATE (body)"),
    partitioned("inquiry", "SELECT, INSERT, UPDATE, DELETE"),
    partitioned("peer_checkpoint", "SELECT, INSERT, UPDATE (size, note)"),
    partitioned("receipt", ADD_AND_READ),
    single("lost_log", "SELECT"),
    partitioned("recovered_entry", ADD_AND_READ),
    single("recovery_answer", ADD_AND_READ),
    single("witnessed_log", "SELECT, INSERT, UPDATE (size, root, note)"),
    single("cosigned_checkpoint", "SELECT, INSERT, UPDATE (size, note)"),
    single("hold", "SELECT, INSERT, UPDATE (body), DELETE"),
    single("erasure_run", "SELECT, INSERT, UPDATE (body), DELETE"),
    single("erasure_person", "SELECT, INSERT, UPDATE (step), DELETE"),
    hot("log_entry"),
    hot("log_tile"),
    single("log_head", "SELECT, UPDATE"),
    single("canary", "SELECT, UPDATE (written)"),
];

/// What nodes may do to rows that they have no right to: only this, and only to what an erasure has claimed.
pub(super) const FUNCTIONS: [&str; 5] = [
    "erase_tags(smallint[], bigint[], bytea[], bytea[])",
    "destroy_person_keys(bytea[])",
    "delete_person_rows(bytea[])",
    "sweep_erased()",
    "blank_openings(bigint[], bytea[])",
];

/// The table that says which nodes may serve; every role of nodes may read it.
pub(super) const SCHEMA_STEP: &str = "schema_step";

/// A tenant's partition of a table. Made beside the table and attached to it: making it in place would keep every other
/// tenant waiting.
pub(super) fn partition(table: &str, tenant: u32) -> String {
    format!("{table}_{tenant:06}")
}
