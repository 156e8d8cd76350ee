//! Certificate, key and CAs from their files: all of them fit together, or none is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use vrx_domain::{Caller, MunicipalityCode, Role};

use super::{TenantCa, TlsError, provider};
use crate::peer;

/// Where the files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate chain, PEM, the node's own first.
    pub certificate: PathBuf,
    /// Its key, PEM (PKCS#8).
    pub private_key: PathBuf,
    /// The federation's CA certificates, PEM.
    pub federation_ca: PathBuf,
    /// The tenants' own CAs.
    pub tenant_cas: Vec<TenantCa>,
}

/// What the files held. The key has no Debug and no copy but the one rustls takes.
pub struct TlsMaterial {
    pub(crate) files: TlsFiles,
    pub(crate) trust_domain: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) federation: Arc<RootCertStore>,
    pub(crate) tenants: BTreeMap<MunicipalityCode, Arc<RootCertStore>>,
    pub(crate) own: Caller,
}

impl TlsMaterial {
    /// Reads all files and checks them against each other, `now` being the time of the check: the node's certificate
    /// must be one that its peers would take.
    pub fn load(files: &TlsFiles, trust_domain: &str, now: UnixTime) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.private_key).map_err(|error| {
            file(
                &files.private_key,
                format!("no private key in PEM: {error}"),
            )
        })?;
        let federation = Arc::new(anchors(&files.federation_ca)?);
        let mut tenants = BTreeMap::new();
        for tenant in &files.tenant_cas {
            tenants.insert(tenant.code, Arc::new(anchors(&tenant.file)?));
        }

        let path = &files.certificate;
        let first = chain
            .first()
            .ok_or_else(|| file(path, "no certificate in it".to_owned()))?;
        let own = peer::caller(first).map_err(|source| TlsError::Identity {
            path: path.clone(),
            source,
        })?;
        if own.id.role != Role::Exchange || own.id.trust_domain != trust_domain {
            return Err(TlsError::WrongIdentity {
                path: path.clone(),
                found: own.id.to_string(),
                trust_domain: trust_domain.to_owned(),
            });
        }
        let rest = chain.get(1..).unwrap_or_default();
        verify_own(first, rest, &federation, now).map_err(|source| TlsError::Rustls {
            path: path.clone(),
            source,
        })?;

        let material = TlsMaterial {
            files: files.clone(),
            trust_domain: trust_domain.to_owned(),
            chain,
            key,
            federation,
            tenants,
            own,
        };
        // Certificate and key are compared here, before anything listens.
        super::server_config(&material)?;
        Ok(material)
    }

    /// The identity that this node shows.
    pub fn own(&self) -> &Caller {
        &self.own
    }
}

/// The check that every peer will make of this node's certificate.
fn verify_own(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    federation: &RootCertStore,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let algorithms = provider().signature_verification_algorithms.all;
    let parsed = ParsedCertificate::try_from(certificate)?;
    verify_server_cert_signed_by_trust_anchor(&parsed, federation, intermediates, now, algorithms)
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

fn anchors(path: &Path) -> Result<RootCertStore, TlsError> {
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
