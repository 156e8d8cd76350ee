//! Imports residents from a CSV of the documented layout (住民の取込).

use futures_util::Stream;
use tokio::sync::mpsc;
use vrx_domain::Caller;
use zeroize::Zeroizing;

use super::import_stream::{ImportEvent, ImportRequest, ImportSummary};
use crate::{error::ServiceError, tenants::TenantServices};

/// Takes the file's bytes as they come; good rows are kept as *entered*, refused ones are sent back through `events`.
pub async fn import_persons<S>(
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
