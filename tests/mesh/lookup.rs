//! Questions to the DNS of a pod, as its application asks them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use super::fleet::Fleet;
use super::harness::DnsServer;
use super::space::resolver;

/// The type of IPv4 addresses.
pub(crate) const A: u16 = 1;
/// The type of IPv6 addresses.
pub(crate) const AAAA: u16 = 28;

/// An answer: 0 for a name that there is, 3 for none such.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u8,
    pub(crate) addresses: Vec<IpAddr>,
    /// For how many seconds the shortest of them may be believed.
    pub(crate) ttl: u32,
}

impl Fleet {
    /// A server where the pods of a network have their DNS.
    pub(crate) fn dns_in(&self, network: &str) -> DnsServer {
        let address = resolver(if network == "net1" { "10.1.0.0" } else { "10.2.0.0" });
        self.dns_at(network, address)
    }

    /// A server at an address of a network's router.
    pub(crate) fn dns_at(&self, network: &str, address: Ipv4Addr) -> DnsServer {
        let router = self.ground.router(network);
        let socket = router
            .within(|| UdpSocket::bind((address, 53)))
            .expect("the port is free");
        DnsServer::on(socket).expect("it is a socket")
    }

    /// Asks the DNS of a pod for a name as it is.
    pub(crate) fn lookup(&self, pod: &str, name: &str, kind: u16) -> std::io::Result<Reply> {
        let pod = &self.pods[pod];
        let server = resolver(pod.spec.address);
        pod.space.within(|| ask(server.into(), name, kind))
    }

    /// Asks through the C library of a pod, with its search path.
    pub(crate) fn libc_lookup(&self, pod: &str, name: &str) -> Vec<IpAddr> {
        let space = self.pods[pod].space.name();
        let output = Command::new("ip")
            .args(["netns", "exec", space, "getent", "ahostsv4", name])
            .output()
            .expect("there is getent");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text.lines().filter_map(|line| line.split_whitespace().next());
        let mut addresses: Vec<IpAddr> = first.filter_map(|address| address.parse().ok()).collect();
        addresses.dedup();
        addresses
    }
}

/// Asks a server for a name as it is, from wherever the calling thread stands.
pub(crate) fn ask(server: IpAddr, name: &str, kind: u16) -> std::io::Result<Reply> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.connect((server, 53))?;
    socket.send(&question(name, kind))?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    reply(&buffer[..length], kind).ok_or_else(|| std::io::Error::other("it is cut off"))
}

/// RFC 1035, 4.1: one question, recursion wanted.
fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("labels are short"));
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// Where a name ends: at an empty label, or at a pointer.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xC0 == 0xC0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn reply(message: &[u8], kind: u16) -> Option<Reply> {
    let short = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let mut at = after_name(message, 12)? + 4;
    let (mut addresses, mut ttl) = (Vec::new(), u32::MAX);
    for _ in 0..short(6)? {
        at = after_name(message, at)?;
        let length = usize::from(short(at + 8)?);
        ttl = ttl.min(u32::from_be_bytes(message.get(at + 4..at + 8)?.try_into().ok()?));
        let data = message.get(at + 10..at + 10 + length)?;
        if short(at)? == kind {
            addresses.push(match kind {
                A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into(),
                _ => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into(),
            });
        }
        at += 10 + length;
    }
    Some(Reply {
        code: message.get(3)? & 0xF,
        addresses,
        ttl,
    })
}
