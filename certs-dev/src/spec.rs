//! What a certificate shall say.

use std::net::IpAddr;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From an hour ago for 90 days.
    Current,
    /// Ended an hour ago.
    Expired,
    /// Begins tomorrow.
    NotYet,
}

/// Which CA signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The CA of the federation.
    Federation,
    /// The own CA of this municipality, by its code.
    Tenant(String),
    /// A CA made for this one certificate, which nobody trusts.
    Rogue,
    /// A CA made for this one certificate that calls itself the federation's.
    RogueFederation,
}

impl Signer {
    /// The CA to which certificates of `role` in the municipality `code` belong.
    pub fn of_role(role: &str, code: &str) -> Signer {
        match role {
            "exchange" | "certificate" | "witness" => Signer::Federation,
            _ => Signer::Tenant(code.to_owned()),
        }
    }
}

/// One identity, and how its certificate is to be made.
#[derive(Clone, Debug)]
pub struct IdentitySpec {
    /// Municipality code, 6 digits.
    pub municipality: String,
    /// Role, e.g. `exchange` or `staff`.
    pub role: String,
    /// The person's id, for the roles that have one.
    pub name: Option<String>,
    /// DNS names that stand beside the URI; foreign clients need them on servers.
    pub dns_names: Vec<String>,
    /// Addresses that stand beside the URI.
    pub addresses: Vec<IpAddr>,
    /// When it is valid.
    pub validity: Validity,
    /// Which CA signs.
    pub signer: Signer,
    /// The URIs; one by default. Tests put two here, or none.
    pub uris: Option<Vec<String>>,
    /// Name of the files without their ending; `<role>[-<name>]` by default.
    pub file_stem: Option<String>,
}

impl IdentitySpec {
    /// A current certificate of `role` in the municipality `code`, signed by the CA of that role.
    pub fn new(code: &str, role: &str) -> Self {
        IdentitySpec {
            municipality: code.to_owned(),
            role: role.to_owned(),
            name: None,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            validity: Validity::Current,
            signer: Signer::of_role(role, code),
            uris: None,
            file_stem: None,
        }
    }

    /// The node of a municipality: role `exchange`, usable as a server under [`server_name`], `localhost` and
    /// the loopback addresses.
    pub fn node(code: &str) -> Self {
        let mut spec = IdentitySpec::new(code, "exchange");
        spec.dns_names = vec![server_name(code), "localhost".to_owned()];
        spec.addresses = vec![
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ];
        spec
    }

    /// Sets the person's id.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds a DNS name.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.dns_names.push(name.to_owned());
        self
    }

    /// Sets when it is valid.
    #[must_use]
    pub fn validity(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    /// Sets which CA signs.
    #[must_use]
    pub fn signed_by(mut self, signer: Signer) -> Self {
        self.signer = signer;
        self
    }

    /// Replaces the URIs.
    #[must_use]
    pub fn uris(mut self, uris: &[&str]) -> Self {
        self.uris = Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
        self
    }

    /// Names the files, so that a second certificate of the same identity doesn't replace the first.
    #[must_use]
    pub fn file_stem(mut self, stem: &str) -> Self {
        self.file_stem = Some(stem.to_owned());
        self
    }

    /// The SPIFFE id: `spiffe://<trust domain>/municipality/<code>/<role>[/<name>]`.
    pub fn uri(&self, trust_domain: &str) -> String {
        let mut uri = format!(
            "spiffe://{trust_domain}/municipality/{}/{}",
            self.municipality, self.role
        );
        if let Some(name) = &self.name {
            uri.push('/');
            uri.push_str(name);
        }
        uri
    }

    pub(crate) fn stem(&self) -> String {
        match (&self.file_stem, &self.name) {
            (Some(stem), _) => stem.clone(),
            (None, Some(name)) => format!("{}-{name}", self.role),
            (None, None) => self.role.clone(),
        }
    }
}

/// The DNS name of a municipality's node in development, e.g. `node-142051.vrx.test`.
pub fn server_name(code: &str) -> String {
    format!("node-{code}.vrx.test")
}
