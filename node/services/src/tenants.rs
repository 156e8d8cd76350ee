//! What a verb works on: one tenant's stores, keys, log and policy, and what the whole node shares.

use std::{collections::BTreeMap, sync::Arc};

use vrx_crypto::Keyring;
use vrx_domain::{Clock, Members, MunicipalityCode, Random, Tenant};
use vrx_provision_log::ProvisionLog;
use vrx_storage::{PersonStore, ReceiptStore, RegistryStore, RetentionStore, WitnessStore};

use crate::{
    error::ServiceError,
    policy::TenantPolicy,
    ports::{AnswerCodec, PeerExchange},
    refusals::Refusals,
    retention::DestroyedList,
    witnesses::Witnessing,
};

/// What all tenants of a node share: time, randomness, encodings, the way out, the members.
pub struct NodeServices {
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// The node's randomness.
    pub random: Arc<dyn Random>,
    /// The wire's encoding of an answer.
    pub codec: Arc<dyn AnswerCodec>,
    /// The client to other nodes.
    pub peers: Arc<dyn PeerExchange>,
    /// The member directory.
    pub members: Arc<Members>,
}

/// One municipality's partition. There's no way to a store, a key or a log but through the tenant that owns it. A clone is another
/// handle to the same.
#[derive(Clone)]
pub struct TenantServices {
    /// Who this is.
    pub tenant: Tenant,
    /// What this municipality decided for itself.
    pub policy: TenantPolicy,
    /// Its keys.
    pub keyring: Arc<Keyring>,
    /// Lookup by individual number.
    pub persons: Arc<dyn PersonStore>,
    /// Imports, approvals, inquiries, adopted doses.
    pub registry: Arc<dyn RegistryStore>,
    /// Receipts of others' answers, and how far a recovery of the own log is.
    pub receipts: Arc<dyn ReceiptStore>,
    /// What it cosigned as a witness, and what witnesses cosigned of its log.
    pub witness_store: Arc<dyn WitnessStore>,
    /// Its witnesses, and its own key as one.
    pub witnesses: Arc<Witnessing>,
    /// What is due to be erased, what is exempt, and the erasures.
    pub retention: Arc<dyn RetentionStore>,
    /// The list of what was destroyed, outside its database.
    pub destroyed: Arc<dyn DestroyedList>,
    /// The one writer of its provision log.
    pub log: Arc<ProvisionLog>,
    /// Entries and counts of refused calls.
    pub refusals: Arc<Refusals>,
    /// What it shares with the node's other tenants.
    pub node: Arc<NodeServices>,
}

impl TenantServices {
    /// Logs a bug or an inconsistency of this tenant under an incident id; `what` is a fixed text.
    pub(crate) fn internal(&self, what: &'static str) -> ServiceError {
        let error = ServiceError::internal(&*self.node.random, what);
        tracing::error!(tenant = %self.tenant.code, %error, "tenant of the incident");
        error
    }
}

/// The tenants of this node by municipality code.
#[derive(Default)]
pub struct Tenants {
    by_code: BTreeMap<MunicipalityCode, Arc<TenantServices>>,
}

impl Tenants {
    /// The tenants given; of two with the same code the later one stands.
    pub fn new(tenants: impl IntoIterator<Item = Arc<TenantServices>>) -> Self {
        Self {
            by_code: tenants
                .into_iter()
                .map(|tenant| (tenant.tenant.code, tenant))
                .collect(),
        }
    }

    /// The tenant with this code, if this node hosts it.
    pub fn get(&self, code: MunicipalityCode) -> Option<&Arc<TenantServices>> {
        self.by_code.get(&code)
    }

    /// All tenants, by code.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TenantServices>> {
        self.by_code.values()
    }
}
