//! An answer as lines of text: what the wire's codec is to the real node.
#![expect(
    clippy::format_push_string,
    reason = "test files are short and read better so"
)]

use vrx_domain::{Dose, DoseNumber, DoseOrigin, RequestId, VoucherNumber};
use zeroize::Zeroizing;

use crate::{
    exchange::Answer,
    ports::{AnswerCodec, CodecError},
};

pub(crate) struct TextCodec;

impl AnswerCodec for TextCodec {
    fn encode(&self, answer: &Answer) -> Zeroizing<Vec<u8>> {
        let mut text = format!(
            "{}|{}|{}|{}",
            answer.request_id,
            answer.birth_date,
            answer.held_back,
            u128::from_be_bytes(answer.salt)
        );
        for dose in &answer.doses {
            text += &format!(
                "\n{}|{}|{}|{}|{}|{}|{}|{}|{}",
                dose.id,
                dose.number.get(),
                dose.date,
                dose.manufacturer,
                dose.lot_number,
                dose.venue,
                dose.place,
                dose.voucher.as_str(),
                dose.revision
            );
        }
        Zeroizing::new(text.into_bytes())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Answer, CodecError> {
        let text = std::str::from_utf8(bytes).map_err(|_| CodecError::Malformed)?;
        let mut lines = text.lines().map(|line| line.split('|').collect::<Vec<_>>());
        let head = lines
            .next()
            .filter(|head| head.len() == 4)
            .ok_or(CodecError::Malformed)?;
        let malformed = CodecError::Field("answer");
        let doses = lines
            .map(|line| {
                let [
                    id,
                    number,
                    date,
                    manufacturer,
                    lot,
                    venue,
                    place,
                    voucher,
                    revision,
                ] = line[..]
                else {
                    return Err(malformed);
                };
                Ok(Dose {
                    id: id.parse().map_err(|_| malformed)?,
                    number: DoseNumber::new(number.parse().map_err(|_| malformed)?)
                        .map_err(|_| malformed)?,
                    date: date.parse().map_err(|_| malformed)?,
                    vaccine_code: String::new(),
                    product_name: String::new(),
                    manufacturer: manufacturer.to_owned(),
                    lot_number: lot.to_owned(),
                    venue: venue.to_owned(),
                    doctor: String::new(),
                    place: place.parse().map_err(|_| malformed)?,
                    voucher: VoucherNumber::parse(voucher).map_err(|_| malformed)?,
                    registered_at: None,
                    revision: revision.parse().map_err(|_| malformed)?,
                    origin: DoseOrigin::Own,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Answer {
            request_id: RequestId::parse(head[0]).map_err(|_| malformed)?,
            birth_date: head[1].parse().map_err(|_| malformed)?,
            held_back: head[2].parse().map_err(|_| malformed)?,
            salt: head[3]
                .parse::<u128>()
                .map_err(|_| malformed)?
                .to_be_bytes(),
            doses,
        })
    }
}
