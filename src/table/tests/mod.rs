//! The table by its outside: events in, services and change sets out.

use std::collections::BTreeSet;

mod gateways;
mod hosts;
mod inbound;
mod networks;
mod order;
mod terms;
mod workloads;

use super::testing::*;
use super::*;
use crate::model::{Endpoint, Health, MemberStanding, MemberWeight, Mtls, ObjectName, Rank};

fn web_key() -> ServiceKey {
    ServiceKey::new("shop", "web")
}

/// The endpoints of `web:80`, wherever they are.
fn endpoints(table: &EndpointTable) -> Vec<Endpoint> {
    let service = table.service(&web_key()).expect("the service is there");
    let groups = service.port(80).expect("the port is there").groups().values();
    groups.flat_map(|group| group.endpoints().to_vec()).collect()
}

fn addresses(table: &EndpointTable) -> Vec<String> {
    endpoints(table)
        .iter()
        .flat_map(|endpoint| endpoint.addresses.iter())
        .map(|ip| ip.to_string())
        .collect()
}

fn services(changes: &ChangeSet) -> Vec<String> {
    changes.services.keys().map(ToString::to_string).collect()
}

/// One member `east` with `web` on two pods.
fn east() -> EndpointTable {
    let table = table();
    table.apply(joined("east", "net1"));
    table.apply(listed("east", web(&["10.1.0.1", "10.1.0.2"])));
    table
}

#[test]
fn half_a_member_is_not_shown() {
    let table = table();
    table.apply(joined("east", "net1"));
    let lists = |kind: Kind, records: Vec<Record>| event("east", RegistryChange::Replace([(kind, records)].into()));
    for kind in [Kind::Namespace, Kind::Node, Kind::Service, Kind::EndpointSlice] {
        let records = web(&["10.1.0.1"])
            .into_iter()
            .filter(|record| record.kind() == kind)
            .collect();
        assert!(table.apply(lists(kind, records)).is_empty());
    }
    assert!(table.service(&web_key()).is_none(), "the pods are missing");
    assert!(!table.members()[0].complete);
    let changes = table.apply(lists(Kind::Pod, vec![pod("web-1", "10.1.0.1")]));
    assert_eq!(services(&changes), ["web.shop"]);
    assert_eq!(addresses(&table), ["10.1.0.1"]);
    assert!(table.members()[0].complete);
}

#[test]
fn a_relist_of_the_same_changes_nothing_and_a_gap_is_made_up_for() {
    let table = east();
    assert!(table.apply(listed("east", web(&["10.1.0.1", "10.1.0.2"]))).is_empty());
    // While the watch was away one pod went and a service came.
    let mut now = web(&["10.1.0.1"]);
    now.push(service("cart"));
    assert_eq!(services(&table.apply(listed("east", now))), ["cart.shop", "web.shop"]);
    assert_eq!(addresses(&table), ["10.1.0.1"]);
}

#[test]
fn a_service_that_goes_in_the_moment_when_its_members_network_changes_is_gone() {
    let table = east();
    // One list in which the namespace has another label and the service is missing.
    let changes = table.apply(listed(
        "east",
        [namespace("istio-system", Some("net9")), service("cart")],
    ));
    assert_eq!(services(&changes), ["cart.shop", "web.shop"]);
    assert!(table.service(&web_key()).is_none(), "nothing of it is left");
}

#[test]
fn members_merge_by_name_and_leave_alone() {
    let table = east();
    table.apply(joined("west", "net2"));
    table.apply(listed("west", web(&["10.2.0.1"])));
    assert_eq!(addresses(&table), ["10.1.0.1", "10.1.0.2", "10.2.0.1"]);
    assert_eq!(
        services(&table.apply(event("east", RegistryChange::Left))),
        ["web.shop"]
    );
    assert_eq!(addresses(&table), ["10.2.0.1"]);
    table.apply(event("west", RegistryChange::Left));
    assert!(table.service(&web_key()).is_none());
    assert!(table.services().is_empty() && table.members().is_empty());
}

#[test]
fn ports_are_matched_inside_each_member_and_merged_by_number() {
    let table = east();
    table.apply(joined("west", "net2"));
    let mut named_otherwise = web(&["10.2.0.1"]);
    named_otherwise[0] = Record::Service(service_record("web", vec![port(80, "web-port")]));
    named_otherwise[2] = slice("web-a", "web", "web-port", vec![backend("10.2.0.1", Some("web-1"))]);
    table.apply(listed("west", named_otherwise));
    assert_eq!(addresses(&table), ["10.1.0.1", "10.1.0.2", "10.2.0.1"]);
    // A member with slices and no Service goes by the merged ports.
    table.apply(joined("north", "net2"));
    table.apply(listed("north", web(&["10.3.0.1"]).into_iter().skip(1)));
    assert!(addresses(&table).contains(&"10.3.0.1".to_owned()));
    let service = table.service(&web_key()).unwrap();
    assert_eq!(service.defined_in, [member("east"), member("west")]);
    assert_eq!(service.conflicts, []);
}

