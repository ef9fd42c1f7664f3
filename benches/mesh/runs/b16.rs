//! B16: the pure parts alone, in this process: split horizon, building and encoding, merging into the table. The shapes are
//! those of Istio's `EndpointGeneration`: endpoints over four networks with a gateway each.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use parallax::model::{
    AddressFamilies, Addresses, ClusterId, Endpoint, GatewaySet, Health, Locality, Mtls, NetworkGateway, NetworkId,
    ObjectName, PortEndpoints, ServiceKey, ServicePort, ViewKey,
};
use parallax::resources::AssignmentSpec;
use parallax::table::{
    EndpointTable, Kind, PodRecord, Record, RegistryChange, RegistryEvent, ServiceRecord, SliceEndpoint, SliceRecord,
    TableSettings,
};
use parallax::view::assign;

use crate::clock;
use crate::options::Options;
use crate::results::{Goal, Results, Row};

const NETWORKS: usize = 4;
/// Each shape is run for this long and repetition.
const LONG: u64 = 100_000_000;

fn network(at: usize) -> NetworkId {
    NetworkId::new(&format!("network-{at}")).expect("a valid name")
}

fn member(at: usize) -> ClusterId {
    ClusterId::new(&format!("member-{at}")).expect("a valid name")
}

fn address(at: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + u32::try_from(at).unwrap_or_default()).into()
}

fn port(endpoints: usize, networks: usize) -> PortEndpoints {
    let localities: Vec<_> = (0..3)
        .map(|zone| Locality::new("region", &format!("zone-{zone}"), ""))
        .collect();
    let endpoints = (0..endpoints).map(|at| {
        let endpoint = Endpoint {
            addresses: Addresses::from(address(at)),
            port: 8080,
            weight: 1,
            health: Health::Ready,
            mtls: Mtls::Yes,
            network: network(at % networks),
            locality: localities[at % 3].clone(),
            pod: Some(ObjectName::new("shop", &format!("web-{at}")).into()),
        };
        (member(at % networks), endpoint)
    });
    let port = ServicePort {
        number: 8080,
        name: "http".into(),
        app_protocol: "".into(),
    };
    PortEndpoints::from_endpoints(port, endpoints)
}

fn gateways() -> GatewaySet {
    let gateways = (0..NETWORKS).map(|at| NetworkGateway {
        network: network(at),
        member: Some(member(at)),
        address: Ipv4Addr::new(203, 0, 113, u8::try_from(at).unwrap_or_default()).into(),
        port: 15443,
    });
    GatewaySet::new(gateways, Vec::new())
}

/// Nanoseconds of one call.
fn time(mut call: impl FnMut()) -> f64 {
    let begun = clock::now();
    let mut calls = 0;
    loop {
        call();
        calls += 1;
        let took = clock::now() - begun;
        if took > LONG {
            return took as f64 / f64::from(calls);
        }
    }
}

fn allocations(call: impl FnOnce()) -> f64 {
    allocation_counter::measure(call).count_total as f64
}

pub(crate) fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (endpoints, services) in [(1, 100), (10, 10), (100, 10), (1000, 1)] {
        for (viewer, standing, networks) in [
            ("on none of the networks", "elsewhere".to_owned(), NETWORKS),
            ("on one of the networks", "network-0".to_owned(), NETWORKS),
            ("all endpoints its own", "network-0".to_owned(), 1),
        ] {
            let key = ViewKey::endpoints(NetworkId::new(&standing)?, AddressFamilies::V4);
            let ports: Vec<_> = (0..services).map(|_| port(endpoints, networks)).collect();
            let gateways = gateways();
            let all = (endpoints * services) as f64;
            let name: Arc<str> = "outbound|8080||web.shop.svc.cluster.local".into();
            let build = |port| {
                let assignment = assign(black_box(&key), port, &gateways);
                AssignmentSpec {
                    name: Arc::clone(&name),
                    assignment,
                }
            };
            let encode = || {
                for port in &ports {
                    let spec = build(port);
                    black_box((spec.version(), spec.encode()));
                }
            };
            let split = || {
                for port in &ports {
                    black_box(build(port));
                }
            };
            let case = format!("{endpoints} endpoints; {services} services; viewer {viewer}");
            let row = |metric, unit| Row::new("B16", &case, metric, unit);
            // With one endpoint a service, an endpoint is a service: its name and locality are nothing to spread.
            let goal = (endpoints >= 10).then_some(Goal::AtMost(150.0));
            rows.extend([
                row("split horizon, build, encode", "ns per endpoint")
                    .values((0..options.repeat).map(|_| time(encode) / all))
                    .goal(goal),
                row("split horizon alone", "ns per endpoint").values((0..options.repeat).map(|_| time(split) / all)),
                row("allocations, split horizon", "per endpoint").values([allocations(split) / all]),
                row("allocations in all", "per endpoint").values([allocations(encode) / all]),
            ]);
        }
    }
    for endpoints in [10, 100, 1000] {
        rows.extend(merge(options, endpoints));
    }
    results.keep(&rows)
}

