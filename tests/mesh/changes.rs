//! Changes by the hundred, and each of them seen at every Envoy that it is for, as the admin interfaces tell.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::fleet::Running;
use super::mesh::Mesh;
use super::pod;

/// How many are made.
pub(super) const CHANGES: u16 = ROUNDS * 3 + ROUNDS / SETTINGS;
const ROUNDS: u16 = 64;
/// The settings are changed in each eighth round: they are looked at twice a second only, which all others would wait for.
const SETTINGS: u16 = 8;

/// What is said in one round.
#[derive(Debug, Clone, Copy)]
struct Round(u16);

/// Makes the changes of a round at once and waits until each has arrived, round by round. The longest that a round took.
pub(super) async fn make(mesh: &Mesh) -> Duration {
    let file = mesh.folder_of("east").join("parallax.yaml");
    let settings = std::fs::read_to_string(&file).expect("it is there");
    let mut longest = Duration::ZERO;
    for round in (0..ROUNDS).map(Round) {
        let began = Instant::now();
        round.say(mesh).await;
        if round.0.is_multiple_of(SETTINGS) {
            // The last section of the settings is that of traffic.
            let text = format!("{settings}  outlier: {{consecutive: {}}}\n", round.failures());
            let written = file.with_extension("new");
            std::fs::write(&written, text).expect("it can be written");
            std::fs::rename(written, &file).expect("it can be moved");
        }
        for pod in mesh.pods.values() {
            let what = format!("{round:?} to arrive at {}", pod.spec.name);
            let look = async || match round.lacks(pod) {
                lacks if lacks.is_empty() => Ok(()),
                lacks => Err(format!("without {lacks:?}")),
            };
            mesh.until(&what, look).await;
        }
        longest = longest.max(began.elapsed());
    }
    longest
}

impl Round {
    /// A port of `web` in east, in place of that of the round before: other listeners, routes and clusters.
    fn port(self) -> u16 {
        1000 + self.0
    }

    /// A new service in west, on the port of the others.
    fn late(self) -> String {
        format!("late-{}", self.0)
    }

    /// Whether the pod in east2 is ready.
    fn is_ready(self) -> bool {
        self.0 % 2 == 1
    }

    /// A number of the settings that is in each cluster.
    fn failures(self) -> u32 {
        60 + u32::from(self.0 / SETTINGS)
    }

    async fn say(self, mesh: &Mesh) {
        let http = json!({ "name": "http", "port": 80, "targetPort": 8080 });
        let first = json!({ "name": "tcp-first", "port": 9000, "targetPort": 9000 });
        let new = json!({ "name": "http-new", "port": self.port(), "targetPort": 8080 });
        mesh.clusters["east"].service("web", &json!([http, first, new])).await;
        mesh.clusters["west"].service(&self.late(), &json!([http])).await;
        mesh.report("web-3", self.is_ready()).await;
    }

    /// What of it an Envoy doesn't have yet.
    fn lacks(self, pod: &Running) -> Vec<&'static str> {
        let (spec, web) = (&pod.spec, "web.shop.svc.cluster.local");
        let name = |port: u16| match spec.is_gateway() {
            true => format!("outbound_.{port}_._.{web}"),
            false => format!("outbound|{port}||{web}"),
        };
        let [clusters, listeners, routes, settings] = [
            "/clusters",
            "/listeners",
            "/config_dump?resource=dynamic_route_configs",
            "/config_dump?resource=dynamic_active_clusters",
        ]
        .map(|path| pod::admin(&pod.space, path));
        let settings: Value = serde_json::from_str(&settings).unwrap_or_default();
        let mut all = settings["configs"].as_array().into_iter().flatten();
        let of_web = all.find(|config| config["cluster"]["name"] == name(80).as_str());
        let failures = of_web.map(|config| &config["cluster"]["outlier_detection"]["consecutive_5xx"]);
        let mut seen = vec![("the settings", failures == Some(&self.failures().into()))];
        let near = spec.network == "net1";
        if near {
            let there = clusters.contains(&format!("{}::10.1.0.22:8080::", name(80)));
            seen.push(("the endpoint", there == self.is_ready()));
        }
        if near || !spec.is_gateway() {
            seen.push((
                "the cluster of the port",
                clusters.contains(&format!("{}::", name(self.port()))),
            ));
            let before = Self(self.0.wrapping_sub(1));
            let gone = self.0 == 0 || spec.is_gateway() || !listeners.contains(&format!("0.0.0.0_{}::", before.port()));
            seen.push(("the end of the port before", gone));
        }
        if !spec.is_gateway() {
            let weight = if self.is_ready() { 3 } else { 2 };
            let far = format!("{}::192.168.100.11:15443::weight::{weight}\n", name(80));
            seen.push(("the weight of the gateway", near || clusters.contains(&far)));
            seen.push((
                "the listener",
                listeners.contains(&format!("0.0.0.0_{}::", self.port())),
            ));
            seen.push(("the service", clusters.contains(&format!("||{}.shop.", self.late()))));
            seen.push(("its route", routes.contains(&format!("{}.shop.svc", self.late()))));
        }
        seen.retain(|(_, is_there)| !is_there);
        seen.into_iter().map(|(what, _)| what).collect()
    }
}
