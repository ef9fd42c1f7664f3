//! What holds of every assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

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
fn any_standings() -> impl Strategy<Value = BTreeMap<ClusterId, MemberStanding>> {
    let weight = prop_oneof![Just(100u16), Just(0), Just(33), Just(250), 0u16..=1000];
    let rank = prop_oneof![Just(Rank::Normal), Just(Rank::Last), Just(Rank::Out)];
    let one = (0u8..6, weight, rank).prop_map(|(of, percent, rank)| {
        let weight = MemberWeight::new(percent).unwrap();
        (member(&format!("m{of}")), MemberStanding { weight, rank })
    });
    proptest::collection::btree_map(0u8..3, one, 0..3).prop_map(|standings| standings.into_values().collect())
}

fn any_port() -> impl Strategy<Value = PortEndpoints> {
    let endpoints = proptest::collection::vec((0u8..4, any_endpoint()), 0..40);
    (endpoints, any_standings()).prop_map(|(endpoints, standings)| {
        let port = ServicePort {
            number: 80,
            name: "http".into(),
            app_protocol: "".into(),
        };
        let port = PortEndpoints::from_endpoints(
            port,
            endpoints
                .into_iter()
                .map(|(of, endpoint)| (member(&format!("m{of}")), endpoint)),
        );
        PortEndpoints::with_standings(port.port.clone(), port.groups().clone(), standings)
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
    (0u8..4, families, balancing).prop_map(|(on, families, balancing)| ViewKey {
        balancing,
        ..ViewKey::endpoints(network(&format!("net{on}")), families)
    })
}

/// Each socket's priority and share of that one's traffic as `numerator / common denominator`, counted endpoint by endpoint from
/// the verdicts.
fn expected_shares(explanation: &Explanation) -> BTreeMap<u32, BTreeMap<SocketAddr, u128>> {
    // Divisible by every possible number of ways, which is all that a common denominator must be.
    let one: u128 = 27_720;
    let mut by_rank: BTreeMap<Rank, BTreeMap<SocketAddr, u128>> = BTreeMap::new();
    for candidate in &explanation.candidates {
        let MemberStanding { weight, rank } = candidate.standing;
        let one = one * u128::from(weight.percent()) * u128::from(candidate.endpoint.weight);
        let sockets = match &candidate.verdict {
            Verdict::Direct(socket) => vec![*socket],
            Verdict::Via(gateways) => gateways.iter().map(NetworkGateway::socket).collect(),
            Verdict::Withheld(_) => continue,
        };
        for socket in &sockets {
            *by_rank.entry(rank).or_default().entry(*socket).or_default() += one / sockets.len() as u128;
        }
    }
    if let Some(normal) = by_rank.get(&Rank::Normal).cloned()
        && let Some(last) = by_rank.get_mut(&Rank::Last)
    {
        last.retain(|socket, _| !normal.contains_key(socket));
    }
    by_rank.retain(|_, sockets| !sockets.is_empty());
    (0..).zip(by_rank.into_values()).collect()
}

proptest! {
    #[test]
    fn share_of_traffic_is_share_of_the_weight_of_ready_endpoints(viewer in any_viewer(), port in any_port(), gateways in any_gateways()) {
        let explanation = explain(&viewer, &port, &gateways);
        let expected = expected_shares(&explanation);
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
