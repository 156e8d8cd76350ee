//! Another municipality that cosigns the log in the background, in this process, with a database of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vrx_domain::{
    Caller, Clock as _, LegalBasis, Member, MemberWitnesses, Members, Role, SpiffeId, Tenant,
};
use vrx_provision_log::Deadline;
use vrx_services::ports::{AskWitness, WitnessAddress, WitnessReply};
use vrx_services::witnesses::{
    Asking, OwnWitness, WitnessPlace, WitnessRules, Witnessing, add_checkpoint,
};
use vrx_services::{PeerError, TenantServices, Tenants};
use vrx_testkit::TestTenant;

use super::REQUESTER;

/// The background task, and the tenant as it sees it.
pub(super) struct Witnessed {
    asking: Asking,
    tenant: Arc<TenantServices>,
    witness: Arc<TestTenant>,
}

struct Line(Arc<TestTenant>);

#[async_trait]
impl AskWitness for Line {
    async fn add_checkpoint(
        &self,
        tenant: &Tenant,
        _: WitnessAddress<'_>,
        request: String,
        deadline: Deadline,
    ) -> Result<WitnessReply, PeerError> {
        let id = SpiffeId::new("vrx.test", tenant.code, Role::Exchange, None);
        let asks = Caller {
            id: id.expect("an identity"),
            fingerprint: [0; 32],
            spki: [0; 32],
        };
        let cosigned = add_checkpoint(&self.0.services, &asks, &request, deadline).await;
        let body = cosigned.unwrap_or_else(|error| panic!("not cosigned: {error}"));
        Ok(WitnessReply { status: 200, body })
    }
}

/// Starts asking a fresh witness for a tenant's log.
pub(super) async fn asking(tenant: &TestTenant) -> Witnessed {
    let services = &tenant.services;
    let log_vkey = services.log.reader().verifier_key().to_string();
    let member = |code: &str, log_vkey: String| Member {
        code: code.parse().expect("a code"),
        name: String::new(),
        address: "127.0.0.1:1".to_owned(),
        server_name: "localhost".to_owned(),
        pins: vec![[code.as_bytes().last().copied().unwrap_or(0); 32]],
        log_vkey,
        witnesses: MemberWitnesses::default(),
        legal_bases: vec![LegalBasis::parse("NBA-19-16").expect("a legal basis")],
        allow_hard_to_obtain: false,
    };
    let known = Members::new(vec![member(&services.tenant.code.to_string(), log_vkey)]);
    let witness = TestTenant::create(REQUESTER, known.expect("a member")).await;
    let witness = Arc::new(witness);
    let place = WitnessPlace::Url("https://witness.test".to_owned());
    let key = witness.services.witnesses.own_key().clone();
    let rules = WitnessRules::new(vec![OwnWitness { key, place }], 1, Duration::from_hours(4));
    let witnessing = Witnessing::new(
        services.witnesses.own_key().clone(),
        rules.expect("one of one"),
        Arc::new(Line(Arc::clone(&witness))),
        tenant.clock.now(),
    );
    let tenant = Arc::new(TenantServices {
        witnesses: Arc::new(witnessing),
        ..TenantServices::clone(services)
    });
    let asking = Asking::start(Arc::new(Tenants::new([Arc::clone(&tenant)])));
    Witnessed {
        asking,
        tenant,
        witness,
    }
}

impl Witnessed {
    /// Ends it; gives how many entries were cosigned.
    pub(super) async fn end(self) -> u64 {
        self.asking.shutdown().await;
        let seen = self.tenant.witnesses.seen(self.tenant.node.clock.now());
        drop(self.tenant);
        if let Some(witness) = Arc::into_inner(self.witness) {
            witness.close().await;
        }
        seen.map_or(0, |seen| seen.size)
    }
}
