//! Answers, doses and receipts, both ways. The encoding of an answer is made once: its hash is committed in the log.

use prost::Message;
use vrx_domain::{
    Date, Dose, DoseId, DoseNumber, DoseOrigin, DoseStatus, PlaceCode, RequestId, VoucherNumber,
};
use vrx_proto::v1;
use vrx_services::exchange::Answer;
use vrx_services::{AnswerCodec, CodecError};
use vrx_tlog::{Leaf, Receipt};
use zeroize::{Zeroize, Zeroizing};

use super::field::date_message;

/// The wire's encoding of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProstAnswerCodec;

impl AnswerCodec for ProstAnswerCodec {
    fn encode(&self, answer: &Answer) -> Zeroizing<Vec<u8>> {
        let message = v1::Answer {
            request_id: answer.request_id.to_string(),
            doses: answer.doses.iter().map(dose_message).collect(),
            birth_date: Some(date_message(answer.birth_date)),
            held_back: answer.held_back,
            salt: answer.salt.to_vec(),
        };
        // Reserved at once: growing would leave copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
        message.encode_raw(&mut *bytes);
        for mut dose in message.doses {
            dose.voucher_number.zeroize();
        }
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Result<Answer, CodecError> {
        let message = v1::Answer::decode(bytes).map_err(|_| CodecError::Malformed)?;
        Ok(Answer {
            request_id: RequestId::parse(&message.request_id)
                .map_err(|_| CodecError::Field("request_id"))?,
            doses: message
                .doses
                .iter()
                .map(parse_dose)
                .collect::<Result<_, _>>()?,
            birth_date: parse_date("birth_date", message.birth_date.as_ref())?,
            held_back: message.held_back,
            salt: message
                .salt
                .as_slice()
                .try_into()
                .map_err(|_| CodecError::Field("salt"))?,
        })
    }
}

/// An approved dose as a message.
pub(crate) fn dose_message(dose: &Dose) -> v1::Dose {
    v1::Dose {
        dose_id: dose.id.to_string(),
        dose_number: dose.number.get(),
        date: Some(date_message(dose.date)),
        vaccine_code: dose.vaccine_code.clone(),
        product_name: dose.product_name.clone(),
        manufacturer: dose.manufacturer.clone(),
        lot_number: dose.lot_number.clone(),
        venue: dose.venue.clone(),
        municipality_code: dose.place.to_string(),
        voucher_number: dose.voucher.as_str().to_owned(),
        revision: dose.revision,
        status: i32::from(DoseStatus::Approved.code()),
    }
}

/// A receipt as a message.
pub(crate) fn receipt_message(receipt: &Receipt) -> v1::Receipt {
    v1::Receipt {
        log_index: receipt.log_index,
        leaf: receipt.leaf.to_vec(),
        checkpoint: receipt.checkpoint.clone(),
        inclusion_proof: hashes(&receipt.inclusion_proof),
        consistency_proof: hashes(&receipt.consistency_proof),
    }
}

/// The bytes of hashes, one field each.
pub(crate) fn hashes(hashes: &[vrx_tlog::Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}

/// A receipt out of its five fields, which a `Nothing` has too; `None` when one has a wrong length.
pub(crate) fn parse_receipt(
    log_index: u64,
    leaf: &[u8],
    checkpoint: String,
    inclusion_proof: &[Vec<u8>],
    consistency_proof: &[Vec<u8>],
) -> Option<Receipt> {
    let proof = |hashes: &[Vec<u8>]| -> Option<Vec<vrx_tlog::Hash>> {
        hashes
            .iter()
            .map(|hash| hash.as_slice().try_into().ok())
            .collect()
    };
    let leaf: [u8; Leaf::LEN] = leaf.try_into().ok()?;
    Some(Receipt {
        log_index,
        leaf,
        checkpoint,
        inclusion_proof: proof(inclusion_proof)?,
        consistency_proof: proof(consistency_proof)?,
    })
}

fn parse_dose(dose: &v1::Dose) -> Result<Dose, CodecError> {
    let field = |name| move || CodecError::Field(name);
    if dose.status != i32::from(DoseStatus::Approved.code()) {
        return Err(CodecError::Field("doses.status"));
    }
    let dose_id: DoseId = dose
        .dose_id
        .parse()
        .map_err(|_| CodecError::Field("doses.dose_id"))?;
    let place: PlaceCode = dose
        .municipality_code
        .parse()
        .map_err(|_| CodecError::Field("doses.municipality_code"))?;
    Ok(Dose {
        id: dose_id,
        number: DoseNumber::new(dose.dose_number)
            .ok()
            .ok_or_else(field("doses.dose_number"))?,
        date: parse_date("doses.date", dose.date.as_ref())?,
        vaccine_code: text("doses.vaccine_code", &dose.vaccine_code)?,
        product_name: text("doses.product_name", &dose.product_name)?,
        manufacturer: text("doses.manufacturer", &dose.manufacturer)?,
        lot_number: text("doses.lot_number", &dose.lot_number)?,
        venue: text("doses.venue", &dose.venue)?,
        doctor: String::new(),
        place,
        voucher: VoucherNumber::parse(&dose.voucher_number)
            .ok()
            .ok_or_else(field("doses.voucher_number"))?,
        registered_at: None,
        revision: dose.revision,
        origin: DoseOrigin::Own,
    })
}

/// Another municipality's text: of a bounded length, and nothing that would act on a terminal.
fn text(name: &'static str, value: &str) -> Result<String, CodecError> {
    const LONGEST: usize = 200;
    if value.chars().count() > LONGEST || value.chars().any(char::is_control) {
        return Err(CodecError::Field(name));
    }
    Ok(value.to_owned())
}

fn parse_date(name: &'static str, date: Option<&v1::Date>) -> Result<Date, CodecError> {
    let date = date.ok_or(CodecError::Field(name))?;
    Date::from_ymd(date.year, date.month, date.day).map_err(|_| CodecError::Field(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            request_id: RequestId::parse("0f8fad5b-d9cb-469f-a165-70867728950e").unwrap(),
            doses: vec![Dose {
                id: DoseId::from_bytes([7; 16]),
                number: DoseNumber::new(1).unwrap(),
                date: Date::from_ymd(2021, 6, 1).unwrap(),
                vaccine_code: String::new(),
                product_name: "コミナティ筋注".into(),
                manufacturer: "ファイザー".into(),
                lot_number: "EX3617".into(),
                venue: "市民会館".into(),
                doctor: String::new(),
                place: "142051".parse().unwrap(),
                voucher: VoucherNumber::parse("0000000001").unwrap(),
                registered_at: None,
                revision: 1,
                origin: DoseOrigin::Own,
            }],
            birth_date: Date::from_ymd(1950, 1, 1).unwrap(),
            held_back: 1,
            salt: [9; 16],
        }
    }

    #[test]
    fn an_answer_comes_back_from_its_bytes() {
        let bytes = ProstAnswerCodec.encode(&answer());
        let back = ProstAnswerCodec.decode(&bytes).unwrap();
        assert_eq!(back.request_id, answer().request_id);
        assert_eq!(back.birth_date, answer().birth_date);
        assert_eq!((back.held_back, back.salt), (1, [9; 16]));
        assert_eq!(back.doses.len(), 1);
        assert_eq!(back.doses[0].venue, "市民会館");
        assert!(*ProstAnswerCodec.encode(&back) == *bytes);
    }

    type Change = fn(&mut v1::Answer);

    #[test]
    #[expect(
        clippy::semicolon_if_nothing_returned,
        reason = "one assignment a case reads better without"
    )]
    fn a_peers_answer_that_breaks_a_format_is_refused_by_field() {
        let cases: &[(&str, Change)] = &[
            ("request_id", |a| a.request_id.clear()),
            ("birth_date", |a| a.birth_date = None),
            ("salt", |a| a.salt.truncate(15)),
            ("doses.status", |a| a.doses[0].status = 2),
            ("doses.dose_number", |a| a.doses[0].dose_number = 0),
            ("doses.date", |a| {
                a.doses[0].date = Some(v1::Date {
                    year: 2021,
                    month: 13,
                    day: 1,
                })
            }),
            ("doses.venue", |a| a.doses[0].venue = "\u{1b}[2J".into()),
            ("doses.municipality_code", |a| {
                a.doses[0].municipality_code = "140007".into()
            }),
            ("doses.voucher_number", |a| {
                a.doses[0].voucher_number = "1".into()
            }),
        ];
        for (field, change) in cases {
            let mut message =
                v1::Answer::decode(ProstAnswerCodec.encode(&answer()).as_slice()).unwrap();
            change(&mut message);
            let decoded = ProstAnswerCodec.decode(&message.encode_to_vec());
            assert_eq!(decoded.err(), Some(CodecError::Field(field)));
        }
        assert_eq!(
            ProstAnswerCodec.decode(&[0xff]).err(),
            Some(CodecError::Malformed)
        );
    }
}
