//! What holds of every assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::weight::gcd;
use super::*;

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let address = prop_oneof![
        3 => (0u8..40).prop_map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last))),
        1 => (0u16..40).prop_map(|last| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last))),
    ];
    let health = prop_oneof![3 => Just(Health::Ready), 1 => Just(Health::Draining), 1 => Just(Health::NotReady)];
    let mtls = prop_oneof![3 => Just(Mtls::Yes), 1 => Just(Mtls::No), 1 => Just(Mtls::PodUnknown)];
    let weight = prop_oneof![4 => Just(1u16), 1 => 1u16..200, 1 => Just(u16::MAX)];
    (address, health, mtls, 0u8..4, 0u8..3, weight).prop_map(|(address, health, mtls, on, zone, weight)| Endpoint {
        addresses: address.into(),
        port: 8080,
        weight,
        health,
        mtls,
        network: network(&format!("net{on}")),
        locality: Locality::new("r", &format!("z{zone}"), ""),
        pod: None,
    })
}

/// Most members stand as all do; of the others each weight and rank comes up.
fn any_standings() -> impl Strategy<Value = BTreeMap<String, (MemberStanding, MemberWeight)>> {
    let weight = || prop_oneof![Just(100u16), Just(0), Just(33), Just(250), 0u16..=1000];
    let rank = prop_oneof![Just(Rank::Normal), Just(Rank::Last), Just(Rank::Out)];
    let one = (0u8..6, weight(), rank, weight()).prop_map(|(of, percent, rank, other)| {
        let [weight, other] = [percent, other].map(|percent| MemberWeight::new(percent).unwrap());
        (format!("m{of}"), (MemberStanding { weight, rank }, other))
    });
    proptest::collection::btree_map(0u8..3, one, 0..3).prop_map(|standings| standings.into_values().collect())
}

/// Mostly nobody asks for anything.
fn any_terms() -> impl Strategy<Value = ServiceTerms> {
    let preference = prop_oneof![
        2 => Just(Preference::default()),
        1 => Just(Preference::same_zone()),
        1 => Just(Preference::by(vec![Shared::Region, Shared::Zone], BTreeMap::new())),
        1 => Just(Preference::by(vec![Shared::Zone, Shared::Network], BTreeMap::new())),
    ];
    let namespaces = prop_oneof![
        Just(None),
        Just(Some(vec![])),
        Just(Some(vec!["a"])),
        Just(Some(vec!["a", "b"]))
    ];
    let reach = prop_oneof![2 => Just(Reach::Mesh), 1 => Just(Reach::Member)];
    let audience = (0u8..4, reach, namespaces).prop_map(|(of, reach, namespaces)| {
        let names = |names: Vec<&str>| names.into_iter().map(Into::into).collect();
        let audience = Audience {
            reach,
            namespaces: namespaces.map(|namespaces| std::sync::Arc::new(names(namespaces))),
        };
        (member(&format!("m{of}")), audience)
    });
    (preference, proptest::collection::vec(audience, 0..2)).prop_map(|(preference, audiences)| ServiceTerms {
        naming: Naming::Own,
        preference,
        audiences: audiences.into_iter().collect(),
    })
}

fn any_port() -> impl Strategy<Value = PortEndpoints> {
    let endpoints = proptest::collection::vec((0u8..4, any_endpoint()), 0..40);
    let zones = prop_oneof![
        2 => Just(vec![]),
        1 => (0u16..=1000).prop_map(|percent| vec![("r", "z1", percent)]),
        1 => Just(vec![("r", "", 0), ("r", "z2", 50)]),
    ];
    let all = (endpoints, any_standings(), any_standings(), any_terms(), zones);
    all.prop_map(|(endpoints, members, networks, terms, zones)| {
        let endpoints = endpoints
            .into_iter()
            .map(|(of, endpoint)| (member(&format!("m{of}")), endpoint));
        let port = PortEndpoints::from_endpoints(
            ServicePort {
                number: 80,
                name: "http".into(),
                app_protocol: "".into(),
            },
            endpoints,
        );
        let port = with_standings(&port, |key| {
            let (member, service) = members.get(key.member.as_str()).copied().unwrap_or_default();
            let network = networks.get(&key.network.as_str().replace("net", "m"));
            GroupStanding {
                member,
                service,
                network: network.map(|(_, weight)| *weight).unwrap_or_default(),
                ..GroupStanding::default()
            }
        });
        with_zones(&with_terms(&port, terms), &zones)
    })
}

fn any_gateways() -> impl Strategy<Value = GatewaySet> {
    // Few addresses, so that several members and networks share some, as a network load balancer in front of two does.
    // Of member 4 is none: those belong to the network as a whole.
    let one = (0u8..4, 0u8..5, 0u8..6, any::<bool>()).prop_map(|(on, of, last, v6)| NetworkGateway {
        network: network(&format!("net{on}")),
        member: (of < 4).then(|| member(&format!("m{of}"))),
        address: match v6 {
            true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)).into(),
            false => Ipv4Addr::new(192, 0, 2, last).into(),
        },
        port: 15443,
    });
    proptest::collection::vec(one, 0..12).prop_map(gateways)
}

