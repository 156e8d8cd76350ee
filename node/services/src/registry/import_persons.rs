//! Imports residents from a CSV of the documented layout (住民の取込).

use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tracing::Instrument;
use vrx_crypto::TagKind;
use vrx_domain::{Caller, Date, ImportId, Random};
use vrx_storage::{ImportKind, PersonRow, PreparedChunk, RegistryStore, StorageError};
use zeroize::Zeroizing;

use super::import_chunks::Keys;
use super::import_stream::{
    self, ImportEvent, ImportRequest, ImportSummary, PERSONS_ACTION, Source,
};
use crate::{
    error::ServiceError,
    import::{CsvImport, Encoding, PersonEntry, PersonsLayout},
    tenants::TenantServices,
};

/// Takes the file's bytes as they come; good rows are kept as *entered*, refused ones are sent back through `events`.
pub async fn import_persons<I>(
    ctx: &Arc<TenantServices>,
    caller: &Caller,
    request: ImportRequest,
    input: I,
    events: mpsc::Sender<ImportEvent>,
) -> Result<ImportSummary, ServiceError>
where
    I: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
{
    let span =
        tracing::info_span!("import_persons", tenant = %ctx.tenant.code, caller = %caller.id);
    import_stream::run::<Persons, _>(ctx, caller, request, input, events)
        .instrument(span)
        .await
}

struct Persons;

impl Source for Persons {
    type Layout = PersonsLayout;
    type Row = PersonRow;
    const KIND: ImportKind = ImportKind::Persons;
    const ACTION: &'static str = PERSONS_ACTION;
    const PERSON_COLUMN: &'static str = "宛名番号";

    fn parser(encoding: Option<Encoding>, today: Date) -> CsvImport<PersonsLayout> {
        CsvImport::persons(encoding, today)
    }

    fn rows(row: PersonEntry, _random: &dyn Random) -> Vec<PersonRow> {
        vec![PersonRow {
            number: row.number,
            person: row.person,
        }]
    }

    fn keys(row: &PersonRow, keys: &mut Keys<'_>) {
        keys.add((TagKind::Number, row.number.digits()));
        let addressee = row.person.addressee_number.as_str();
        keys.add((TagKind::Addressee, addressee.as_bytes()));
    }

    async fn prepare(
        registry: &dyn RegistryStore,
        import: ImportId,
        rows: Arc<[PersonRow]>,
    ) -> Result<PreparedChunk, StorageError> {
        registry.prepare_persons(import, rows).await
    }
}
