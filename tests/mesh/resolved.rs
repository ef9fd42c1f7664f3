//! Names as the application of a pod resolves them: by the C library, whose questions the sidecar gets, and requests to where they lead.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::client::told;
use super::cluster::PodSpec;
use super::fleet::Fleet;
use super::harness::DnsServer;
use super::mesh::Mesh;
use super::space::resolver;

/// How many requests are counted.
const REQUESTS: usize = 60;

/// Where a name must lead.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Service<'a> {
    /// To the address that the pod's cluster gave this Service.
    Own(&'a str),
    /// To a virtual address: no Service of the pod's cluster has the name.
    Others,
}

/// The names of a pod's cluster: a DNS server that knows its Services and nothing else, and the pod that asks.
#[derive(Debug)]
pub(crate) struct Names {
    pod: &'static str,
    dns: DnsServer,
}

impl Names {
    /// Starts the server of the pod's cluster, and has the pod ask it. Two clusters on one network have one each.
    pub(crate) async fn of(mesh: &mut Mesh, pod: &PodSpec, services: &[&str]) -> Self {
        let usual = resolver(pod.address);
        let shared = pod.member == "west" && pod.network == "net1";
        let at = if shared {
            let [a, b, c, _] = usual.octets();
            let own = Ipv4Addr::new(a, b, c, 3);
            let router = mesh.ground.router(pod.network);
            router.shell(&format!("ip addr add {own}/24 dev br0"));
            mesh.pods[pod.name].space.resolve_at(own);
            // An Envoy reads its own `resolv.conf` when it starts.
            mesh.restart_envoy(pod.name).await;
            own
        } else {
            usual
        };
        let dns = mesh.dns_at(pod.network, at);
        for service in services {
            let ip = mesh.clusters[pod.member].cluster_ip(service).await.to_string();
            dns.leads_to(&format!("{service}.shop.svc.cluster.local"), &[&ip]);
        }
        Self { pod: pod.name, dns }
    }

    /// The name leads to where it must, and there just these pods answer, each as often as the others.
    pub(crate) async fn lead_to(&self, mesh: &Mesh, name: &str, service: Service<'_>, pods: &[&str]) {
        let address = match service {
            Service::Own(service) => {
                let ip = mesh.clusters[mesh.pods[self.pod].spec.member].cluster_ip(service).await;
                address(mesh, self.pod, name, |found| *found == ip).await
            }
            Service::Others => virtual_address(mesh, self.pod, name).await,
        };
        if matches!(service, Service::Own(service) if service == name) {
            // The search path makes a name of the cluster of it, which the cluster's own DNS is asked for.
            let asked = self.dns.asked(&format!("{name}.shop.svc.cluster.local"));
            assert!(asked > 0, "{name} at {}", self.pod);
        }
        let counted = || {
            let mut counts = BTreeMap::<String, usize>::new();
            for _ in 0..REQUESTS {
                let answer = match mesh.get(self.pod, (address, 80), name) {
                    Ok(answer) if answer.status == 200 => told(&answer)["pod"].as_str().expect("a name").to_owned(),
                    other => format!("{other:?}"),
                };
                *counts.entry(answer).or_default() += 1;
            }
            counts
        };
        mesh.until(&format!("{pods:?} to answer {} by {name}", self.pod), async || {
            let counts = counted();
            match counts.keys().map(String::as_str).eq(pods.iter().copied()) {
                true => Ok(()),
                false => Err(format!("{counts:?}")),
            }
        })
        .await;
        let (counts, each) = (counted(), REQUESTS / pods.len());
        for pod in pods {
            let share = counts.get(*pod).copied().unwrap_or(0);
            assert!(
                (each * 4 / 5..=each * 6 / 5).contains(&share),
                "{name} at {}: {counts:?}\n{}",
                self.pod,
                mesh.accesses(self.pod, REQUESTS)
            );
        }
    }
}

/// Where a name leads that the local DNS does not know and that no object gives an address.
pub(crate) async fn virtual_address(fleet: &Fleet, pod: &str, name: &str) -> Ipv4Addr {
    address(fleet, pod, name, |found| found.octets()[0] & 0xF0 == 0xF0).await
}

/// Asks until the name leads to one address, and to such a one.
async fn address(fleet: &Fleet, pod: &str, name: &str, such: impl Fn(&Ipv4Addr) -> bool) -> Ipv4Addr {
    let mut address = Ipv4Addr::UNSPECIFIED;
    fleet
        .until(&format!("{name} to resolve at {pod}"), async || {
            match fleet.libc_lookup(pod, name)[..] {
                [IpAddr::V4(found)] if such(&found) => {
                    address = found;
                    Ok(())
                }
                ref other => Err(format!("{other:?}")),
            }
        })
        .await;
    address
}