/// One endpoint of a service changes in the table: derive, merge, swap.
fn merge(options: &Options, endpoints: usize) -> [Row; 2] {
    let table = EndpointTable::new(TableSettings::new(network(0), "istio-system"));
    for at in 0..NETWORKS {
        table.apply(said(
            at,
            RegistryChange::Joined {
                network: Some(network(at)),
            },
        ));
        let mut lists: BTreeMap<Kind, Vec<Record>> = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
        lists.insert(Kind::Service, vec![service()]);
        lists.insert(Kind::EndpointSlice, vec![slice(at, endpoints / NETWORKS, 0)]);
        let pods = (0..endpoints / NETWORKS).map(|pod| {
            Record::Pod(PodRecord {
                name: ObjectName::new("shop", &format!("web-{pod}")).into(),
                network: None,
                mtls: true,
                node: None,
                locality: None,
                addresses: Some(address(pod).into()),
                ready: true,
                traits: Arc::default(),
            })
        });
        lists.insert(Kind::Pod, pods.collect());
        table.apply(said(at, RegistryChange::Replace(lists)));
    }
    let mut count = 0;
    let mut change = || {
        count += 1;
        let slice = slice(0, endpoints / NETWORKS, count);
        black_box(table.apply(said(0, RegistryChange::Upsert(slice))));
    };
    // Making the event is the reader's work.
    let mut made = 0;
    let mut make = || {
        made += 1;
        black_box(slice(0, endpoints / NETWORKS, made));
    };
    let case = format!("{endpoints} endpoints over {NETWORKS} networks; one changes");
    let all = endpoints as f64;
    let times: Vec<_> = (0..options.repeat)
        .map(|_| (time(&mut change) - time(&mut make)) / all)
        .collect();
    let count = allocations(&mut change) - allocations(&mut make);
    [
        Row::new("B16", &case, "into the table", "ns per endpoint").values(times),
        Row::new("B16", &case, "allocations, into the table", "per endpoint").values([count / all]),
    ]
}

fn said(at: usize, change: RegistryChange) -> RegistryEvent {
    RegistryEvent {
        member: member(at),
        change,
    }
}

fn service() -> Record {
    Record::Service(ServiceRecord {
        key: ServiceKey::new("shop", "web"),
        created: None,
        headless: false,
        cluster_ips: Vec::new(),
        publish_not_ready: false,
        ports: vec![ServicePort {
            number: 8080,
            name: "http".into(),
            app_protocol: "".into(),
        }],
        selector: Vec::new(),
        targets: Vec::new(),
        gateway: None,
        exposure: None,
        terms: None,
    })
}

fn slice(member: usize, endpoints: usize, changed: usize) -> Record {
    let endpoints = (0..endpoints).map(|at| SliceEndpoint {
        addresses: Addresses::from(address(
            member * 10_000 + at + if at == 0 { 100_000 + changed % 2 } else { 0 },
        )),
        health: Health::Ready,
        pod: Some(ObjectName::new("shop", &format!("web-{at}")).into()),
        node: None,
        zone: None,
        host: None,
    });
    Record::EndpointSlice(SliceRecord {
        name: ObjectName::new("shop", "web-abc"),
        service: ServiceKey::new("shop", "web"),
        ports: vec![("http".into(), 8080)],
        endpoints: endpoints.collect(),
    })
}