#[test]
fn a_slice_without_any_service_is_no_service() {
    let table = table();
    table.apply(joined("east", "net1"));
    table.apply(listed("east", web(&["10.1.0.1"]).into_iter().skip(1)));
    assert!(table.service(&web_key()).is_none());
    table.apply(upsert("east", service("web")));
    assert_eq!(addresses(&table), ["10.1.0.1"], "its Service came later");
}

#[test]
fn disagreement_is_settled_by_age_and_shown() {
    let table = table();
    let say = |created, headless, ports| {
        let mut service = service_record("web", ports);
        service.created = created;
        service.headless = headless;
        Record::Service(service)
    };
    table.apply(joined("a", "net1"));
    table.apply(listed(
        "a",
        [say(Some(200), true, vec![port(80, "http"), port(81, "more")])],
    ));
    table.apply(joined("b", "net1"));
    table.apply(listed("b", [say(Some(100), false, vec![port(80, "http")])]));
    let service = table.service(&web_key()).unwrap();
    assert!(!service.headless, "b is older");
    let shown: Vec<_> = service.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "headless: not headless and headless (b wins over a)",
            "ports: port 81 is only in a (b wins over a)"
        ]
    );
    // Of two without an age the smaller name wins.
    table.apply(upsert("b", say(None, false, vec![])));
    table.apply(upsert("a", say(None, true, vec![])));
    assert!(table.service(&web_key()).unwrap().headless);
}

#[test]
fn a_dual_stack_pod_is_one_endpoint() {
    let table = east();
    let v6 = slice("web-b", "web", "http", vec![backend("fd00::1", Some("web-1"))]);
    assert_eq!(services(&table.apply(upsert("east", v6.clone()))), ["web.shop"]);
    assert_eq!(endpoints(&table).len(), 2);
    assert_eq!(addresses(&table), ["10.1.0.1", "fd00::1", "10.1.0.2"]);
    table.apply(remove("east", &v6));
    assert_eq!(addresses(&table), ["10.1.0.1", "10.1.0.2"]);
}

#[test]
fn what_a_members_endpoints_count_touches_its_services_only() {
    let table = east();
    table.apply(joined("west", "net1"));
    table.apply(listed("west", [service("api")]));
    let stands = |weight, rank| {
        let weight = MemberWeight::new(weight).unwrap();
        event("east", RegistryChange::Stands(MemberStanding { weight, rank }))
    };
    assert!(table.apply(stands(100, Rank::Normal)).is_empty(), "as before");
    assert_eq!(services(&table.apply(stands(50, Rank::Normal))), ["web.shop"]);
    let stood = || {
        let port = table.service(&web_key()).unwrap().ports[0].clone();
        let key = port.groups().keys().next().expect("it has endpoints").clone();
        port.standing(&key).member.weight.percent()
    };
    assert_eq!(stood(), 50);
    // A word of the member changes nothing about it.
    table.apply(listed("east", web(&["10.1.0.1"])));
    assert_eq!(stood(), 50);
    // The gateways of a member that is dropped go with it.
    let gateway = gateway("gw", "net1", &["192.0.2.1"]);
    table.apply(upsert("east", gateway));
    assert_eq!(table.gateways().of(&network("net1")).len(), 1);
    let changes = table.apply(stands(100, Rank::Out));
    assert_eq!(changes.networks, [network("net1")].into());
    assert!(table.gateways().of(&network("net1")).is_empty());
    table.apply(stands(100, Rank::Last));
    assert_eq!(table.gateways().of(&network("net1")).len(), 1);
}

#[test]
fn networks_come_from_the_pod_then_the_namespace_then_the_settings_then_the_default() {
    let networks = |table: &EndpointTable| -> Vec<String> {
        endpoints(table)
            .iter()
            .map(|endpoint| endpoint.network.to_string())
            .collect()
    };
    let table = table();
    table.apply(event("east", RegistryChange::Joined { network: None }));
    table.apply(listed("east", web(&["10.1.0.1", "10.1.0.2"])));
    assert_eq!(networks(&table), ["default", "default"]);
    table.apply(joined("east", "from-settings"));
    assert_eq!(networks(&table), ["from-settings", "from-settings"]);
    table.apply(upsert("east", namespace("elsewhere", Some("no"))));
    let label = namespace("istio-system", Some("from-label"));
    let changes = table.apply(upsert("east", label.clone()));
    assert_eq!(
        (services(&changes), changes.locations),
        (vec!["web.shop".to_owned()], Locations::Changed)
    );
    assert_eq!(networks(&table), ["from-label", "from-label"]);
    let mut pod = pod_record("web-2", "10.1.0.2");
    pod.network = Some(network("from-pod"));
    table.apply(upsert("east", Record::Pod(pod)));
    assert_eq!(networks(&table), ["from-label", "from-pod"]);
    table.apply(remove("east", &label));
    assert_eq!(networks(&table), ["from-pod", "from-settings"]);
}

