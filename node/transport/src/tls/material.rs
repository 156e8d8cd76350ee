//! Certificates, keys and CAs from their files: all of them fit together, or none is used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use vrx_domain::{Caller, MunicipalityCode, Role};

use super::names::Names;
use super::{TlsError, provider};
use crate::peer;

/// Where the files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The federation's CA certificates, PEM.
    pub federation_ca: PathBuf,
    /// The tenants' own files. The first one's certificate is shown to callers that name none.
    pub tenants: Vec<TenantFiles>,
}

/// Where one tenant's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantFiles {
    /// The tenant.
    pub code: MunicipalityCode,
    /// Its exchange certificate as a chain, PEM, its own first.
    pub certificate: PathBuf,
    /// The certificate's key, PEM (PKCS#8).
    pub private_key: PathBuf,
    /// Its CA certificates, PEM: who vouches for its staff, officers, operators and venues.
    pub ca: PathBuf,
}

/// What the files held. Keys have no Debug and no copy but the one rustls takes.
pub struct TlsMaterial {
    pub(crate) trust_domain: Arc<str>,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) federation: Arc<RootCertStore>,
    pub(crate) tenants: BTreeMap<MunicipalityCode, TenantTls>,
    pub(crate) names: Arc<Names>,
}

/// One tenant's part of it.
pub(crate) struct TenantTls {
    pub(crate) own: Caller,
    pub(crate) shown: Arc<CertifiedKey>,
    pub(crate) ca: Arc<RootCertStore>,
}

impl TlsMaterial {
    /// Reads all files and checks them against each other, `now` being the time of the check: each tenant's certificate
    /// must be one that its peers would take, and its DNS names no other tenant's.
    pub fn load(files: &TlsFiles, trust_domain: &str, now: UnixTime) -> Result<Self, TlsError> {
        let provider = provider();
        let federation = Arc::new(anchors(&files.federation_ca)?);
        let check = Check {
            trust_domain,
            provider: &provider,
            federation: &federation,
            now,
        };
        let mut tenants = BTreeMap::new();
        let mut names = None;
        for files in &files.tenants {
            let tenant = check.load(files)?;
            let shown = Arc::clone(&tenant.shown);
            names
                .get_or_insert_with(|| Names::new(Arc::clone(&shown)))
                .add(files, &shown)?;
            tenants.insert(files.code, tenant);
        }
        let material = TlsMaterial {
            trust_domain: trust_domain.into(),
            names: Arc::new(names.ok_or(TlsError::NoTenant)?),
            provider,
            federation,
            tenants,
        };
        // Whatever else can't be made of these files is found here, before anything listens.
        super::server_config(&material)?;
        Ok(material)
    }

    /// The identity that a tenant shows to others; none of a tenant that isn't here.
    pub fn own(&self, tenant: MunicipalityCode) -> Option<&Caller> {
        self.tenants.get(&tenant).map(|tenant| &tenant.own)
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("tenants", &self.tenants.keys())
            .finish_non_exhaustive()
    }
}

/// What a tenant's files are checked against.
struct Check<'a> {
    trust_domain: &'a str,
    provider: &'a CryptoProvider,
    federation: &'a RootCertStore,
    now: UnixTime,
}

impl Check<'_> {
    fn load(&self, files: &TenantFiles) -> Result<TenantTls, TlsError> {
        let path = &files.certificate;
        let chain = certificates(path)?;
        let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| {
            file(
                &files.private_key,
                format!("no private key in PEM: {error}"),
            )
        })?;
        let (first, rest) = chain
            .split_first()
            .ok_or_else(|| file(path, "no certificate in it".to_owned()))?;
        let own = peer::caller(first).map_err(|source| TlsError::Identity {
            path: path.clone(),
            source,
        })?;
        if own.id.role != Role::Exchange || own.id.trust_domain != self.trust_domain {
            return Err(TlsError::WrongIdentity {
                path: path.clone(),
                found: own.id.to_string(),
                trust_domain: self.trust_domain.to_owned(),
            });
        }
        if own.id.municipality != files.code {
            return Err(TlsError::OtherMunicipality {
                path: path.clone(),
                found: own.id.municipality,
                tenant: files.code,
            });
        }
        let rustls = |source| TlsError::Rustls {
            path: path.clone(),
            source,
        };
        self.verify(first, rest).map_err(rustls)?;
        // Certificate and key are compared here.
        let shown = CertifiedKey::from_der(chain, key, self.provider).map_err(rustls)?;
        Ok(TenantTls {
            own,
            shown: Arc::new(shown),
            ca: Arc::new(anchors(&files.ca)?),
        })
    }

    /// The check that every peer will make of this certificate.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            self.federation,
            intermediates,
            self.now,
            algorithms,
        )
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| file(path, format!("no certificate in PEM: {error}"));
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        Err(file(path, "no certificate in PEM".to_owned()))
    } else {
        Ok(found)
    }
}

/// The CA certificates in a PEM file.
pub(crate) fn anchors(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|source| TlsError::Rustls {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(store)
}

fn file(path: &Path, what: String) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use vrx_certs_dev::{IdentitySpec, Signer, Validity};

    use super::*;
    use crate::testing::{FUJISAWA, World, YOKOHAMA};

    #[test]
    fn only_a_certificate_that_peers_would_take_is_loaded() {
        let world = World::new();
        let node = IdentitySpec::node(FUJISAWA);
        let load = |spec: &IdentitySpec| world.load(FUJISAWA, &world.issue(spec)).err();
        assert!(load(&node).is_none());
        assert!(matches!(
            load(&node.clone().validity(Validity::Expired)),
            Some(TlsError::Rustls { .. })
        ));
        assert!(matches!(
            load(&node.clone().signed_by(Signer::RogueFederation)),
            Some(TlsError::Rustls { .. })
        ));
        assert!(matches!(
            load(&node.clone().uris(&[])),
            Some(TlsError::Identity { .. })
        ));
        let staff = IdentitySpec::new(FUJISAWA, "staff")
            .name("tanaka")
            .signed_by(Signer::Federation);
        assert!(matches!(load(&staff), Some(TlsError::WrongIdentity { .. })));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let world = World::new();
        let mut issued = world.issue(&IdentitySpec::node(FUJISAWA));
        issued.key_path = world.issue(&IdentitySpec::node(YOKOHAMA)).key_path;
        assert!(matches!(
            world.load(FUJISAWA, &issued).err(),
            Some(TlsError::Rustls { .. })
        ));
    }

    #[test]
    fn a_half_written_file_is_named() {
        let world = World::new();
        let issued = world.issue(&IdentitySpec::node(FUJISAWA));
        let text = std::fs::read_to_string(&issued.cert_path).unwrap();
        std::fs::write(&issued.cert_path, &text[..text.len() / 2]).unwrap();
        let error = world.load(FUJISAWA, &issued).err().unwrap();
        assert!(
            error
                .to_string()
                .contains(&issued.cert_path.display().to_string()),
            "{error}"
        );
    }
}
