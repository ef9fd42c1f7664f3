//! The object that is being read: its name and labels, its parts, and what is found to be wrong with it.

use std::borrow::Cow;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde_json::Value;

use crate::model::{NetworkId, ObjectName};
use crate::table::{Kind, Labels};

use super::{Problem, shorten};

/// Istio's label for the network of a pod, of a member (on its system namespace), or that a gateway leads to.
pub(super) const NETWORK_LABEL: &str = "topology.istio.io/network";

/// More problems of one object than this are counted and not told one by one.
const MOST_PROBLEMS: usize = 20;

/// A label that has a meaning for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Label<T> {
    /// The object has none.
    Absent,
    /// Its value.
    Valid(T),
    /// It has one that can't be used; reported.
    Invalid,
}

/// One object while it is read.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    kind: Kind,
    name: ObjectName,
    object: &'a Value,
    problems: Vec<Problem>,
    untold: usize,
    is_unreadable: bool,
}

impl<'a> Subject<'a> {
    /// Takes an object that has a usable name.
    pub(super) fn new(kind: Kind, object: &'a Value) -> Result<Self, Problem> {
        let text = |key| {
            object
                .get("metadata")
                .and_then(|metadata| metadata.get(key))
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let namespace = match kind {
            Kind::Namespace | Kind::Node => "",
            Kind::Service
            | Kind::EndpointSlice
            | Kind::Pod
            | Kind::ServiceEntry
            | Kind::WorkloadEntry
            | Kind::PeerAuthentication => text("namespace").unwrap_or("default"),
        };
        let Some(name) = text("name") else {
            let place = match namespace {
                "" => String::new(),
                namespace => format!(" in namespace {namespace}"),
            };
            return Err(Problem::new(
                format!("a {kind}{place}"),
                "it has no name, so it is passed over",
                "set metadata.name",
            ));
        };
        let name = ObjectName::new(namespace, name);
        let short_name = matches!(kind, Kind::Namespace | Kind::Service);
        if !is_dns_name(&name.name, short_name) || !(namespace.is_empty() || is_dns_name(namespace, true)) {
            return Err(Problem::new(
                format!("{kind} {:?}", shorten(name.to_string())),
                "its name is none that Kubernetes has, so it is passed over",
                "use lower case letters, digits and '-' for its name and namespace",
            ));
        }
        Ok(Self {
            kind,
            name,
            object,
            problems: Vec::new(),
            untold: 0,
            is_unreadable: false,
        })
    }

    /// Namespace and name.
    pub(super) fn name(&self) -> &ObjectName {
        &self.name
    }

    /// A field of `metadata`.
    pub(super) fn metadata(&self, key: &str) -> Option<&'a Value> {
        self.object.get("metadata")?.get(key).filter(|value| !value.is_null())
    }

