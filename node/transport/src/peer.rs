//! Who is at the other end: read from the certificate of the connection, from nothing else.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use vrx_domain::{Caller, IdentityError, SpiffeId, spki_der};

/// The other end of one connection. Made once a connection; every call on it has this caller.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Result<Caller, IdentityError>>);

impl Peer {
    /// The peer that showed this certificate chain during the handshake, in this trust domain.
    pub(crate) fn of_chain(chain: Option<&[CertificateDer<'_>]>, trust_domain: &str) -> Self {
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
        Peer(Arc::new(identity))
    }

    /// The caller, or why its identity isn't understood.
    pub(crate) fn caller(&self) -> Result<&Caller, &IdentityError> {
        self.0.as_ref().as_ref()
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
