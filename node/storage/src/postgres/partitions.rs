//! The tables, what a node may do to each, and a tenant's partitions of them.

/// A table of the schema.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Whether each tenant has a partition of its own.
    pub(super) partitioned: bool,
    /// What the nodes' role may do: nothing else, and on leaves and tiles never more than adding.
    pub(super) rights: &'static str,
}

const fn partitioned(name: &'static str, rights: &'static str) -> Table {
    Table {
        name,
        partitioned: true,
        rights,
    }
}

const fn single(name: &'static str, rights: &'static str) -> Table {
    Table {
        name,
        partitioned: false,
        rights,
    }
}

/// Every table that holds a tenant's rows.
pub(super) const TABLES: &[Table] = &[
    single("tenant_meta", "SELECT, UPDATE (approvals, state)"),
    partitioned("person", "SELECT, INSERT"),
    partitioned("person_revision", "SELECT, INSERT"),
    partitioned("dose_revision", "SELECT, INSERT"),
    partitioned("person_tag", "SELECT, INSERT"),
    partitioned("import", "SELECT, INSERT, UPDATE (body)"),
    partitioned("inquiry", "SELECT, INSERT, UPDATE, DELETE"),
    partitioned("peer_checkpoint", "SELECT, INSERT, UPDATE (size, note)"),
    partitioned("receipt", "SELECT, INSERT"),
    single("lost_log", "SELECT"),
    partitioned("recovered_entry", "SELECT, INSERT"),
    single("recovery_answer", "SELECT, INSERT"),
    partitioned("log_entry", "SELECT, INSERT"),
    partitioned("log_tile", "SELECT, INSERT"),
    single("log_head", "SELECT, UPDATE"),
    single("canary", "SELECT, UPDATE (written)"),
];

/// The table that says which nodes may serve; every role of nodes may read it.
pub(super) const SCHEMA_STEP: &str = "schema_step";

/// A tenant's partition of a table. Made beside the table and attached to it: making it in place would keep every other
/// tenant waiting.
pub(super) fn partition(table: &str, tenant: u32) -> String {
    format!("{table}_{tenant:06}")
}