fn any_viewer() -> impl Strategy<Value = ViewKey> {
    let families = prop_oneof![
        Just(AddressFamilies::V4),
        Just(AddressFamilies::V6),
        Just(AddressFamilies::Dual)
    ];
    let balancing = prop_oneof![Just(Balancing::ByEndpoint), Just(Balancing::ByLocality)];
    let namespace = prop_oneof![Just("a"), Just("b"), Just("")];
    (0u8..4, families, balancing, 0u8..5, namespace, 0u8..4).prop_map(
        |(on, families, balancing, of, namespace, zone)| ViewKey {
            balancing,
            vantage: Vantage {
                member: (of < 4).then(|| member(&format!("m{of}"))),
                namespace: namespace.into(),
                locality: match zone {
                    3 => Locality::default(),
                    zone => Locality::new("r", &format!("z{zone}"), ""),
                },
            },
            ..ViewKey::endpoints(network(&format!("net{on}")), families)
        },
    )
}

/// Each socket's priority and share of that one's traffic as `numerator / common denominator`, counted endpoint by endpoint from
/// the verdicts.
fn expected_shares(
    viewer: &ViewKey,
    port: &PortEndpoints,
    explanation: &Explanation,
) -> BTreeMap<u32, BTreeMap<SocketAddr, u128>> {
    // Divisible by every possible number of ways, which is all that a common denominator must be.
    let one: u128 = 27_720;
    let preference = port.terms().map(|terms| terms.preference.clone()).unwrap_or_default();
    let mut by_rank: BTreeMap<Rank, BTreeMap<SocketAddr, (Distance, u128)>> = BTreeMap::new();
    for candidate in &explanation.candidates {
        let endpoint = &candidate.endpoint;
        let one = one * candidate.standing.parts() * u128::from(endpoint.weight);
        let distance = preference.distance(viewer, &endpoint.network, &endpoint.locality);
        let sockets = match &candidate.verdict {
            Verdict::Direct(socket) => vec![*socket],
            Verdict::Via(gateways) => gateways.iter().map(NetworkGateway::socket).collect(),
            Verdict::Withheld(_) => continue,
        };
        let of_rank = by_rank.entry(candidate.standing.rank()).or_default();
        for socket in &sockets {
            let (nearest, sum) = of_rank.entry(*socket).or_insert((distance, 0));
            *nearest = distance.min(*nearest);
            *sum += one / sockets.len() as u128;
        }
    }
    if let Some(normal) = by_rank.get(&Rank::Normal).cloned()
        && let Some(last) = by_rank.get_mut(&Rank::Last)
    {
        last.retain(|socket, _| !normal.contains_key(socket));
    }
    let mut levels: BTreeMap<(Rank, Distance), BTreeMap<SocketAddr, u128>> = BTreeMap::new();
    for (rank, sockets) in by_rank {
        for (socket, (distance, sum)) in sockets {
            levels.entry((rank, distance)).or_default().insert(socket, sum);
        }
    }
    (0..).zip(levels.into_values()).collect()
}

