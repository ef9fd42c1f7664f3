//! What the kinds of Istio say, and what of it is told to be wrong.

use serde_json::{Value, json};

use super::super::kind_of;
use super::{Converted, convert};
use crate::model::Resolution;
use crate::table::{
    EntryHost, ExportTo, Kind, Location, PeerAuthenticationRecord, PeerMode, Record, ServiceEntryRecord, TargetPort,
    WorkloadAddress, WorkloadEntryRecord,
};

fn read(kind: Kind, spec: &Value) -> Converted {
    let metadata = json!({"name": "x", "namespace": "shop", "creationTimestamp": "2026-01-31T12:00:00Z"});
    convert(kind, &json!({"metadata": metadata, "spec": spec}))
}

fn entry(spec: &Value) -> (ServiceEntryRecord, String) {
    let Converted { record, problems, .. } = read(Kind::ServiceEntry, spec);
    let Some(Record::ServiceEntry(entry)) = record else {
        panic!("{problems:?}");
    };
    (*entry, told(problems))
}

fn workload(spec: &Value) -> (Option<WorkloadEntryRecord>, String) {
    let Converted { record, problems, .. } = read(Kind::WorkloadEntry, spec);
    let record = record.map(|record| match record {
        Record::WorkloadEntry(entry) => *entry,
        other => panic!("{other:?}"),
    });
    (record, told(problems))
}

fn policy(spec: &Value) -> (PeerAuthenticationRecord, String) {
    let Converted { record, problems, .. } = read(Kind::PeerAuthentication, spec);
    let Some(Record::PeerAuthentication(policy)) = record else {
        panic!("{problems:?}");
    };
    (*policy, told(problems))
}

fn told(problems: Vec<crate::registry::Problem>) -> String {
    Vec::from_iter(problems.iter().map(ToString::to_string)).join("\n")
}

