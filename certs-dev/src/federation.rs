//! A folder with a federation's CA, its municipalities' CAs, and what they signed.

use std::path::{Path, PathBuf};

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::authority::Authority;
use crate::{CertError, IdentitySpec, Signer, Validity, files};

/// A development federation in a folder.
#[derive(Debug)]
pub struct Federation {
    dir: PathBuf,
    trust_domain: String,
}

/// A certificate that was made, and where its files lie.
#[derive(Clone, Debug)]
pub struct IssuedCert {
    /// Its SPIFFE id (the first of its URIs; empty when it has none).
    pub uri: String,
    /// The certificate, PEM.
    pub cert_path: PathBuf,
    /// Its key, PKCS#8 PEM, mode 0600.
    pub key_path: PathBuf,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of the certificate (DER).
    pub fingerprint: [u8; 32],
    /// SHA-256 of its `SubjectPublicKeyInfo` (DER): what a directory pins.
    pub spki_sha256: [u8; 32],
}

impl Federation {
    /// Makes a federation in `dir`; one of the same trust domain that is already there is kept.
    pub fn create(dir: impl AsRef<Path>, trust_domain: &str) -> Result<Self, CertError> {
        check_name(trust_domain)?;
        let dir = dir.as_ref();
        let note = dir.join("trust-domain");
        if note.exists() {
            let federation = Federation::open(dir)?;
            if federation.trust_domain != trust_domain {
                return Err(CertError::OtherTrustDomain {
                    path: dir.to_owned(),
                    found: federation.trust_domain,
                });
            }
            return Ok(federation);
        }
        files::make_folder(dir)?;
        let federation = Federation {
            dir: dir.to_owned(),
            trust_domain: trust_domain.to_owned(),
        };
        federation.federation_authority()?;
        files::write_public(&note, &format!("{trust_domain}\n"))?;
        Ok(federation)
    }

    /// Opens the federation in `dir`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, CertError> {
        let dir = dir.as_ref();
        let note = dir.join("trust-domain");
        if !note.exists() {
            return Err(CertError::NoFederation(dir.to_owned()));
        }
        let trust_domain = files::read(&note)?.trim().to_owned();
        Ok(Federation {
            dir: dir.to_owned(),
            trust_domain,
        })
    }

    /// The trust domain of every identity here.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The federation's CA certificate, PEM.
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("federation").join("ca.pem")
    }

    /// The own CA certificate of the municipality `code`, PEM; made when it isn't there yet.
    pub fn tenant_ca(&self, code: &str) -> Result<PathBuf, CertError> {
        Ok(self.tenant_authority(code)?.cert_path().to_owned())
    }

    /// Makes one certificate with a new key.
    pub fn issue(&self, spec: &IdentitySpec) -> Result<IssuedCert, CertError> {
        for part in [&spec.municipality, &spec.role, &spec.stem()]
            .into_iter()
            .chain(&spec.name)
        {
            check_name(part)?;
        }
        let authority = match &spec.signer {
            Signer::Federation => self.federation_authority()?,
            Signer::Tenant(code) => self.tenant_authority(code)?,
            Signer::Rogue => Authority::unknown("Rogue CA")?,
            Signer::RogueFederation => Authority::unknown(&self.federation_name())?,
        };
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let uris = spec
            .uris
            .clone()
            .unwrap_or_else(|| vec![spec.uri(&self.trust_domain)]);
        let certificate = leaf(spec, &uris)?.signed_by(&key, authority.issuer())?;

        let folder = self.dir.join("certs").join(&spec.municipality);
        files::make_folder(&folder)?;
        let cert_path = folder.join(format!("{}.pem", spec.stem()));
        let key_path = folder.join(format!("{}.key", spec.stem()));
        files::write_secret(&key_path, &key.serialize_pem())?;
        files::write_public(&cert_path, &certificate.pem())?;
        Ok(IssuedCert {
            uri: uris.into_iter().next().unwrap_or_default(),
            cert_path,
            key_path,
            fingerprint: Sha256::digest(certificate.der()).into(),
            spki_sha256: Sha256::digest(key.subject_public_key_info()).into(),
            der: certificate.der().to_vec(),
        })
    }

    fn federation_authority(&self) -> Result<Authority, CertError> {
        Authority::open_or_create(&self.dir.join("federation"), &self.federation_name())
    }

    fn tenant_authority(&self, code: &str) -> Result<Authority, CertError> {
        check_name(code)?;
        Authority::open_or_create(
            &self.dir.join("tenants").join(code),
            &format!("Development CA of municipality {code}"),
        )
    }

    fn federation_name(&self) -> String {
        format!("Development CA of federation {}", self.trust_domain)
    }
}

