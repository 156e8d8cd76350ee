//! Readiness: the last result of the app's canary, never a constant.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use vrx_domain::MunicipalityCode;

/// The services that readiness speaks of; "" is the node as a whole.
const SERVICES: [&str; 5] = [
    "",
    "vrx.v1.ExchangeService",
    "vrx.v1.RegistryService",
    "vrx.v1.AuditService",
    "vrx.v1.ReceiptService",
];

/// Says over `grpc.health.v1.Health` whether the node can do its work, and whether each of its tenants can: a tenant is the
/// service named by its municipality code. Not ready until told so.
#[derive(Clone, Debug)]
pub struct Readiness {
    reporter: HealthReporter,
    said: Arc<Mutex<Said>>,
}

/// What was said last.
#[derive(Debug, Default)]
struct Said {
    node: bool,
    tenants: BTreeMap<MunicipalityCode, bool>,
}

impl Readiness {
    /// A node that isn't ready yet.
    pub async fn new() -> Self {
        let readiness = Readiness {
            reporter: HealthReporter::new(),
            said: Arc::default(),
        };
        readiness.not_ready().await;
        readiness
    }

    /// The canary sang: keys open, database answers, a row was written and synced beside the log, whose head is ours.
    pub async fn ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// It didn't.
    pub async fn not_ready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// This tenant's canary sang.
    pub async fn tenant_ready(&self, tenant: MunicipalityCode) {
        self.said.lock().tenants.insert(tenant, true);
        let status = ServingStatus::Serving;
        self.reporter
            .set_service_status(tenant.to_string(), status)
            .await;
    }

    /// It didn't.
    pub async fn tenant_not_ready(&self, tenant: MunicipalityCode) {
        self.said.lock().tenants.insert(tenant, false);
        let status = ServingStatus::NotServing;
        self.reporter
            .set_service_status(tenant.to_string(), status)
            .await;
    }

    /// Whether this tenant's witnesses do what they should: the service named by its municipality code and `/witnesses`, which says so
    /// long before the tenant itself isn't ready any more.
    pub async fn witnessed(&self, tenant: MunicipalityCode, is_well: bool) {
        let status = if is_well {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let service = format!("{tenant}/witnesses");
        self.reporter.set_service_status(service, status).await;
    }

    /// Whether the node was said to be ready last.
    pub fn is_ready(&self) -> bool {
        self.said.lock().node
    }

    /// Whether this tenant was.
    pub fn is_tenant_ready(&self, tenant: MunicipalityCode) -> bool {
        self.said.lock().tenants.get(&tenant) == Some(&true)
    }

    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn set(&self, status: ServingStatus) {
        self.said.lock().node = status == ServingStatus::Serving;
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
