//! One CA: a name, a key, a self-signed certificate.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::{CertError, files};

/// A CA that can sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert_path: PathBuf,
}

impl Authority {
    /// Opens the CA in `folder`, or makes it.
    pub(crate) fn open_or_create(folder: &Path, common_name: &str) -> Result<Self, CertError> {
        let cert_path = folder.join("ca.pem");
        let key_path = folder.join("ca.key");
        let key = if key_path.exists() {
            KeyPair::from_pem(&files::read(&key_path)?)?
        } else {
            files::make_folder(folder)?;
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            files::write_secret(&key_path, &key.serialize_pem())?;
            files::write_public(&cert_path, &params(common_name).self_signed(&key)?.pem())?;
            key
        };
        // Name and key are all that signing takes from the CA's certificate.
        Ok(Authority {
            issuer: Issuer::new(params(common_name), key),
            cert_path,
        })
    }

    /// A CA that lies in no file.
    pub(crate) fn unknown(common_name: &str) -> Result<Self, CertError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Authority {
            issuer: Issuer::new(params(common_name), key),
            cert_path: PathBuf::new(),
        })
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn cert_path(&self) -> &Path {
        &self.cert_path
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(3650);
    params
}
