//! The municipalities with which this one exchanges.

use std::collections::{BTreeMap, BTreeSet};

use crate::{LegalBasis, MunicipalityCode};

/// A municipality of the federation, as the member directory states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its code.
    pub code: MunicipalityCode,
    /// Its name, for people.
    pub name: String,
    /// Where its node listens: `host:port`.
    pub address: String,
    /// The DNS name for TLS server name indication; it never identifies.
    pub server_name: String,
    /// SHA-256 of the `SubjectPublicKeyInfo` of its current and its next exchange key.
    pub pins: Vec<[u8; 32]>,
    /// The verifier key of its provision log, as a C2SP signed-note vkey.
    pub log_vkey: String,
    /// The witnesses of that log.
    pub witnesses: MemberWitnesses,
    /// The legal bases on which it may ask.
    pub legal_bases: Vec<LegalBasis>,
    /// Whether it may ask without a consent that was hard to obtain.
    pub allow_hard_to_obtain: bool,
}

/// The witnesses of a member's log, as the directory states them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberWitnesses {
    /// Their verifier keys, as C2SP vkeys of cosignature/v1.
    pub keys: Vec<String>,
    /// How many of them must have cosigned a checkpoint before it counts as one that others have seen; 0 where none is named.
    pub needed: usize,
}

impl Member {
    /// Whether this is one of the member's exchange keys.
    pub fn has_pin(&self, spki_sha256: &[u8; 32]) -> bool {
        self.pins.contains(spki_sha256)
    }
}

/// Why a list of members can't stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// A municipality stands twice.
    #[error("municipality {0} stands twice in the member list")]
    Repeated(MunicipalityCode),
    /// A municipality has no pinned key: nobody could be it.
    #[error("municipality {0} has no pinned key")]
    NoPin(MunicipalityCode),
    /// Two municipalities pin the same key: who holds it would be both.
    #[error("municipality {0} pins a key that is another municipality's")]
    SharedPin(MunicipalityCode),
    /// An address that isn't `host:port`.
    #[error("the address of municipality {0} is not host:port")]
    Address(MunicipalityCode),
}

/// All members, by code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<MunicipalityCode, Member>);

impl Members {
    /// Members, each once and each with keys of its own.
    pub fn new(members: Vec<Member>) -> Result<Self, MembersError> {
        let mut by_code = BTreeMap::new();
        let mut pins = BTreeSet::new();
        for member in members {
            let code = member.code;
            if member.pins.is_empty() {
                return Err(MembersError::NoPin(code));
            }
            let own: BTreeSet<[u8; 32]> = member.pins.iter().copied().collect();
            if !own.into_iter().all(|pin| pins.insert(pin)) {
                return Err(if by_code.contains_key(&code) {
                    MembersError::Repeated(code)
                } else {
                    MembersError::SharedPin(code)
                });
            }
            let (host, port) = member
                .address
                .rsplit_once(':')
                .ok_or(MembersError::Address(code))?;
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(MembersError::Address(code));
            }
            if by_code.insert(code, member).is_some() {
                return Err(MembersError::Repeated(code));
            }
        }
        Ok(Self(by_code))
    }

    /// The member with this code.
    pub fn get(&self, code: MunicipalityCode) -> Option<&Member> {
        self.0.get(&code)
    }

    /// All members, by code.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(code: &str, pin: u8) -> Member {
        Member {
            code: code.parse().unwrap(),
            name: String::new(),
            address: "127.0.0.1:8443".to_owned(),
            server_name: "localhost".to_owned(),
            pins: vec![[pin; 32]],
            log_vkey: String::new(),
            witnesses: MemberWitnesses::default(),
            legal_bases: Vec::new(),
            allow_hard_to_obtain: false,
        }
    }

    #[test]
    fn a_member_is_found_by_its_code() {
        let members = Members::new(vec![member("142051", 1), member("141003", 2)]).unwrap();
        assert_eq!(
            members.get("141003".parse().unwrap()).unwrap().pins,
            [[2; 32]]
        );
        assert!(members.get("011002".parse().unwrap()).is_none());
        assert_eq!(
            (members.len(), members.iter().count(), members.is_empty()),
            (2, 2, false)
        );
        assert!(
            members
                .get("142051".parse().unwrap())
                .unwrap()
                .has_pin(&[1; 32])
        );
    }

    #[test]
    fn a_list_that_leaves_a_doubt_is_refused() {
        let code = |text: &str| text.parse::<MunicipalityCode>().unwrap();
        assert_eq!(
            Members::new(vec![member("142051", 1), member("142051", 2)]),
            Err(MembersError::Repeated(code("142051")))
        );
        assert_eq!(
            Members::new(vec![member("142051", 1), member("142051", 1)]),
            Err(MembersError::Repeated(code("142051")))
        );
        assert_eq!(
            Members::new(vec![member("142051", 1), member("141003", 1)]),
            Err(MembersError::SharedPin(code("141003")))
        );
        let mut without = member("142051", 1);
        without.pins.clear();
        assert_eq!(
            Members::new(vec![without]),
            Err(MembersError::NoPin(code("142051")))
        );
        for address in ["localhost", ":8443", "localhost:99999", "localhost:"] {
            let wrong = Member {
                address: address.to_owned(),
                ..member("142051", 1)
            };
            assert_eq!(
                Members::new(vec![wrong]),
                Err(MembersError::Address(code("142051")))
            );
        }
    }
}
