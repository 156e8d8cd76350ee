//! For this crate's tests: a development federation, and clients with any certificate.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsConnector;
use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert};
use vrx_domain::{Member, MemberWitnesses, MunicipalityCode};

use crate::tls::{TenantFiles, TlsError, TlsFiles, TlsMaterial, provider};

pub(crate) const TRUST_DOMAIN: &str = "vrx.test";
pub(crate) const FUJISAWA: &str = "142051";
pub(crate) const YOKOHAMA: &str = "141003";

/// A federation in a folder that lives as long as this.
pub(crate) struct World {
    pub(crate) federation: Federation,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        World {
            federation: Federation::create(dir.path(), TRUST_DOMAIN).unwrap(),
            _dir: dir,
        }
    }

    pub(crate) fn issue(&self, spec: &IdentitySpec) -> IssuedCert {
        self.federation.issue(spec).unwrap()
    }

    /// Loads TLS for the tenant `code` with this certificate.
    pub(crate) fn load(&self, code: &str, issued: &IssuedCert) -> Result<TlsMaterial, TlsError> {
        self.load_all(&[(code, issued)])
    }

    /// Loads TLS for a node of several tenants.
    pub(crate) fn load_all(
        &self,
        tenants: &[(&str, &IssuedCert)],
    ) -> Result<TlsMaterial, TlsError> {
        let tenants = tenants.iter().map(|(code, issued)| TenantFiles {
            code: town(code),
            certificate: issued.cert_path.clone(),
            private_key: issued.key_path.clone(),
            ca: self.federation.tenant_ca(code).unwrap(),
        });
        let files = TlsFiles {
            federation_ca: self.federation.ca_cert(),
            tenants: tenants.collect(),
        };
        TlsMaterial::load(&files, TRUST_DOMAIN, UnixTime::now())
    }

    /// TLS of the node of a municipality.
    pub(crate) fn node(&self, code: &str) -> Arc<TlsMaterial> {
        Arc::new(
            self.load(code, &self.issue(&IdentitySpec::node(code)))
                .unwrap(),
        )
    }

    /// A client with this certificate, or none; it checks the server as any ordinary client would.
    pub(crate) fn client(&self, issued: Option<&IssuedCert>, protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.federation.ca_cert()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match issued {
            None => config.with_no_client_auth(),
            Some(issued) => {
                let chain = vec![CertificateDer::from(issued.der.clone())];
                let key = PrivateKeyDer::from_pem_file(&issued.key_path).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) fn town(code: &str) -> MunicipalityCode {
    code.parse().unwrap()
}

/// The pin of a tenant's certificate.
pub(crate) fn spki(material: &TlsMaterial, code: &str) -> [u8; 32] {
    material.own(town(code)).unwrap().spki
}

/// The directory entry of a node at `address`.
pub(crate) fn member(code: &str, address: String, pin: [u8; 32]) -> Member {
    Member {
        code: town(code),
        name: code.to_owned(),
        address,
        server_name: vrx_certs_dev::spec::server_name(code),
        pins: vec![pin],
        log_vkey: String::new(),
        witnesses: MemberWitnesses::default(),
        legal_bases: vec![vrx_domain::LegalBasis::parse("NBA-19-16").unwrap()],
        allow_hard_to_obtain: false,
    }
}
