//! Between messages and the domain's types: nothing else knows both.
//!
//! - [`field`]: one parser a kind of field, each refusal naming the field and a reason that fits every value.
//! - [`query`]: the request of an exchange, both ways.
//! - [`evidence`]: consent, identity check and the rest that an inquiry needs, both ways.
//! - [`answer`]: answers, doses, receipts, both ways; the encoding that is hashed.
//! - [`receipt`]: receipts that are given back, both ways.
//! - [`reconciliation`]: provisions and differences, both ways.

pub(crate) mod answer;
pub(crate) mod evidence;
pub(crate) mod field;
pub(crate) mod query;
pub(crate) mod receipt;
pub(crate) mod reconciliation;
