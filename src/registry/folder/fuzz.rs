//! Manifests that almost make sense, through parser, conversion and table: no panic, no growth, nothing left behind.

use super::parse::{Format, parse};
use crate::mutate::{Draw, LONGEST, Material, seeds};
use crate::table::testing::{joined, listed, table};

const YAML: [&str; 9] = [
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\n  labels: {topology.istio.io/network: net1}\nspec:\n  \
     type: LoadBalancer\n  clusterIP: 10.96.0.1\n  ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]\nstatus:\n  \
     loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: a.example.org}]}\n",
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: web-a\n  namespace: shop\n  labels: \
     {kubernetes.io/service-name: web}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints:\n- addresses: [10.1.0.1]\n  \
     conditions: {ready: true, serving: true, terminating: false}\n  nodeName: n1\n  targetRef: {kind: Pod, name: web-1, namespace: shop}\n",
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {security.istio.io/tlsMode: istio}}\nspec: \
     {nodeName: n1}\nstatus: {phase: Running, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]}\n",
    "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z}}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {topology.istio.io/network: net1}}\n",
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: shop}\nspec:\n  hosts: [a.example.com, \
     '*.b.example.com', web.shop.svc.cluster.local]\n  addresses: [192.0.2.1]\n  resolution: STATIC\n  location: MESH_INTERNAL\n  ports: [{number: \
     443, name: tls, protocol: TLS, targetPort: 8443}]\n  endpoints: [{address: 10.0.0.1, ports: {tls: 9443}, weight: 5, network: net1}]\n",
    "apiVersion: networking.istio.io/v1beta1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop, labels: {app: web}}\nspec: {address: \
     10.0.0.9, labels: {app: web}, ports: {http: 80}, locality: r/z/s, weight: 3, serviceAccount: web}\n---\napiVersion: networking.istio.io/v1\n\
     kind: ServiceEntry\nmetadata: {name: b}\nspec: {hosts: [c.example.com], resolution: DNS, workloadSelector: {labels: {app: web}}}\n",
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, \
     mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}}}\n",
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec: {ports: [{port: 1}]}\n---\nkind: X\n",
];

const JSON: [&str; 3] = [
    r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"ports":[{"port":80}]}}"#,
    r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"w","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv6","ports":[{"port":8080}],"endpoints":[{"addresses":["fd00::1"]}]}"#,
    r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"podIP":"10.0.0.1"}}]} {}"#,
];

const WORDS: [&str; 44] = [
    "name: ",
    "namespace: ",
    "labels: ",
    "ports: ",
    "port: ",
    "endpoints: ",
    "addresses: ",
    "kind: ",
    "metadata: ",
    "items: ",
    "Service",
    "EndpointSlice",
    "Pod",
    "List",
    "IPv4",
    "IPv6",
    "FQDN",
    "null",
    "~",
    "true",
    "-1",
    "0",
    "65535",
    "65536",
    "99999999999999999999",
    "1e999",
    ".nan",
    "[]",
    "{}",
    "[[[[",
    "- ",
    "---\n",
    "\n",
    "  ",
    "\t",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "|\n",
    "\"",
    "'",
    "\u{0}",
    "\u{feff}",
];

/// How many records came of a number of inputs.
fn run(material: &Material, format: Format, count: u64) -> usize {
    let table = table();
    table.apply(joined("east", "net1"));
    let mut records = 0;
    for seed in seeds(count) {
        let input = material.input(&mut Draw::new(seed));
        let text = String::from_utf8_lossy(&input);
        let target = || {
            let read = match parse("web.yaml", &text, format) {
                Ok(content) => content,
                Err(problem) => {
                    assert!(problem.to_string().len() < 5_000);
                    return 0;
                }
            };
            let told = format!("{:?}", read.problems).len();
            assert!(told < 1 << 20, "{told} bytes of problems");
            let all: Vec<_> = read.records.into_iter().map(|(_, record)| record).collect();
            let kept = format!("{all:?}").len();
            assert!(kept < 100 * LONGEST, "{kept} bytes of records");
            let count = all.len();
            table.apply(listed("east", all));
            for service in table.services() {
                // Whatever was read, its ports can be looked through.
                assert!(service.ports.len() <= 2 * LONGEST);
            }
            count
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(target));
        records += done.unwrap_or_else(|_| panic!("seed {seed}:\n{text}"));
    }
    table.apply(listed("east", []));
    assert!(table.services().is_empty(), "what is gone is gone");
    records
}

#[test]
fn r113_any_yaml_is_read_or_refused() {
    let records = run(&Material::new(YAML, WORDS), Format::Yaml, 12_000);
    assert!(records > 2_000, "{records}");
}

#[test]
fn r113_any_json_is_read_or_refused() {
    let records = run(&Material::new(JSON, WORDS), Format::Json, 20_000);
    assert!(records > 2_000, "{records}");
}
