//! The witnesses that a tenant asks, and how long it may be without them.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use vrx_domain::{Members, MunicipalityCode};
use vrx_services::witnesses::{OwnWitness, WitnessPlace, WitnessRules};
use vrx_tlog::WitnessKey;
use vrx_transport::{ForeignWitness, submission_url};

use super::TenantConfig;
use super::error::{Blame, ConfigError};

/// One tenant's witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessesConfig {
    /// Which, how many of them, how long.
    pub rules: WitnessRules,
    /// Those of other houses, with their CA files.
    pub foreign: Vec<ForeignWitness>,
    /// Those that are members, each with its key in the file, for errors.
    members: Vec<(MunicipalityCode, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWitnesses {
    quorum: usize,
    limit_seconds: Option<u64>,
    #[serde(default)]
    witness: Vec<RawWitness>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    vkey: String,
    municipality: Option<String>,
    url: Option<String>,
    ca: Option<PathBuf>,
}

impl RawWitnesses {
    /// `key` is the tenant's table, `own` its code.
    pub(super) fn check(
        self,
        blame: &Blame<'_>,
        folder: &Path,
        key: &str,
        own: MunicipalityCode,
    ) -> Result<WitnessesConfig, ConfigError> {
        let key = format!("{key}.witnesses");
        let mut config = WitnessesConfig {
            rules: WitnessRules::new(Vec::new(), 0, Duration::ZERO)
                .map_err(|error| blame.value(key.as_str(), &error, "leave the table out"))?,
            foreign: Vec::new(),
            members: Vec::new(),
        };
        let mut witnesses = Vec::with_capacity(self.witness.len());
        for (index, raw) in self.witness.into_iter().enumerate() {
            let key = format!("{key}.witness[{index}]");
            witnesses.push(raw.check(blame, folder, &key, own, &mut config)?);
        }
        let limit = match self.limit_seconds {
            None => WitnessRules::LIMIT,
            Some(seconds) => {
                let key = format!("{key}.limit_seconds");
                Duration::from_secs(blame.within(key, seconds, 10..=14 * 24 * 3_600)?)
            }
        };
        if self.quorum == 0 {
            return Err(blame.value(
                format!("{key}.quorum"),
                "is 0: nobody would have to see the log",
                "write how many of the witnesses must have cosigned, or leave the table out",
            ));
        }
        config.rules = WitnessRules::new(witnesses, self.quorum, limit).map_err(|error| {
            blame.value(
                format!("{key}.quorum"),
                &error,
                "write a table [[tenant.witnesses.witness]] for each, each with a key of its own, and a quorum of at most as many",
            )
        })?;
        Ok(config)
    }
}

impl RawWitness {
    fn check(
        self,
        blame: &Blame<'_>,
        folder: &Path,
        key: &str,
        own: MunicipalityCode,
        config: &mut WitnessesConfig,
    ) -> Result<OwnWitness, ConfigError> {
        let wrong = |name: &str, problem: &dyn ToString, remedy| {
            blame.value(format!("{key}.{name}"), &problem.to_string(), remedy)
        };
        let vkey = WitnessKey::parse(&self.vkey).map_err(|error| {
            wrong(
                "vkey",
                &error,
                "copy the line that `vrx-node log witness-key` prints at that municipality, or what the witness publishes",
            )
        })?;
        let place = match (self.municipality, self.url, self.ca) {
            (Some(code), None, None) => {
                let remedy = "write the six digits of another municipality, quoted";
                let code = MunicipalityCode::from_str(&code)
                    .map_err(|error| wrong("municipality", &error, remedy))?;
                if code == own {
                    let problem = "is this municipality itself, which can't vouch for its own log";
                    return Err(wrong("municipality", &problem, remedy));
                }
                config.members.push((code, format!("{key}.municipality")));
                WitnessPlace::Member(code)
            }
            (None, Some(url), Some(ca)) => {
                submission_url(&url).map_err(|problem| {
                    wrong(
                        "url",
                        &problem,
                        "write its submission prefix, such as \"https://witness.example/w1\"",
                    )
                })?;
                config.foreign.push(ForeignWitness {
                    url: url.clone(),
                    ca: folder.join(ca),
                });
                WitnessPlace::Url(url)
            }
            _ => {
                return Err(wrong(
                    "municipality",
                    &"doesn't stand alone",
                    "write either municipality, or url and ca",
                ));
            }
        };
        Ok(OwnWitness { key: vkey, place })
    }
}

/// Whether every witness that is a municipality is a member. `file` is the configuration's own.
pub fn check_witnesses(
    file: &Path,
    tenants: &[TenantConfig],
    members: &Members,
) -> Result<(), ConfigError> {
    let witnesses = tenants
        .iter()
        .filter_map(|tenant| tenant.witnesses.as_ref());
    let mut named = witnesses.flat_map(|witnesses| &witnesses.members);
    match named.find(|(code, _)| members.get(*code).is_none()) {
        None => Ok(()),
        Some((code, key)) => Err(Blame { file }.value(
            key.as_str(),
            &format!("{code} isn't in the members file"),
            "name a member, or enter that municipality there",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SAMPLE};

    /// The sample with its witnesses in force.
    fn sample() -> String {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let mut in_force = false;
        let lines = SAMPLE.lines().map(|line| {
            in_force |= line == "# [tenant.witnesses]";
            in_force &= !line.is_empty();
            match line.strip_prefix("# ") {
                Some(rest) if in_force && (rest.starts_with('[') || rest.contains(" = ")) => rest,
                _ => line,
            }
        });
        let lines: Vec<&str> = lines.collect();
        lines.join("\n").replace("age1…", &recipient)
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/etc/vrx/node.toml"), text)
    }

    #[test]
    fn the_samples_witnesses_are_a_member_and_one_of_another_house() {
        let config = parse(&sample()).ok().unwrap();
        let witnesses = config.tenants[0].witnesses.as_ref().unwrap();
        assert_eq!(witnesses.members[0].0.to_string(), "141003");
        let foreign = ForeignWitness {
            url: "https://witness.example/w1".to_owned(),
            ca: PathBuf::from("/etc/vrx/witness-ca.pem"),
        };
        assert_eq!(witnesses.foreign, [foreign]);
        let without = parse(&sample().replace("limit_seconds = 14400", ""));
        let without = without.ok().unwrap();
        assert_eq!(
            without.tenants[0].witnesses, config.tenants[0].witnesses,
            "the sample states the default"
        );
        let file = Path::new("/etc/vrx/node.toml");
        let refused = check_witnesses(file, &config.tenants, &Members::default());
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("tenant.witnesses.witness[0].municipality: 141003"),
            "{refused}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_witness_is_named_with_a_remedy() {
        for (from, to, key) in [
            ("quorum = 1", "quorum = 0", "quorum"),
            ("quorum = 1", "quorum = 3", "quorum"),
            (
                "limit_seconds = 14400",
                "limit_seconds = 1",
                "limit_seconds",
            ),
            (
                "municipality = \"141003\"",
                "municipality = \"141004\"",
                "witness[0].municipality",
            ),
            (
                "municipality = \"141003\"",
                "municipality = \"142051\"",
                "witness[0].municipality",
            ),
            ("municipality = \"141003\"", "", "witness[0].municipality"),
            ("ca = \"witness-ca.pem\"", "", "witness[1].municipality"),
            (
                "https://witness.example/w1",
                "http://witness.example/w1",
                "witness[1].url",
            ),
            (
                "/municipality/141003/witness+",
                "/municipality/141003/witness+0",
                "witness[0].vkey",
            ),
        ] {
            assert!(sample().contains(from), "{from}");
            let error = parse(&sample().replace(from, to))
                .err()
                .unwrap()
                .to_string();
            let begin = format!("/etc/vrx/node.toml: tenant.witnesses.{key}: ");
            assert!(error.starts_with(&begin) && error.contains("; "), "{error}");
        }
    }
}
