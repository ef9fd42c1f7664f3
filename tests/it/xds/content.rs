//! What is in the messages: rules that clients check, in worlds of random shapes.

use std::collections::BTreeSet;
use std::fmt::Write;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message;

use super::super::control_plane::ControlPlane;
use super::super::envoys::WEB;
use super::super::harness::Dialect;
use super::super::manifests::{Members, Pod};
use super::client::{Answer, CDS, Client, EDS, hosts};

/// What gRPC clients and Envoys refuse an assignment for.
fn check(assignment: &ClusterLoadAssignment, name: &str) {
    assert_eq!(assignment.cluster_name, name, "R111");
    let addresses: Vec<String> = hosts(assignment)
        .iter()
        .map(|host| host.split('*').next().unwrap_or_default().to_owned())
        .collect();
    let unique: BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(
        unique.len(),
        addresses.len(),
        "R112: an address stands once: {addresses:?}"
    );
    let mut priorities = BTreeSet::new();
    let mut localities = BTreeSet::new();
    let mut sum = 0_u64;
    for group in &assignment.endpoints {
        let locality = group.locality.clone().unwrap_or_default();
        let locality = (group.priority, locality.region, locality.zone, locality.sub_zone);
        assert!(
            localities.insert(locality),
            "R112: a locality stands once in a priority"
        );
        priorities.insert(group.priority);
        let weight = group
            .load_balancing_weight
            .as_ref()
            .expect("R112: a locality has a weight")
            .value;
        assert!(weight > 0, "R115");
        sum += u64::from(weight);
        assert!(!group.lb_endpoints.is_empty());
        for endpoint in &group.lb_endpoints {
            assert!(
                endpoint.load_balancing_weight.as_ref().expect("a weight").value > 0,
                "R115"
            );
            assert!(endpoint.encoded_len() <= 40, "R117: {} bytes", endpoint.encoded_len());
        }
    }
    assert!(
        sum <= u64::from(u32::MAX),
        "R112: the weights of a priority add up in 32 bits"
    );
    let expected: Vec<u32> = (0..).take(priorities.len()).collect();
    assert_eq!(
        priorities.into_iter().collect::<Vec<_>>(),
        expected,
        "R112: no gap in priorities"
    );
}

/// A small generator: the shapes need to differ, not to be random.
fn draw(seed: &mut u64, end: u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % end
}

#[tokio::test]
async fn r111_r112_r115_r117_assignments_of_any_shape_are_what_clients_take() {
    let members = Members::new();
    for (member, network) in [("east", "net1"), ("west", "net2"), ("north", "net2"), ("south", "net3")] {
        members.place(member, network);
        members.web(member, &[]);
    }
    members.gateway("east", "net1", "192.0.2.1");
    members.gateway("west", "net2", "192.0.2.2");
    // Of two members on one network with one address.
    members.gateway("north", "net2", "192.0.2.2");
    let server = ControlPlane::on_members(members.path()).await;
    let mut clients = Vec::new();
    for member in ["east", "west", "south"] {
        let mut client = Client::connect(server.xds, Dialect::Delta, member).await;
        client.ask(EDS, &[WEB]).await;
        assert!(client.take(EDS).await.hosts().is_empty());
        clients.push(client);
    }
    let mut seed = 7;
    for round in 0..12_u64 {
        for (n, member) in ["east", "west", "north", "south"].into_iter().enumerate() {
            let count = draw(&mut seed, 6);
            let pods: Vec<Pod> = (0..count)
                .map(|pod| {
                    let made = Pod::new(&format!("p{pod}"), &format!("10.{}.0.{}", n + 1, pod + 1));
                    match draw(&mut seed, 5) {
                        0 => made.unready(),
                        1 => made.plaintext(),
                        _ => made,
                    }
                })
                .collect();
            members.web(member, &pods);
        }
        // A pod that only this round has tells when it is all there.
        let mark = format!("10.1.1.{}", round + 1);
        members.web("east", &[Pod::new("mark", &mark), Pod::new("same", "10.1.0.1")]);
        let address = format!("{mark}:8080*1");
        loop {
            let answer = clients[0].take(EDS).await;
            check_all(&answer);
            if answer.hosts().contains(&address) {
                break;
            }
        }
    }
    // Whatever the others were sent meanwhile was good too; the last thing that they are sent is the end.
    members.web("east", &[]);
    for member in ["west", "north", "south"] {
        members.web(member, &[]);
    }
    for client in &mut clients {
        loop {
            let answer = client.take(EDS).await;
            check_all(&answer);
            if answer.hosts().is_empty() {
                break;
            }
        }
    }
}

fn check_all(answer: &Answer) {
    for assignment in answer.assignments() {
        check(&assignment, WEB);
    }
}

#[tokio::test]
async fn r113_a_port_or_address_that_envoys_refuse_costs_that_endpoint_alone() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let mut text =
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: bad\n  namespace: shop\n  \
         labels: {kubernetes.io/service-name: web}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n"
            .to_owned();
    for address in ["10.1.0.2", "10.1.0.999", "web.example.org", "''", "10.1.0.3"] {
        writeln!(text, "  - addresses: [{address}]").expect("a String takes everything");
    }
    members.write("east", "bad.yaml", &text);
    members.write(
        "east",
        "port.yaml",
        &text
            .replace("name: bad", "name: port")
            .replace("8080", "70000")
            .replace("10.1.0.", "10.1.9."),
    );
    let server = ControlPlane::on_members(members.path()).await;
    let mut client = Client::connect(server.xds, Dialect::Delta, "east").await;
    client.ask(EDS, &[WEB]).await;
    let answer = client.take(EDS).await;
    check_all(&answer);
    assert_eq!(
        answer.hosts(),
        ["10.1.0.1:8080*1", "10.1.0.2:8080*1", "10.1.0.3:8080*1"]
    );
}

#[tokio::test]
async fn r79_r106_clusters_name_no_other_assignment_and_no_load_server() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[]);
    members.gateway("east", "net1", "192.0.2.1");
    let server = ControlPlane::on_members(members.path()).await;
    let mut client = Client::connect(server.xds, Dialect::Sotw, "east").await;
    client.ask(CDS, &[]).await;
    let clusters = client.take(CDS).await.resources;
    assert!(clusters.len() >= 2);
    for any in clusters {
        let cluster = Cluster::decode(&*any.value).expect("a cluster");
        // Two clusters can't share an assignment: Envoy would ask for it once and leave the second one waiting.
        let eds = cluster.eds_cluster_config.expect("it is an EDS cluster");
        assert!(eds.service_name.is_empty() || eds.service_name == cluster.name);
        assert_eq!(cluster.lrs_server, None);
    }
}