fn labels(labels: &[(&str, &str)]) -> crate::table::Labels {
    labels
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

#[test]
fn each_version_that_was_served_is_read() {
    for (version, kind, expected) in [
        ("networking.istio.io/v1", "ServiceEntry", Some(Kind::ServiceEntry)),
        (
            "networking.istio.io/v1alpha3",
            "WorkloadEntry",
            Some(Kind::WorkloadEntry),
        ),
        (
            "security.istio.io/v1beta1",
            "PeerAuthentication",
            Some(Kind::PeerAuthentication),
        ),
        ("networking.istio.io/v2", "ServiceEntry", None),
        ("security.istio.io/v1", "ServiceEntry", None),
        ("v1", "ServiceEntry", None),
    ] {
        let object = json!({"apiVersion": version, "kind": kind});
        assert_eq!(kind_of(&object), expected, "{version} {kind}");
    }
}

#[test]
fn a_service_entry_says_how_its_hosts_are_reached() {
    let (entry, problems) = entry(&json!({
        "hosts": ["Api.example.com.", "*.cdn.example.com", "api.example.com"],
        "addresses": ["192.0.2.1", "192.0.2.2/32", "192.0.2.1"],
        "ports": [
            {"number": 443, "name": "tls", "protocol": "TLS", "targetPort": 8443},
            {"number": 80, "name": "web", "protocol": "HTTP"},
        ],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "endpoints": [{"address": "10.0.0.1", "ports": {"tls": 9443}, "labels": {"a": "b"}, "network": "n1",
            "locality": "eu/z1/rack", "weight": 5, "serviceAccount": "api"}],
        "exportTo": ["."],
    }));
    assert_eq!(problems, "");
    let shown: Vec<_> = entry.hosts.iter().map(|host| format!("{host:?}")).collect();
    assert_eq!(shown, ["Exact(api.example.com)", "Below(cdn.example.com)"]);
    assert_eq!(entry.addresses.len(), 2);
    assert_eq!(entry.created, Some(1_769_860_800));
    let ports: Vec<_> = entry
        .ports
        .iter()
        .map(|port| (port.port.number, &*port.port.app_protocol, port.target))
        .collect();
    assert_eq!(ports, [(443, "tls", Some(8443)), (80, "http", None)]);
    assert_eq!(
        (entry.location, entry.resolution),
        (Location::Internal, Resolution::Static)
    );
    let endpoint = &entry.endpoints[0];
    assert_eq!(endpoint.ports, [("tls".into(), 9443)]);
    assert_eq!(endpoint.network.as_ref().unwrap().as_str(), "n1");
    assert_eq!(endpoint.locality.as_ref().unwrap().to_string(), "eu/z1/rack");
    assert_eq!(
        (endpoint.weight, endpoint.mtls),
        (5, true),
        "with an account and without a word it speaks mutual TLS"
    );
    assert_eq!(entry.export, Some(ExportTo([".".into()].into())));
}

#[test]
fn what_is_wrong_or_not_supported_is_told_with_its_field_and_costs_only_that() {
    let port = json!([{"number": 80, "name": "web", "protocol": "HTTP"}]);
    for (spec, expected) in [
        (json!({"hosts": ["a.b", "c d"], "ports": port}), "spec.hosts[1]"),
        (json!({"hosts": ["a.b", "*"], "ports": port}), "spec.hosts[1]"),
        (json!({"hosts": ["a.b", "a_b.c"], "ports": port}), "underscore"),
        (
            json!({"hosts": ["a.b", format!("{}.d", "a23456789.".repeat(23) + "bcdef")], "ports": port}),
            "longer than 236 bytes",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "STATIC", "workloadSelector": {"labels": {"a": "b"}, "matchLabels": {"a": "b"}}}),
            "spec.workloadSelector.matchLabels is not supported",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "exportTo": ["Tools"]}),
            "spec.exportTo: \"Tools\" is no namespace",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "exportTo": "."}),
            "spec.exportTo is no list",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "addresses": ["10.0.0.0/8"]}),
            "ranges are not supported",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "STATIC"}),
            "it has no endpoints",
        ),
        (
            json!({"hosts": ["a.b", "*.c.d"], "ports": port, "resolution": "DNS"}),
            "can't be looked up",
        ),
        (json!({"hosts": ["a.b"]}), "it has no port"),
        (
            json!({"hosts": ["a.b"], "ports": [{"number": 0, "name": "x", "protocol": "TCP"}]}),
            "spec.ports[0].number is 0",
        ),
        (
            json!({"hosts": ["a.b"], "ports": [{"number": 1, "name": "x", "protocol": "UDP"}]}),
            "UDP",
        ),
        (
            json!({"hosts": ["a.b"], "ports": [port[0], port[0]]}),
            "spec.ports[1].number 80 is there twice",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "subjectAltNames": ["x"]}),
            "spec.subjectAltNames is not supported",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "endpoints": [{"address": "10.0.0.1"}]}),
            "resolution NONE",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "STATIC", "endpoints": [{"address": "c.d"}, {"address": "10.0.0.1"}]}),
            "spec.endpoints[0].address",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "STATIC", "endpoints": [{"address": "unix:///x"}, {"address": "10.0.0.1"}]}),
            "sockets",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "DNS", "endpoints": [{"address": "e.f"}, {"address": "c.d", "network": "no network!"}]}),
            "spec.endpoints[1].network",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "DNS", "endpoints": [{"address": "c.d", "health": 1}]}),
            "spec.endpoints[0].health is not supported",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "DNS", "endpoints": [{"address": "c.d", "weight": 70_000}]}),
            "65535 is taken",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "location": "MARS"}),
            "MESH_EXTERNAL is taken",
        ),
        (
            json!({"hosts": ["a.b"], "ports": port, "resolution": "STATIC", "workloadSelector": {"labels": {"pod-template-hash": "1"}}}),
            "pod-template-hash, which differs from pod to pod",
        ),
    ] {
        let (_, problems) = entry(&spec);
        assert!(problems.contains(expected), "{spec}: {problems}");
        assert!(
            problems.starts_with("ServiceEntry shop/x: ") && !problems.contains('\n'),
            "{problems}"
        );
    }
    for spec in [
        json!({"hosts": ["*"], "ports": port}),
        json!({"hosts": ["a.b"], "ports": port, "resolution": "DYNAMIC_DNS"}),
        json!({"hosts": ["*.a.b"], "ports": port, "resolution": "DNS"}),
        json!({"hosts": 1}),
        json!({"hosts": ["a.b"], "ports": port, "resolution": "DNS", "endpoints": [{"address": "c.d", "network": "-"}]}),
        json!([]),
    ] {
        let Converted { record, problems, .. } = read(Kind::ServiceEntry, &spec);
        assert!(record.is_none() && !problems.is_empty(), "{spec}");
    }
    let hosts = entry(&json!({"hosts": ["*.c.d"], "ports": port})).0.hosts;
    assert!(
        matches!(&hosts[..], [EntryHost::Below(_)]),
        "without a look-up it may be any"
    );
}

#[test]
fn a_workload_entry_leads_nobody_to_their_own_machine() {
    for address in ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1"] {
        let (record, problems) = workload(&json!({ "address": address }));
        assert!(
            record.is_none() && problems.contains("spec.address"),
            "{address}: {problems}"
        );
    }
}

