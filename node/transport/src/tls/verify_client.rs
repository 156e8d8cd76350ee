//! Which CA may vouch for a caller: decided by the role in its certificate, before any signature is looked at.
//!
//! `exchange`, `certificate` and `witness` chain to the federation's CA; `staff`, `officer`, `operator` and `venue` to
//! the CA of exactly the tenant that their URI names. So the right CA for the wrong town ends in a TLS alert. A
//! certificate whose identity isn't understood is verified against all CAs together and refused at the call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use vrx_domain::{MunicipalityCode, Role, SpiffeId};

use super::{TlsError, TlsMaterial};

type Anchor = Arc<dyn ClientCertVerifier>;

/// Verifies callers' certificates.
pub(crate) struct ClientVerifier {
    trust_domain: Arc<str>,
    federation: Anchor,
    tenants: BTreeMap<MunicipalityCode, Anchor>,
    /// For certificates whose identity isn't understood.
    any: Anchor,
}

impl ClientVerifier {
    pub(crate) fn new(material: &TlsMaterial) -> Result<Self, TlsError> {
        let mut all = RootCertStore::empty();
        for store in std::iter::once(&material.federation)
            .chain(material.tenants.values().map(|tenant| &tenant.ca))
        {
            all.roots.extend(store.roots.iter().cloned());
        }
        let tenants = material
            .tenants
            .iter()
            .map(|(code, tenant)| Ok((*code, anchor(tenant.ca.clone(), material)?)));
        Ok(ClientVerifier {
            trust_domain: material.trust_domain.clone(),
            federation: anchor(material.federation.clone(), material)?,
            tenants: tenants.collect::<Result<_, TlsError>>()?,
            any: anchor(Arc::new(all), material)?,
        })
    }

    fn anchor_of(&self, certificate: &CertificateDer<'_>) -> Result<&Anchor, Error> {
        match SpiffeId::from_certificate_der(certificate) {
            Ok(id) if id.trust_domain == *self.trust_domain => match id.role {
                Role::Exchange | Role::Certificate | Role::Witness => Ok(&self.federation),
                Role::Staff | Role::Officer | Role::Operator | Role::Venue => self
                    .tenants
                    .get(&id.municipality)
                    .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            },
            _ => Ok(&self.any),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.anchor_of(end_entity)?
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("tenants", &self.tenants.keys())
            .finish_non_exhaustive()
    }
}

fn anchor(roots: Arc<RootCertStore>, material: &TlsMaterial) -> Result<Anchor, TlsError> {
    Ok(WebPkiClientVerifier::builder_with_provider(roots, material.provider.clone()).build()?)
}
