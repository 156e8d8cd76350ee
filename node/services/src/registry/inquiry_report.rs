//! What staff ask another municipality for, and what they get to see.

use vrx_domain::{
    Dose, Evidence, IndividualNumber, InquiryId, MunicipalityCode, RequestId, UnixMillis,
};
use vrx_tlog::Receipt;

/// What staff ask for.
pub struct InquireRequest {
    /// Id of this inquiry; goes to the provider as it is.
    pub request_id: RequestId,
    /// The municipality asked: the person's former one (転出元).
    pub provider: MunicipalityCode,
    /// The person (個人番号).
    pub number: IndividualNumber,
    /// Evidence. `operator_ref` must be the caller's own staff id.
    pub evidence: Evidence,
}

/// How an inquiry ended, in the requester's four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InquiryWord {
    /// Records came back and every check held.
    Found,
    /// The provider has nothing to give, and proved that it said so.
    Nothing,
    /// The provider refused.
    Refused,
    /// Anything else: an outage, or an answer that failed a check. Never to be read as *nothing*.
    Failed,
}

impl InquiryWord {
    /// The word in entries, tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The provider's birth date against the own register's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BirthDateCheck {
    /// The same.
    Same,
    /// Different: a second member of staff must adopt.
    Differs,
    /// The person isn't in the own approved register yet: compared again at adoption.
    NotRegistered,
}

/// What staff get to see.
pub struct InquiryReport {
    /// Names the kept answer for `adopt`; also given when nothing is kept.
    pub inquiry: InquiryId,
    /// The request id that went out.
    pub request_id: RequestId,
    /// The outcome.
    pub word: InquiryWord,
    /// For *refused* and *failed*: a code of ours saying why.
    pub reason: Option<&'static str>,
    /// The field the provider named when it refused.
    pub field: Option<&'static str>,
    /// The doses (*found* only).
    pub doses: Vec<Dose>,
    /// Doses that the provider's rules hold back (*found* only).
    pub held_back: u32,
    /// The birth date check (*found* only).
    pub birth_date: Option<BirthDateCheck>,
    /// When the kept answer is destroyed (*found* only).
    pub expires_at: Option<UnixMillis>,
    /// Index of the entry in the provider's log (*found* and *nothing*).
    pub provider_log_index: Option<u64>,
    /// The provider's receipt (*found* and *nothing*). It holds no secret.
    pub receipt: Option<Receipt>,
}

impl BirthDateCheck {
    /// The word in entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::NotRegistered => "not-registered",
        }
    }
}