#[test]
fn a_workload_entry_has_the_labels_of_its_object_too() {
    let object = json!({
        "metadata": {"name": "vm", "namespace": "shop", "labels": {"app": "web", "security.istio.io/tlsMode": "disabled"}},
        "spec": {"address": "10.0.0.9", "labels": {"app": "other", "version": "1"}, "serviceAccount": "web"},
    });
    let Some(Record::WorkloadEntry(entry)) = convert(Kind::WorkloadEntry, &object).record else {
        panic!("not read");
    };
    let expected = [
        ("app", "web"),
        ("security.istio.io/tlsMode", "disabled"),
        ("version", "1"),
    ];
    assert_eq!(entry.workload.labels, labels(&expected));
    assert_eq!((entry.workload.mtls, entry.workload.weight), (false, 1));
    assert_eq!(entry.workload.address, WorkloadAddress::Ip("10.0.0.9".parse().unwrap()));
    for (spec, expected) in [
        (json!({}), "spec has no address"),
        (
            json!({"address": "vm.example.com"}),
            "spec.address is \"vm.example.com\"",
        ),
        (json!({"address": "10.0.0.9", "network": "-"}), "spec.network"),
    ] {
        let (record, problems) = workload(&spec);
        assert!(record.is_none() && problems.contains(expected), "{problems}");
    }
}

#[test]
fn a_peer_authentication_that_is_wrong_is_read_as_the_strictest() {
    let (policy_read, problems) = policy(&json!({
        "selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "PERMISSIVE"},
        "portLevelMtls": {"8080": {"mode": "DISABLE"}, "80": {}},
    }));
    assert_eq!(problems, "");
    assert_eq!(policy_read.selector, Some(labels(&[("app", "web")])));
    assert_eq!(policy_read.mode, PeerMode::Permissive);
    assert_eq!(policy_read.ports, [(80, PeerMode::Unset), (8080, PeerMode::Disable)]);
    for (spec, mode, expected) in [
        (json!({}), PeerMode::Unset, ""),
        (json!({"mtls": {"mode": "STRICT"}}), PeerMode::Strict, ""),
        (
            json!({"mtls": {"mode": "strict"}}),
            PeerMode::Strict,
            "spec.mtls.mode is \"strict\"; STRICT is taken",
        ),
        (json!({"mtls": {"mode": 7}}), PeerMode::Strict, "spec.mtls.mode"),
        (
            json!({"portLevelMtls": {"80": {"mode": "STRICT"}}}),
            PeerMode::Unset,
            "without a selector",
        ),
        (
            json!({"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"x": {}}}),
            PeerMode::Unset,
            "spec.portLevelMtls.x",
        ),
        (json!({"mutual": 1}), PeerMode::Unset, "spec.mutual is not supported"),
    ] {
        let (policy, problems) = policy(&spec);
        assert_eq!(policy.mode, mode, "{spec}");
        assert!(
            problems.contains(expected) && problems.is_empty() == expected.is_empty(),
            "{problems}"
        );
    }
}

#[test]
fn a_service_says_what_it_selects_and_a_pod_what_it_is_selected_by() {
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "ports": [
        {"port": 80, "targetPort": 8080}, {"port": 81, "name": "b", "targetPort": "admin"}, {"port": 82, "name": "c", "targetPort": 82}]}});
    let Some(Record::Service(service)) = convert(Kind::Service, &service).record else {
        panic!("not read");
    };
    assert_eq!(service.selector, labels(&[("app", "web")]));
    assert_eq!(
        service.targets,
        [(80, TargetPort::Number(8080)), (81, TargetPort::Name("admin".into()))]
    );
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "pod-template-hash": "5f"}},
        "spec": {"serviceAccountName": "web"},
        "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "False"}]},
    });
    let Some(Record::Pod(pod)) = convert(Kind::Pod, &pod).record else {
        panic!("not read");
    };
    assert_eq!(pod.traits.labels, labels(&[("app", "web")]));
    assert_eq!((&*pod.traits.account, pod.ready), ("web", false));
}

#[test]
fn a_policy_that_can_not_be_read_lets_nobody_in_by_mistake() {
    for selector in [json!("web"), json!({"matchLabels": "web"}), json!([])] {
        let spec = json!({"selector": selector, "mtls": {"mode": "DISABLE"}});
        let Converted { record, problems, .. } = read(Kind::PeerAuthentication, &spec);
        assert_eq!(record, None, "it would be for the whole namespace");
        assert!(told(problems).contains("passed over"), "{selector}");
    }
    let (policy, problems) = policy(&json!({"mtls": "DISABLE"}));
    assert_eq!(policy.mode, PeerMode::Strict);
    assert!(problems.contains("STRICT is taken"), "{problems}");
}
