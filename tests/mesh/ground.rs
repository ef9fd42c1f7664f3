//! The ground that a mesh stands on: networks that reach each other only through gateways, and what lies between them.
//!
//! ```text
//! net1 10.1.0.0/24                          wan 192.168.100.0/24                           net2 10.2.0.0/24
//! pods ── router ──────────────────── control planes, outside ──────────────────── router ── pods
//!  └───── gateway ─────────────────────────────────────────────────────────────── gateway ───┘
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::space::{Space, resolver, shell};

/// A network: its name, the first three numbers of its addresses, and its router's address outside. Two may have the same
/// addresses inside.
pub(crate) type Network = (&'static str, &'static str, &'static str);

/// Two networks with addresses of their own.
pub(crate) const APART: [Network; 2] = [("net1", "10.1.0", "192.168.100.1"), ("net2", "10.2.0", "192.168.100.2")];

/// The networks, and a folder for files. All of it goes with the value.
#[derive(Debug)]
pub(crate) struct Ground {
    wan: Space,
    routers: BTreeMap<&'static str, Space>,
    folder: tempfile::TempDir,
    prefix: String,
}

impl Ground {
    pub(crate) fn new(networks: &[Network]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("px{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let space = |name: &str| Space::new(format!("{prefix}-{name}"));
        let wan = space("wan");
        wan.bridge();
        let mut routers = BTreeMap::new();
        for (network, inside, outside) in networks {
            let router = space(network);
            router.bridge();
            router.plug("wan0", &format!("{outside}/24"), &wan);
            // Out of a network goes everything, under the router's address; into it nothing that was not asked for. Whoever asks for
            // what is nowhere is told each time, not once a second as by default.
            router.shell(&format!(
                "ip addr add {inside}.1/24 dev br0
                 sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0
                 iptables -w -t nat -A POSTROUTING -o wan0 -j MASQUERADE
                 iptables -w -A FORWARD -i wan0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
                 iptables -w -A FORWARD -i wan0 -j DROP"
            ));
            routers.insert(*network, router);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        shell(&format!("chmod 755 {}", folder.path().display()));
        Self {
            wan,
            routers,
            folder,
            prefix,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder for a pod or a control plane.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).expect("it can be made");
        folder
    }

    /// What the namespace of a machine is called, before it is there too.
    pub(crate) fn name_of(&self, machine: &str) -> String {
        format!("{}-{machine}", self.prefix)
    }

    /// A machine between the networks.
    pub(crate) fn outside(&self, name: &str, address: &str) -> Space {
        let space = Space::new(format!("{}-{name}", self.prefix));
        space.plug("eth0", &format!("{address}/24"), &self.wan);
        space
    }

    /// A machine on a network, with a way out.
    pub(crate) fn inside(&self, name: &str, network: &str, address: &str) -> Space {
        let space = Space::new(format!("{}-{name}", self.prefix));
        space.plug("eth0", &format!("{address}/24"), &self.routers[network]);
        let (net, _) = address.rsplit_once('.').expect("an address");
        space.shell(&format!("ip route add default via {net}.1"));
        space.resolve_at(resolver(address));
        space
    }

    /// What all pods of a network have as their way out.
    pub(crate) fn router(&self, network: &str) -> &Space {
        &self.routers[network]
    }

    /// Gives a machine of a network a second leg outside.
    pub(crate) fn reach_out(&self, space: &Space, address: &str) {
        space.plug("wan0", &format!("{address}/24"), &self.wan);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = Path::new("/tmp").join(format!("{}-failed", self.prefix));
            eprintln!("what was logged stays in {}", kept.display());
            shell(&format!("cp -r {} {}", self.folder.path().display(), kept.display()));
        }
    }
}
