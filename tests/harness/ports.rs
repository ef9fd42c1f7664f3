//! Ports for servers that cannot choose one themselves, or that must come back on the port they had.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which Linux, macOS and Windows take the ports of outgoing connections. A port of that range that is
/// free now may be the near end of somebody's connection a moment later.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A TCP port on 127.0.0.1 that nobody listens on, and that no other call in this process returned.
///
/// Servers that report their own port should be given port 0 instead: between this call and the server's bind another
/// process could take the port, if unlikely.
///
/// # Panics
/// If none of the 10,000 ports is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run at the same time start at different places.
    let offset = u16::try_from(std::process::id() % u32::from(COUNT / 100)).expect("a remainder below 100") * 100;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (offset + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {FIRST} to {} is free on 127.0.0.1", FIRST + COUNT - 1);
}
