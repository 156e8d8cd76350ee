//! Who is at the other end: read from the certificate of the connection, from nothing else.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use vrx_domain::{Caller, IdentityError, MunicipalityCode, SpiffeId, spki_der};

/// The other end of one connection. Made once a connection; every call on it has this caller.
#[derive(Clone, Debug)]
pub struct Peer {
    identity: Arc<Result<Caller, IdentityError>>,
    addressed: Option<MunicipalityCode>,
}

impl Peer {
    /// The peer that showed this certificate chain during the handshake, in this trust domain, when it connected to the
    /// name of the tenant `addressed`.
    pub(crate) fn of_chain(
        chain: Option<&[CertificateDer<'_>]>,
        trust_domain: &str,
        addressed: Option<MunicipalityCode>,
    ) -> Self {
        let identity = match chain.and_then(<[_]>::first) {
            Some(certificate) => caller(certificate).and_then(|caller| {
                if caller.id.trust_domain == trust_domain {
                    Ok(caller)
                } else {
                    Err(IdentityError::Uri)
                }
            }),
            None => Err(IdentityError::Certificate),
        };
        Peer {
            identity: Arc::new(identity),
            addressed,
        }
    }

    /// The caller, or why its identity isn't understood.
    pub(crate) fn caller(&self) -> Result<&Caller, &IdentityError> {
        self.identity.as_ref().as_ref()
    }

    /// The tenant to whose DNS name it connected, if it named one. It grants nothing.
    pub(crate) fn addressed(&self) -> Option<MunicipalityCode> {
        self.addressed
    }
}

/// The identity in a certificate that was already verified.
pub(crate) fn caller(certificate: &CertificateDer<'_>) -> Result<Caller, IdentityError> {
    Ok(Caller {
        id: SpiffeId::from_certificate_der(certificate)?,
        fingerprint: Sha256::digest(certificate).into(),
        spki: Sha256::digest(spki_der(certificate)?).into(),
    })
}
