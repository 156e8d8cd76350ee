//! Who may read a log and who may be witnessed. Whatever isn't listed here is refused.

use vrx_domain::{Caller, Members, Role};
use vrx_services::ServiceError;
use vrx_tlog::Resource;

use super::route::{Route, What};
use crate::access::check_member;

/// Whether this caller may ask for this at all, whether it is there or not.
pub(super) fn admit(
    members: &Members,
    caller: &Caller,
    route: Option<&Route>,
) -> Result<(), ServiceError> {
    let what = route.and_then(|route| route.what.as_ref());
    let is_entries = matches!(what, Some(What::Log(Resource::Entries { .. })));
    let is_witnessing = matches!(what, Some(What::AddCheckpoint | What::Cosigned(_)));
    let admitted = match caller.id.role {
        Role::Exchange => !is_entries && check_member(members, caller).is_ok(),
        // A witness has no pinned key: its municipality is a member, and only the federation vouches for it.
        Role::Witness => !is_entries && members.get(caller.id.municipality).is_some(),
        Role::Officer => {
            !is_witnessing && route.is_some_and(|route| route.code == caller.id.municipality)
        }
        Role::Certificate | Role::Staff | Role::Operator | Role::Venue => false,
    };
    if admitted {
        Ok(())
    } else {
        Err(ServiceError::PermissionDenied)
    }
}

#[cfg(test)]
mod tests {
    use vrx_domain::SpiffeId;

    use super::*;
    use crate::testing::{FUJISAWA, YOKOHAMA, member};

    fn caller(code: &str, role: Role, pin: u8) -> Caller {
        let name = match role {
            Role::Exchange | Role::Witness | Role::Certificate => "",
            _ => "/a",
        };
        let uri = format!(
            "spiffe://vrx.test/municipality/{code}/{}{name}",
            role.as_str()
        );
        Caller {
            id: SpiffeId::parse(&uri).unwrap(),
            fingerprint: [0; 32],
            spki: [pin; 32],
        }
    }

    #[test]
    fn members_and_witnesses_read_tiles_and_the_own_officer_alone_reads_entries() {
        let members = Members::new(vec![member(YOKOHAMA, "127.0.0.1:1".into(), [1; 32])]).unwrap();
        let may = |caller: &Caller, rest: &str| {
            let route = Route::parse(&format!("/municipality/{FUJISAWA}/{rest}"));
            admit(&members, caller, route.as_ref()).is_ok()
        };
        let hash = "00".repeat(32);
        let cosigned = format!("witness/{hash}/checkpoint");
        let paths = [
            "log/checkpoint",
            "log/checkpoint.witnessed",
            "log/tile/0/000",
            "log/tile/entries/000",
            "witness/add-checkpoint",
            &cosigned,
        ];
        for (what, caller, expected) in [
            (
                "a member's node",
                caller(YOKOHAMA, Role::Exchange, 1),
                [true, true, true, false, true, true],
            ),
            (
                "a member's witness",
                caller(YOKOHAMA, Role::Witness, 7),
                [true, true, true, false, true, true],
            ),
            (
                "the own officer",
                caller(FUJISAWA, Role::Officer, 7),
                [true, true, true, true, false, false],
            ),
            (
                "another's officer",
                caller(YOKOHAMA, Role::Officer, 7),
                [false; 6],
            ),
            (
                "a key that isn't pinned",
                caller(YOKOHAMA, Role::Exchange, 2),
                [false; 6],
            ),
            (
                "nobody's node",
                caller("121002", Role::Exchange, 1),
                [false; 6],
            ),
            (
                "nobody's witness",
                caller("121002", Role::Witness, 1),
                [false; 6],
            ),
            ("own staff", caller(FUJISAWA, Role::Staff, 7), [false; 6]),
            (
                "an own operator",
                caller(FUJISAWA, Role::Operator, 7),
                [false; 6],
            ),
            ("a venue", caller(FUJISAWA, Role::Venue, 7), [false; 6]),
            (
                "a certificate service",
                caller(YOKOHAMA, Role::Certificate, 1),
                [false; 6],
            ),
        ] {
            for (path, expected) in paths.iter().zip(expected) {
                assert_eq!(may(&caller, path), expected, "{what}: {path}");
            }
        }
    }
}
