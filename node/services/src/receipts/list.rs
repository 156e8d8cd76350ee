//! Gives a member the receipts back that this tenant holds of that member's own log.

use vrx_domain::{Caller, EntryKind, Member, MunicipalityCode, Role};
use vrx_provision_log::{Deadline, Recorded};
use vrx_storage::KeptReceipt;

use crate::{
    audit::page_token::{self, Position, Scope},
    error::ServiceError,
    record::{Act, NotRecorded, pairs, storage_error},
    tenants::TenantServices,
};

/// Which receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReceipts {
    /// Name of the caller's log, with its epoch.
    pub log_origin: String,
    /// The first place in it that is asked for.
    pub from_index: u64,
    /// At most this many; 0 for 50.
    pub page_size: u32,
    /// Empty for the first page.
    pub page_token: Vec<u8>,
}

/// A page of them, by place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPage {
    /// The receipts; a page before the last one has some.
    pub receipts: Vec<KeptReceipt>,
    /// Empty on the last page.
    pub next_page_token: Vec<u8>,
}

/// Reads and records. `member` is the caller's own directory entry: a provider sees the receipts of its own answers, and the key of
/// every row that is read begins with it.
pub async fn list_receipts(
    ctx: &TenantServices,
    caller: &Caller,
    member: &Member,
    request: ListReceipts,
    deadline: Deadline,
) -> Result<Recorded<ReceiptPage>, ServiceError> {
    let provider = member.code;
    let is_member = caller.id.role == Role::Exchange
        && caller.id.municipality == provider
        && provider != ctx.tenant.code;
    if !is_member {
        return Err(ServiceError::PermissionDenied);
    }
    let ListReceipts {
        log_origin,
        from_index,
        page_size,
        page_token,
    } = request;
    if !is_log_of(&log_origin, provider) {
        return Err(ServiceError::InvalidArgument {
            field: "log_origin",
            why: "isn't the name of the caller's own log",
        });
    }
    let query = [&from_index.to_be_bytes(), log_origin.as_bytes()].concat();
    let scope = Scope::new(caller, "list-receipts", &query);
    let now = ctx.node.clock.now();
    let position = page_token::open(&ctx.keyring, &scope, &page_token, now)?;
    let from = position.map_or(from_index, |position| position.next);
    let size = page_token::page_size(page_size);
    // One more than a page tells whether another one follows.
    let count = u32::try_from(size + 1).unwrap_or(u32::MAX);
    let read = ctx.receipts.receipts(provider, &log_origin, from, count);
    let read = deadline
        .wait(read)
        .await
        .map_err(|_| ServiceError::DeadlineExceeded)?;
    let mut receipts = read.map_err(|error| storage_error(ctx, &error))?;
    let next_page_token = match receipts.get(size) {
        None => Vec::new(),
        Some(next) => {
            let position = Position {
                next: next.log_index,
                end: u64::MAX,
            };
            page_token::seal(&ctx.keyring, &*ctx.node.random, &scope, position, now)?
        }
    };
    receipts.truncate(size);
    let content = [
        ("provider", provider.to_string()),
        ("log_origin", log_origin),
        ("from_index", from.to_string()),
        ("receipts", receipts.len().to_string()),
    ];
    let page = ReceiptPage {
        receipts,
        next_page_token,
    };
    let act = Act {
        kind: EntryKind::Control,
        caller,
        action: "list-receipts",
        about: None,
        content: &pairs(&content),
    };
    act.record(ctx, None, page, deadline)
        .await
        .map_err(NotRecorded::into_service)
}

/// Whether it is `<trust domain>/municipality/<code>/log/<epoch>` with this code.
fn is_log_of(origin: &str, code: MunicipalityCode) -> bool {
    let Some((trust_domain, epoch)) = origin.split_once(&format!("/municipality/{code}/log/"))
    else {
        return false;
    };
    let canonical = epoch.parse().map(|number: u32| number.to_string());
    (1..=255).contains(&trust_domain.len()) && canonical.as_deref() == Ok(epoch)
}

#[cfg(test)]
mod tests {
    use vrx_tlog::VerifierKey;

