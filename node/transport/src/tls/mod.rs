//! TLS 1.3 and nothing older, on ring; both sides show a certificate; no connection is ever resumed.
//!
//! - [`material`]: certificates, keys and CAs from their files, all or nothing.
//! - `names`: which tenant's certificate a caller is shown.
//! - `verify_client`: which CA may vouch for whom, on the accepting side.
//! - `verify_server`: URI, CA and pin of the municipality that is asked, on the asking side.
//! - [`accept`]: handshakes with a deadline, the loop that accepts.

pub mod accept;
pub mod material;
mod names;
pub(crate) mod verify_client;
pub(crate) mod verify_server;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};
use vrx_domain::{IdentityError, Member, MunicipalityCode};

use material::TenantTls;
pub use material::{TenantFiles, TlsFiles, TlsMaterial};

/// HTTP/2, the only protocol spoken.
const ALPN: &[u8] = b"h2";

/// Why TLS can't be set up. Names files, never their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no PEM of the kind that is expected.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what it should be.
        what: String,
    },
    /// The node's own certificate doesn't identify a municipality's node.
    #[error("{path}: not a certificate of a municipality's node: {source}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The node's own certificate names another role or another trust domain.
    #[error(
        "{path}: the certificate is {found}; the role `exchange` in the trust domain `{trust_domain}` is needed"
    )]
    WrongIdentity {
        /// The file.
        path: PathBuf,
        /// The URI that it carries.
        found: String,
        /// The configured trust domain.
        trust_domain: String,
    },
    /// A tenant's certificate is another municipality's.
    #[error(
        "{path}: it is the certificate of {found}, the tenant is {tenant}; give the certificate of that municipality"
    )]
    OtherMunicipality {
        /// The file.
        path: PathBuf,
        /// Whose certificate it is.
        found: MunicipalityCode,
        /// Whose it should be.
        tenant: MunicipalityCode,
    },
    /// Two tenants' certificates have the same DNS name, by which callers choose between them.
    #[error(
        "{path}: the DNS name {name} is in the certificate of {other} too; give each tenant a name of its own"
    )]
    SameName {
        /// The file of the second one.
        path: PathBuf,
        /// The name.
        name: String,
        /// Whose certificate has it too.
        other: MunicipalityCode,
    },
    /// No tenant, so no certificate to show.
    #[error("there is no tenant")]
    NoTenant,
    /// The TLS stack can't be set up as this program needs it.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] rustls::Error),
    /// Certificate, key and CA don't fit together.
    #[error("{path}: {source}")]
    Rustls {
        /// The file that is most likely to blame.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A verifier can't be built from a CA file.
    #[error("the CA certificates can't be used: {0}")]
    Anchors(#[from] rustls::server::VerifierBuilderError),
}

/// The one source of cryptography, always named explicitly.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Configuration of the accepting side.
pub(crate) fn server_config(material: &TlsMaterial) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(material.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verify_client::ClientVerifier::new(material)?))
        .with_cert_resolver(material.names.clone());
    // A resumed session would skip the check of the client's certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Configuration for asking exactly this member, as this tenant.
pub(crate) fn client_config(
    material: &TlsMaterial,
    tenant: &TenantTls,
    member: &Member,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(material.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // the name for any verifier of one's own; this one demands more than the standard one
        .with_custom_certificate_verifier(Arc::new(verify_server::PeerVerifier::new(
            material, member,
        )))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(tenant.shown.clone())));
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Whether the peer agreed to speak HTTP/2.
pub(crate) fn speaks_h2(protocol: Option<&[u8]>) -> bool {
    protocol == Some(ALPN)
}
