//! Names of things: identifiers the node makes, and references that others give it.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{MunicipalityCode, Random};

/// Why a text isn't an identifier or a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not the 36-character form of a UUID.
    #[error("an id is a UUID in its hyphenated form")]
    Uuid,
    /// The UUID of zeros, which names nothing.
    #[error("the nil UUID names nothing")]
    Nil,
    /// A character or length that the kind of reference doesn't allow.
    #[error("a reference has a character or a length that is not allowed")]
    Reference,
    /// More digits than a reference may hold: it could carry an individual number.
    #[error("a reference has at most 11 digits in all")]
    TooManyDigits,
}

/// Declares a 16-byte identifier that the node makes by itself.
macro_rules! id {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        ///
        /// Sixteen bytes, random (a version 4 UUID of RFC 9562); shown and parsed in the hyphenated form.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The id of these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The bytes, as they stand in keys, associated data and leaves.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// A new id.
            pub fn random(random: &dyn Random) -> Self {
                Self(random_uuid(random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                hyphenated(text).map(Self)
            }
        }
    )+};
}

id! {
    /// A tenant, made by `init`. Not the municipality code: municipalities merge and their codes end, ids stay.
    TenantId;
    /// A resident within a tenant, whatever their individual number is or becomes.
    PersonId;
    /// One vaccination record (接種記録).
    DoseId;
    /// One import of a file.
    ImportId;
    /// One inquiry (照会) to another municipality.
    InquiryId;
    /// One entry of the provision log (提供記録).
    EntryId;
    /// One erasure (消去), from its proposal on.
    ErasureId;
}

/// A municipality that this node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// Its lasting id, to which all that is sealed is bound.
    pub id: TenantId,
    /// Its code today.
    pub code: MunicipalityCode,
}

/// The id a requester gives to its request: a UUID (RFC 9562), not nil. A retry repeats it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Parses the hyphenated form, in lower or upper case; refuses the nil UUID.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::from_bytes(hyphenated(text)?.into_bytes())
    }

    /// A new id.
    pub fn random(random: &dyn Random) -> Self {
        Self(random_uuid(random))
    }

    /// The id of these bytes, as a row has them; refuses the nil UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, IdError> {
        let id = Uuid::from_bytes(bytes);
        if id.is_nil() {
            Err(IdError::Nil)
        } else {
            Ok(Self(id))
        }
    }

    /// The sixteen bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// 36 characters, lower case: the form that is committed and echoed.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// A reference to a thing in somebody's own system (a consent, a staff id, a notification): `[A-Za-z0-9._-]{1,64}` with at most eleven digits in
/// all, so that it can carry neither an individual number nor a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

impl Reference {
    /// Parses a reference.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !(1..=64).contains(&text.len())
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        {
            return Err(IdError::Reference);
        }
        few_digits(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 法令上の根拠: the code of a legal basis from the member's list, e.g. `"NBA-19-16"` (番号法第19条第16号). `[A-Z0-9-]{1,32}`, at most eleven digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegalBasis(String);

impl LegalBasis {
    /// Parses a code; whether it is allowed is the policy's question.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if !(1..=32).contains(&text.len())
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err(IdError::Reference);
        }
        few_digits(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_type {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}
text_type!(Reference, LegalBasis);

/// At most eleven digits in all, wherever they stand: twelve could be an individual number with dots in it.
pub(crate) fn few_digits(text: &str) -> Result<(), IdError> {
    if text.bytes().filter(u8::is_ascii_digit).count() > 11 {
        Err(IdError::TooManyDigits)
    } else {
        Ok(())
    }
}

fn hyphenated(text: &str) -> Result<Uuid, IdError> {
    // `try_parse` also takes braces, URNs and 32 bare digits; the length leaves the hyphenated form alone.
    if text.len() != 36 {
        return Err(IdError::Uuid);
    }
    Uuid::try_parse(text).map_err(|_| IdError::Uuid)
}

fn random_uuid(random: &dyn Random) -> Uuid {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Counting;
    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::try_from(at).unwrap();
            }
        }
    }

    #[test]
    fn a_new_id_is_a_version_4_uuid() {
        assert_eq!(
            EntryId::random(&Counting).to_string(),
            "00010203-0405-4607-8809-0a0b0c0d0e0f"
        );
        assert_eq!(
            RequestId::random(&Counting).to_string(),
            "00010203-0405-4607-8809-0a0b0c0d0e0f"
        );
    }

    #[test]
    fn a_request_id_is_a_hyphenated_uuid_in_either_case() {
        let lower = RequestId::parse("6f8a1e0c-9b1d-4c8e-8f3a-0123456789ab").unwrap();
        assert_eq!(
            RequestId::parse("6F8A1E0C-9B1D-4C8E-8F3A-0123456789AB"),
            Ok(lower)
        );
        assert_eq!(lower.to_string(), "6f8a1e0c-9b1d-4c8e-8f3a-0123456789ab");
        for text in [
            "",
            "6f8a1e0c9b1d4c8e8f3a0123456789ab",
            "{6f8a1e0c-9b1d-4c8e-8f3a-0123456789ab}",
            "urn:uuid:6f8a1e0c-9b1d-4c8e-8f3a-0123456789ab",
        ] {
            assert_eq!(RequestId::parse(text), Err(IdError::Uuid));
        }
        assert_eq!(
            RequestId::parse("00000000-0000-0000-0000-000000000000"),
            Err(IdError::Nil)
        );
    }

    #[test]
    fn a_reference_cannot_carry_a_number_or_a_name() {
        assert!(Reference::parse("A.b_c-12345678901").is_ok());
        assert_eq!(
            Reference::parse("1234.5678.9018"),
            Err(IdError::TooManyDigits)
        );
        assert_eq!(
            Reference::parse("x123456789018"),
            Err(IdError::TooManyDigits)
        );
        for text in ["", "藤沢", "a b", "a/b", "１", &"a".repeat(65)] {
            assert_eq!(Reference::parse(text), Err(IdError::Reference));
        }
        assert!(Reference::parse(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn a_legal_basis_is_upper_case() {
        assert_eq!(
            LegalBasis::parse("NBA-19-16").unwrap().as_str(),
            "NBA-19-16"
        );
        for text in ["", "nba-19-16", "NBA_19", &"A".repeat(33)] {
            assert_eq!(LegalBasis::parse(text), Err(IdError::Reference));
        }
        assert_eq!(
            LegalBasis::parse("123456789018"),
            Err(IdError::TooManyDigits)
        );
    }

    proptest! {
        #[test]
        fn ids_round_trip(bytes: [u8; 16]) {
            let id = PersonId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<PersonId>(), Ok(id));
            prop_assert_eq!(id.as_bytes(), &bytes);
        }

        #[test]
        fn what_parses_prints_the_same(text in "[A-Za-z0-9._-]{0,70}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(reference.as_str(), text);
            }
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = Reference::parse(&text);
            let _ = LegalBasis::parse(&text);
            let _ = RequestId::parse(&text);
            let _ = text.parse::<DoseId>();
        }
    }
}
