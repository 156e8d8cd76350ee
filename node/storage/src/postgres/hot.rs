//! The texts of the two hot paths, lookups and batches of the log, over a tenant's own partitions.
//!
//! Planning a statement on a partitioned table costs more than running it, and its plan can't be kept: a kept plan locks every
//! tenant's partition. A statement that names the partition keeps its plan. Row-level security is forced on partitions as on their
//! tables, so that the way there changes nothing of who sees what. Where the nodes' role has no right to the partitions
//! (an owner of an earlier version made them), the same texts go over the tables.

use std::sync::Arc;

use super::cluster::{PostgresCluster, Way};
use super::partitions::{TABLES, partition};
use super::session::{Mode, Plans, Session, statement};
use crate::StorageError;

/// A tenant's texts.
pub(super) struct Hot {
    /// Whether they name partitions, so that their plans may be kept.
    plans: Plans,
    /// Whom tags lead to, and all about them.
    pub(super) lookup: Arc<str>,
    /// The head, held, and where each subject's list of entries ends.
    pub(super) head_and_subjects: Arc<str>,
    /// Where each subject's list of entries ends.
    pub(super) subjects: Arc<str>,
    /// A batch's entries, tiles and head.
    pub(super) add_batch: Arc<str>,
}

impl Hot {
    /// Looks what the nodes' role may reach, once a tenant.
    pub(super) async fn of(
        cluster: &Arc<PostgresCluster>,
        tenant: i32,
    ) -> Result<Self, StorageError> {
        let code = u32::try_from(tenant).unwrap_or_default();
        let direct: Vec<&str> = TABLES
            .iter()
            .filter(|table| table.direct)
            .map(|table| table.name)
            .collect();
        let partitions: Vec<String> = direct.iter().map(|name| partition(name, code)).collect();
        let mut session = Session::begin(cluster, tenant, Mode::Read).await?;
        let rights = statement(
            "-- partition_rights
             SELECT coalesce(bool_and(coalesce(has_table_privilege(to_regclass(name), 'SELECT')
                                               AND has_table_privilege(to_regclass(name), 'INSERT'), false)), false)
             FROM unnest($1::text[]) AS name",
        );
        let granted = session
            .row("pg_class", rights.bind(partitions), |row| {
                sqlx::Row::try_get::<bool, _>(row, 0)
            })
            .await?;
        session.end().await?;
        Ok(Self::texts(code, granted == Some(true)))
    }

    fn texts(code: u32, own_partitions: bool) -> Self {
        let text = |template: &str| {
            let mut text = template.to_owned();
            for table in TABLES.iter().filter(|table| table.direct) {
                let name = if own_partitions {
                    partition(table.name, code)
                } else {
                    table.name.to_owned()
                };
                text = text.replace(&format!("{{{}}}", table.name), &name);
            }
            Arc::from(text)
        };
        Self {
            plans: if own_partitions {
                Plans::Kept
            } else {
                Plans::Fresh
            },
            lookup: text(super::lookup::LOOKUP),
            head_and_subjects: text(super::log::HEAD_AND_SUBJECTS),
            subjects: text(super::log::SUBJECTS),
            add_batch: text(super::append::ADD_BATCH),
        }
    }

    /// A transaction for a batch of lookups, on the connection that has this tenant's plans.
    pub(super) async fn lookups(
        &self,
        cluster: &Arc<PostgresCluster>,
        tenant: i32,
    ) -> Result<Session, StorageError> {
        Session::begin_on(cluster, Way::Lookups, tenant, Mode::Read, self.plans).await
    }

    /// A transaction for a batch of the log. Changes beside its entries go over the tables, so they get plans of their own, and
    /// a connection on which nobody waits for an answer to another municipality.
    pub(super) async fn batch(
        &self,
        cluster: &Arc<PostgresCluster>,
        tenant: i32,
        changes: Changes,
    ) -> Result<Session, StorageError> {
        match changes {
            Changes::None => {
                Session::begin_on(cluster, Way::Batches, tenant, Mode::Write, self.plans).await
            }
            Changes::Some => Session::begin(cluster, tenant, Mode::Write).await,
        }
    }
}

/// Whether a batch changes anything beside the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    None,
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_keeps_a_placeholder_and_only_direct_ones_name_partitions() {
        for own in [true, false] {
            let hot = Hot::texts(142_051, own);
            for text in [
                &hot.lookup,
                &hot.head_and_subjects,
                &hot.subjects,
                &hot.add_batch,
            ] {
                assert!(!text.contains('{'), "{text}");
                assert_eq!(text.contains("_142051"), own, "{text}");
                assert!(text.starts_with("-- "), "{text}");
            }
        }
    }
}
