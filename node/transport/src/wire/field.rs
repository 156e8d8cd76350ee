//! One parser a kind of field. A refusal names the field and never repeats what stood in it.

use prost_types::Timestamp;
use vrx_domain::{
    CodeError, Date, DateError, ErasureId, IdError, ImportId, IndividualNumber, InquiryId,
    LegalBasis, MunicipalityCode, NumberError, Reference, RequestId, UnixMillis,
};
use vrx_proto::v1;
use vrx_services::ServiceError;

/// What every parser here returns.
pub(crate) type Parsed<T> = Result<T, ServiceError>;

/// A field that breaks its format.
pub(crate) fn invalid<T>(field: &'static str, why: &'static str) -> Parsed<T> {
    Err(ServiceError::InvalidArgument { field, why })
}

/// A message that must be there.
pub(crate) fn required<'a, T>(field: &'static str, value: Option<&'a T>) -> Parsed<&'a T> {
    value.map_or_else(|| invalid(field, "is missing"), Ok)
}

/// UUID of a request.
pub(crate) fn request_id(field: &'static str, text: &str) -> Parsed<RequestId> {
    RequestId::parse(text).or_else(|_| invalid(field, "isn't a hyphenated UUID"))
}

/// Id of an import.
pub(crate) fn import_id(field: &'static str, text: &str) -> Parsed<ImportId> {
    text.parse()
        .or_else(|_| invalid(field, "isn't a hyphenated UUID"))
}

/// Id of an inquiry.
pub(crate) fn inquiry_id(field: &'static str, text: &str) -> Parsed<InquiryId> {
    text.parse()
        .or_else(|_| invalid(field, "isn't a hyphenated UUID"))
}

/// Id of an erasure.
pub(crate) fn erasure_id(field: &'static str, text: &str) -> Parsed<ErasureId> {
    text.parse()
        .or_else(|_| invalid(field, "isn't a hyphenated UUID"))
}

/// Code of a municipality.
pub(crate) fn municipality(field: &'static str, text: &str) -> Parsed<MunicipalityCode> {
    text.parse().or_else(|error| {
        invalid(
            field,
            match error {
                CodeError::Format => "isn't 6 digits",
                CodeError::CheckDigit => "has a wrong check digit",
                CodeError::Unknown => "is no local government's code",
                CodeError::Prefecture => "is a prefecture's code",
                CodeError::Ward => "is a ward's code",
            },
        )
    })
}

/// An individual number.
pub(crate) fn individual_number(field: &'static str, text: &str) -> Parsed<IndividualNumber> {
    IndividualNumber::parse(text).or_else(|error| {
        invalid(
            field,
            match error {
                NumberError::Format => "isn't 12 digits",
                NumberError::CheckDigit => "has a wrong check digit",
                NumberError::AllZeros => "is all zeros",
            },
        )
    })
}

/// A reference that can carry neither a number nor a name.
pub(crate) fn reference(field: &'static str, text: &str) -> Parsed<Reference> {
    Reference::parse(text).or_else(|error| {
        invalid(
            field,
            match error {
                IdError::TooManyDigits => "has more than 11 digits",
                _ => "isn't 1 to 64 of A-Z a-z 0-9 . _ -",
            },
        )
    })
}

/// A legal basis.
pub(crate) fn legal_basis(field: &'static str, text: &str) -> Parsed<LegalBasis> {
    LegalBasis::parse(text).or_else(|_| invalid(field, "isn't a legal basis such as NBA-19-16"))
}

/// A calendar date.
pub(crate) fn date(field: &'static str, value: Option<&v1::Date>) -> Parsed<Date> {
    let value = required(field, value)?;
    Date::from_ymd(value.year, value.month, value.day).or_else(|error| {
        invalid(
            field,
            match error {
                DateError::Year => "has a year before 1868 or after 9999",
                _ => "isn't a day of the calendar",
            },
        )
    })
}

/// A point in time.
pub(crate) fn time(field: &'static str, value: Option<&Timestamp>) -> Parsed<UnixMillis> {
    let value = required(field, value)?;
    UnixMillis::from_secs_nanos(value.seconds, value.nanos)
        .map_or_else(|| invalid(field, "isn't a time"), Ok)
}

/// A value of a closed list, by its number on the wire.
pub(crate) fn choice<T>(
    field: &'static str,
    number: i32,
    from_code: impl Fn(u8) -> Option<T>,
) -> Parsed<T> {
    u8::try_from(number)
        .ok()
        .and_then(from_code)
        .map_or_else(|| invalid(field, "is unspecified or unknown"), Ok)
}

/// A page token travels as hexadecimal text.
pub(crate) fn page_token(field: &'static str, text: &str) -> Parsed<Vec<u8>> {
    let nibble = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect::<Option<Vec<u8>>>();
    match bytes {
        Some(bytes) if rest.is_empty() && text.len() <= 512 => Ok(bytes),
        _ => invalid(field, "isn't a token that was given out here"),
    }
}

/// The text of a page token.
pub(crate) fn page_token_text(token: &[u8]) -> String {
    use std::fmt::Write;
    token
        .iter()
        .fold(String::with_capacity(token.len() * 2), |mut text, byte| {
            // Writing to a String can't fail.
            let _: std::fmt::Result = write!(text, "{byte:02x}");
            text
        })
}

/// A point in time as a message.
pub(crate) fn timestamp(time: UnixMillis) -> Timestamp {
    let (seconds, nanos) = time.to_secs_nanos();
    Timestamp { seconds, nanos }
}

/// A date as a message.
pub(crate) fn date_message(date: Date) -> v1::Date {
    v1::Date {
        year: date.year(),
        month: date.month(),
        day: date.day(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_comes_back_as_it_went_out() {
        let token = [0, 1, 0x7f, 0xff];
        assert_eq!(
            page_token("page_token", &page_token_text(&token)).unwrap(),
            token
        );
        for wrong in ["0", "zz", "00 1", "é0"] {
            assert!(page_token("page_token", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_that_no_clock_shows_is_refused() {
        for (seconds, nanos) in [(-1, 0), (i64::MAX, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(
                time("t", Some(&Timestamp { seconds, nanos })).is_err(),
                "{seconds} {nanos}"
            );
        }
        let fine = Timestamp {
            seconds: 1_700_000_000,
            nanos: 123_999_999,
        };
        assert_eq!(
            time("t", Some(&fine)).unwrap(),
            UnixMillis(1_700_000_000_123)
        );
    }
}
