//! Real Envoys of several versions, in both dialects, side by side.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::control_plane::ControlPlane;
use super::harness::{Clusters, Dialect, Envoy, EnvoyOptions, envoy_versions};

pub(crate) const WEB: &str = "outbound|80||web.shop.svc.cluster.local";
/// Generous: the machine may be busy. What is measured is never asserted.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The same proxy several times: each of the newest two versions in each dialect.
#[derive(Debug)]
pub(crate) struct Envoys(Vec<(String, Envoy)>);

impl Envoys {
    /// Starts them as proxies in a member, at this address.
    pub(crate) async fn start(control_plane: &ControlPlane, member: &str, address: &str) -> Self {
        let newest: Vec<_> = envoy_versions().into_iter().take(2).collect();
        Self::start_versions(control_plane, &newest, member, address).await
    }

    /// Starts each of these versions in each dialect. A proxy with several addresses has them with commas between.
    pub(crate) async fn start_versions(
        control_plane: &ControlPlane,
        versions: &[&str],
        member: &str,
        address: &str,
    ) -> Self {
        let mut envoys = Vec::new();
        for version in versions {
            for dialect in [Dialect::Sotw, Dialect::Delta] {
                let name = format!("{member}-{version}-{dialect:?}");
                let first = address.split(',').next().unwrap_or_default();
                let id = format!("sidecar~{first}~{}.shop~shop.svc.cluster.local", name.to_lowercase());
                let mut options = EnvoyOptions::new(id, control_plane.xds, control_plane.folder(&name))
                    .with_metadata("CLUSTER_ID", member);
                if first != address {
                    options = options.with_metadata("INSTANCE_IPS", address);
                }
                options.version = (*version).to_owned();
                options.dialect = dialect;
                envoys.push((name, Envoy::start(options).await.expect("Envoy starts")));
            }
        }
        assert_eq!(envoys.len(), 2 * versions.len(), "each in both dialects");
        Self(envoys)
    }

    /// Waits until each holds just these hosts of `web`, as `address:port*weight@region/zone`.
    pub(crate) async fn hold(&mut self, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|host| (*host).to_owned()).collect();
        self.wait(&format!("web at {expected:?}"), |held| {
            held.get(WEB).is_some_and(|hosts| {
                let shown = hosts.iter().map(|host| {
                    format!(
                        "{}:{}*{}@{}/{}",
                        host.address, host.port, host.weight, host.region, host.zone
                    )
                });
                shown.collect::<BTreeSet<_>>() == expected && hosts.len() == expected.len()
            })
        })
        .await;
    }

    /// Waits until something is true of what each holds.
    pub(crate) async fn wait(&mut self, what: &str, mut holds: impl FnMut(&Clusters) -> bool) {
        for (name, envoy) in &mut self.0 {
            if let Err(error) = envoy.wait_for(what, DEADLINE, &mut holds).await {
                panic!("{name}: {error:#}");
            }
        }
    }

    /// When the last of them took the endpoints of `web` that it has, by its own word.
    pub(crate) async fn web_taken_at(&mut self) -> SystemTime {
        let mut last = SystemTime::UNIX_EPOCH;
        for (name, envoy) in &mut self.0 {
            let taken = envoy.stat(&format!("cluster.{WEB}.update_time")).await;
            let taken = taken.expect("the admin interface answers");
            let taken = taken.unwrap_or_else(|| panic!("{name} has no time"));
            last = last.max(SystemTime::UNIX_EPOCH + Duration::from_millis(taken));
        }
        last
    }

    /// Asserts that none ever refused anything, and none waits for anything.
    pub(crate) async fn are_content(&mut self) {
        for (name, envoy) in &mut self.0 {
            for stat in [
                "cluster_manager.cds.update_rejected",
                "cluster_manager.warming_clusters",
            ] {
                let value = envoy.stat(stat).await.expect("the admin interface answers");
                assert_eq!(value.unwrap_or(0), 0, "{name}: {stat}");
            }
            let rejected = envoy.get("/stats?filter=update_rejected").await.expect("it answers");
            for line in rejected.lines() {
                assert!(line.ends_with(": 0"), "{name}: {line}");
            }
        }
    }

    /// Waits until each has a stream to a control plane.
    pub(crate) async fn connected(&mut self) {
        for (name, envoy) in &mut self.0 {
            let connected = envoy
                .wait_for_stat("control_plane.connected_state", DEADLINE, |value| value == 1)
                .await;
            connected.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }

    pub(crate) fn each(&mut self) -> impl Iterator<Item = (&str, &mut Envoy)> {
        self.0.iter_mut().map(|(name, envoy)| (name.as_str(), envoy))
    }
}
