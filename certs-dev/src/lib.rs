//! Certificates for development, tests and the demo. NEVER for production: the CA's keys lie unprotected beside them.
//!
//! A federation has one CA for its members' nodes, and each municipality (tenant) has its own CA for its own people.
//! Which CA signs which role is the point of the whole: a right CA with the wrong town must be refused.
//!
//! - Start at [`Federation`]: `create` or `open` a folder, then `issue` an [`IdentitySpec`].
//! - [`spec`] says what a certificate can be, including everything that a node has to refuse (expired, two URIs, a CA
//!   that nobody trusts).
//! - To add a role: [`spec::Signer::of_role`] and the program's help text.
//!
//! Files: `DIR/federation/ca.pem`, `DIR/tenants/<code>/ca.pem`, `DIR/certs/<code>/<role>[-<name>].pem`, each with its
//! `.key` (PKCS#8 PEM, mode 0600) beside it.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod authority;
mod federation;
mod files;
pub mod spec;

pub use federation::{Federation, IssuedCert};
pub use spec::{IdentitySpec, Signer, Validity};

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no federation.
    #[error("{0}: no federation here; make one with `vrx-certs-dev init`")]
    NoFederation(std::path::PathBuf),
    /// The folder holds a federation of another trust domain.
    #[error("{path}: belongs to the trust domain {found}")]
    OtherTrustDomain {
        /// The folder.
        path: std::path::PathBuf,
        /// Its trust domain.
        found: String,
    },
    /// A name doesn't fit into a certificate or a file name.
    #[error("`{0}` can't stand in a certificate: use lower-case letters, digits, '.', '_' and '-'")]
    Name(String),
    /// The certificate library refused.
    #[error("making the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}
