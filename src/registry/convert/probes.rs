//! What a kubelet asks the containers of a Pod by request: it has no certificate, so that these requests need a way past mutual TLS.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{Probe, ProbeQuestion};

use super::Wanted;
use super::Wanted::{Each, Fields, Whole};
use super::subject::Subject;

/// What is read of a container.
pub(super) const CONTAINER: Wanted = Fields(&[
    ("ports", Each(&Fields(&[("name", Whole), ("containerPort", Whole)]))),
    (PROBES[0], PROBE),
    (PROBES[1], PROBE),
    (PROBES[2], PROBE),
]);

const PROBE: Wanted = Fields(&[
    (
        "httpGet",
        Fields(&[("path", Whole), ("port", Whole), ("scheme", Whole), ("host", Whole)]),
    ),
    ("grpc", Fields(&[("port", Whole)])),
]);
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
/// Init containers too: those that stay beside the others are probed.
const CONTAINERS: [&str; 2] = ["containers", "initContainers"];

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Asked<'a> {
    #[serde(borrow)]
    http_get: Option<HttpGet<'a>>,
    grpc: Option<Grpc>,
}

#[derive(Deserialize)]
struct HttpGet<'a> {
    path: Option<&'a str>,
    port: Port<'a>,
    scheme: Option<&'a str>,
    host: Option<&'a str>,
}

#[derive(Deserialize)]
struct Grpc {
    port: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Port<'a> {
    Number(i64),
    Name(&'a str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named<'a> {
    name: Option<&'a str>,
    container_port: i64,
}

/// The questions of all its containers. What can't be read of one is left out and told.
pub(super) fn convert(subject: &mut Subject<'_>) -> Box<[Probe]> {
    let mut found = BTreeSet::new();
    for list in CONTAINERS {
        let containers = subject.field("spec").and_then(|spec| spec.get(list));
        let containers = containers.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (at, container) in containers.iter().enumerate() {
            for kind in PROBES {
                let Some(probe) = container.get(kind).filter(|probe| !probe.is_null()) else {
                    continue;
                };
                let place = format!("spec.{list}[{at}].{kind}");
                let asked = subject.element::<Asked<'_>>(&place, probe);
                found.extend(asked.and_then(|asked| read(subject, &place, asked, container)));
            }
        }
    }
    found.into_iter().collect()
}

fn read(subject: &mut Subject<'_>, place: &str, asked: Asked<'_>, container: &Value) -> Option<Probe> {
    if let Some(grpc) = asked.grpc {
        return Some(Probe {
            port: subject.port(&format!("{place}.grpc.port"), grpc.port)?,
            question: ProbeQuestion::Grpc,
        });
    }
    let get = asked.http_get?;
    // What is asked of another host is not this pod's.
    if get.host.is_some_and(|host| !host.is_empty()) {
        return None;
    }
    let number = match get.port {
        Port::Number(number) => number,
        Port::Name(name) => {
            match named(container, name).or_else(|| name.parse().ok()) {
                Some(number) => number,
                None => {
                    subject.report(
                    format!("{place}.httpGet.port is {name:?}, which no port of the container is called; it is passed over"),
                    "name a port of the same container, or write its number",
                );
                    return None;
                }
            }
        }
    };
    let path = as_sent(get.path.unwrap_or_default()).into();
    Some(Probe {
        port: subject.port(&format!("{place}.httpGet.port"), number)?,
        question: match get.scheme {
            Some("HTTPS") => ProbeQuestion::Https(path),
            _ => ProbeQuestion::Http(path),
        },
    })
}

fn named(container: &Value, name: &str) -> Option<i64> {
    let ports = container.get("ports")?.as_array()?;
    let mut ports = ports.iter().filter_map(|port| Named::deserialize(port).ok());
    Some(ports.find(|port| port.name == Some(name))?.container_port)
}

/// The path as a kubelet puts it into its request: from the root, without a fragment, and with what no request may have in it
/// escaped.
fn as_sent(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut sent = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        sent.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => sent.push(byte.into()),
            _ if b"-._~!$&'()*+,;=:@/?%[]".contains(&byte) => sent.push(byte.into()),
            _ => write!(sent, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::convert as convert_object;
    use super::*;
    use crate::table::{Kind, Record};

    fn probes(spec: &Value) -> (Vec<String>, Vec<String>) {
        let pod = json!({"metadata": {"name": "a", "namespace": "shop"}, "spec": spec});
        let kept = serde::de::DeserializeSeed::deserialize(
            super::super::wanted(Kind::Pod),
            &mut serde_json::Deserializer::from_str(&pod.to_string()),
        )
        .unwrap();
        let converted = convert_object(Kind::Pod, &kept);
        let Some(Record::Pod(pod)) = converted.record else {
            panic!("{converted:?}")
        };
        let shown = pod.traits.probes.iter().map(|probe| match &probe.question {
            ProbeQuestion::Http(path) => format!("{} GET {path}", probe.port),
            ProbeQuestion::Https(path) => format!("{} GET in TLS {path}", probe.port),
            ProbeQuestion::Grpc => format!("{} gRPC", probe.port),
        });
        let problems = converted.problems.iter().map(ToString::to_string);
        (shown.collect(), problems.collect())
    }

    #[test]
    fn each_question_is_there_once_and_as_a_kubelet_sends_it() {
        let get = |path: &str, port: Value| json!({"httpGet": {"path": path, "port": port}, "periodSeconds": 5});
        let (found, problems) = probes(&json!({
            "containers": [
                {
                    "name": "app",
                    "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9090}],
                    "livenessProbe": get("/live?full=1#part", json!("http")),
                    "readinessProbe": get("/live?full=1", json!(8080)),
                    "startupProbe": {"grpc": {"port": 9090, "service": "x"}},
                },
                // As IntOrString has it, a name may be a number.
                {"readinessProbe": get("ready now", json!("81")), "livenessProbe": {"tcpSocket": {"port": 82}}},
                {"readinessProbe": {"exec": {"command": ["true"]}}},
                {"readinessProbe": {"httpGet": {"port": 8443, "scheme": "HTTPS"}}},
                {"readinessProbe": {"httpGet": {"port": 83, "host": "192.0.2.1"}}},
                {"readinessProbe": {"httpGet": {"port": 84}}},
            ],
            "initContainers": [{"startupProbe": get("/up", json!(85))}],
        }));
        let expected = [
            "81 GET /ready%20now",
            "84 GET /",
            "85 GET /up",
            "8080 GET /live?full=1",
            "8443 GET in TLS /",
            "9090 gRPC",
        ];
        assert_eq!(found, expected);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_probe_costs_itself() {
        let (found, problems) = probes(&json!({"containers": [
            {"readinessProbe": {"httpGet": {"port": "web", "path": "/"}}},
            {"readinessProbe": {"httpGet": {"port": 0}}},
            {"readinessProbe": "soon"},
            {"readinessProbe": {"httpGet": {"port": 80, "path": "/good"}}},
        ]}));
        assert_eq!(found, ["80 GET /good"]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems[0].contains("Pod shop/a") && problems[0].contains("containers[0].readinessProbe.httpGet.port")
        );
        assert!(probes(&json!({"containers": "none"})).0.is_empty());
    }
}
