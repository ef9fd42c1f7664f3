//! On which terms endpoints are given: the Service's word, its Namespace's, the mesh's.

use std::sync::Arc;

use super::*;
use crate::model::{Audience, Locality, MemberWeight, Preference, Reach, Viewer, ZoneWeight};
use crate::table::{ClusterLocal, Distribution, ExportTo, NamespaceRecord, TableSettings, TermsRecord};

fn export(names: &[&str]) -> Option<ExportTo> {
    Some(ExportTo(names.iter().map(|name| (*name).into()).collect()))
}

fn service_with(terms: TermsRecord) -> Record {
    let mut record = service_record("web", vec![port(80, "http")]);
    record.terms = terms.boxed();
    Record::Service(record)
}

fn shop_with(terms: TermsRecord) -> Record {
    Record::Namespace(NamespaceRecord {
        name: "shop".into(),
        network: None,
        terms: terms.boxed(),
    })
}

fn terms(table: &EndpointTable) -> Option<Arc<crate::model::ServiceTerms>> {
    table.service(&web_key()).unwrap().terms.clone()
}

#[test]
fn the_services_own_word_counts_then_its_namespaces_then_the_meshs() {
    let table = east();
    assert_eq!(terms(&table), None, "nobody says anything");
    let mesh = |preference| TableSettings {
        preference,
        ..settings()
    };
    let levels = Preference::by(vec![crate::model::Shared::Zone], std::collections::BTreeMap::new());
    assert_eq!(services(&table.set_settings(mesh(levels.clone()))), ["web.shop"]);
    let preferred = || terms(&table).map(|terms| terms.preference.clone()).unwrap_or_default();
    assert_eq!(preferred(), levels);
    let of = |distribution| TermsRecord {
        distribution: Some(distribution),
        ..TermsRecord::default()
    };
    assert_eq!(
        services(&table.apply(upsert("east", shop_with(of(Distribution::SameNode))))),
        ["web.shop"]
    );
    assert_eq!(preferred(), Preference::same_node());
    table.apply(upsert("east", service_with(of(Distribution::SameZone))));
    assert_eq!(preferred(), Preference::same_zone());
    table.apply(upsert("east", service_with(of(Distribution::Any))));
    assert_eq!(preferred(), Preference::default());
    table.apply(upsert("east", service("web")));
    table.apply(remove("east", &shop_with(TermsRecord::default())));
    assert_eq!(preferred(), levels);
    table.set_settings(settings());
    assert_eq!(terms(&table), None);
}

#[test]
fn each_member_says_who_sees_its_own_endpoints() {
    let table = east();
    table.apply(joined("west", "net2"));
    let some = TermsRecord {
        export: export(&[".", "tools"]),
        ..TermsRecord::default()
    };
    let mut west = web(&["10.2.0.1"]);
    west[0] = service_with(some);
    let changes = table.apply(listed("west", west));
    assert_eq!(
        changes.services[&web_key()].defined,
        [80].into(),
        "who sees it is a matter of clusters too"
    );
    let audiences = terms(&table).unwrap().audiences.clone();
    let names: Vec<_> = audiences[&member("west")]
        .namespaces
        .as_ref()
        .unwrap()
        .iter()
        .cloned()
        .collect();
    assert_eq!(names, ["shop".into(), "tools".into()], "the own namespace by its name");
    assert_eq!(audiences.len(), 1);
    let web = table.service(&web_key()).unwrap();
    assert!(
        web.is_visible_to(Some(&member("west")), "other"),
        "east shows its own to all"
    );

    // The mesh shows nothing to anybody, and the services of a namespace stay at home.
    table.set_settings(TableSettings {
        export: ExportTo(std::collections::BTreeSet::new()),
        cluster_local: vec![ClusterLocal::Namespace("shop".into())],
        ..settings()
    });
    let audiences = terms(&table).unwrap().audiences.clone();
    assert_eq!(audiences[&member("east")].reach, Reach::Member);
    assert_ne!(audiences[&member("east")], Audience::default());
    let web = table.service(&web_key()).unwrap();
    assert!(
        !web.is_visible_to(Some(&member("east")), "shop"),
        "to nobody is to nobody"
    );
    assert!(web.is_visible_to(Some(&member("west")), "tools"));
    assert!(!web.is_visible_to(Some(&member("north")), "tools"), "it is not there");
}

#[test]
fn networks_and_services_have_weights() {
    let table = east();
    let heavy = TermsRecord {
        weight: Some(300),
        ..TermsRecord::default()
    };
    table.apply(upsert("east", service_with(heavy)));
    let half = MemberWeight::new(50).unwrap();
    let key = table.service(&web_key()).unwrap().ports[0]
        .groups()
        .keys()
        .next()
        .unwrap()
        .clone();
    let changes = table.set_settings(TableSettings {
        weights: [(key.network.clone(), half)].into(),
        ..settings()
    });
    assert_eq!(services(&changes), ["web.shop"]);
    let standing = table.service(&web_key()).unwrap().ports[0].standing(&key);
    assert_eq!((standing.network.percent(), standing.service.percent()), (50, 300));
}

#[test]
fn zones_have_weights_and_only_services_with_endpoints_there_notice() {
    let table = east();
    let said = |zone: &str| TableSettings {
        zones: [ZoneWeight {
            zone: Locality::new("", zone, ""),
            weight: MemberWeight::DRAINED,
        }]
        .into_iter()
        .collect(),
        ..settings()
    };
    let place = table.service(&web_key()).unwrap().ports[0]
        .groups()
        .values()
        .next()
        .unwrap()
        .endpoints()[0]
        .locality
        .clone();
    assert_eq!(place.zone(), "z1");
    assert_eq!(services(&table.set_settings(said("z9"))), [] as [&str; 0]);
    let said = TableSettings {
        zones: [ZoneWeight {
            zone: Locality::new(place.region(), "z1", ""),
            weight: MemberWeight::DRAINED,
        }]
        .into_iter()
        .collect(),
        ..settings()
    };
    let changes = table.set_settings(said);
    assert_eq!(services(&changes), ["web.shop"]);
    let web = table.service(&web_key()).unwrap();
    assert_eq!(web.ports[0].zone(&place).unwrap().weight, MemberWeight::DRAINED);
    // Nodes that move take their pods along.
    table.apply(upsert("east", node("node-1", "z2")));
    assert!(table.service(&web_key()).unwrap().ports[0].zones_are_even());
}

#[test]
fn a_viewer_that_does_not_say_where_it_runs_runs_where_its_pod_does() {
    let table = east();
    let viewer = |pod: &str| Viewer {
        member: Some(member("east")),
        namespace: "shop".into(),
        pod: pod.into(),
        ..Viewer::default()
    };
    let zone = |viewer: &Viewer| table.locate(viewer).vantage.locality.zone().to_owned();
    assert_eq!(zone(&viewer("web-1")), "z1");
    assert_eq!(zone(&viewer("nobody")), "");
    let said = Viewer {
        locality: crate::model::Locality::new("r", "z9", ""),
        ..viewer("web-1")
    };
    assert_eq!(zone(&said), "z9");
    let changes = table.apply(upsert("east", node("node-1", "z2")));
    assert_eq!(changes.locations, crate::table::Locations::Changed);
    assert_eq!(zone(&viewer("web-1")), "z2");
}
