//! Requests as another municipality sends them, and what must be true of every answer.

use anyhow::{Context, ensure};
use base64::Engine as _;
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Response, Status};
use vrx_proto::v1::exchange_service_client::ExchangeServiceClient;
use vrx_proto::v1::{
    Consent, ConsentMethod, Date, IdentityConfirmation, IdentityDocument, Nothing, Purpose,
    QueryRecordsRequest, QueryRecordsResponse, Receipt,
};
use vrx_tlog::VerifierKey;

use crate::demo::FUJISAWA;

/// A complete, lawful request for `number` to Fujisawa.
pub fn request(number: &str) -> QueryRecordsRequest {
    let checked = prost_types::Timestamp {
        seconds: 1_767_225_600, // 2026-01-01T00:00:00Z
        nanos: 0,
    };
    QueryRecordsRequest {
        request_id: fresh_id(),
        municipality_code: FUJISAWA.to_owned(),
        individual_number: number.to_owned(),
        purpose: Purpose::MoveIn.into(),
        legal_basis: "NBA-19-16".to_owned(),
        consent: Some(Consent {
            reference: "consent-0001".to_owned(),
            obtained_on: Some(date(2026, 1, 1)),
            method: ConsentMethod::Written.into(),
        }),
        identity: Some(IdentityConfirmation {
            resident_register_checked_at: Some(checked),
            document: IdentityDocument::NumberCard.into(),
            document_checked_at: Some(checked),
        }),
        operator_ref: "staff-7".to_owned(),
        event_reference: "move-in-0001".to_owned(),
        event_date: Some(date(2026, 1, 1)),
        known_log_size: 0,
        conceal_requester: false,
    }
}

/// A calendar date of the wire.
pub fn date(year: u32, month: u32, day: u32) -> Date {
    Date { year, month, day }
}

/// A fresh request id.
#[expect(
    clippy::disallowed_methods,
    reason = "a foreign client's ids needn't be repeatable"
)]
pub fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Sends a request.
///
/// # Errors
/// The status that came back.
pub async fn query(
    channel: &Channel,
    request: QueryRecordsRequest,
) -> Result<Response<QueryRecordsResponse>, Status> {
    ExchangeServiceClient::new(channel.clone())
        .query_records(request)
        .await
}

/// What a caller was told.
pub enum Told {
    /// Records, with their receipt.
    Found(Box<QueryRecordsResponse>),
    /// *Nothing*, with its receipt.
    Nothing(Box<Nothing>),
}

impl Told {
    /// The receipt's index, leaf and proofs.
    ///
    /// # Errors
    /// If a found answer has no receipt.
    pub fn receipt(&self) -> anyhow::Result<Receipt> {
        match self {
            Self::Found(found) => found.receipt.clone().context("found without a receipt"),
            Self::Nothing(nothing) => Ok(Receipt::decode(nothing.encode_to_vec().as_slice())?),
        }
    }
}

/// Reads a complete answer as exchange.md says: *nothing* is said by trailers, never inferred.
///
/// # Errors
/// If the answer is neither: a caller must read that as *failed*.
pub fn told(response: Response<QueryRecordsResponse>) -> anyhow::Result<Told> {
    let trailers = response.metadata().clone();
    let message = response.into_inner();
    if message != QueryRecordsResponse::default() {
        ensure!(
            trailers.get("vrx-outcome").is_none(),
            "records and the trailers of a nothing"
        );
        return Ok(Told::Found(Box::new(message)));
    }
    let outcome = trailers
        .get("vrx-outcome")
        .context("an empty message without vrx-outcome")?;
    ensure!(outcome == "nothing", "vrx-outcome isn't nothing");
    let receipt = trailers
        .get_bin("vrx-receipt-bin")
        .context("nothing without a receipt")?
        .to_bytes()?;
    Ok(Told::Nothing(Box::new(Nothing::decode(receipt)?)))
}

/// A receipt as the log's mathematics takes it.
///
/// # Errors
/// If a length is wrong.
pub fn tlog_receipt(receipt: &Receipt) -> anyhow::Result<vrx_tlog::Receipt> {
    let hashes = |proof: &[Vec<u8>]| -> anyhow::Result<Vec<vrx_tlog::Hash>> {
        proof
            .iter()
            .map(|hash| Ok(<[u8; 32]>::try_from(hash.as_slice())?))
            .collect()
    };
    Ok(vrx_tlog::Receipt {
        log_index: receipt.log_index,
        leaf: <[u8; 134]>::try_from(receipt.leaf.as_slice())?,
        checkpoint: receipt.checkpoint.clone(),
        inclusion_proof: hashes(&receipt.inclusion_proof)?,
        consistency_proof: hashes(&receipt.consistency_proof)?,
    })
}

/// Checks a receipt under the log's published key.
///
/// # Errors
/// If it proves nothing.
pub fn check_receipt(receipt: &Receipt, vkey: &str) -> anyhow::Result<()> {
    let vkey = VerifierKey::parse(vkey).map_err(|error| anyhow::anyhow!("{error}"))?;
    vrx_tlog::verify_receipt(&tlog_receipt(receipt)?, &vkey, None)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(())
}

/// Valid individual numbers that no sample resident has, as many as asked.
pub fn unknown_numbers(count: usize, taken: &[String]) -> Vec<String> {
    let taken: std::collections::HashSet<&str> = taken.iter().map(String::as_str).collect();
    (0_u64..)
        .map(|step| individual_number(98_765_432_100_u64.wrapping_sub(step * 7_919)))
        .filter(|number| !taken.contains(number.as_str()))
        .take(count)
        .collect()
}

/// Appends the check digit to eleven digits, by the formula of the ministerial ordinance (independent of the node's code).
pub fn individual_number(eleven: u64) -> String {
    let digits = format!("{:011}", eleven % 100_000_000_000);
    let sum: u64 = digits
        .bytes()
        .rev()
        .zip(1_u64..)
        .map(|(digit, n)| {
            let weight = if n <= 6 { n + 1 } else { n - 5 };
            u64::from(digit - b'0') * weight
        })
        .sum();
    let rest = sum % 11;
    let check = if rest <= 1 { 0 } else { 11 - rest };
    format!("{digits}{check}")
}

/// All spellings of a number that a leak could take: text, hex, base64 (three alignments), plain SHA-256 in bytes and hex.
pub fn spellings(number: &str) -> Vec<(&'static str, Vec<u8>)> {
    use sha2::Digest as _;
    let bytes = number.as_bytes();
    let digest = sha2::Sha256::digest(bytes);
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD;
    let value: u64 = number.parse().unwrap_or_default();
    let mut found = vec![
        ("text", bytes.to_vec()),
        ("hex", hex::encode(bytes).into_bytes()),
        ("hex, upper case", hex::encode_upper(bytes).into_bytes()),
        ("SHA-256", digest.to_vec()),
        ("SHA-256 in hex", hex::encode(digest).into_bytes()),
        ("SHA-256 in base64", base64.encode(digest).into_bytes()),
        ("64-bit big-endian", value.to_be_bytes().to_vec()),
        ("64-bit little-endian", value.to_le_bytes().to_vec()),
        ("UTF-16", bytes.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    for skip in 0..3 {
        // Base64 of the number inside other bytes starts at one of three alignments; its inner part is the same each time.
        let rest = bytes.get(skip..).unwrap_or_default();
        let whole = rest.len() / 3 * 3;
        let inner = rest.get(..whole).unwrap_or_default();
        found.push(("base64", base64.encode(inner).into_bytes()));
    }
    found
}
