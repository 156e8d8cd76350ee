//! Individual numbers, municipality codes, vouchers, dates, references: what is accepted is written back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrx_domain::{Date, IndividualNumber, LegalBasis, MunicipalityCode, PlaceCode, Reference, VoucherLine, VoucherNumber};

fuzz_target!(|text: &str| {
    if let Ok(number) = IndividualNumber::parse(text) {
        assert_eq!(number.digits().as_slice(), text.as_bytes());
    }
    if let Ok(code) = text.parse::<MunicipalityCode>() {
        assert_eq!(code.to_string(), text);
    }
    if let Ok(code) = text.parse::<PlaceCode>() {
        assert_eq!(code.to_string(), text);
    }
    if let Ok(date) = text.parse::<Date>() {
        assert_eq!(date.to_string(), text);
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.as_str(), text);
    }
    let _ = text.parse::<LegalBasis>();
    let _ = VoucherNumber::parse(text);
    let _ = VoucherLine::parse(text);
});
