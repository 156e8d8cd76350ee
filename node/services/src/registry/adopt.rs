//! Takes the doses of a checked answer into the own register, with their origin (取り込み).

use vrx_domain::{Caller, InquiryId};
use vrx_provision_log::Deadline;

use crate::{error::ServiceError, tenants::TenantServices};

/// What staff adopt.
#[derive(Debug, Clone, Copy)]
pub struct AdoptRequest {
    /// The inquiry whose kept answer is adopted, whole.
    pub inquiry: InquiryId,
}

/// What an adoption did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoptReport {
    /// The inquiry.
    pub inquiry: InquiryId,
    /// Doses taken into the register.
    pub adopted: u32,
    /// Doses that were there already.
    pub unchanged: u32,
    /// The entry that records it.
    pub log_index: u64,
}

/// Adopts; doing it again changes nothing.
pub async fn adopt(
    ctx: &TenantServices,
    caller: &Caller,
    request: AdoptRequest,
    deadline: Deadline,
) -> Result<AdoptReport, ServiceError> {
    todo!()
}
