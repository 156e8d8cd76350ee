//! The municipalities that a node serves: who they are, what they show, where their rows are, what they decided.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use vrx_domain::{MunicipalityCode, RetentionError, RetentionPolicy, Years};
use vrx_services::ReviewPolicy;
use vrx_storage::postgres::PostgresUrl;

use super::database::{self, Database};
use super::error::{Blame, ConfigError};
use super::raw::{RawRetention, RawTenant, RawTls};
use super::witnesses::WitnessesConfig;

/// One municipality, and what it decided for itself.
pub struct TenantConfig {
    /// Its code.
    pub code: MunicipalityCode,
    /// Its exchange certificate as a chain, PEM.
    pub certificate: PathBuf,
    /// The certificate's key, PEM.
    pub private_key: PathBuf,
    /// The CA of its staff, officers, operators and venues, PEM.
    pub ca: PathBuf,
    /// Where its rows are.
    pub database: Database,
    /// Whether answers leave by themselves only after a move-out.
    pub automatic_only_after_move_out: bool,
    /// Whether inquiries without a consent that was hard to obtain are allowed.
    pub allow_hard_to_obtain: bool,
    /// Who cosigns its log; nobody without the table.
    pub witnesses: Option<WitnessesConfig>,
    /// What its privacy officers' attention is drawn to.
    pub review: ReviewPolicy,
    /// How long records and openings of the log are kept.
    pub retention: RetentionPolicy,
    /// Its table, for errors: `tenant`, or `tenant[1]` for the second.
    pub(super) key: String,
    /// The table of its certificate and key.
    pair: String,
}

impl TenantConfig {
    /// The key under which its certificate or private key stands.
    pub(super) fn pair_key(&self, name: &str) -> String {
        format!("{}.{name}", self.pair)
    }
}

/// Checks the tables, and gives each tenant its pair of certificate and key.
pub(super) fn check(
    blame: &Blame<'_>,
    folder: &Path,
    tenants: Vec<RawTenant>,
    tls: &RawTls,
    clusters: &BTreeMap<String, PostgresUrl>,
) -> Result<Vec<TenantConfig>, ConfigError> {
    if tenants.is_empty() {
        return Err(blame.value(
            "tenant",
            "there is none",
            "write a table [[tenant]] for each municipality that the node serves",
        ));
    }
    let is_only_one = tenants.len() == 1;
    if !is_only_one && (tls.certificate.is_some() || tls.private_key.is_some()) {
        return Err(blame.value(
            "tls.certificate",
            "stands beside several tables [[tenant]]",
            "write certificate and private_key into the table of the municipality that they belong to",
        ));
    }
    let mut codes = BTreeSet::new();
    let mut checked = Vec::with_capacity(tenants.len());
    for (index, tenant) in tenants.into_iter().enumerate() {
        let key = if is_only_one {
            "tenant".to_owned()
        } else {
            format!("tenant[{index}]")
        };
        let tenant = one(blame, folder, tenant, key, tls, clusters)?;
        if !codes.insert(tenant.code) {
            return Err(blame.value(
                format!("{}.code", tenant.key),
                &format!("{} stands in another table too", tenant.code),
                "give each municipality one table",
            ));
        }
        checked.push(tenant);
    }
    Ok(checked)
}

fn one(
    blame: &Blame<'_>,
    folder: &Path,
    raw: RawTenant,
    key: String,
    tls: &RawTls,
    clusters: &BTreeMap<String, PostgresUrl>,
) -> Result<TenantConfig, ConfigError> {
    let code = MunicipalityCode::from_str(&raw.code).map_err(|error| {
        blame.value(
            format!("{key}.code"),
            &error,
            "write the six digits of a municipality, quoted",
        )
    })?;
    let is_own = raw.certificate.is_some() || raw.private_key.is_some();
    if is_own && (tls.certificate.is_some() || tls.private_key.is_some()) {
        return Err(blame.value(
            "tls.certificate",
            &format!("{key} has a pair of its own"),
            "leave certificate and private_key out of one of the two tables",
        ));
    }
    let (pair, certificate, private_key) = if is_own || tls.certificate.is_none() {
        (key.clone(), raw.certificate, raw.private_key)
    } else {
        let (certificate, private_key) = (tls.certificate.clone(), tls.private_key.clone());
        ("tls".to_owned(), certificate, private_key)
    };
    let there = |name: &str, path: Option<PathBuf>| {
        path.map(|path| folder.join(path)).ok_or_else(|| {
            blame.value(
                format!("{pair}.{name}"),
                "is missing",
                "write the path of the exchange certificate (certificate) and of its key (private_key)",
            )
        })
    };
    Ok(TenantConfig {
        code,
        certificate: there("certificate", certificate)?,
        private_key: there("private_key", private_key)?,
        ca: folder.join(raw.ca),
        database: database::of_tenant(blame, &key, raw.cluster, clusters)?,
        retention: retention(blame, &key, &raw.retention)?,
        automatic_only_after_move_out: raw.automatic_only_after_move_out,
        allow_hard_to_obtain: raw.allow_hard_to_obtain,
        witnesses: raw
            .witnesses
            .map(|witnesses| witnesses.check(blame, folder, &key, code))
            .transpose()?,
        review: raw.review.check(blame, &key)?,
        key,
        pair,
    })
}

