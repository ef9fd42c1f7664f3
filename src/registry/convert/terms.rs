//! On which terms a Service gives its endpoints, and a Namespace those of the Services in it.

use std::collections::BTreeSet;

use super::subject::Subject;
use crate::model::MemberWeight;
use crate::table::{Distribution, ExportTo, TermsRecord};

/// Istio's: which namespaces see it.
pub(super) const EXPORT_TO: &str = "networking.istio.io/exportTo";
/// Istio's: which endpoints come first, where `spec.trafficDistribution` does not say it.
pub(super) const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
/// Ours: what its endpoints count, in percent.
pub(super) const WEIGHT: &str = "parallax.dev/weight";

/// What the annotations of a Namespace say.
pub(super) fn of_namespace(subject: &mut Subject<'_>) -> Option<Box<TermsRecord>> {
    TermsRecord {
        export: export(subject),
        distribution: annotated(subject),
        weight: None,
    }
    .boxed()
}

/// What a Service says; `field` is its `spec.trafficDistribution`, which counts before the annotation.
pub(super) fn of_service(subject: &mut Subject<'_>, field: Option<&str>) -> Option<Box<TermsRecord>> {
    let said = field.and_then(|text| {
        let read = distribution(text);
        if read.is_none() {
            subject.report(
                format!("spec.trafficDistribution {text:?} is not known, and counts as not said"),
                "use PreferSameZone, PreferSameNode or PreferClose",
            );
        }
        read
    });
    TermsRecord {
        export: export(subject),
        distribution: said.or_else(|| annotated(subject)),
        weight: weight(subject),
    }
    .boxed()
}

fn distribution(text: &str) -> Option<Distribution> {
    match text.to_ascii_lowercase().as_str() {
        "prefersamezone" | "preferclose" => Some(Distribution::SameZone),
        "prefersamenode" => Some(Distribution::SameNode),
        "any" => Some(Distribution::Any),
        _ => None,
    }
}

fn annotated(subject: &mut Subject<'_>) -> Option<Distribution> {
    let text = subject.annotation(TRAFFIC_DISTRIBUTION)?;
    let read = distribution(text);
    if read.is_none() {
        subject.report(
            format!("annotation {TRAFFIC_DISTRIBUTION} {text:?} is not known, and counts as not said"),
            "use PreferSameZone, PreferSameNode, PreferClose or Any",
        );
    }
    read
}

fn export(subject: &mut Subject<'_>) -> Option<ExportTo> {
    let text = subject.annotation(EXPORT_TO)?;
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    (!text.trim().is_empty()).then(|| export_to(subject, &format!("annotation {EXPORT_TO}"), names))
}

/// Whom these names show it to. One that can't be read shows it to nobody: more than was meant must not see it.
pub(super) fn export_to<'a>(
    subject: &mut Subject<'_>,
    place: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> ExportTo {
    let mut namespaces = BTreeSet::new();
    for name in names {
        match name {
            "~" => {}
            name if name == "*" || name == "." || super::subject::is_namespace(name) => {
                namespaces.insert(name.into());
            }
            other => subject.report(
                format!("{place}: {other:?} is no namespace, and exports to nobody"),
                "use *, . (the own namespace), ~ (nobody), or names of namespaces",
            ),
        }
    }
    ExportTo(namespaces)
}

fn weight(subject: &mut Subject<'_>) -> Option<u16> {
    let text = subject.annotation(WEIGHT)?;
    let read = text.trim().parse().ok().and_then(MemberWeight::new);
    if read.is_none() {
        subject.report(
            format!("annotation {WEIGHT} {text:?} is no weight; the Service counts as having none"),
            "use a whole number from 0 (drained) to 1000, in percent, in quotes",
        );
    }
    read.map(MemberWeight::percent)
}
