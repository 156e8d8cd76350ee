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

/// The DER of a certificate's `SubjectPublicKeyInfo`; its SHA-256 is the pin in the member directory.
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
    /// SHA-256 of the certificate's `SubjectPublicKeyInfo`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CodeError;
    use proptest::prelude::*;

    const FUJISAWA: &str = "spiffe://vrx.example/municipality/142051/exchange";

    /// One DER element.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag];
        if content.len() < 128 {
            out.push(u8::try_from(content.len()).unwrap());
        } else {
            out.push(0x82);
            out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
        out.extend(content);
        out
    }

    /// A certificate with these extensions. Its key and signature are empty of meaning: whether they hold is the TLS stack's question, asked before.
    fn certificate_with(extensions: &[Vec<u8>]) -> Vec<u8> {
        let ed25519 = der(0x30, &[&[0x06, 3, 0x2b, 0x65, 0x70]]);
        let name = der(0x30, &[]);
        let validity = der(
            0x30,
            &[
                &der(0x17, &[b"260101000000Z"]),
                &der(0x17, &[b"270101000000Z"]),
            ],
        );
        let spki = der(0x30, &[&ed25519, &der(0x03, &[&[0], &[7; 32]])]);
        let all: Vec<&[u8]> = extensions.iter().map(Vec::as_slice).collect();
        let extensions = der(0xa3, &[&der(0x30, &all)]);
        let version = [0xa0, 3, 2, 1, 2];
        let serial = [2, 1, 1];
        let tbs = der(
            0x30,
            &[
                &version,
                &serial,
                &ed25519,
                &name,
                &validity,
                &name,
                &spki,
                &extensions,
            ],
        );
        der(0x30, &[&tbs, &ed25519, &der(0x03, &[&[0], &[9; 64]])])
    }

    /// The subjectAltName extension with these names, each a context tag (2 DNS, 6 URI) and a text.
    fn alternative_names(names: &[(u8, &str)]) -> Vec<u8> {
        let names: Vec<Vec<u8>> = names
            .iter()
            .map(|(tag, text)| der(0x80 | tag, &[text.as_bytes()]))
            .collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        der(
            0x30,
            &[
                &[0x06, 3, 0x55, 0x1d, 0x11],
                &der(0x04, &[&der(0x30, &names)]),
            ],
        )
    }

    fn identity(names: &[(u8, &str)]) -> Result<SpiffeId, IdentityError> {
        SpiffeId::from_certificate_der(&certificate_with(&[alternative_names(names)]))
    }

    #[test]
    fn the_one_uri_identifies_and_dns_names_beside_it_do_not() {
        let id = identity(&[(2, "localhost"), (6, FUJISAWA), (2, "141003.example")]).unwrap();
        assert_eq!(
            (id.to_string().as_str(), id.role, id.name.as_deref()),
            (FUJISAWA, Role::Exchange, None)
        );
    }

    #[test]
    fn a_certificate_without_a_uri_or_with_two_is_nobody() {
        assert_eq!(identity(&[(2, "localhost")]), Err(IdentityError::NoUri));
        assert_eq!(
            SpiffeId::from_certificate_der(&certificate_with(&[])),
            Err(IdentityError::NoUri)
        );
        let other = der(
            0x30,
            &[&[0x06, 3, 0x55, 0x1d, 0x13], &der(0x04, &[&der(0x30, &[])])],
        );
        assert_eq!(
            SpiffeId::from_certificate_der(&certificate_with(&[other])),
            Err(IdentityError::NoUri)
        );
        assert_eq!(
            identity(&[(6, FUJISAWA), (6, FUJISAWA)]),
            Err(IdentityError::SeveralUris)
        );
        assert_eq!(
            identity(&[(6, FUJISAWA), (6, "https://example.org")]),
            Err(IdentityError::SeveralUris)
        );
        let twice = [
            alternative_names(&[(6, FUJISAWA)]),
            alternative_names(&[(2, "localhost")]),
        ];
        assert!(SpiffeId::from_certificate_der(&certificate_with(&twice)).is_err());
    }

    #[test]
    fn bytes_after_the_certificate_are_refused() {
        let mut cert = certificate_with(&[alternative_names(&[(6, FUJISAWA)])]);
        assert!(SpiffeId::from_certificate_der(&cert).is_ok() && spki_der(&cert).is_ok());
        cert.push(0);
        assert_eq!(
            SpiffeId::from_certificate_der(&cert),
            Err(IdentityError::Certificate)
        );
        assert_eq!(spki_der(&cert), Err(IdentityError::Certificate));
    }

    #[test]
    fn the_pinned_bytes_are_the_whole_public_key_element() {
        let cert = certificate_with(&[alternative_names(&[(6, FUJISAWA)])]);
        let spki = spki_der(&cert).unwrap();
        assert_eq!(spki[..2], [0x30, 42]);
        assert_eq!(spki[spki.len() - 32..], [7; 32]);
    }

    #[test]
    fn each_role_has_its_rule_about_names() {
        for (path, expected) in [
            ("exchange", Ok(())),
            ("exchange/a", Err(IdentityError::Name)),
            ("witness", Ok(())),
            ("witness/a", Err(IdentityError::Name)),
            ("certificate", Ok(())),
            ("certificate/kiosk-1", Ok(())),
            ("staff", Err(IdentityError::Name)),
            ("staff/s.1_a-b", Ok(())),
            ("officer", Err(IdentityError::Name)),
            ("officer/o1", Ok(())),
            ("operator", Err(IdentityError::Name)),
            ("operator/op", Ok(())),
            ("venue", Err(IdentityError::Name)),
            ("venue/hall", Ok(())),
            ("staff/", Err(IdentityError::Name)),
            ("staff/..", Err(IdentityError::Name)),
            ("staff/123456789018", Err(IdentityError::Name)),
            ("staff/A", Err(IdentityError::Name)),
            ("mayor", Err(IdentityError::Role)),
            ("Staff/a", Err(IdentityError::Role)),
        ] {
            let uri = format!("spiffe://vrx.example/municipality/142051/{path}");
            assert_eq!(SpiffeId::parse(&uri).map(|_| ()), expected, "{path}");
        }
    }

    #[test]
    fn a_uri_that_is_almost_right_is_refused() {
        for uri in [
            "",
            "spiffe://",
            "SPIFFE://vrx.example/municipality/142051/exchange",
            "https://vrx.example/municipality/142051/exchange",
            "spiffe://VRX.example/municipality/142051/exchange",
            "spiffe:///municipality/142051/exchange",
            "spiffe://vrx.example:443/municipality/142051/exchange",
            "spiffe://user@vrx.example/municipality/142051/exchange",
            "spiffe://vrx.example//municipality/142051/exchange",
            "spiffe://vrx.example/Municipality/142051/exchange",
            "spiffe://vrx.example/municipality",
            "spiffe://vrx.example/municipality/142051",
            "spiffe://vrx.example/municipality/142051/staff/a/b",
            "spiffe://vrx.example/municipality/142051/staff/a/",
        ] {
            assert_eq!(SpiffeId::parse(uri), Err(IdentityError::Uri), "{uri}");
        }
        for path in [
            "exchange/",
            "exchange?x",
            "exchange#x",
            "%65xchange",
            "exchange ",
        ] {
            assert!(
                SpiffeId::parse(&format!("spiffe://vrx.example/municipality/142051/{path}"))
                    .is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn wards_prefectures_and_wrong_digits_have_no_identity() {
        for (code, why) in [
            ("141011", CodeError::Ward),
            ("140007", CodeError::Prefecture),
            ("142052", CodeError::CheckDigit),
            ("42051", CodeError::Format),
        ] {
            let uri = format!("spiffe://vrx.example/municipality/{code}/exchange");
            assert_eq!(SpiffeId::parse(&uri), Err(IdentityError::Municipality(why)));
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(domain in "[a-z0-9._-]{0,20}", role in "exchange|staff|officer|venue|witness|certificate", name in "(/[a-z0-9._-]{0,33})?") {
            let uri = format!("spiffe://{domain}/municipality/142051/{role}{name}");
            if let Ok(id) = SpiffeId::parse(&uri) {
                prop_assert_eq!(id.to_string(), uri);
            }
        }

        #[test]
        fn no_input_makes_a_parser_panic(text in ".*", bytes: Vec<u8>, at in 0_usize..400, bit in 0_u8..8) {
            let _ = SpiffeId::parse(&text);
            let _ = SpiffeId::from_certificate_der(&bytes);
            let mut cert = certificate_with(&[alternative_names(&[(2, "localhost"), (6, FUJISAWA)])]);
            let at = at % cert.len();
            cert[at] ^= 1 << bit;
            let _ = SpiffeId::from_certificate_der(&cert);
            let _ = spki_der(&cert);
        }
    }
}
