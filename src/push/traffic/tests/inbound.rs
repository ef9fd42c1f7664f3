//! What one workload has of its own: which streams a change of it touches, and what is made for them.

use futures::FutureExt;

use super::*;
use crate::model::{MtlsMode, NetworkId, Probe, ProbeQuestion};
use crate::table::{PodTraits, TableSettings};

const INBOUND: &str = "virtualInbound";

fn probed(name: &str, path: &str) -> Record {
    let mut record = pod_record(name, "10.1.0.1");
    let probe = Probe {
        port: 8080,
        question: ProbeQuestion::Http(path.into()),
    };
    record.traits = Arc::new(PodTraits {
        probes: [probe].into(),
        ..PodTraits::default()
    });
    Record::Pod(record)
}

impl Mesh {
    fn strict() -> Self {
        let mesh = Self::new(Some(settings()));
        let mut table = TableSettings::new(NetworkId::new("default").unwrap(), "istio-system");
        table.mtls = MtlsMode::Strict;
        mesh.pusher.set_settings(table);
        mesh.step();
        mesh
    }

    fn beside(&self, pod: &str) -> Arc<Subscriber> {
        let stream = self.cache.attach(Viewer {
            member: Some(member("east")),
            role: Role::Sidecar,
            namespace: "shop".into(),
            pod: pod.into(),
            ..Viewer::default()
        });
        stream.subscribe_all(CDS);
        stream.subscribe_all(LDS);
        stream
    }

    fn views(&self) -> usize {
        self.cache.live_views().len()
    }
}

fn told_of(stream: &Subscriber) -> Vec<String> {
    let changes = stream.changed().now_or_never().unwrap_or_default();
    let names = changes.into_values().flatten();
    names.map(|name| name.to_string()).collect()
}

#[test]
fn a_changed_pod_moves_its_own_proxy_and_changes_one_listener_of_it() {
    let mesh = Mesh::strict();
    mesh.say("east", probed("a-1", "/healthz"));
    let [one, two, other] = ["a-1", "a-2", "b-1"].map(|pod| mesh.beside(pod));
    assert!(names(&one, LDS).is_superset(&set(&[INBOUND, "virtualOutbound", "0.0.0.0_80"])));
    assert_eq!(mesh.views(), 4, "clusters; the site; two policies");
    let version = |stream: &Subscriber| stream.get(LDS, INBOUND).unwrap().version;
    assert_ne!(version(&one), version(&two));
    let (encodes, clusters) = (mesh.metrics.encodes(LDS), mesh.metrics.encodes(CDS));

    // The pod comes to be known after its proxy, with the same probes as another.
    mesh.say("east", probed("a-2", "/healthz"));
    assert_eq!(told_of(&two), [INBOUND]);
    assert_eq!(version(&one), version(&two));
    assert_eq!(mesh.metrics.encodes(LDS), encodes, "it is the same");
    mesh.say("east", probed("a-2", "/ready"));
    assert_eq!(told_of(&two), [INBOUND]);
    assert_ne!(version(&one), version(&two));
    assert_eq!(mesh.metrics.encodes(LDS), encodes + 1);
    // A pod that goes takes its probes with it.
    let gone =
        crate::table::RegistryChange::Remove(crate::table::Kind::Pod, crate::model::ObjectName::new("shop", "a-2"));
    mesh.pusher.apply(event("east", gone));
    mesh.step();
    assert_eq!(version(&two), version(&other));
    told_of(&two);
    assert_eq!(
        (told_of(&one), told_of(&other)),
        (Vec::new(), Vec::new()),
        "nobody else heard anything"
    );
    assert_eq!(mesh.metrics.encodes(CDS), clusters);

    // What comes later reaches each of its views.
    mesh.say("east", at("late", "10.96.0.9", vec![port(7777, "tcp")]));
    let late = "10.96.0.9_7777";
    for stream in [&one, &two, &other] {
        assert!(told_of(stream).contains(&late.to_owned()) && stream.get(LDS, late).is_some());
    }
    drop((one, two, other));
    assert_eq!(mesh.views(), 0);
}

#[test]
fn the_way_in_can_be_asked_for_by_name_and_given_back() {
    let mesh = Mesh::strict();
    let stream = mesh.beside("a-1");
    stream.unsubscribe_all(LDS);
    stream.subscribe(LDS, &[INBOUND.into(), "virtualOutbound".into()]);
    assert!(stream.get(LDS, INBOUND).is_some() && stream.get(LDS, "virtualOutbound").is_some());
    mesh.say("east", probed("a-1", "/healthz"));
    assert_eq!(told_of(&stream), [INBOUND]);
    stream.unsubscribe(LDS, &[INBOUND.into()]);
    assert_eq!(stream.get(LDS, INBOUND), None);
    mesh.say("east", probed("a-1", "/ready"));
    assert_eq!(told_of(&stream), Vec::<String>::new());
}

#[test]
fn where_the_mesh_takes_plaintext_probes_make_no_difference() {
    let mesh = Mesh::new(Some(settings()));
    let stream = mesh.beside("a-1");
    mesh.say("east", probed("a-1", "/healthz"));
    assert_eq!(told_of(&stream), Vec::<String>::new());
    assert_eq!(stream.standpoint().inbound.unwrap().mode(), MtlsMode::Permissive);
}

#[test]
fn other_settings_reach_every_view_and_what_does_not_depend_on_them_is_not_made_again() {
    let mesh = Mesh::strict();
    let sidecar = mesh.beside("a-1");
    sidecar.subscribe(EDS, &["outbound|80||web.shop.svc.cluster.local".into()]);
    sidecar.subscribe(RDS, &["80".into()]);
    let gateway = mesh.proxy(Role::Gateway, "east", "istio-system");
    mesh.pusher.set_traffic(settings());
    assert_eq!(mesh.step(), 0, "they are the same");
    let assignments = mesh.metrics.encodes(EDS);
    mesh.pusher.set_traffic(TrafficSettings {
        outside: Outside::Block,
        ..settings()
    });
    assert!(mesh.step() > 0);
    let told = told_of(&sidecar);
    for name in [
        INBOUND,
        "virtualOutbound",
        "0.0.0.0_80",
        "80",
        "outbound|80||web.shop.svc.cluster.local",
    ] {
        assert!(told.iter().any(|other| other == name), "{name} is not among {told:?}");
    }
    assert_eq!(mesh.metrics.encodes(EDS), assignments);
    let listeners = told_of(&gateway);
    assert_eq!(listeners, ["eastwest"]);
}

#[test]
fn a_member_that_leaves_leaves_the_way_in_as_it_was() {
    let mesh = Mesh::strict();
    mesh.say("east", probed("a-1", "/healthz"));
    let stream = mesh.beside("a-1");
    let before = stream.get(LDS, INBOUND).unwrap().version;
    mesh.pusher.apply(event("east", crate::table::RegistryChange::Left));
    mesh.step();
    assert_eq!(stream.get(LDS, INBOUND).unwrap().version, before);
    // Of a member that nothing is known of nobody can tell what its workloads ask.
    assert_eq!(mesh.beside("a-2").standpoint().inbound, None);
}
