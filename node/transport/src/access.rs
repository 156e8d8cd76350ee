//! Who may call what. A service that isn't on the list refuses everyone; everything refused sounds the same.

use std::sync::Arc;

use vrx_domain::{Caller, Member, Members, MunicipalityCode, Role};
use vrx_services::{ServiceError, TenantServices, Tenants};

/// The services of this listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Exchange,
    Registry,
    Audit,
    Receipt,
    Retention,
    Reconciliation,
    Health,
}

impl Service {
    /// The service in a call's path, `/<package>.<Service>/<Method>`.
    pub(crate) fn of_path(path: &str) -> Option<(Service, &str)> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let service = match service {
            "vrx.v1.ExchangeService" => Service::Exchange,
            "vrx.v1.RegistryService" => Service::Registry,
            "vrx.v1.AuditService" => Service::Audit,
            "vrx.v1.ReceiptService" => Service::Receipt,
            "vrx.v1.RetentionService" => Service::Retention,
            "vrx.v1.ReconciliationService" => Service::Reconciliation,
            "grpc.health.v1.Health" => Service::Health,
            _ => return None,
        };
        Some((service, method))
    }

    /// The allow-list.
    fn admits(self, role: Role) -> bool {
        match self {
            Service::Exchange | Service::Receipt | Service::Reconciliation => {
                role == Role::Exchange
            }
            Service::Registry => role == Role::Staff,
            Service::Audit | Service::Retention => role == Role::Officer,
            Service::Health => true,
        }
    }
}

/// The role may call the service at all.
pub(crate) fn check_role(service: Service, caller: &Caller) -> Result<(), ServiceError> {
    if service.admits(caller.id.role) {
        Ok(())
    } else {
        Err(ServiceError::PermissionDenied)
    }
}

/// The caller is a member municipality, and shows a key that its directory entry pins.
pub(crate) fn check_member<'a>(
    members: &'a Members,
    caller: &Caller,
) -> Result<&'a Member, ServiceError> {
    members
        .get(caller.id.municipality)
        .filter(|member| member.has_pin(&caller.spki))
        .ok_or(ServiceError::PermissionDenied)
}

/// The tenant that staff and officers work for: their own, and the one their request names.
pub(crate) fn check_own_tenant<'a>(
    tenants: &'a Tenants,
    caller: &Caller,
    named: MunicipalityCode,
) -> Result<&'a Arc<TenantServices>, ServiceError> {
    if caller.id.municipality != named {
        return Err(ServiceError::PermissionDenied);
    }
    tenants.get(named).ok_or(ServiceError::PermissionDenied)
}

/// The tenant that another municipality asks: here, and not itself.
pub(crate) fn check_asked_tenant<'a>(
    tenants: &'a Tenants,
    caller: &Caller,
    asked: MunicipalityCode,
) -> Result<&'a Arc<TenantServices>, ServiceError> {
    if caller.id.municipality == asked {
        return Err(ServiceError::PermissionDenied);
    }
    tenants.get(asked).ok_or(ServiceError::PermissionDenied)
}

/// The tenant whose log notes a refusal that happened before the request named one: a person's own; of a node the one to
/// whose DNS name it connected, or the only one here.
pub(crate) fn tenant_of_refusal<'a>(
    tenants: &'a Tenants,
    caller: &Caller,
    addressed: Option<MunicipalityCode>,
) -> Option<&'a Arc<TenantServices>> {
    let own = match caller.id.role {
        Role::Exchange | Role::Certificate | Role::Witness => None,
        Role::Staff | Role::Officer | Role::Operator | Role::Venue => {
            tenants.get(caller.id.municipality)
        }
    };
    own.or_else(|| tenants.get(addressed?)).or_else(|| {
        let mut all = tenants.iter();
        let first = all.next();
        if all.next().is_none() { first } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_admits_one_role_and_health_all() {
        for role in Role::ALL.iter().copied() {
            assert_eq!(Service::Exchange.admits(role), role == Role::Exchange);
            assert_eq!(Service::Receipt.admits(role), role == Role::Exchange);
            assert_eq!(Service::Reconciliation.admits(role), role == Role::Exchange);
            assert_eq!(Service::Registry.admits(role), role == Role::Staff);
            assert_eq!(Service::Audit.admits(role), role == Role::Officer);
            assert_eq!(Service::Retention.admits(role), role == Role::Officer);
            assert!(Service::Health.admits(role));
        }
    }

    #[test]
    fn a_path_that_is_not_listed_names_no_service() {
        for path in [
            "/vrx.v1.AdminService/Status",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "vrx.v1.ExchangeService/QueryRecords",
            "/vrx.v1.exchangeservice/QueryRecords",
            "/",
            "",
        ] {
            assert_eq!(Service::of_path(path), None, "{path}");
        }
        assert_eq!(
            Service::of_path("/vrx.v1.ExchangeService/QueryRecords"),
            Some((Service::Exchange, "QueryRecords"))
        );
    }
}
