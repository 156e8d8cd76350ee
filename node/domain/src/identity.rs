//! Who is calling: the one SPIFFE URI of a certificate. No header and no message field can set it.

use std::fmt;
use std::str::FromStr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::MunicipalityCode;
use crate::ids::few_digits;

/// What a certificate's holder is in the federation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A municipality's node.
    Exchange,
    /// A certificate-issuance service (接種証明書).
    Certificate,
    /// A privacy officer of the tenant.
    Officer,
    /// Staff of the tenant.
    Staff,
    /// Who runs the tenant's node and reads no record.
    Operator,
    /// A vaccination venue of the tenant.
    Venue,
    /// A witness of logs.
    Witness,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] = &[
        Self::Exchange,
        Self::Certificate,
        Self::Officer,
        Self::Staff,
        Self::Operator,
        Self::Venue,
        Self::Witness,
    ];

    /// The word in the URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Certificate => "certificate",
            Self::Officer => "officer",
            Self::Staff => "staff",
            Self::Operator => "operator",
            Self::Venue => "venue",
            Self::Witness => "witness",
        }
    }

    /// The role of a word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }

    /// Whether a URI of this role must name its holder, may, or must not.
    const fn name_rule(self) -> NameRule {
        match self {
            Self::Officer | Self::Staff | Self::Operator | Self::Venue => NameRule::Required,
            Self::Certificate => NameRule::Optional,
            Self::Exchange | Self::Witness => NameRule::None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum NameRule {
    Required,
    Optional,
    None,
}

/// `spiffe://<trust domain>/municipality/<code>/<role>[/<name>]`.
///
/// Parsed strictly, so that two texts are never one identity: nothing percent-encoded, no port, query, fragment, dot segment or upper case. A trust
/// domain is 1 to 255 of `[a-z0-9._-]`; a name 1 to 32 of the same with at most eleven digits, and not `.` or `..`. `officer`, `staff`, `operator` and
/// `venue` have a name, `exchange` and `witness` none, `certificate` may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The federation.
    pub trust_domain: String,
    /// The municipality to which the holder belongs.
    pub municipality: MunicipalityCode,
    /// What the holder is.
    pub role: Role,
    /// Who the holder is within the role.
    pub name: Option<String>,
}

/// Why a certificate or a URI identifies nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not one DER certificate, or bytes after it, or an extension that can't be read.
    #[error("the certificate can't be read")]
    Certificate,
    /// No URI among the subject alternative names.
    #[error("the certificate has no URI name")]
    NoUri,
    /// More than one URI: which of them would the holder be?
    #[error("the certificate has more than one URI name")]
    SeveralUris,
    /// The URI isn't of the form above.
    #[error("the URI is not spiffe://<trust domain>/municipality/<code>/<role>[/<name>]")]
    Uri,
    /// The code isn't a municipality's.
    #[error("the municipality code of the URI: {0}")]
    Municipality(#[from] crate::CodeError),
    /// A role that doesn't exist.
    #[error("the URI has an unknown role")]
    Role,
    /// A name missing, too many, or with a character it can't have.
    #[error("the name in the URI is missing, superfluous or malformed")]
    Name,
}

impl SpiffeId {
    /// An identity of its parts.
    pub fn new(
        trust_domain: &str,
        municipality: MunicipalityCode,
        role: Role,
        name: Option<&str>,
    ) -> Result<Self, IdentityError> {
        if !is_label(trust_domain, 255) {
            return Err(IdentityError::Uri);
        }
        match (role.name_rule(), name) {
            (NameRule::Required, None) | (NameRule::None, Some(_)) => {
                return Err(IdentityError::Name);
            }
            (_, Some(name)) if !is_label(name, 32) || few_digits(name).is_err() => {
                return Err(IdentityError::Name);
            }
            _ => {}
        }
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            municipality,
            role,
            name: name.map(str::to_owned),
        })
    }

    /// Parses a URI.
    pub fn parse(uri: &str) -> Result<Self, IdentityError> {
        let rest = uri.strip_prefix("spiffe://").ok_or(IdentityError::Uri)?;
        let mut parts = rest.split('/');
        let trust_domain = parts.next().ok_or(IdentityError::Uri)?;
        if parts.next() != Some("municipality") {
            return Err(IdentityError::Uri);
        }
        let municipality = parts.next().ok_or(IdentityError::Uri)?.parse()?;
        let role =
            Role::parse(parts.next().ok_or(IdentityError::Uri)?).ok_or(IdentityError::Role)?;
        let name = parts.next();
        if parts.next().is_some() {
            return Err(IdentityError::Uri);
        }
        Self::new(trust_domain, municipality, role, name)
    }

    /// The identity of a certificate: its one URI name. DNS and other names may stand beside it and never identify.
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, IdentityError> {
        let certificate = certificate(der)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| IdentityError::Certificate)?
            .ok_or(IdentityError::NoUri)?;
        // A name that the parser couldn't read might be a second URI.
        if names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::Invalid(..)))
        {
            return Err(IdentityError::Certificate);
        }
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
        let uri = uris.next().ok_or(IdentityError::NoUri)?;
        if uris.next().is_some() {
            return Err(IdentityError::SeveralUris);
        }
        Self::parse(uri)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/municipality/{}/{}",
            self.trust_domain,
            self.municipality,
            self.role.as_str()
        )?;
        self.name
            .as_ref()
            .map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        Self::parse(uri)
    }
}

/// The DER of a certificate's SubjectPublicKeyInfo; its SHA-256 is the pin in the member directory.
pub fn spki_der(cert_der: &[u8]) -> Result<Vec<u8>, IdentityError> {
    Ok(certificate(cert_der)?.public_key().raw.to_vec())
}

/// Who is at the other end of a connection, as its verified certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The one URI.
    pub id: SpiffeId,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    pub spki: [u8; 32],
}

fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        // Bytes after the certificate would be hashed into its fingerprint without being part of what was verified.
        _ => Err(IdentityError::Certificate),
    }
}

fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        })
        && text != "."
        && text != ".."
}
