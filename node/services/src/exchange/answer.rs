//! The question and the answer, in the domain's types.

use vrx_domain::{Date, Dose, Evidence, IndividualNumber, MunicipalityCode, RequestId};
use zeroize::Zeroizing;

/// One inquiry (照会), parsed. The provider receives it, the requester sends it: the same fields on both sides, because
/// `C_actor` commits to them.
pub struct ExchangeQuery {
    /// The requester's id of this inquiry; a retry repeats it.
    pub request_id: RequestId,
    /// The municipality that is asked.
    pub asked: MunicipalityCode,
    /// The person asked about (個人番号).
    pub number: IndividualNumber,
    /// Purpose, legal basis, consent, identity check, event.
    pub evidence: Evidence,
    /// Size of the newest checkpoint the requester holds of the provider's log; 0 for none.
    pub known_log_size: u64,
}

/// What is told about one person when there's something to tell.
pub struct Answer {
    /// The request this answers.
    pub request_id: RequestId,
    /// Approved doses that no rule holds back, by date.
    pub doses: Vec<Dose>,
    /// The birth date in the provider's register, for the requester to compare.
    pub birth_date: Date,
    /// How many doses a rule holds back.
    pub held_back: u32,
    /// 16 random bytes, so that the answer's hash can't be guessed from its content.
    pub salt: [u8; 16],
}

/// An encoded [`Answer`]. Wiped when dropped, never printed.
pub struct AnswerBytes(Zeroizing<Vec<u8>>);

impl AnswerBytes {
    /// Takes over the bytes.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// The bytes, to hash or to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, for the message that carries them.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// What leaves: an answer, or *nothing*, which has no content whatever its cause.
pub enum ExchangeAnswer {
    /// The encoded answer.
    Found(AnswerBytes),
    /// No such person, no doses, or withheld: the caller can't tell which.
    Nothing,
}
