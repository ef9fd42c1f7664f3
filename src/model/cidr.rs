//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address and a length make no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCidr {
    /// The address has fewer bits.
    #[error("{0}/{1} is no range: addresses of this family have {max} bits", max = width(*.0))]
    TooLong(IpAddr, u8),
    /// Bits are set beyond the prefix.
    #[error("{0}/{1} has bits beyond its first {1}; the range is {range}", range = masked(*.0, *.1))]
    HostBits(IpAddr, u8),
}

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The addresses whose first `prefix` bits are those of `address`.
    ///
    /// # Errors
    /// When the family has fewer bits, and when the address has others set, which is more likely a mistake than meant.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, InvalidCidr> {
        if u32::from(prefix) > width(address) {
            return Err(InvalidCidr::TooLong(address, prefix));
        }
        let range = masked(address, prefix);
        if range.address != address {
            return Err(InvalidCidr::HostBits(address, prefix));
        }
        Ok(range)
    }

    /// Whether an address is in it; one of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same_family = self.address.is_ipv4() == address.is_ipv4();
        same_family && masked(address, self.prefix).address == self.address
    }

    /// How many bits are the same.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.prefix))
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BITS,
        IpAddr::V6(_) => Ipv6Addr::BITS,
    }
}

/// The range that an address is in.
fn masked(address: IpAddr, prefix: u8) -> Cidr {
    let rest = width(address).saturating_sub(prefix.into());
    let address = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    };
    Cidr { address, prefix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_what_begins_as_it_does() {
        for (address, prefix, inside, outside) in [
            ("10.1.0.0", 16, "10.1.255.255", "10.2.0.0"),
            ("0.0.0.0", 0, "203.0.113.7", "::1"),
            ("10.0.0.7", 32, "10.0.0.7", "10.0.0.6"),
            ("fd00::", 8, "fdff::1", "fe80::1"),
            ("::", 0, "fe80::1", "10.0.0.1"),
            ("fd00::1", 128, "fd00::1", "fd00::2"),
        ] {
            let range = Cidr::new(ip(address), prefix).unwrap();
            assert!(range.contains(ip(inside)), "{range} {inside}");
            assert!(!range.contains(ip(outside)), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_says_what_would_be() {
        let error = Cidr::new(ip("10.1.2.3"), 16).unwrap_err().to_string();
        assert!(error.ends_with("the range is 10.1.0.0/16"), "{error}");
        let error = Cidr::new(ip("10.1.2.3"), 33).unwrap_err().to_string();
        assert!(error.ends_with("32 bits"), "{error}");
        Cidr::new(ip("fd00::"), 129).unwrap_err();
    }
}
