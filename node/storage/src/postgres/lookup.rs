//! The exchange's lookups: all that arrived while the last batch ran, in one transaction of two statements, whoever is
//! asked for.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::{mpsc, oneshot};
use vrx_crypto::{Keyring, Tags};
use vrx_domain::{DoseId, ImportId, PersonId};

use super::cluster::PostgresCluster;
use super::hot::Hot;
use super::log::unsigned;
use super::register;
use super::session::{Session, prepared};
use crate::StorageError;
use crate::decoys::DECOY_IMPORT;
use crate::sealed::{DoseRevisionRow, PersonKeyRow, PersonRevisionRow, SealedLookup, approved};

/// Lookups taken at once.
const BATCH: usize = 256;

/// One lookup on its way to the database.
pub(super) struct LookupRequest {
    pub(super) tags: Tags,
    /// A random place in the table of persons: whoever stands there is the decoy.
    pub(super) decoy: [u8; 16],
    pub(super) reply: oneshot::Sender<Result<SealedLookup, StorageError>>,
}

/// The one task that answers a tenant's lookups.
pub(super) struct Lookups {
    cluster: Arc<PostgresCluster>,
    tenant: i32,
    keyring: Arc<Keyring>,
    hot: Arc<Hot>,
    known: Approvals,
}

/// The imports that are approved, as of a count of approvals. Read from sealed rows, so that nobody approves by editing a
/// column; read again when the count that a batch sees is another one, because some other node approved.
struct Approvals {
    count: Option<i64>,
    imports: HashSet<ImportId>,
}

impl Lookups {
    pub(super) fn new(
        cluster: Arc<PostgresCluster>,
        tenant: i32,
        keyring: Arc<Keyring>,
        hot: Arc<Hot>,
    ) -> Self {
        let known = Approvals {
            count: None,
            imports: HashSet::new(),
        };
        Self {
            cluster,
            tenant,
            keyring,
            hot,
            known,
        }
    }

    /// Answers until nobody can ask any more.
    pub(super) async fn answer(mut self, mut requests: mpsc::Receiver<LookupRequest>) {
        let mut batch = Vec::with_capacity(BATCH);
        while requests.recv_many(&mut batch, BATCH).await > 0 {
            match self.find(&batch).await {
                Ok(found) => {
                    for (request, found) in batch.drain(..).zip(found) {
                        // Whoever asked may have gone meanwhile; then the answer is dropped.
                        drop(request.reply.send(found));
                    }
                }
                Err(error) => {
                    for request in batch.drain(..) {
                        drop(request.reply.send(Err(error.clone())));
                    }
                }
            }
        }
    }

    async fn find(
        &mut self,
        batch: &[LookupRequest],
    ) -> Result<Vec<Result<SealedLookup, StorageError>>, StorageError> {
        let mut session = self.hot.lookups(&self.cluster, self.tenant).await?;
        let (mut found, count) = self.rows_of(&mut session, batch).await?;
        if self.known.count != Some(count) {
            // The same state of the database: an import that is approved in it is whole in it.
            let imports = register::imports(&mut session, self.tenant, &self.keyring).await?;
            let mut imports = approved(&imports);
            imports.insert(DECOY_IMPORT);
            self.known = Approvals {
                count: Some(count),
                imports,
            };
        }
        session.end().await?;
        Ok(found
            .drain(..)
            .map(|person| person.choose(&self.known.imports))
            .collect())
    }

    async fn rows_of(
        &self,
        session: &mut Session,
        batch: &[LookupRequest],
    ) -> Result<(Vec<Found>, i64), StorageError> {
        let (mut places, mut keys, mut tags, mut decoys) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, request) in (0_i32..).zip(batch) {
            // While tags are rewritten under a new key, all live versions are asked for.
            for (key, tag) in request.tags.live() {
                places.push(place);
                keys.push(i64::from(key.0));
                tags.push(tag.0);
                decoys.push(request.decoy);
            }
        }
        let rows = session
            .rows(
                "person",
                prepared("persons_by_tags", &self.hot.lookup)
                    .bind(self.tenant)
                    .bind(places)
                    .bind(keys)
                    .bind(tags)
                    .bind(decoys),
                LookupRow::read,
            )
            .await?;
        let mut found: Vec<Found> = Vec::new();
        found.resize_with(batch.len(), Found::default);
        let mut approvals = None;
        for row in rows {
            match row {
                LookupRow::Approvals(count) => approvals = Some(count),
                LookupRow::Person(place, tagged, person) => {
                    if let Some(found) = found.get_mut(place) {
                        found.tagged = tagged;
                        found.person = Some(person);
                    }
                }
                LookupRow::Revision(place, revision) => {
                    if let Some(found) = found.get_mut(place) {
                        found.revisions.push(revision);
                    }
                }
                LookupRow::Dose(place, dose) => {
                    if let Some(found) = found.get_mut(place) {
                        found.doses.push(dose);
                    }
                }
            }
        }
        Ok((found, approvals.ok_or(StorageError::OtherTenant)?))
    }
}

