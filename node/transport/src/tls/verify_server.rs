//! The asking side's demand: this very municipality's node, vouched for by the federation, with a pinned key.
//!
//! All three hold before the handshake ends, so before one byte of a request leaves. The DNS name doesn't identify
//! anybody here and isn't looked at.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use vrx_domain::{Member, MunicipalityCode, Role};

use super::TlsMaterial;
use crate::peer;

/// Verifies the certificate of one member's node.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    trust_domain: Arc<str>,
    asked: MunicipalityCode,
    pins: Vec<[u8; 32]>,
    federation: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    pub(crate) fn new(material: &TlsMaterial, member: &Member) -> Self {
        PeerVerifier {
            trust_domain: material.trust_domain.clone(),
            asked: member.code,
            pins: member.pins.clone(),
            federation: material.federation.clone(),
            algorithms: material.provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused =
            || Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.federation,
            intermediates,
            now,
            algorithms,
        )?;
        let shown = peer::caller(end_entity).map_err(|_| refused())?;
        let is_asked = shown.id.trust_domain == *self.trust_domain
            && shown.id.municipality == self.asked
            && shown.id.role == Role::Exchange;
        if is_asked && self.pins.contains(&shown.spki) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refused())
        }
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
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
