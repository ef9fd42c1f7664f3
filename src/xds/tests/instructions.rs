//! Instruction counts of the pure parts, as callgrind counts them: a regression shows without anything being timed.
//!
//! It stands here and not in `tests/`, since only here a session can be reached. What is counted is the debug build that the
//! tests are anyway: a second build, optimised, would cost minutes, and what makes such code slow (one more pass, a copy, an
//! allocation for each endpoint) shows in both. The compiler's version is pinned, so counts hardly vary; bounds leave a third.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use envoy_types::pb::envoy::config::core::v3::{Extension, Node};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::Message;

use super::super::codec::RequestMessage;
use super::super::session::{Body, Request, Response, Session};
use super::super::{Dialect, ProxyNode, requests, wire};
use super::*;
use crate::cache::Lookup;
use crate::model::{Addresses, Endpoint, GatewaySet, Health, Mtls, NetworkGateway, PortEndpoints, ServicePort};
use crate::resources::AssignmentSpec;
use crate::table::testing::{backend, joined, listed, member, network, service, slice, table, upsert};
use crate::view::assign;

const NAME: &str = "outbound|8080||web.shop.svc.cluster.local";

/// Each step with the most instructions that it may take.
const STEPS: [(&str, u64); 8] = [
    // 1,000 endpoints over four networks, the viewer on none of them, and on one.
    ("counted_split_elsewhere", 52_000),
    ("counted_split_here", 880_000),
    // The version of that, and its encoding.
    ("counted_encode", 2_650_000),
    // A slice of 100 endpoints with one changed, into the table.
    ("counted_merge", 1_400_000),
    // The first request of an Envoy, 58 kB, and its node.
    ("counted_first_request", 820_000),
    // A session's first answer, of 50 assignments.
    ("counted_first_answer", 1_600_000),
    // A change, the answer and its ACK.
    ("counted_change", 38_000),
    // That answer as it goes over the wire.
    ("counted_wire", 23_000),
];

/// Runs a step within a function of this name, which callgrind looks for.
macro_rules! counted {
    ($name:ident, $step:expr) => {{
        #[inline(never)]
        fn $name<T>(step: impl FnOnce() -> T) -> T {
            black_box(step())
        }
        $name($step)
    }};
}

fn port(endpoints: u32) -> PortEndpoints {
    let zones = ["a", "b", "c"].map(|zone| crate::model::Locality::new("region", zone, ""));
    let endpoints = (0..endpoints).map(|at| {
        let on = format!("net{}", at % 4);
        let endpoint = Endpoint {
            addresses: Addresses::from(std::net::IpAddr::from(Ipv4Addr::from(0x0a00_0000 + at))),
            port: 8080,
            weight: 1,
            health: Health::Ready,
            mtls: Mtls::Yes,
            network: network(&on),
            locality: zones[at as usize % 3].clone(),
            pod: None,
        };
        (member(&on), endpoint)
    });
    let port = ServicePort {
        number: 8080,
        name: "http".into(),
        app_protocol: "".into(),
    };
    PortEndpoints::from_endpoints(port, endpoints)
}

fn gateways() -> GatewaySet {
    let gateways = (0..4).map(|at| NetworkGateway {
        network: network(&format!("net{at}")),
        member: Some(member(&format!("net{at}"))),
        address: Ipv4Addr::new(203, 0, 113, at).into(),
        port: 15443,
    });
    GatewaySet::new(gateways, Vec::new())
}

fn backends(changed: u8) -> Vec<crate::table::SliceEndpoint> {
    let address = |at: u8| format!("10.0.{}.{at}", if at == 0 { changed } else { 0 });
    (0..100).map(|at| backend(&address(at), None)).collect()
}

/// An assignment of three endpoints, for a session.
fn small(name: &str, last: u8) -> Arc<Resource> {
    Arc::new(super::assignment(name, u32::from(last), 100))
}

/// What a session looks at.
struct Held(BTreeMap<Arc<str>, Arc<Resource>>);

impl Lookup for Held {
    fn get(&self, _: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.0.get(name).cloned()
    }

    fn all(&self, _: ResourceType) -> Vec<Arc<Resource>> {
        self.0.values().cloned().collect()
    }
}

fn request(nonce: &str, subscribe: Vec<String>) -> Request {
    Request {
        type_url: EDS.url().to_owned(),
        nonce: nonce.to_owned(),
        error: None,
        body: Body::Delta {
            subscribe,
            unsubscribe: Vec::new(),
            initial: BTreeMap::new(),
        },
    }
}

