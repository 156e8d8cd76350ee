//! Readiness: the last result of the app's canary, never a constant.

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
}

impl Readiness {
    /// A node that isn't ready yet.
    pub async fn new() -> Self {
        let readiness = Readiness {
            reporter: HealthReporter::new(),
        };
        readiness.not_ready().await;
        readiness
    }

    /// The canary sang: keys open, database answers, a row was written and synced beside the log.
    pub async fn ready(&self) {
        self.set(ServingStatus::Serving).await;
    }

    /// It didn't.
    pub async fn not_ready(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// This tenant's canary sang.
    pub async fn tenant_ready(&self, tenant: MunicipalityCode) {
        let status = ServingStatus::Serving;
        self.reporter
            .set_service_status(tenant.to_string(), status)
            .await;
    }

    /// It didn't.
    pub async fn tenant_not_ready(&self, tenant: MunicipalityCode) {
        let status = ServingStatus::NotServing;
        self.reporter
            .set_service_status(tenant.to_string(), status)
            .await;
    }

    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn set(&self, status: ServingStatus) {
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}
