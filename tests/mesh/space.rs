//! Network namespaces: each pod, gateway and router has one of its own.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Fails where these tests can't run, with what to do.
pub(crate) fn need_namespaces() {
    if let Some(lacking) = lacking() {
        panic!("{lacking}");
    }
}

/// What this machine lacks for network namespaces, with what to do.
pub(crate) fn lacking() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root: run this as root".to_owned());
    }
    let on_path = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let programs = [
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("setpriv", "util-linux"),
        ("mount", "mount"),
        ("sysctl", "procps"),
    ];
    let mut missing = programs.into_iter().filter(|(program, _)| !on_path(program));
    let (program, package) = missing.next()?;
    Some(format!(
        "{program} is missing: `make tools` installs it, or install the package {package}"
    ))
}

/// Runs lines of shell, which must succeed.
pub(crate) fn shell(script: &str) {
    let output = Command::new("sh")
        .args(["-euc", script])
        .output()
        .expect("there is a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{errors}");
}

/// A line of shell that succeeds where a connection with this peer, and this port as `sport` or `dport`, is probed within seconds of
/// silence.
pub(crate) fn watched(end: &str, port: u16, peer: Ipv4Addr) -> String {
    format!("ss -Htno state established '( {end} = :{port} )' dst {peer} | grep -Eq 'keepalive,[0-9.]+(sec|ms)'")
}

/// Where the pods of a network have their DNS: at their router.
pub(crate) fn resolver(pod: &str) -> Ipv4Addr {
    let address: Ipv4Addr = pod.parse().expect("an address");
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// A network namespace, gone with the value.
#[derive(Debug)]
pub(crate) struct Space {
    name: String,
}

impl Space {
    pub(crate) fn new(name: String) -> Self {
        shell(&format!(
            "ip netns add {name}; ip -n {name} link set lo up; ip netns exec {name} sysctl -qw net.ipv4.ip_forward=0"
        ));
        Self { name }
    }

    /// Gives it a name server, with the search path of namespace `shop`: what starts in it finds them in its `resolv.conf`.
    pub(crate) fn resolve_at(&self, server: Ipv4Addr) {
        let folder = Path::new("/etc/netns").join(&self.name);
        std::fs::create_dir_all(&folder).expect("root may write there");
        let search = "shop.svc.cluster.local svc.cluster.local cluster.local";
        let text = format!("nameserver {server}\nsearch {search}\noptions ndots:5\n");
        std::fs::write(folder.join("resolv.conf"), text).expect("root may write there");
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of shell in it.
    pub(crate) fn shell(&self, script: &str) {
        let name = &self.name;
        let output = Command::new("ip")
            .args(["netns", "exec", name, "sh", "-euc", script])
            .output()
            .expect("there is ip");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "in {name}: {script}\n{errors}");
    }

    /// Whether a line of shell succeeds in it.
    pub(crate) fn finds(&self, script: &str) -> bool {
        let mut line = Command::new("ip");
        line.args(["netns", "exec", &self.name, "sh", "-euc", script]);
        line.status().expect("there is ip").success()
    }

    /// A program that runs in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Makes it a switch with an address of its own: others plug into its bridge.
    pub(crate) fn bridge(&self) {
        self.shell("ip link add br0 type bridge; ip link set br0 up");
    }

    /// Plugs an interface of this namespace into the bridge of another.
    pub(crate) fn plug(&self, interface: &str, address: &str, bridge: &Self) {
        let (name, other) = (&self.name, &bridge.name);
        // Names of interfaces have at most 15 bytes, and must be unique in the other namespace only.
        let port = format!("p{}", address.split('/').next().unwrap_or_default().replace('.', ""));
        let port = &port[..port.len().min(15)];
        shell(&format!(
            "ip link add {interface} netns {name} type veth peer name {port} netns {other}
             ip -n {other} link set {port} master br0 up
             ip -n {name} addr add {address} dev {interface}
             ip -n {name} link set {interface} up"
        ));
    }

    /// Does something on a thread that stands in the namespace; sockets that it opens stay there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = self.file();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter(&file);
                work()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// The same for something that goes on.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
        let file = self.file();
        std::thread::spawn(move || {
            enter(&file);
            work();
        })
    }

    fn file(&self) -> File {
        File::open(Path::new("/run/netns").join(&self.name)).expect("the namespace is there")
    }
}

fn enter(file: &File) {
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
}

impl Drop for Space {
    fn drop(&mut self) {
        std::fs::remove_dir_all(Path::new("/etc/netns").join(&self.name)).ok();
        // The namespace stays where a process or a socket is still in it; nothing better can be done here. What it was plugged
        // into should be free all the same.
        let name = &self.name;
        let script =
            format!("for i in eth0 wan0; do ip -n {name} link del $i 2>/dev/null || true; done; ip netns del {name}");
        Command::new("sh").args(["-c", &script]).status().ok();
    }
}