fn first_request() -> Vec<u8> {
    let extension = |at| Extension {
        name: format!("envoy.filters.http.with.a.long.name.{at}"),
        category: "envoy.filters.http".to_owned(),
        ..Extension::default()
    };
    let request = DeltaDiscoveryRequest {
        node: Some(Node {
            extensions: (0..900).map(extension).collect(),
            ..client::node("sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", "net1")
        }),
        type_url: CDS.url().to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    request.encode_to_vec()
}

/// Runs each of [`STEPS`] once. Also a test of its own, if one that only a panic makes fail.
#[test]
fn steps_to_be_counted() {
    let (port, gateways) = (port(1000), gateways());
    let viewer = |on: &str| ViewKey::endpoints(network(on), AddressFamilies::V4);
    let (elsewhere, here) = (viewer("elsewhere"), viewer("net0"));
    counted!(counted_split_elsewhere, || assign(&elsewhere, &port, &gateways));
    let spec = AssignmentSpec {
        name: NAME.into(),
        assignment: counted!(counted_split_here, || assign(&here, &port, &gateways)),
    };
    counted!(counted_encode, || (spec.version(), spec.encode()));

    let table = table();
    table.apply(joined("north", "net0"));
    let slice = |changed| slice("web-a", "web", "http", backends(changed));
    table.apply(listed("north", [service("web"), slice(0)]));
    let changed = upsert("north", slice(1));
    counted!(counted_merge, || table.apply(changed));

    let message = first_request();
    counted!(counted_first_request, || {
        let request: DeltaDiscoveryRequest = requests::decode(&message).unwrap();
        ProxyNode::read(request.split().0.as_ref(), 1 << 20).unwrap()
    });

    let names: Vec<String> = (0..50)
        .map(|at| format!("outbound|80||service-{at}.shop.svc.cluster.local"))
        .collect();
    let mut held = Held(
        names
            .iter()
            .map(|name| (name.as_str().into(), small(name, 1)))
            .collect(),
    );
    let mut session = Session::new(Dialect::Delta, Role::Sidecar, 1000);
    let first: Response = counted!(counted_first_answer, || {
        session.on_request(request("", names.clone())).unwrap();
        session.next(&held).unwrap()
    });
    session.on_request(request(&first.nonce, Vec::new())).unwrap();
    let name: Arc<str> = names[20].as_str().into();
    held.0.insert(Arc::clone(&name), small(&name, 2));
    let changes = BTreeMap::from([(EDS, std::collections::BTreeSet::from([name]))]);
    let answer = counted!(counted_change, || {
        session.on_changes(&changes);
        let answer = session.next(&held).unwrap();
        session.on_request(request(&answer.nonce, Vec::new())).unwrap();
        answer
    });
    assert_eq!(answer.resources.len(), 1);
    counted!(counted_wire, || wire::message(
        Dialect::Delta,
        "a-control-plane",
        &answer
    )
    .unwrap());
}

/// Runs the steps under callgrind, and returns what each took.
fn count(folder: &Path) -> BTreeMap<String, u64> {
    let out = folder.join("out");
    let steps = concat!(module_path!(), "::steps_to_be_counted");
    let steps = steps.split_once("::").expect("the crate first").1;
    let ran = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*counted_*",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("it runs"))
        .args(["--exact", steps, "--test-threads=1"])
        .output()
        .expect("valgrind is needed: `make tools` installs it, or says what to install");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    sums(&std::fs::read_to_string(out).expect("callgrind writes it"))
}

/// The instructions of each function that is counted, with all that it calls, out of a file of callgrind's.
fn sums(text: &str) -> BTreeMap<String, u64> {
    // A name stands where its number comes first, of a function or of one that is called.
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut sums = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let (what, rest) = line.split_once('=').unwrap_or(("", line));
        let of_function = matches!(what, "fn" | "cfn");
        if let (true, Some((number, name))) = (of_function, rest.split_once(' ')) {
            names.insert(number, name);
        }
        match what {
            "fn" => {
                let number = rest.split_once(' ').map_or(rest, |(number, _)| number);
                let name = names.get(number).copied().unwrap_or_default();
                current = STEPS.iter().find(|(step, _)| name.contains(*step));
            }
            // A cost, of its own or of the call in the line before: a position, and instructions.
            "" if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) => {
                if let (Some((step, _)), Some((_, cost))) = (current, line.rsplit_once(' ')) {
                    *sums.entry((*step).to_owned()).or_default() += cost.parse::<u64>().expect("a number");
                }
            }
            _ => {}
        }
    }
    sums
}

#[test]
fn no_pure_part_takes_many_more_instructions_than_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let counts = count(folder.path());
    let mut above = Vec::new();
    for (step, most) in STEPS {
        let count = *counts.get(step).expect("each step is counted");
        println!("{count:>12} of {most:>12}: {step}");
        if count > most {
            above.push(format!("{step}: {count} instructions, at most {most} are allowed"));
        }
    }
    assert!(above.is_empty(), "{}", above.join("\n"));
}