    /// A label. A manifest may have a number or a truth value where a text belongs; it is taken as it is written, since
    /// to pass it over could place an endpoint on the wrong network.
    pub(super) fn label(&self, key: &str) -> Option<Cow<'a, str>> {
        match self.metadata("labels")?.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            other => Some(Cow::Owned(other.to_string())),
        }
    }

    /// All labels, sorted by key.
    pub(super) fn labels(&self) -> Labels {
        let labels = self.metadata("labels").and_then(Value::as_object);
        let keys = labels.into_iter().flat_map(serde_json::Map::keys);
        let mut labels: Labels = keys
            .filter_map(|key| Some((key.as_str().into(), self.label(key)?.into())))
            .collect();
        labels.sort_unstable();
        labels
    }

    /// `creationTimestamp`, in seconds since the epoch.
    pub(super) fn created(&mut self) -> Option<i64> {
        let value = self.metadata("creationTimestamp")?;
        match Time::deserialize(value) {
            Ok(time) => Some(time.0.as_second()),
            Err(_) => {
                let kind = self.kind;
                self.report(
                    format!("metadata.creationTimestamp is {value}; the {kind} counts as the youngest"),
                    "write it like 2026-01-31T12:00:00Z, or leave it out",
                );
                None
            }
        }
    }

    /// Tells of fields at `place` that are none of these: they are not supported.
    pub(super) fn only(&mut self, place: &str, value: &Value, known: &[&str]) {
        let fields = value.as_object().into_iter().flatten();
        for (field, value) in fields.filter(|(field, _)| !known.contains(&field.as_str())) {
            if !value.is_null() {
                let field = shorten(field.clone());
                self.report(
                    format!("{place}.{field} is not supported; it is passed over"),
                    "remove it",
                );
            }
        }
    }

    /// An annotation.
    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.metadata("annotations")?.get(key)?.as_str()
    }

    /// The label [`NETWORK_LABEL`]; `effect` tells what follows where it is not valid.
    pub(super) fn network(&mut self, effect: &str) -> Label<NetworkId> {
        let Some(text) = self.label(NETWORK_LABEL) else {
            return Label::Absent;
        };
        match NetworkId::new(&text) {
            Ok(network) => Label::Valid(network),
            Err(error) => {
                self.report(
                    format!("label {NETWORK_LABEL}: {error}; {effect}"),
                    "name the network, or remove the label",
                );
                Label::Invalid
            }
        }
    }

    /// A part of the object (`spec`, say); the default where it is missing, `None` and a problem where it can't be read.
    pub(super) fn part<T: Deserialize<'a> + Default>(&mut self, field: &str) -> Option<T> {
        match self.object.get(field) {
            None | Some(Value::Null) => Some(T::default()),
            Some(value) => match read(value) {
                Ok(part) => Some(part),
                Err(error) => {
                    self.is_unreadable = true;
                    self.report(
                        format!("{field} can't be read: {error}; the object is passed over"),
                        "correct the field",
                    );
                    None
                }
            },
        }
    }

    /// A field of the object.
    pub(super) fn field(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// The list at this path; empty where it is missing, and with a problem where it is no list.
    pub(super) fn list(&mut self, path: &[&str]) -> &'a [Value] {
        let found = path.iter().try_fold(self.object, |value, key| value.get(key));
        match found {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.is_unreadable = true;
                self.report(
                    format!("{} is no list; it is passed over", path.join(".")),
                    "write it as a list",
                );
                &[]
            }
        }
    }

    /// One element of a list; `None` and a problem where it can't be read.
    pub(super) fn element<'v, T: Deserialize<'v>>(&mut self, place: &str, value: &'v Value) -> Option<T> {
        read(value)
            .map_err(|error| {
                self.report(
                    format!("{place} can't be read: {error}; it is passed over"),
                    "correct it",
                );
            })
            .ok()
    }

    /// A port number; `None` and a problem where it is none.
    pub(super) fn port(&mut self, place: &str, number: i64) -> Option<u16> {
        let port = u16::try_from(number).ok().filter(|port| *port != 0);
        if port.is_none() {
            self.report(
                format!("{place} is {number}, which is no port; it is passed over"),
                "use a number from 1 to 65535",
            );
        }
        port
    }

    /// An address that something can be sent to; `None` and a problem where it is none.
    pub(super) fn address(&mut self, place: &str, text: &str) -> Option<IpAddr> {
        let address = text
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical())
            .filter(|address| !address.is_unspecified() && !address.is_multicast());
        if address.is_none() {
            self.report(
                format!("{place} is {text:?}, which is no IP address of a host; it is passed over"),
                "write an IPv4 or IPv6 address",
            );
        }
        address
    }

    /// Notes what is wrong.
    pub(super) fn report(&mut self, problem: impl Into<String>, remedy: &'static str) {
        if self.problems.len() < MOST_PROBLEMS {
            let subject = format!("{} {}", self.kind, self.name);
            self.problems.push(Problem::new(subject, problem, remedy));
        } else {
            self.untold += 1;
        }
    }

    /// A whole part of it can't be read, so that it says nothing of what it was about.
    pub(super) fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    /// What was found.
    pub(super) fn finish(mut self) -> (ObjectName, Vec<Problem>) {
        if self.untold > 0 {
            let subject = format!("{} {}", self.kind, self.name);
            let more = format!("{} more problems like these", self.untold);
            self.problems
                .push(Problem::new(subject, more, "correct those above first"));
        }
        (self.name, self.problems)
    }
}

/// Reads a value. Serde would take a list for an object, its elements for the fields in their order.
fn read<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<T, serde_json::Error> {
    match value {
        Value::Array(_) => Err(serde::de::Error::invalid_type(
            serde::de::Unexpected::Seq,
            &"an object or a text",
        )),
        value => T::deserialize(value),
    }
}

/// Whether it can be the name of a namespace.
pub(super) fn is_namespace(text: &str) -> bool {
    is_dns_name(text, true)
}

/// Whether Kubernetes takes this name: one label (RFC 1123), or several with dots between.
fn is_dns_name(text: &str, one_label: bool) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match one_label {
        true => text.len() <= 63 && label(text),
        false => text.len() <= 253 && text.split('.').all(label),
    }
}
