//! Imports doses from the official ledger layout (予防接種台帳向け出力の取込).

use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tracing::Instrument;
use vrx_domain::{AddresseeNumber, Caller, Date, DoseId, ImportId, Random};
use vrx_storage::{DoseRow, ImportKind, PreparedChunk, RegistryStore, StorageError};
use zeroize::Zeroizing;

use super::import_chunks::Keys;
use super::import_stream::{self, DOSES_ACTION, ImportEvent, ImportRequest, ImportSummary, Source};
use crate::{
    error::ServiceError,
    import::{CsvImport, Encoding, LedgerLayout, LedgerRow, ledger},
    tenants::TenantServices,
};

/// Takes the file's bytes as they come; good rows are kept as *entered*, refused ones are sent back through `events`.
pub async fn import_doses<I>(
    ctx: &Arc<TenantServices>,
    caller: &Caller,
    request: ImportRequest,
    input: I,
    events: mpsc::Sender<ImportEvent>,
) -> Result<ImportSummary, ServiceError>
where
    I: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
{
    let span = tracing::info_span!("import_doses", tenant = %ctx.tenant.code, caller = %caller.id);
    import_stream::run::<Doses, _>(ctx, caller, request, input, events)
        .instrument(span)
        .await
}

struct Doses;

impl Source for Doses {
    type Layout = LedgerLayout;
    type Row = DoseRow;
    const KIND: ImportKind = ImportKind::Doses;
    const ACTION: &'static str = DOSES_ACTION;
    const PERSON_COLUMN: &'static str = ledger::ADDRESSEE;

    fn parser(encoding: Option<Encoding>, _today: Date) -> CsvImport<LedgerLayout> {
        CsvImport::ledger(encoding)
    }

    fn rows(row: LedgerRow, random: &dyn Random) -> Vec<DoseRow> {
        let LedgerRow { addressee, doses } = row;
        doses
            .into_iter()
            .map(|dose| DoseRow {
                addressee: addressee.as_ref().map(AddresseeNumber::duplicate),
                dose: dose.into_dose(DoseId::random(random)),
            })
            .collect()
    }

    /// A dose is told from another by its number, place and voucher, and a voucher may lead to its person.
    fn keys(row: &DoseRow, keys: &mut Keys<'_>) {
        keys.add((row.dose.place.as_u32(), row.dose.voucher.as_str()));
    }

    async fn prepare(
        registry: &dyn RegistryStore,
        import: ImportId,
        rows: Arc<[DoseRow]>,
    ) -> Result<PreparedChunk, StorageError> {
        registry.prepare_doses(import, rows).await
    }
}
