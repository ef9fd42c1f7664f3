//! What policies ask of who connects to workloads, and what they make of endpoints.

use super::*;
use crate::model::{InboundPolicy, MtlsMode, PodRef, Role};
use crate::table::{Labels, PeerAuthenticationRecord, PeerMode, PodTraits, Policies};

const ROOT: &str = "istio-system";

struct Policy(PeerAuthenticationRecord);

fn policy(namespace: &str, name: &str, created: i64, mode: PeerMode) -> Policy {
    Policy(PeerAuthenticationRecord {
        name: ObjectName::new(namespace, name),
        created: Some(created),
        selector: None,
        mode,
        ports: Vec::new(),
    })
}

fn labels(app: &str) -> Labels {
    vec![("app".into(), app.into())]
}

impl Policy {
    fn of(mut self, app: &str) -> Self {
        self.0.selector = Some(labels(app));
        self
    }

    fn port(mut self, port: u16, mode: PeerMode) -> Self {
        self.0.ports.push((port, mode));
        self
    }

    fn record(self) -> Record {
        Record::PeerAuthentication(Box::new(self.0))
    }
}

fn labelled(name: &str, address: &str, app: &str) -> Record {
    let mut pod = pod_record(name, address);
    pod.traits = Arc::new(PodTraits {
        labels: labels(app),
        ..PodTraits::default()
    });
    Record::Pod(pod)
}

/// `web-1` and `web-2` with the label `app` of their own names.
fn mesh() -> EndpointTable {
    let table = east();
    table.apply(upsert("east", labelled("web-1", "10.1.0.1", "web-1")));
    table.apply(upsert("east", labelled("web-2", "10.1.0.2", "web-2")));
    table
}

fn say(table: &EndpointTable, policy: Policy) -> ChangeSet {
    table.apply(upsert("east", policy.record()))
}

fn viewer(namespace: &str, pod: &str) -> Viewer {
    Viewer {
        member: Some(member("east")),
        role: Role::Sidecar,
        namespace: namespace.into(),
        pod: pod.into(),
        ..Viewer::default()
    }
}

fn asked(table: &EndpointTable, namespace: &str, pod: &str) -> String {
    let (policy, says) = table.inbound(&viewer(namespace, pod)).unwrap();
    let located = table.locate(&viewer(namespace, pod)).inbound.unwrap();
    assert_eq!(*located, policy);
    format!("{policy} by {says}")
}

fn mtls(table: &EndpointTable) -> Vec<Mtls> {
    endpoints(table).iter().map(|endpoint| endpoint.mtls).collect()
}

#[test]
fn the_narrowest_counts_and_of_several_the_oldest() {
    let table = mesh();
    assert_eq!(asked(&table, "shop", "web-1"), "PERMISSIVE by settings (traffic.mtls)");
    say(&table, policy(ROOT, "mesh", 5, PeerMode::Strict));
    assert_eq!(
        asked(&table, "shop", "web-1"),
        "STRICT by PeerAuthentication istio-system/mesh"
    );
    // Older, and it says nothing: then the settings count.
    say(&table, policy(ROOT, "older", 4, PeerMode::Unset));
    assert_eq!(asked(&table, "shop", "web-1"), "PERMISSIVE by settings (traffic.mtls)");
    say(&table, policy("shop", "b", 7, PeerMode::Strict));
    say(&table, policy("shop", "a", 7, PeerMode::Disable));
    assert_eq!(asked(&table, "shop", "web-1"), "DISABLE by PeerAuthentication shop/a");
    assert_eq!(asked(&table, "other", "x"), "PERMISSIVE by settings (traffic.mtls)");

    say(&table, policy("shop", "one", 9, PeerMode::Strict).of("web-1"));
    assert_eq!(asked(&table, "shop", "web-1"), "STRICT by PeerAuthentication shop/one");
    assert_eq!(asked(&table, "shop", "web-2"), "DISABLE by PeerAuthentication shop/a");
    let ports = policy("shop", "earlier", 8, PeerMode::Unset)
        .of("web-1")
        .port(9000, PeerMode::Permissive)
        .port(9001, PeerMode::Unset);
    say(&table, ports);
    assert_eq!(
        asked(&table, "shop", "web-1"),
        "DISABLE 9000=PERMISSIVE by PeerAuthentication shop/a, of ports PeerAuthentication shop/earlier"
    );
    // A selector in the root namespace selects nothing, as in Istio.
    say(&table, policy(ROOT, "selecting", 1, PeerMode::Strict).of("web-2"));
    assert_eq!(asked(&table, "shop", "web-2"), "DISABLE by PeerAuthentication shop/a");

    for name in ["earlier", "one", "a", "b"] {
        let gone = RegistryChange::Remove(Kind::PeerAuthentication, ObjectName::new("shop", name));
        table.apply(event("east", gone));
    }
    assert_eq!(asked(&table, "shop", "web-1"), "PERMISSIVE by settings (traffic.mtls)");
}