#[test]
fn localities_come_from_nodes_or_the_zone_of_the_slice() {
    let table = east();
    let zones = |table: &EndpointTable| -> BTreeSet<String> {
        endpoints(table)
            .iter()
            .map(|endpoint| endpoint.locality.to_string())
            .collect()
    };
    assert_eq!(zones(&table), ["r/z1".to_owned()].into());
    assert_eq!(
        services(&table.apply(upsert("east", node("node-1", "z2")))),
        ["web.shop"]
    );
    assert_eq!(zones(&table), ["r/z2".to_owned()].into());
    assert!(
        table.apply(upsert("east", node("node-9", "z9"))).is_empty(),
        "nobody runs there"
    );
    table.apply(remove("east", &node("node-1", "z2")));
    assert_eq!(zones(&table), ["-".to_owned()].into());
}

#[test]
fn a_pods_word_counts_when_it_comes() {
    let table = east();
    assert!(endpoints(&table).iter().all(|endpoint| endpoint.mtls == Mtls::Yes));
    table.apply(remove("east", &pod("web-1", "10.1.0.1")));
    assert_eq!(endpoints(&table)[0].mtls, Mtls::PodUnknown);
    let mut plain = pod_record("web-1", "10.1.0.1");
    plain.mtls = false;
    assert_eq!(services(&table.apply(upsert("east", Record::Pod(plain)))), ["web.shop"]);
    assert_eq!(endpoints(&table)[0].mtls, Mtls::No);
    let changes = table.apply(upsert("east", pod("other", "10.1.0.9")));
    assert!(changes.services.is_empty(), "nobody names it");
    assert_eq!(changes.locations, Locations::Same);
    assert_eq!(changes.workloads.len(), 1, "its own proxy may be there already");
}

#[test]
fn readiness_is_not_looked_at_where_the_service_says_so() {
    let table = east();
    let mut down = backend("10.1.0.1", Some("web-1"));
    down.health = Health::NotReady;
    table.apply(upsert("east", slice("web-a", "web", "http", vec![down])));
    assert_eq!(endpoints(&table)[0].health, Health::NotReady);
    let mut eager = service_record("web", vec![port(80, "http")]);
    eager.publish_not_ready = true;
    table.apply(upsert("east", Record::Service(eager)));
    assert_eq!(endpoints(&table)[0].health, Health::Ready);
}

#[test]
fn a_slice_that_changes_over_leaves_nothing_behind() {
    let table = east();
    table.apply(upsert("east", service("cart")));
    let moved = slice("web-a", "cart", "http", vec![backend("10.1.0.1", Some("web-1"))]);
    assert_eq!(services(&table.apply(upsert("east", moved))), ["cart.shop", "web.shop"]);
    assert_eq!(addresses(&table), Vec::<String>::new());
    assert_eq!(
        services(&table.apply(remove("east", &pod("web-1", "10.1.0.1")))),
        ["cart.shop"]
    );
}

#[test]
fn a_viewer_stands_where_it_says_or_where_it_is_known() {
    let table = east();
    let mut labelled = pod_record("web-2", "10.1.0.2");
    labelled.network = Some(network("net7"));
    table.apply(upsert("east", Record::Pod(labelled)));
    let locate = |of: Option<&str>, says: Option<&str>, address: &str| {
        let addresses = vec![address.parse().unwrap()];
        let viewer = Viewer {
            member: of.map(member),
            network: says.map(network),
            addresses,
            ..Viewer::default()
        };
        let standpoint = table.locate(&viewer);
        (
            standpoint.key.network.to_string(),
            standpoint.origin,
            standpoint.contradiction.is_some(),
        )
    };
    assert_eq!(
        locate(Some("east"), Some("net1"), "10.1.0.1"),
        ("net1".into(), NetworkOrigin::Metadata, false)
    );
    assert_eq!(
        locate(Some("east"), Some("net9"), "10.1.0.1"),
        ("net9".into(), NetworkOrigin::Metadata, true)
    );
    assert_eq!(
        locate(Some("east"), None, "10.1.0.2"),
        ("net7".into(), NetworkOrigin::Pod, false)
    );
    assert_eq!(
        locate(Some("east"), None, "10.1.0.1"),
        ("net1".into(), NetworkOrigin::Member, false)
    );
    assert_eq!(
        locate(None, None, "10.1.0.1"),
        ("default".into(), NetworkOrigin::Default, false)
    );
    assert_eq!(
        locate(Some("nowhere"), None, "10.1.0.1"),
        ("default".into(), NetworkOrigin::Default, true)
    );
}

#[test]
fn three_hundred_ports_are_served_like_one() {
    let table = table();
    table.apply(joined("east", "net1"));
    let ports = (1..=300).map(|number| port(number, &format!("p{number}"))).collect();
    let slice = Record::EndpointSlice(SliceRecord {
        name: ObjectName::new("shop", "web-a"),
        service: web_key(),
        ports: (1..=300)
            .map(|number| (format!("p{number}").into(), 1000 + number))
            .collect(),
        endpoints: vec![backend("10.1.0.1", None)],
    });
    table.apply(listed("east", [Record::Service(service_record("web", ports)), slice]));
    let service = table.service(&web_key()).unwrap();
    assert_eq!(service.ports.len(), 300);
    let last = service.port(300).unwrap().groups().values().next().unwrap();
    assert_eq!(last.endpoints()[0].port, 1300);
}
