//! A namespace with very many services: what its sidecars are sent stays within what they take well.

use super::*;

const SERVICES: usize = 5_000;

fn bytes(stream: &Subscriber, kind: ResourceType) -> usize {
    let all = stream.all(kind);
    all.iter().map(|resource| resource.any.len()).sum()
}

#[test]
fn five_thousand_services_of_a_namespace_are_a_few_megabytes() {
    let mesh = Mesh::new(Some(settings()));
    let numbers = 0..u16::try_from(SERVICES).unwrap();
    let ip = |number: u16, block: u8| format!("10.{block}.{}.{}", number >> 8, number & 0xff);
    let spoken = numbers.flat_map(|number| {
        [
            at(&format!("service-{number}"), &ip(number, 97), vec![port(80, "http")]),
            at(&format!("bytes-{number}"), &ip(number, 98), vec![port(9000, "tcp")]),
        ]
    });
    mesh.pusher.apply(listed("east", spoken.chain(web(&["10.1.0.1"]))));
    mesh.step();
    let stream = mesh.proxy(Role::Sidecar, "east", "shop");
    stream.subscribe(RDS, &["80".into()]);
    // Services that speak HTTP share one listener and one set of routes; the others have a listener each.
    assert_eq!(stream.all(LDS).len(), SERVICES + 4);
    let (listeners, clusters) = (bytes(&stream, LDS), bytes(&stream, CDS));
    let routes = stream.get(RDS, "80").unwrap().any.len();
    assert!(routes < 1_100 * SERVICES, "routes are {routes} bytes");
    assert!(listeners < 1_000 * SERVICES, "listeners are {listeners} bytes");
    assert!(clusters < 2 * 2_000 * SERVICES, "clusters are {clusters} bytes");

    // One more is one more cluster, one listener, its names, and the routes of its port once for all streams of the site.
    let other = mesh.proxy(Role::Sidecar, "east", "shop");
    other.subscribe(RDS, &["80".into()]);
    let before = [CDS, LDS, RDS].map(|kind| mesh.metrics.encodes(kind));
    mesh.say(
        "east",
        at("late", "10.99.0.1", vec![port(80, "http"), port(9000, "tcp")]),
    );
    let after = [CDS, LDS, RDS].map(|kind| mesh.metrics.encodes(kind));
    assert_eq!([0, 1, 2].map(|kind| after[kind] - before[kind]), [2, 2, 1]);
}
