//! The members file: the municipalities with which the node exchanges. Plain and unsigned for now.

use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use vrx_domain::{LegalBasis, Member, MemberWitnesses, Members, MunicipalityCode};
use vrx_tlog::{Quorum, VerifierKey, WitnessKey};

use super::error::{Blame, ConfigError};

/// Reads and checks a members file.
pub fn read_members(file: &Path) -> Result<Members, ConfigError> {
    parse(file, &Blame { file }.read()?)
}

fn parse(file: &Path, text: &str) -> Result<Members, ConfigError> {
    let blame = Blame { file };
    let raw: RawMembers = toml::from_str(text).map_err(|error| blame.syntax(&error))?;
    let members = raw
        .member
        .into_iter()
        .enumerate()
        .map(|(index, member)| member.check(&blame, index));
    Members::new(members.collect::<Result<_, _>>()?).map_err(|error| {
        blame.value(
            "member",
            &error,
            "give each municipality one table and keys of its own",
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMembers {
    #[serde(default)]
    member: Vec<RawMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    code: String,
    name: String,
    address: String,
    server_name: String,
    pins: Vec<String>,
    log_vkey: String,
    #[serde(default)]
    witnesses: Vec<String>,
    #[serde(default)]
    witness_quorum: usize,
    legal_bases: Vec<String>,
    #[serde(default)]
    allow_hard_to_obtain: bool,
}

impl RawMember {
    fn check(self, blame: &Blame<'_>, index: usize) -> Result<Member, ConfigError> {
        let key = |name: &str| format!("member[{index}].{name}");
        let code = MunicipalityCode::from_str(&self.code).map_err(|error| {
            blame.value(
                key("code"),
                &error,
                "write the six digits of a municipality, quoted",
            )
        })?;
        VerifierKey::parse(&self.log_vkey).map_err(|error| {
            blame.value(
                key("log_vkey"),
                &error,
                "copy the line that `vrx-node log key` prints at that municipality",
            )
        })?;
        let witness = |text: &String| {
            WitnessKey::parse(text).map_err(|error| {
                blame.value(
                    key("witnesses"),
                    &error,
                    "copy the lines that `vrx-node log witness-key` prints at its witnesses",
                )
            })
        };
        let witnesses = self.witnesses.iter().map(witness);
        Quorum::new(witnesses.collect::<Result<_, _>>()?, self.witness_quorum).map_err(
            |error| {
                blame.value(
                    key("witness_quorum"),
                    &error,
                    "write how many of its `witnesses` must have cosigned, or leave both out",
                )
            },
        )?;
        let pin = |text: &String| -> Result<[u8; 32], ConfigError> {
            let mut pin = [0; 32];
            hex::decode_to_slice(text, &mut pin).map_err(|error| {
                blame.value(
                    key("pins"),
                    &error,
                    "write the SHA-256 of a public key as 64 hexadecimal digits",
                )
            })?;
            Ok(pin)
        };
        let legal_basis = |text: &String| {
            LegalBasis::parse(text).map_err(|error| {
                blame.value(
                    key("legal_bases"),
                    &error,
                    "write a code such as \"NBA-19-16\"",
                )
            })
        };
        Ok(Member {
            code,
            pins: self.pins.iter().map(pin).collect::<Result<_, _>>()?,
            legal_bases: self
                .legal_bases
                .iter()
                .map(legal_basis)
                .collect::<Result<_, _>>()?,
            name: self.name,
            address: self.address,
            server_name: self.server_name,
            log_vkey: self.log_vkey,
            witnesses: MemberWitnesses {
                keys: self.witnesses,
                needed: self.witness_quorum,
            },
            allow_hard_to_obtain: self.allow_hard_to_obtain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MEMBERS_SAMPLE;

    fn parse_sample(from: &str, to: &str) -> Result<Members, ConfigError> {
        parse(Path::new("members.toml"), &MEMBERS_SAMPLE.replace(from, to))
    }

    #[test]
    fn the_sample_is_a_members_file() {
        let members = parse_sample("", "").unwrap();
        let member = members.get("141003".parse().unwrap()).unwrap();
        assert_eq!(member.name, "神奈川県横浜市");
        assert!(!member.allow_hard_to_obtain);
    }

    #[test]
    fn an_empty_file_has_no_members() {
        assert!(parse(Path::new("members.toml"), "").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_value_is_named_by_file_member_and_key() {
        for (from, to, key) in [
            ("\"141003\"", "\"141004\"", "member[0].code"),
            ("\"0000000000", "\"00000000", "member[0].pins"),
            ("+e6dc7b1d+", "+00000000+", "member[0].log_vkey"),
            ("NBA-19-16", "nba", "member[0].legal_bases"),
            (
                "legal_bases =",
                "witnesses = [\"a\"]\nlegal_bases =",
                "member[0].witnesses",
            ),
            (
                "legal_bases =",
                "witness_quorum = 1\nlegal_bases =",
                "member[0].witness_quorum",
            ),
            ("127.0.0.1:7444", "127.0.0.1", "member"),
            ("pins = [", "pins = [] # [", "member"),
        ] {
            let error = parse_sample(from, to).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("members.toml: {key}: ")),
                "{error}"
            );
        }
        let error = parse_sample("server_name", "servername")
            .unwrap_err()
            .to_string();
        assert!(error.contains("servername"), "{error}");
    }
}
