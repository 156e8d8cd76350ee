//! The evidence of an inquiry: purpose, legal basis, consent, identity check, event.

use vrx_domain::{Consent, ConsentMethod, IdentityConfirmation, IdentityDocument};
use vrx_proto::v1;

use super::field::{self, Parsed, choice, date, reference, required, time};

/// Consent, all of it required.
pub(crate) fn parse_consent(consent: Option<&v1::Consent>) -> Parsed<Consent> {
    let consent = required("consent", consent)?;
    Ok(Consent {
        reference: reference("consent.reference", &consent.reference)?,
        obtained_on: date("consent.obtained_on", consent.obtained_on.as_ref())?,
        method: choice("consent.method", consent.method, ConsentMethod::from_code)?,
    })
}

/// Both checks of the person's identity, all required.
pub(crate) fn parse_identity(
    identity: Option<&v1::IdentityConfirmation>,
) -> Parsed<IdentityConfirmation> {
    let identity = required("identity", identity)?;
    Ok(IdentityConfirmation {
        resident_register_checked_at: time(
            "identity.resident_register_checked_at",
            identity.resident_register_checked_at.as_ref(),
        )?,
        document: choice(
            "identity.document",
            identity.document,
            IdentityDocument::from_code,
        )?,
        document_checked_at: time(
            "identity.document_checked_at",
            identity.document_checked_at.as_ref(),
        )?,
    })
}

/// Consent as a message.
pub(crate) fn consent_message(consent: &Consent) -> v1::Consent {
    v1::Consent {
        reference: consent.reference.as_str().to_owned(),
        obtained_on: Some(field::date_message(consent.obtained_on)),
        method: i32::from(consent.method.code()),
    }
}

/// The checks as a message.
pub(crate) fn identity_message(identity: &IdentityConfirmation) -> v1::IdentityConfirmation {
    v1::IdentityConfirmation {
        resident_register_checked_at: Some(field::timestamp(identity.resident_register_checked_at)),
        document: i32::from(identity.document.code()),
        document_checked_at: Some(field::timestamp(identity.document_checked_at)),
    }
}