/// The policy, whose minimums stand in its types.
fn retention(
    blame: &Blame<'_>,
    key: &str,
    raw: &RawRetention,
) -> Result<RetentionPolicy, ConfigError> {
    fn years<const LEAST: u32>(
        blame: &Blame<'_>,
        key: String,
        years: u32,
    ) -> Result<Years<LEAST>, ConfigError> {
        let remedy = "choose as many years as the law asks for, or more, or leave the key out";
        Years::new(years).map_err(|error: RetentionError| blame.value(key, &error, remedy))
    }
    let of = |name: &str| format!("{key}.retention.{name}");
    let doses = of("years_after_last_dose");
    let ceased = of("years_after_ceasing");
    let openings = of("years_of_openings");
    RetentionPolicy::new(
        years(blame, doses, raw.years_after_last_dose)?,
        years(blame, ceased, raw.years_after_ceasing)?,
        years(blame, openings.clone(), raw.years_of_openings)?,
    )
    .map_err(|error| {
        blame.value(
            openings,
            &error,
            "choose at least as many years as years_after_last_dose",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SAMPLE};

    /// The sample with its optional lines in force, for two municipalities.
    fn two() -> String {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let second = "[[tenant]]\ncode = \"141003\"\nca = \"b.pem\"\ncertificate = \"b-exchange.pem\"\nprivate_key = \"b.key\"\n\n# All of these";
        SAMPLE
            .replace("age1…", &recipient)
            .replace("certificate = \"exchange.pem\"\n", "")
            .replace("private_key = \"exchange.key\"\n", "")
            .replace("# database = ", "database = ")
            .replace("# [clusters]", "[clusters]")
            .replace("# east = ", "east = ")
            .replace("# certificate = ", "certificate = ")
            .replace("# private_key = ", "private_key = ")
            .replace("# cluster = ", "cluster = ")
            .replace("# review = ", "review = ")
            .replace("# All of these", second)
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/etc/vrx/node.toml"), text)
    }

    #[test]
    fn the_samples_optional_lines_are_a_configuration_of_several_tenants_and_clusters() {
        let config = parse(&two()).ok().unwrap();
        let [first, second] = config.tenants.as_slice() else {
            panic!("{}", config.tenants.len())
        };
        assert_eq!(first.database, Database::Cluster("east".to_owned()));
        assert_eq!(second.database, Database::Cluster("default".to_owned()));
        assert_eq!(second.certificate, Path::new("/etc/vrx/b-exchange.pem"));
        assert_eq!(second.key, "tenant[1]");
        assert_eq!(
            first.review,
            ReviewPolicy::default(),
            "the sample states the defaults"
        );
        let file = Path::new("node.toml");
        let (name, url) = config.cluster(file, Some("east")).unwrap();
        assert_eq!((name, url.user()), ("east", "vrx_node"));
        let of_east: Vec<_> = config
            .tenants_of("east")
            .map(|tenant| tenant.code)
            .collect();
        assert_eq!(of_east, [first.code]);
        assert!(config.cluster(file, None).is_err(), "there are two");
        assert!(config.cluster(file, Some("west")).is_err());
        assert!(config.tenant(file, None).is_err(), "there are two");
        assert_eq!(
            config.tenant(file, Some(second.code)).ok().unwrap().key,
            second.key
        );
        assert!(config.tenant(file, "121002".parse().ok()).is_err());
    }

    #[test]
    fn what_is_wrong_with_tenants_and_clusters_is_named_with_a_remedy() {
        for (from, to, key) in [
            ("\"141003\"", "\"142051\"", "tenant[1].code"),
            ("private_key = \"b.key\"\n", "", "tenant[1].private_key"),
            (
                "certificate = \"b-exchange.pem\"\n",
                "",
                "tenant[1].certificate",
            ),
            (
                "cluster = \"east\"",
                "cluster = \"west\"",
                "tenant[0].cluster",
            ),
            (
                "east = \"postgres://vrx_node@",
                "east = \"postgres://vrx_node:secret@",
                "clusters.east",
            ),
            (
                "east = \"postgres:",
                "default = \"postgres:",
                "clusters.default",
            ),
            ("database = \"postgres:", "database = \"mysql:", "database"),
            ("[tls]\n", "[tls]\ncertificate = \"x\"\n", "tls.certificate"),
            (
                "night_from_hour = 20",
                "night_from_hour = 24",
                "tenant[0].review.night_from_hour",
            ),
        ] {
            let text = two();
            assert!(text.contains(from), "{from}");
            let error = parse(&text.replace(from, to)).err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("/etc/vrx/node.toml: {key}: ")) && error.contains("; "),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_pair_in_both_places_and_a_pair_in_none_are_refused() {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let sample = SAMPLE.replace("age1…", &recipient);
        let both = sample.replace("# certificate = ", "certificate = ");
        let none = sample
            .replace("certificate = \"exchange.pem\"\n", "")
            .replace("private_key = \"exchange.key\"\n", "");
        let no_tenant = &sample[..sample.find("\n[[tenant]]\n").unwrap()];
        for (text, key) in [
            (both.as_str(), "tls.certificate"),
            (none.as_str(), "tenant.certificate"),
            (no_tenant, "tenant"),
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.contains(&format!(": {key}: ")), "{error}");
        }
    }
}