fn leaf(spec: &IdentitySpec, uris: &[String]) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(
        DnType::CommonName,
        format!("{} {}", spec.municipality, spec.stem()),
    );
    params.distinguished_name = name;
    for uri in uris {
        params
            .subject_alt_names
            .push(SanType::URI(Ia5String::try_from(uri.as_str())?));
    }
    for dns in &spec.dns_names {
        params
            .subject_alt_names
            .push(SanType::DnsName(Ia5String::try_from(dns.as_str())?));
    }
    params.subject_alt_names.extend(
        spec.addresses
            .iter()
            .map(|address| SanType::IpAddress(*address)),
    );
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if spec.role == "exchange" {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = match spec.validity {
        Validity::Current => (now - Duration::hours(1), now + Duration::days(90)),
        Validity::Expired => (now - Duration::days(90), now - Duration::hours(1)),
        Validity::NotYet => (now + Duration::days(1), now + Duration::days(90)),
    };
    Ok(params)
}

/// Names become parts of paths.
fn check_name(name: &str) -> Result<(), CertError> {
    let fits =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        return Err(CertError::Name(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;

    #[test]
    fn a_certificate_carries_one_uri_and_verifies_under_its_ca() {
        let dir = tempfile::tempdir().unwrap();
        let federation = Federation::create(dir.path(), "vrx.example").unwrap();
        let issued = federation
            .issue(&IdentitySpec::new("142051", "staff").name("tanaka"))
            .unwrap();

        let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let uri = "spiffe://vrx.example/municipality/142051/staff/tanaka";
        assert_eq!(names.value.general_names, vec![GeneralName::URI(uri)]);
        assert_eq!(
            issued.spki_sha256,
            <[u8; 32]>::from(Sha256::digest(certificate.public_key().raw))
        );

        let ca = std::fs::read(federation.tenant_ca("142051").unwrap()).unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(&ca).unwrap();
        assert_eq!(certificate.issuer(), ca.parse_x509().unwrap().subject());
    }

    #[test]
    fn a_reopened_federation_signs_with_the_same_ca() {
        let dir = tempfile::tempdir().unwrap();
        let before = Federation::create(dir.path(), "vrx.example").unwrap();
        let ca = std::fs::read(before.ca_cert()).unwrap();
        let after = Federation::create(dir.path(), "vrx.example").unwrap();
        after.issue(&IdentitySpec::node("142051")).unwrap();
        assert_eq!(std::fs::read(after.ca_cert()).unwrap(), ca);
        assert!(Federation::create(dir.path(), "other.example").is_err());
    }

    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let federation = Federation::create(dir.path(), "vrx.example").unwrap();
        let issued = federation.issue(&IdentitySpec::node("142051")).unwrap();
        let mode = std::fs::metadata(&issued.key_path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_name_that_would_leave_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let federation = Federation::create(dir.path(), "vrx.example").unwrap();
        let result = federation.issue(&IdentitySpec::new("142051", "staff").name("../../x"));
        assert!(matches!(result, Err(CertError::Name(_))));
    }
}
