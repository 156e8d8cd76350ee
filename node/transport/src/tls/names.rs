//! Which tenant a caller means, by the DNS name it connects to (server name indication), and which certificate it is shown.
//!
//! The name only chooses a certificate: it identifies nobody, and what a call may do is decided by the tenant that its
//! request names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use vrx_domain::MunicipalityCode;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::TlsError;
use super::material::TenantFiles;

/// Every machine's name for itself. It tells no tenant from another, so any number of certificates may carry it.
const THIS_MACHINE: &str = "localhost";

/// The DNS names of all tenants' certificates. Wildcards are nobody's name.
pub(crate) struct Names {
    /// Shown to callers that name nobody who is here.
    first: Arc<CertifiedKey>,
    by_name: HashMap<String, (MunicipalityCode, Arc<CertifiedKey>)>,
}

impl Names {
    pub(super) fn new(first: Arc<CertifiedKey>) -> Self {
        Self {
            first,
            by_name: HashMap::new(),
        }
    }

    /// Adds the names of a tenant's certificate. A name that another tenant has is refused.
    pub(super) fn add(
        &mut self,
        files: &TenantFiles,
        shown: &Arc<CertifiedKey>,
    ) -> Result<(), TlsError> {
        let names = shown.cert.first().map(|der| dns_names(der));
        for name in names.unwrap_or_default() {
            let entry = (files.code, Arc::clone(shown));
            match self.by_name.insert(name.clone(), entry) {
                Some((other, _)) if other != files.code => {
                    return Err(TlsError::SameName {
                        path: files.certificate.clone(),
                        name,
                        other,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The tenant that has this name.
    pub(crate) fn tenant(&self, name: &str) -> Option<MunicipalityCode> {
        self.find(name).map(|(code, _)| *code)
    }

    fn find(&self, name: &str) -> Option<&(MunicipalityCode, Arc<CertifiedKey>)> {
        // rustls hands names on in lower case, as they stand here.
        self.by_name.get(name)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(named.map_or(&self.first, |(_, shown)| shown)))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// The DNS names of a certificate that identify its tenant among others, in lower case.
fn dns_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .filter(|name| name != THIS_MACHINE && !name.contains('*'))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls_pki_types::ServerName;
    use tokio::io::AsyncReadExt;
    use vrx_certs_dev::{IdentitySpec, spec::server_name};

    use crate::testing::{FUJISAWA, World, YOKOHAMA, town};
    use crate::tls::TlsError;
    use crate::tls::accept::Acceptor;

    #[tokio::test]
    async fn a_caller_is_shown_the_certificate_of_the_tenant_whose_name_it_connects_to() {
        let world = World::new();
        let fujisawa = world.issue(&IdentitySpec::node(FUJISAWA).dns("Fujisawa.vrx.test"));
        let yokohama = world.issue(&IdentitySpec::node(YOKOHAMA));
        let tenants = [(FUJISAWA, &fujisawa), (YOKOHAMA, &yokohama)];
        let material = world.load_all(&tenants).unwrap();
        let acceptor = Acceptor::new(&material, Duration::from_secs(5)).unwrap();
        let caller = world.issue(&IdentitySpec::node("121002"));

        for (name, shown, addressed) in [
            (server_name(FUJISAWA), &fujisawa, Some(FUJISAWA)),
            (server_name(YOKOHAMA), &yokohama, Some(YOKOHAMA)),
            ("fujisawa.VRX.test".to_owned(), &fujisawa, Some(FUJISAWA)),
            ("localhost".to_owned(), &fujisawa, None),
            ("127.0.0.1".to_owned(), &fujisawa, None),
        ] {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let client = world.client(Some(&caller), &[b"h2"]);
            let asked = ServerName::try_from(name.clone()).unwrap();
            let connected = tokio::spawn(async move {
                let mut stream = client.connect(asked, far).await.unwrap();
                let chain = stream.get_ref().1.peer_certificates().unwrap().to_vec();
                // The server hangs up once it has seen the name.
                let _end: std::io::Result<usize> = stream.read(&mut [0]).await;
                chain
            });
            let (_, peer) = acceptor.accept(near).await.unwrap();
            assert_eq!(peer.addressed(), addressed.map(town), "{name}");
            let chain = connected.await.unwrap();
            assert_eq!(chain[0].as_ref(), shown.der, "{name}");
        }
    }

    #[test]
    fn a_dns_name_of_two_tenants_is_refused_unless_it_is_every_machines() {
        let world = World::new();
        let fujisawa = world.issue(&IdentitySpec::node(FUJISAWA));
        let copied = IdentitySpec::node(YOKOHAMA).dns(&server_name(FUJISAWA).to_uppercase());
        let yokohama = world.issue(&copied.file_stem("copied"));
        let tenants = [(FUJISAWA, &fujisawa), (YOKOHAMA, &yokohama)];
        match world.load_all(&tenants).err() {
            Some(TlsError::SameName { name, other, .. }) => {
                assert_eq!((name, other), (server_name(FUJISAWA), town(FUJISAWA)));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_certificate_of_another_municipality_than_the_tenant_is_refused() {
        let world = World::new();
        let yokohama = world.issue(&IdentitySpec::node(YOKOHAMA));
        let refused = world.load_all(&[(FUJISAWA, &yokohama)]).err();
        assert!(matches!(
            refused,
            Some(TlsError::OtherMunicipality { found, .. }) if found == town(YOKOHAMA)
        ));
        assert!(matches!(
            world.load_all(&[]).err(),
            Some(TlsError::NoTenant)
        ));
    }
}
