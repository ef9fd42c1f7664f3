//! A DNS server that says what a test wants: addresses with a time to live, nothing, a failure, or no word at all.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What is answered to questions about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsAnswer {
    /// These addresses, and how many seconds they hold.
    Addresses(Vec<IpAddr>, u32),
    /// There is no such name (NXDOMAIN), as of every name that nothing is said about.
    NoSuchName,
    /// The server can't tell (SERVFAIL).
    Failure,
    /// No answer.
    Silence,
}

#[derive(Debug, Default)]
struct Zone {
    answers: BTreeMap<String, DnsAnswer>,
    asked: BTreeMap<String, usize>,
}

/// A server on a port of 127.0.0.1, over UDP. Dropping it ends it.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

impl DnsServer {
    /// Starts one that knows no names.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start() -> anyhow::Result<Self> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").context("no port for a DNS server")?;
        Self::on(socket)
    }

    /// The same on a socket that is open already.
    ///
    /// # Errors
    /// If it can't be used.
    pub fn on(socket: std::net::UdpSocket) -> anyhow::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let address = socket.local_addr()?;
        let zone = Arc::new(Mutex::new(Zone::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Ok(Self { address, zone, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so from now on.
    pub fn say(&self, name: &str, answer: DnsAnswer) {
        lock(&self.zone).answers.insert(name.to_owned(), answer);
    }

    /// As [`DnsServer::say`], with addresses that hold for a second.
    ///
    /// # Panics
    /// If a text is no address.
    pub fn leads_to(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().expect("an IP address"));
        self.say(name, DnsAnswer::Addresses(addresses.collect(), 1));
    }

    /// How often it was asked about a name, in either family.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.zone).asked.get(name).copied().unwrap_or_default()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 1500];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let Some((name, kind, end)) = question(&buffer[..length]) else {
            continue;
        };
        let answer = {
            let mut zone = lock(&zone);
            *zone.asked.entry(name.clone()).or_default() += 1;
            zone.answers.get(&name).cloned().unwrap_or(DnsAnswer::NoSuchName)
        };
        if let Some(message) = message(&buffer[..end], kind, &answer) {
            // Whoever asked may be gone.
            let _ = socket.send_to(&message, peer).await;
        }
    }
}

/// The name and type of a message's question, and where that ends (RFC 1035, 4.1).
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = message.get(at..at + 2)?;
    message.get(at + 2..at + 4)?;
    Some((labels.join("."), u16::from_be_bytes([kind[0], kind[1]]), at + 4))
}

/// The answer to a message that is cut after its question; `None` for silence.
fn message(asked: &[u8], kind: u16, answer: &DnsAnswer) -> Option<Vec<u8>> {
    let (code, addresses, ttl) = match answer {
        DnsAnswer::Addresses(addresses, ttl) => (0, addresses.as_slice(), *ttl),
        DnsAnswer::NoSuchName => (3, &[][..], 0),
        DnsAnswer::Failure => (2, &[][..], 0),
        DnsAnswer::Silence => return None,
    };
    let of_kind = addresses.iter().filter(|address| match address {
        IpAddr::V4(_) => kind == 1,
        IpAddr::V6(_) => kind == 28,
    });
    let of_kind: Vec<_> = of_kind.collect();
    let count = u8::try_from(of_kind.len()).ok()?;
    let mut message = asked.to_vec();
    // A response, with recursion; one question, so many answers, nothing else.
    message[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    for address in of_kind {
        // The name of the question, the type, class IN.
        message.extend([0xC0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(ttl.to_be_bytes());
        match address {
            IpAddr::V4(address) => {
                message.extend([0, 4]);
                message.extend(address.octets());
            }
            IpAddr::V6(address) => {
                message.extend([0, 16]);
                message.extend(address.octets());
            }
        }
    }
    Some(message)
}