    use super::*;
    use crate::testing::{PROVIDER, REQUESTER, Resident, World, deadline, size, staff};

    fn request(page_size: u32, page_token: Vec<u8>) -> ListReceipts {
        ListReceipts {
            log_origin: vrx_tlog::origin("vrx.example", PROVIDER, 1),
            from_index: 0,
            page_size,
            page_token,
        }
    }

    /// A world in which the requester asked for somebody who is known and somebody who isn't.
    async fn asked() -> World {
        let world = World::new().await;
        World::register(&world.provider, &[Resident::moved(1)]).await;
        for serial in [1, 2, 1] {
            let inquiry = world.inquiry(serial);
            let desk = staff(&world.requester, "sato");
            crate::registry::inquire(&world.requester, &desk, inquiry, deadline())
                .await
                .unwrap();
        }
        world
    }

    fn provider(world: &World) -> (Caller, Member) {
        let code = PROVIDER.parse().unwrap();
        let member = world.requester.node.members.get(code).unwrap();
        let caller = crate::testing::caller(PROVIDER, Role::Exchange, None);
        (caller, member.clone())
    }

    #[tokio::test]
    async fn found_and_nothing_leave_a_receipt_each_and_their_provider_gets_them_page_by_page() {
        let world = asked().await;
        let (caller, member) = provider(&world);
        let (mut held, mut token, mut pages) = (Vec::new(), Vec::new(), 0);
        loop {
            let before = size(&world.requester);
            let asked = request(2, token);
            let page = list_receipts(&world.requester, &caller, &member, asked, deadline()).await;
            let page = page.unwrap().into_parts().0;
            assert_eq!(size(&world.requester), before + 1, "one entry a call");
            pages += 1;
            held.extend(page.receipts);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((held.len(), pages), (3, 2));
        assert!(
            held.windows(2)
                .all(|two| two[0].log_index < two[1].log_index)
        );
        for kept in held {
            let receipt = vrx_tlog::Receipt {
                log_index: kept.log_index,
                leaf: kept.leaf,
                checkpoint: kept.note,
                inclusion_proof: kept.proof,
                consistency_proof: Vec::new(),
            };
            let key = VerifierKey::parse(&member.log_vkey).unwrap();
            vrx_tlog::verify_receipt(&receipt, &key, None).unwrap();
        }
    }

    #[tokio::test]
    async fn a_member_sees_only_the_receipts_of_its_own_log() {
        let world = asked().await;
        let (caller, member) = provider(&world);
        let wrong = |log_origin: &str| ListReceipts {
            log_origin: log_origin.to_owned(),
            ..request(0, Vec::new())
        };
        for origin in [
            vrx_tlog::origin("vrx.example", REQUESTER, 1).as_str(),
            "vrx.example/municipality/142051/log/01",
            "vrx.example/municipality/142051/log/",
            "/municipality/142051/log/1",
            "",
        ] {
            let refused = list_receipts(
                &world.requester,
                &caller,
                &member,
                wrong(origin),
                deadline(),
            )
            .await;
            let field = refused.err().and_then(|error| error.field());
            assert_eq!(field, Some("log_origin"), "{origin}");
        }
        // Somebody else under its own name finds nothing of this provider's.
        let other = Member {
            code: "131041".parse().unwrap(),
            ..member.clone()
        };
        let stranger = crate::testing::caller("131041", Role::Exchange, None);
        let asked = wrong("vrx.example/municipality/131041/log/1");
        let page = list_receipts(&world.requester, &stranger, &other, asked, deadline()).await;
        assert!(page.unwrap().into_parts().0.receipts.is_empty());
        let desk = staff(&world.provider, "sato");
        for (who, tenant, entry) in [
            (&stranger, &world.requester, &member),
            (&desk, &world.requester, &member),
            (&caller, &world.provider, &member),
        ] {
            let asked = request(0, Vec::new());
            let refused = list_receipts(tenant, who, entry, asked, deadline()).await;
            assert_eq!(refused.err(), Some(ServiceError::PermissionDenied));
        }
    }
}