/// Whom each tag leads to, or the next person after a random place; all that stands about them; how many approvals there
/// are. One statement, one state.
///
/// Each part is a lateral subquery behind OFFSET 0 or LIMIT: the planner can't turn it into a join over a whole partition,
/// whatever it believes of a table that has grown since it was last analysed.
pub(super) const LOOKUP: &str = "-- persons_by_tags
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT ON (k.place) k.place, t.person_id AS tagged, coalesce(t.person_id, k.decoy) AS from_id
        FROM unnest($2::integer[], $3::bigint[], $4::bytea[], $5::bytea[]) AS k (place, key_id, tag, decoy)
        LEFT JOIN LATERAL (
            SELECT person_id FROM {person_tag}
            WHERE tenant = $1 AND kind = 1 AND key_id = k.key_id AND tag = k.tag LIMIT 1
        ) t ON true
        ORDER BY k.place, t.person_id NULLS LAST
    ), found AS MATERIALIZED (
        SELECT asked.place, asked.tagged, p.person_id, p.wrapped_key, p.number
        FROM asked CROSS JOIN LATERAL (
            SELECT person_id, wrapped_key, number FROM {person}
            WHERE tenant = $1 AND person_id >= asked.from_id ORDER BY person_id LIMIT 1
        ) p
    )
    SELECT 0::smallint, place, tagged, person_id, 0, NULL::bytea, wrapped_key, number, 0::bigint FROM found
    UNION ALL
    SELECT 1::smallint, f.place, NULL, f.person_id, r.revision, r.import_id, NULL, r.body, 0
    FROM found f CROSS JOIN LATERAL (
        SELECT revision, import_id, body FROM {person_revision}
        WHERE tenant = $1 AND person_id = f.person_id OFFSET 0
    ) r
    UNION ALL
    SELECT 2::smallint, f.place, NULL, d.dose_id, d.revision, d.import_id, NULL, d.body, 0
    FROM found f CROSS JOIN LATERAL (
        SELECT dose_id, revision, import_id, body FROM {dose_revision}
        WHERE tenant = $1 AND person_id = f.person_id OFFSET 0
    ) d
    UNION ALL
    SELECT 3::smallint, 0, NULL, NULL, 0, NULL, NULL, NULL, approvals FROM tenant_meta WHERE tenant = $1";

/// A row of that statement, by its first column.
enum LookupRow {
    Person(usize, Option<PersonId>, PersonKeyRow),
    Revision(usize, PersonRevisionRow),
    Dose(usize, DoseRevisionRow),
    Approvals(i64),
}

impl LookupRow {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let place: usize = unsigned(row.try_get::<i32, _>(1)?, 1)?;
        let import = || row.try_get(5).map(ImportId::from_bytes);
        let revision = || unsigned(row.try_get::<i32, _>(4)?, 4);
        Ok(match row.try_get::<i16, _>(0)? {
            0 => {
                let tagged: Option<[u8; 16]> = row.try_get(2)?;
                let person = PersonKeyRow {
                    id: PersonId::from_bytes(row.try_get(3)?),
                    wrapped_key: row.try_get(6)?,
                    number: row.try_get(7)?,
                };
                Self::Person(place, tagged.map(PersonId::from_bytes), person)
            }
            1 => Self::Revision(
                place,
                PersonRevisionRow {
                    revision: revision()?,
                    import: import()?,
                    body: row.try_get(7)?,
                },
            ),
            2 => Self::Dose(
                place,
                DoseRevisionRow {
                    dose: DoseId::from_bytes(row.try_get(3)?),
                    revision: revision()?,
                    import: import()?,
                    body: row.try_get(7)?,
                },
            ),
            _ => Self::Approvals(row.try_get(8)?),
        })
    }
}

/// All that stands about whoever was found in one place of the batch.
#[derive(Default)]
struct Found {
    tagged: Option<PersonId>,
    person: Option<PersonKeyRow>,
    revisions: Vec<PersonRevisionRow>,
    doses: Vec<DoseRevisionRow>,
}

impl Found {
    /// The newest approved revision and those above it; the newest approved revision of each dose.
    fn choose(mut self, approved: &HashSet<ImportId>) -> Result<SealedLookup, StorageError> {
        let person = self.person.ok_or(StorageError::Inconsistent {
            table: "person",
            column: "person_id",
            row: "no decoy".to_owned(),
        })?;
        self.revisions
            .sort_by_key(|row| std::cmp::Reverse(row.revision));
        let newest = self
            .revisions
            .iter()
            .position(|row| approved.contains(&row.import));
        let mut entered = self.revisions;
        let newest = newest.and_then(|at| entered.drain(at..).next());
        let mut doses = self.doses;
        doses.retain(|row| approved.contains(&row.import));
        doses.sort_by_key(|row| (row.dose, std::cmp::Reverse(row.revision)));
        doses.dedup_by_key(|row| row.dose);
        Ok(SealedLookup {
            tagged: self.tagged,
            person,
            approved: newest,
            entered,
            doses,
        })
    }
}
