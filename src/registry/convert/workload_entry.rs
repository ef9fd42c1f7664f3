//! A `WorkloadEntry`: a virtual machine, or whatever else serves without being a pod.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::table::{WorkloadAddress, WorkloadEntryRecord};

use super::subject::Subject;
use super::workload::{Names, workload};

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<WorkloadEntryRecord> {
    let spec: Map<String, Value> = subject.part("spec")?;
    // Labels of the object win over those in its spec, as in Istio.
    let labels = subject.labels();
    let workload = workload(subject, "spec", &Value::Object(spec), Names::Refused, labels)?;
    // A Service may select it, and whoever calls that must not be led to its own machine.
    if let WorkloadAddress::Ip(address) = workload.address
        && is_of_each_machine(address)
    {
        subject.report(
            format!("spec.address {address} is somebody else on each machine; it is passed over"),
            "write the address by which others reach the workload",
        );
        return None;
    }
    Some(WorkloadEntryRecord {
        name: subject.name().clone(),
        workload,
    })
}

/// Addresses that Kubernetes takes in no `EndpointSlice` either.
fn is_of_each_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}
