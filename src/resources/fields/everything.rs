//! Every resource that there is, with everything in it that there may be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    AddressFamilies, DnsTarget, InboundPolicy, Locality, Mtls, MtlsMode, Probe, ProbeQuestion, Schema, ServiceKey,
};
use crate::resources::{
    Application, AssignmentSpec, CaptureSpec, CertificateSource, ClusterName, ClusterSpec, Destination,
    DirectClusterSpec, DirectName, DnsName, DnsSpec, FixedCluster, FixedClusterSpec, GatewayClusterSpec,
    GatewayListenerSpec, HostClusterSpec, HostWay, InboundSpec, ListenerSpec, OutboundListener, OutboundSpec,
    OutboundTarget, Outlier, Outside, OutsideHosts, RankedTarget, Resource, ResourceSpec, RouteSpec, RoutesSpec,
    SecretSpec, SidecarClusterSpec, TrafficSettings, VirtualService,
};
use crate::view::{Assignment, LocalityEndpoints, Speaks, WeightedAddress};

const FAMILIES: [AddressFamilies; 3] = [AddressFamilies::V4, AddressFamilies::V6, AddressFamilies::Dual];

/// All of them, as those are told who know so much.
pub(super) fn resources(schema: Schema) -> Vec<Resource> {
    let settings = settings();
    let specs = settings.iter().flat_map(|settings| {
        let mut specs = clusters(settings, schema);
        specs.extend(listeners(settings));
        specs
    });
    let specs: Vec<_> = specs.collect();
    let kinds: BTreeSet<_> = specs.iter().map(kind).collect();
    assert_eq!(kinds.len(), KINDS, "a kind that is added must be among these");
    let workload = SecretSpec::Workload {
        chain: "a",
        key: "b",
        version: crate::resources::Version::of(&"a"),
    };
    let secrets = [workload, SecretSpec::Roots("c")];
    let secrets = secrets.iter().map(SecretSpec::encode);
    specs.iter().map(ResourceSpec::encode).chain(secrets).collect()
}

const KINDS: usize = 15;

fn kind(spec: &ResourceSpec) -> usize {
    match spec {
        ResourceSpec::Cluster(_) => 0,
        ResourceSpec::Assignment(_) => 1,
        ResourceSpec::Listener(_) => 2,
        ResourceSpec::Route(_) => 3,
        ResourceSpec::FixedCluster(_) => 4,
        ResourceSpec::SidecarCluster(_) => 5,
        ResourceSpec::DirectCluster(_) => 6,
        ResourceSpec::HostCluster(_) => 7,
        ResourceSpec::GatewayCluster(_) => 8,
        ResourceSpec::Capture(_) => 9,
        ResourceSpec::Outbound(_) => 10,
        ResourceSpec::Routes(_) => 11,
        ResourceSpec::Inbound(_) => 12,
        ResourceSpec::Dns(_) => 13,
        ResourceSpec::GatewayListener(_) => KINDS - 1,
    }
}

fn settings() -> [Arc<TrafficSettings>; 2] {
    let usual = TrafficSettings {
        domain: "cluster.local".into(),
        trust_domains: vec!["cluster.local".into()],
        certificates: Some(CertificateSource::Ads),
        outside: Outside::Block,
        application: Application::Localhost,
        requests_per_connection: 7,
        connection_age: Duration::from_secs(10),
        dns: true,
        access_log: Some("/dev/stdout".into()),
        outlier: Outlier {
            failure_percentage: 90,
            minimum_requests: 5,
            consecutive: 20,
            interval: Duration::from_millis(2500),
            ejection: Duration::from_secs(15),
        },
    };
    let files = TrafficSettings {
        certificates: Some(CertificateSource::Files("/certificates".into())),
        outside: Outside::Passthrough,
        ..usual.clone()
    };
    [usual, files].map(Arc::new)
}

fn name(service: ServiceKey) -> ClusterName {
    ClusterName { service, port: 80 }
}

fn web() -> ClusterName {
    name(ServiceKey::new("shop", "web"))
}

fn target(name: &str, mtls: Mtls) -> DnsTarget {
    DnsTarget {
        name: name.into(),
        port: 443,
        weight: 3,
        locality: Locality::new("r", "z", "s"),
        mtls,
    }
}

fn ranked(priority: u32, name: &str, mtls: Mtls) -> RankedTarget {
    let target = target(name, mtls);
    RankedTarget { priority, target }
}

