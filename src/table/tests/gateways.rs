//! When a labelled Service is a gateway, and when not.

use super::super::testing::*;
use super::super::*;
use super::east;
use crate::model::Health;

/// The usable gateways as `network:socket(member)`, and the reasons of the others.
fn gateways_shown(table: &EndpointTable) -> (Vec<String>, Vec<String>) {
    let set = table.gateways();
    let usable = set.networks().flat_map(|network| set.of(network));
    let usable = usable.map(|gateway| format!("{}:{gateway}", gateway.network)).collect();
    (
        usable,
        set.unusable()
            .iter()
            .map(|unusable| unusable.reason.to_string())
            .collect(),
    )
}

#[test]
fn a_labelled_service_is_a_gateway_while_it_can_be_one() {
    let table = east();
    let changes = table.apply(upsert("east", gateway("gw", "net1", &["192.0.2.1"])));
    assert_eq!(changes.networks, [network("net1")].into());
    assert_eq!(
        gateways_shown(&table),
        (vec!["net1:192.0.2.1:15443 (east)".to_owned()], vec![])
    );
    // It has pods now, none ready.
    let mut down = backend("10.1.0.8", None);
    down.health = Health::NotReady;
    let changes = table.apply(upsert("east", slice("gw-a", "gw", "tls", vec![down])));
    assert_eq!(changes.networks, [network("net1")].into());
    assert_eq!(
        gateways_shown(&table),
        (vec![], vec!["none of its pods is ready".to_owned()])
    );
    table.apply(upsert(
        "east",
        slice("gw-a", "gw", "tls", vec![backend("10.1.0.8", None)]),
    ));
    assert_eq!(gateways_shown(&table).0.len(), 1);
    table.apply(upsert("east", gateway("gw", "net1", &[])));
    assert!(gateways_shown(&table).1[0].contains("no address"));
    let mut claim = service_record("gw", vec![port(443, "tls")]);
    let Record::Service(labelled) = gateway("gw", "net1", &["192.0.2.1"]) else {
        unreachable!()
    };
    claim.gateway = labelled.gateway;
    table.apply(upsert("east", Record::Service(claim)));
    assert!(gateways_shown(&table).1[0].contains("port 15443 is none of its service ports"));
    table.apply(remove("east", &gateway("gw", "net1", &[])));
    assert_eq!(gateways_shown(&table), (vec![], vec![]));
}

#[test]
fn of_two_networks_with_one_address_the_older_service_keeps_it() {
    let table = table();
    for (name, on) in [("east", "net1"), ("west", "net2")] {
        table.apply(joined(name, on));
        table.apply(listed(name, [gateway("gw", on, &["192.0.2.1"])]));
    }
    let (usable, reasons) = gateways_shown(&table);
    assert_eq!(usable, ["net1:192.0.2.1:15443 (east)"]);
    assert_eq!(reasons, ["192.0.2.1:15443 is already a gateway of network net1"]);
    let changes = table.apply(event("east", RegistryChange::Left));
    assert_eq!(changes.networks, [network("net1"), network("net2")].into());
    assert_eq!(gateways_shown(&table).0, ["net2:192.0.2.1:15443 (west)"]);
}
