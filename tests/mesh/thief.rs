//! A proxy that says it is another: it has the token of one workload and the name of the other.

use std::fs;

use super::cluster::PodSpec;
use super::harness::{envoy_versions, eventually};
use super::mesh::{DEADLINE, Mesh};
use super::pod::Envoy;

impl Mesh {
    /// Starts a pod's Envoy anew under the name and account of another pod, and sees that it gets nothing and is told so.
    pub(crate) async fn refuses_a_stolen_name(&mut self, thief: PodSpec, victim: PodSpec) {
        let before = self.refusals(thief.member);
        let folder = self.ground.path(thief.name);
        let file = folder.join("bootstrap.json");
        let bootstrap = fs::read_to_string(&file).expect("it was typed");
        let forged = bootstrap
            .replace(&format!("~{}.", thief.name), &format!("~{}.", victim.name))
            .replace(
                &format!("\"SERVICE_ACCOUNT\": \"{}\"", thief.account()),
                &format!("\"SERVICE_ACCOUNT\": \"{}\"", victim.account()),
            );
        assert!(forged.contains(victim.name) && !forged.contains(&format!("\"{}\"", thief.account())));
        fs::write(&file, forged).expect("it can be written");
        let running = self.pods.get_mut(thief.name).expect("it is there");
        running.kill_envoy();
        running.envoy = Some(Envoy::start_only(
            &running.space,
            &folder,
            thief.name,
            envoy_versions()[0],
        ));
        let log = || fs::read_to_string(folder.join("envoy.log")).unwrap_or_default();
        let look = async || {
            let refused = self.refusals(thief.member);
            // Its own word for PERMISSION_DENIED.
            let told = log().contains("closed: 7,");
            if refused > before && told {
                Ok(())
            } else {
                Err(format!("{refused} refused, {before} before; {}", log()))
            }
        };
        eventually("the thief to be refused", DEADLINE, look)
            .await
            .expect("it is");
        assert_eq!(self.stat(thief.name, &["cluster_manager.cds.update_success"]), 0);
        assert_eq!(self.stat(thief.name, &["sds.default", "update_success"]), 0);
    }

    /// How many streams the control plane of a member's proxies refused for who they said to be.
    fn refusals(&self, member: &str) -> u64 {
        let control_plane = self.served_by.get(member).copied().unwrap_or(member);
        let metrics = self.control_planes[control_plane]
            .ask("/metrics")
            .expect("it answers")
            .body;
        let series = metrics
            .lines()
            .filter(|line| line.starts_with("parallax_identity_refusals_total"));
        series
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }
}
