//! The connections to other nodes: one a tenant and member, because each shows the tenant's own certificate.

use std::collections::HashMap;

use parking_lot::Mutex;
use tonic::transport::Channel;
use vrx_domain::{Member, MunicipalityCode};
use vrx_services::PeerError;

use super::connect;
use crate::tls::TlsMaterial;
use crate::tls::material::TenantTls;

/// Connections that are kept. Tenants times members would be without bound; of more than this the one that was used longest
/// ago is let go, and calls that still run on it end as they would have.
const KEPT: usize = 1_024;

/// The channels that are open, or would open again at their next call.
#[derive(Default)]
pub(super) struct Channels {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_ends: HashMap<(MunicipalityCode, MunicipalityCode), Known>,
    /// Counts the calls.
    calls: u64,
}

struct Known {
    /// The directory entry for which the channel was made.
    member: Member,
    channel: Channel,
    /// The call that used it last.
    used: u64,
}

impl Channels {
    /// The channel of a tenant to a member. It connects when it is first used, and again when its connection broke.
    pub(super) fn channel(
        &self,
        material: &TlsMaterial,
        tenant: &TenantTls,
        member: &Member,
    ) -> Result<Channel, PeerError> {
        let ends = (tenant.own.id.municipality, member.code);
        let mut kept = self.kept.lock();
        kept.calls += 1;
        let used = kept.calls;
        if let Some(known) = kept.by_ends.get_mut(&ends)
            && known.member == *member
        {
            known.used = used;
            return Ok(known.channel.clone());
        }
        let channel = connect::channel(material, tenant, member)?;
        if kept.by_ends.len() >= KEPT {
            kept.forget_the_oldest();
        }
        let known = Known {
            member: member.clone(),
            channel: channel.clone(),
            used,
        };
        kept.by_ends.insert(ends, known);
        Ok(channel)
    }
}

impl Kept {
    fn forget_the_oldest(&mut self) {
        let oldest = self.by_ends.iter().min_by_key(|(_, known)| known.used);
        if let Some(ends) = oldest.map(|(ends, _)| *ends) {
            self.by_ends.remove(&ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FUJISAWA, World, YOKOHAMA, member, town};

    #[tokio::test]
    async fn only_so_many_connections_are_kept_and_the_oldest_goes_first() {
        let world = World::new();
        let material = world.node(FUJISAWA);
        let tenant = &material.tenants[&town(FUJISAWA)];
        let channels = Channels::default();
        let codes = (10_000..480_000).filter_map(|code| MunicipalityCode::try_from(code).ok());
        let codes = codes.filter(|code| *code != town(YOKOHAMA));
        let ask = |code: &str| {
            let member = member(code, "127.0.0.1:1".to_owned(), [0; 32]);
            channels.channel(&material, tenant, &member).unwrap();
        };
        ask(YOKOHAMA);
        for code in codes.take(KEPT) {
            ask(&code.to_string());
            ask(YOKOHAMA);
        }
        let kept = channels.kept.lock();
        assert_eq!(kept.by_ends.len(), KEPT);
        let is_kept = |code: &str| kept.by_ends.contains_key(&(town(FUJISAWA), town(code)));
        assert!(is_kept(YOKOHAMA), "used all the time");
    }
}
