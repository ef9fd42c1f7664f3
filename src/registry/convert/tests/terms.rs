//! What Services and Namespaces say of who is sent to endpoints.

use super::*;
use crate::table::{Distribution, ExportTo, TermsRecord};

fn terms(annotations: &Value, distribution: Option<&str>) -> (TermsRecord, Vec<String>) {
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [{"port": 80}]}});
    object["metadata"]["annotations"] = annotations.clone();
    if let Some(distribution) = distribution {
        object["spec"]["trafficDistribution"] = distribution.into();
    }
    let (service, problems) = service(&object);
    (service.terms.map(|terms| *terms).unwrap_or_default(), problems)
}

fn export(names: &[&str]) -> Option<ExportTo> {
    Some(ExportTo(names.iter().map(|name| (*name).into()).collect()))
}

#[test]
fn a_service_says_which_endpoints_come_first_who_sees_them_and_what_they_count() {
    let annotations = json!({"networking.istio.io/exportTo": "., tools", "parallax.dev/weight": "50",
        "networking.istio.io/traffic-distribution": "PreferSameNode"});
    let (read, problems) = terms(&annotations, None);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(read.distribution, Some(Distribution::SameNode));
    assert_eq!((read.export, read.weight), (export(&[".", "tools"]), Some(50)));
    let (read, _) = terms(&annotations, Some("PreferClose"));
    assert_eq!(
        read.distribution,
        Some(Distribution::SameZone),
        "the field before the annotation"
    );
    assert_eq!(terms(&json!({}), None).0, TermsRecord::default());
    assert_eq!(
        terms(&json!({"networking.istio.io/exportTo": "~"}), None).0.export,
        export(&[])
    );
}

#[test]
fn what_cannot_be_read_is_told_and_shows_nothing_to_more() {
    for (annotations, distribution, problem, expected) in [
        (
            json!({"networking.istio.io/exportTo": "Tools"}),
            None,
            "exports to nobody",
            export(&[]),
        ),
        (json!({"parallax.dev/weight": "1001"}), None, "is no weight", None),
        (json!({"parallax.dev/weight": "half"}), None, "is no weight", None),
        (
            json!({"networking.istio.io/traffic-distribution": "Near"}),
            None,
            "is not known",
            None,
        ),
        (json!({}), Some("Nearest"), "is not known", None),
    ] {
        let (read, problems) = terms(&annotations, distribution);
        assert!(
            problems.len() == 1 && problems[0].contains(problem),
            "{annotations}: {problems:?}"
        );
        assert_eq!(
            read,
            TermsRecord {
                export: expected,
                ..TermsRecord::default()
            }
        );
    }
}

#[test]
fn a_namespace_speaks_for_the_services_in_it() {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "annotations": {
        "networking.istio.io/exportTo": "*", "networking.istio.io/traffic-distribution": "PreferClose", "parallax.dev/weight": "0"}}});
    let (Record::Namespace(namespace), problems) = read(Kind::Namespace, &object) else {
        panic!("a namespace")
    };
    assert_eq!(problems, Vec::<String>::new());
    let expected = TermsRecord {
        export: export(&["*"]),
        distribution: Some(Distribution::SameZone),
        weight: None,
    };
    assert_eq!(namespace.terms.as_deref(), Some(&expected), "a weight is a Service's");
}
