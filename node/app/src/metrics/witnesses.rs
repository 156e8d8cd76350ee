//! The witnesses of the tenants that have some.

use std::fmt;

use vrx_domain::UnixMillis;
use vrx_services::witnesses::WitnessingSeen;

use super::families::{Families, Labels, number};
use super::tenant::TenantSource;

pub(super) fn encode(
    families: &mut Families<'_>,
    tenants: &[TenantSource],
    now: UnixMillis,
) -> fmt::Result {
    let seen: Vec<(Labels, WitnessingSeen)> = tenants
        .iter()
        .filter_map(|tenant| {
            let labels = vec![("municipality", tenant.code.to_string())];
            Some((labels, tenant.witnesses.seen(now)?))
        })
        .collect();
    let mut each = |name, help, value: &dyn Fn(&WitnessingSeen) -> f64| {
        let values = seen
            .iter()
            .map(|(labels, seen)| (labels.clone(), value(seen)));
        families.gauge(name, help, values)
    };
    each(
        "vrx_witness_quorum_age_seconds",
        "How long ago enough of the tenant's witnesses cosigned its log; before the first time, since the start",
        &|seen| number(seen.age.as_secs()),
    )?;
    each(
        "vrx_witness_quorum_limit_seconds",
        "From which age of the quorum on the tenant provides nothing",
        &|seen| number(seen.limit.as_secs()),
    )?;
    each(
        "vrx_witness_quorum_size",
        "Entries under the newest checkpoint that enough of the tenant's witnesses cosigned",
        &|seen| number(seen.size),
    )?;
    each(
        "vrx_witness_providing",
        "1 while the tenant's quorum is young enough and no witness contradicts its log",
        &|seen| f64::from(u8::from(seen.provides)),
    )?;
    let witnesses = || {
        seen.iter().flat_map(|(labels, seen)| {
            seen.witnesses.iter().map(|witness| {
                let mut labels = labels.clone();
                labels.push(("witness", witness.name.clone()));
                (labels, witness)
            })
        })
    };
    families.gauge(
        "vrx_witness_contradicts",
        "1 while a witness says that it has cosigned what the tenant's log isn't",
        witnesses().map(|(labels, witness)| (labels, f64::from(u8::from(witness.contradicts)))),
    )?;
    families.counter(
        "vrx_witness_failures",
        "How often a witness was asked in vain",
        witnesses().map(|(labels, witness)| (labels, witness.failures)),
    )
}