#[test]
fn of_a_pod_that_is_not_known_whatever_asks_for_more_may_select_it() {
    let table = mesh();
    say(&table, policy("shop", "loose", 1, PeerMode::Disable).of("web-1"));
    assert_eq!(asked(&table, "shop", "new"), "PERMISSIVE by settings (traffic.mtls)");
    say(&table, policy("shop", "tight", 2, PeerMode::Strict).of("web-2"));
    assert_eq!(asked(&table, "shop", "new"), "STRICT by PeerAuthentication shop/tight");
    // Nor do ports open that are opened for another one.
    let opens = policy("shop", "tight", 2, PeerMode::Strict)
        .of("web-2")
        .port(9090, PeerMode::Disable);
    say(&table, opens);
    assert_eq!(asked(&table, "shop", "new"), "STRICT by PeerAuthentication shop/tight");
    // And a port that has to be closed for some is closed.
    let closes = policy("shop", "tight", 2, PeerMode::Unset)
        .of("web-2")
        .port(8080, PeerMode::Strict);
    say(&table, closes);
    assert_eq!(
        asked(&table, "shop", "new"),
        "PERMISSIVE 8080=STRICT by settings (traffic.mtls), of ports PeerAuthentication shop/tight"
    );
    say(&table, policy("shop", "tight", 2, PeerMode::Strict).of("web-2"));
    let changes = table.apply(upsert("east", labelled("new", "10.1.0.9", "new")));
    let pod = PodRef {
        member: member("east"),
        pod: ObjectName::new("shop", "new"),
    };
    assert!(changes.workloads.contains(&pod), "{changes:?}");
    assert_eq!(asked(&table, "shop", "new"), "PERMISSIVE by settings (traffic.mtls)");
}

#[test]
fn endpoints_that_take_no_mutual_tls_say_so_port_by_port() {
    let table = mesh();
    let strict = policy("shop", "one", 1, PeerMode::Strict).of("web-1");
    let changes = say(&table, strict);
    assert!(changes.services.is_empty() && changes.locations == Locations::Changed);
    let changes = say(
        &table,
        policy("shop", "one", 1, PeerMode::Strict)
            .of("web-1")
            .port(8080, PeerMode::Disable),
    );
    assert_eq!(services(&changes), ["web.shop"]);
    assert_eq!(mtls(&table), [Mtls::Disabled, Mtls::Yes]);
    // The label of the pod decides which one it is.
    let changes = table.apply(upsert("east", labelled("web-2", "10.1.0.2", "web-1")));
    assert_eq!(services(&changes), ["web.shop"]);
    assert_eq!(mtls(&table), [Mtls::Disabled, Mtls::Disabled]);
    // Of another member's policies nothing counts here.
    table.apply(joined("west", "net2"));
    table.apply(listed(
        "west",
        vec![policy(ROOT, "mesh", 1, PeerMode::Disable).record()],
    ));
    say(&table, policy("shop", "one", 1, PeerMode::Unset).of("web-1"));
    assert_eq!(mtls(&table), [Mtls::Yes, Mtls::Yes]);
    // The mesh's own mode is where no policy is.
    let mut settings = TableSettings::new(network("net1"), ROOT);
    settings.mtls = MtlsMode::Disable;
    assert_eq!(services(&table.set_settings(settings)), ["web.shop"]);
    assert_eq!(mtls(&table), [Mtls::Disabled, Mtls::Disabled]);
    say(&table, policy(ROOT, "mesh", 1, PeerMode::Permissive));
    assert_eq!(mtls(&table), [Mtls::Yes, Mtls::Yes]);
}

#[test]
fn whoever_is_no_sidecar_asks_nothing() {
    let table = mesh();
    let gateway = Viewer {
        role: Role::Gateway,
        ..viewer("shop", "web-1")
    };
    assert_eq!(table.inbound(&gateway), None);
    assert_eq!(table.locate(&gateway).inbound, None);
    assert_eq!(
        table
            .locate(&Viewer {
                pod: "".into(),
                ..viewer("shop", "")
            })
            .inbound,
        Some(Arc::new(InboundPolicy::default()))
    );
}

/// A member whose policies are there and were never listed.
#[test]
fn while_policies_are_not_known_sidecars_wait_and_then_the_strictest_counts() {
    let says = |policies| event("east", RegistryChange::Policies(policies));
    let waits = |table: &EndpointTable| table.locate(&viewer("shop", "web-1")).inbound.is_none();
    let lists = |kinds: &[Kind]| {
        let lists = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        event("east", RegistryChange::Replace(lists))
    };
    for (settings_say, strict) in [
        (MtlsMode::Permissive, true),
        (MtlsMode::Strict, true),
        // Without mutual TLS nobody could show a certificate.
        (MtlsMode::Disable, false),
    ] {
        let mut settings = settings();
        settings.mtls = settings_say;
        let table = EndpointTable::new(settings);
        table.apply(says(Policies::Awaited));
        table.apply(lists(&Kind::CORE));
        assert!(waits(&table), "{settings_say}");
        let changes = table.apply(says(Policies::Unread));
        assert_eq!(changes.locations, Locations::Changed);
        let (policy, by) = table.inbound(&viewer("shop", "web-1")).unwrap();
        assert_eq!(policy.mode() == MtlsMode::Strict, strict, "{settings_say}: {by}");
        assert_eq!(
            by.contains("can't be read"),
            settings_say == MtlsMode::Permissive,
            "{by}"
        );
        // Once they are listed the lists tell, whatever is said then.
        let changes = table.apply(lists(&[Kind::PeerAuthentication]));
        assert_eq!(changes.locations, Locations::Changed);
        assert_eq!(
            asked(&table, "shop", "web-1"),
            format!("{settings_say} by settings (traffic.mtls)")
        );
        assert!(table.apply(says(Policies::Awaited)).is_empty());
        assert!(!waits(&table));
    }
    // Of a member that has none nothing is said.
    let table = EndpointTable::new(settings());
    table.apply(lists(&Kind::CORE));
    assert!(!waits(&table));
}
