//! Imports doses from the official ledger layout (予防接種台帳向け出力).

use futures_util::Stream;
use tokio::sync::mpsc;
use vrx_domain::Caller;
use zeroize::Zeroizing;

use super::import_stream::{ImportEvent, ImportRequest, ImportSummary};
use crate::{error::ServiceError, tenants::TenantServices};

/// Takes the file's bytes as they come; good rows are kept as *entered*, refused ones are sent back through `events`.
pub async fn import_doses<S>(
    ctx: &TenantServices,
    caller: &Caller,
    request: ImportRequest,
    input: S,
    events: mpsc::Sender<ImportEvent>,
) -> Result<ImportSummary, ServiceError>
where
    S: Stream<Item = Result<Zeroizing<Vec<u8>>, ServiceError>> + Send + Unpin,
{
    todo!()
}