proptest! {
    #[test]
    fn share_of_traffic_is_share_of_the_weight_of_ready_endpoints(viewer in any_viewer(), port in any_port(), gateways in any_gateways()) {
        let explanation = explain(&viewer, &port, &gateways);
        let expected = expected_shares(&viewer, &port, &explanation);
        // What 32 bits can't hold is rounded.
        let shares = || expected.values().flat_map(BTreeMap::values).copied();
        prop_assume!(shares().sum::<u128>() / shares().fold(0, gcd).max(1) <= u128::from(u32::MAX));
        let mut weights: BTreeMap<u32, BTreeMap<SocketAddr, u128>> = BTreeMap::new();
        for group in &explanation.assignment.localities {
            let of_priority = weights.entry(group.priority).or_default();
            of_priority.extend(group.endpoints.iter().map(|endpoint| {
                (SocketAddr::new(endpoint.address, endpoint.port), u128::from(endpoint.weight.get()))
            }));
        }
        prop_assert_eq!(weights.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (priority, weights) in weights {
            let expected = &expected[&priority];
            prop_assert_eq!(weights.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            let (weight_sum, share_sum): (u128, u128) = (weights.values().sum(), expected.values().sum());
            for (socket, weight) in &weights {
                prop_assert_eq!(weight * share_sum, expected[socket] * weight_sum, "{}", socket);
            }
        }
    }

    #[test]
    fn priorities_leave_no_number_out_and_come_in_order(
        viewer in any_viewer(), port in any_port(), gateways in any_gateways()
    ) {
        let assignment = assign(&viewer, &port, &gateways);
        let priorities: Vec<_> = assignment.localities.iter().map(|group| group.priority).collect();
        prop_assert!(priorities.is_sorted());
        let distinct: BTreeSet<_> = priorities.into_iter().collect();
        prop_assert!(distinct.iter().copied().eq(0..u32::try_from(distinct.len()).unwrap()));
    }

    #[test]
    fn a_member_that_is_drained_or_dropped_is_sent_nothing(
        viewer in any_viewer(), port in any_port(), gateways in any_gateways()
    ) {
        for candidate in explain(&viewer, &port, &gateways).candidates {
            if !candidate.standing.serves() {
                prop_assert!(matches!(candidate.verdict, Verdict::Withheld(_)));
            }
        }
    }

    #[test]
    fn who_honours_weights_of_localities_only_finds_equals_in_each(
        viewer in any_viewer(), port in any_port(), gateways in any_gateways()
    ) {
        let even = ViewKey { balancing: Balancing::ByLocality, ..viewer.clone() };
        let even = assign(&even, &port, &gateways);
        for group in &even.localities {
            prop_assert!(group.endpoints.iter().all(|endpoint| endpoint.weight == group.endpoints[0].weight));
        }
        let places: Vec<_> = even.localities.iter().map(|group| (group.priority, &group.locality)).collect();
        prop_assert!(places.is_sorted_by(|a, b| a < b), "each once, in order");
        let other = ViewKey { balancing: Balancing::ByEndpoint, ..viewer };
        let other = assign(&other, &port, &gateways);
        let endpoints = |assignment: &Assignment| -> BTreeSet<WeightedAddress> {
            assignment.iter().map(|(_, endpoint)| endpoint.clone()).collect()
        };
        prop_assert_eq!(endpoints(&even), endpoints(&other));
        for (locality, _) in other.iter() {
            prop_assert!(even.localities.iter().any(|group| group.locality == *locality), "it keeps its name");
        }
    }

    #[test]
    fn what_does_not_count_of_a_vantage_changes_nothing(viewer in any_viewer(), port in any_port(), gateways in any_gateways()) {
        let aspect = port.terms().map(ServiceTerms::aspect).unwrap_or_default();
        let less = ViewKey { vantage: viewer.vantage.only(aspect), ..viewer.clone() };
        prop_assert_eq!(assign(&viewer, &port, &gateways), assign(&less, &port, &gateways));
    }

    #[test]
    fn where_nobody_asks_there_is_one_priority_for_all_that_is_fresh(
        viewer in any_viewer(), port in any_port(), gateways in any_gateways()
    ) {
        let fresh = with_terms(&with_standings(&port, |_| GroupStanding::default()), ServiceTerms::default());
        let assignment = assign(&viewer, &fresh, &gateways);
        prop_assert!(assignment.localities.iter().all(|group| group.priority == 0));
    }

    #[test]
    fn the_order_of_records_never_matters(
        viewer in any_viewer(),
        endpoints in proptest::collection::vec((0u8..4, any_endpoint()), 0..12),
        terms in any_terms(),
        gateways in any_gateways(),
        turn in 0usize..12,
    ) {
        let port = |endpoints: &[(u8, Endpoint)]| {
            let all = endpoints.iter().map(|(of, endpoint)| (member(&format!("m{of}")), endpoint.clone()));
            let port = ServicePort { number: 80, name: "http".into(), app_protocol: "".into() };
            with_terms(&PortEndpoints::from_endpoints(port, all), terms.clone())
        };
        let mut turned = endpoints.clone();
        turned.reverse();
        turned.rotate_left(turn.min(endpoints.len()));
        prop_assert_eq!(assign(&viewer, &port(&endpoints), &gateways), assign(&viewer, &port(&turned), &gateways));
    }

    #[test]
    fn an_address_is_once_in_an_assignment(viewer in any_viewer(), port in any_port(), gateways in any_gateways()) {
        let assignment = assign(&viewer, &port, &gateways);
        let sockets: Vec<_> = assignment.iter().map(|(_, endpoint)| (endpoint.address, endpoint.port)).collect();
        prop_assert_eq!(sockets.iter().collect::<BTreeSet<_>>().len(), sockets.len());
    }

    #[test]
    fn the_viewers_own_network_is_always_direct_and_others_never(
        viewer in any_viewer(), port in any_port(), gateways in any_gateways()
    ) {
        for candidate in explain(&viewer, &port, &gateways).candidates {
            let home = candidate.endpoint.network == viewer.network;
            match candidate.verdict {
                Verdict::Direct(socket) => {
                    prop_assert!(home);
                    prop_assert!(candidate.endpoint.addresses.iter().any(|address| address == socket.ip()));
                }
                Verdict::Via(via) => {
                    prop_assert!(!home);
                    for gateway in via {
                        prop_assert_eq!(&gateway.network, &candidate.endpoint.network);
                    }
                }
                Verdict::Withheld(_) => {}
            }
        }
    }
}