fn clusters(settings: &Arc<TrafficSettings>, schema: Schema) -> Vec<ResourceSpec> {
    let settings = || Arc::clone(settings);
    let mut specs = vec![
        ResourceSpec::Cluster(ClusterSpec { name: "a".into() }),
        ResourceSpec::Assignment(assignment()),
        ResourceSpec::SidecarCluster(SidecarClusterSpec {
            name: web(),
            settings: settings(),
        }),
        ResourceSpec::DirectCluster(DirectClusterSpec {
            name: DirectName(web()),
            port: Some(8080),
            settings: settings(),
        }),
        ResourceSpec::GatewayCluster(GatewayClusterSpec {
            name: "a".into(),
            outlier: settings().outlier.clone(),
        }),
    ];
    for families in FAMILIES {
        let fixed = FixedCluster::ALL.map(|cluster| FixedClusterSpec { cluster, families });
        specs.extend(fixed.map(ResourceSpec::FixedCluster));
        for way in [
            HostWay::Endpoints,
            HostWay::Names(vec![ranked(0, "a.x", Mtls::Yes), ranked(1, "b.x", Mtls::No)]),
            HostWay::Name(vec![target("a.x", Mtls::No)]),
            HostWay::Original,
        ] {
            for settings in [None, Some(settings())] {
                specs.push(ResourceSpec::HostCluster(HostClusterSpec {
                    name: name(ServiceKey::outside("api.x")),
                    namespace: "shop".into(),
                    way: way.clone(),
                    schema,
                    families,
                    domain: "cluster.local".into(),
                    settings,
                }));
            }
        }
    }
    specs
}

fn assignment() -> AssignmentSpec {
    let group = |priority, speaks| LocalityEndpoints {
        priority,
        locality: Locality::new("r", "z", "s"),
        endpoints: vec![WeightedAddress {
            address: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            weight: NonZeroU32::new(3).unwrap(),
            speaks,
        }],
    };
    AssignmentSpec {
        name: "a".into(),
        assignment: Assignment {
            localities: vec![group(0, Speaks::Default), group(1, Speaks::Plaintext)],
        },
    }
}

fn listeners(settings: &Arc<TrafficSettings>) -> Vec<ResourceSpec> {
    let settings = || Arc::clone(settings);
    let mut specs = vec![
        ResourceSpec::Listener(ListenerSpec {
            name: "a".into(),
            routes: "b".into(),
        }),
        ResourceSpec::Route(RouteSpec { name: "b".into() }),
        ResourceSpec::Routes(RoutesSpec {
            port: 80,
            namespace: "shop".into(),
            services: vec![VirtualService {
                service: ServiceKey::new("shop", "web"),
                addresses: vec![IpAddr::from([10, 96, 0, 1])],
                to: Destination::Endpoints(web()),
                steps: 3,
            }],
            settings: settings(),
        }),
    ];
    let probes = [ProbeQuestion::Http("/healthz".into()), ProbeQuestion::Grpc];
    let probes = probes.map(|question| Probe { port: 8080, question });
    let policy = Arc::new(InboundPolicy::new(
        MtlsMode::Strict,
        [(8081, MtlsMode::Permissive), (8082, MtlsMode::Disable)].into(),
        &probes,
    ));
    let to = || Destination::Endpoints(web());
    for families in FAMILIES {
        specs.push(ResourceSpec::Capture(CaptureSpec {
            families,
            settings: settings(),
        }));
        specs.push(ResourceSpec::Inbound(InboundSpec {
            families,
            policy: Arc::clone(&policy),
            settings: settings(),
        }));
        let names = vec![DnsName {
            name: "web.shop.global".to_owned(),
            addresses: vec![IpAddr::from([240, 0, 0, 1])],
        }];
        specs.push(ResourceSpec::Dns(DnsSpec::new(names, families, settings())));
        specs.push(ResourceSpec::GatewayListener(GatewayListenerSpec {
            families,
            hosts: vec!["outbound_.80_._.api.x".into()],
            settings: settings(),
        }));
        for (address, target) in [
            (None, OutboundTarget::Names),
            (Some([10, 96, 0, 1]), OutboundTarget::Bytes(to())),
            (Some([10, 96, 0, 1]), OutboundTarget::Sniffed(to())),
        ] {
            specs.push(ResourceSpec::Outbound(OutboundSpec {
                families,
                listener: OutboundListener {
                    address: address.map(IpAddr::from),
                    port: 80,
                },
                target,
                hosts: OutsideHosts {
                    by_sni: vec![web()],
                    rest: Some(web()),
                },
                settings: settings(),
            }));
        }
    }
    specs
}
