//! Addresses as small as they come: most pods have one, and it is IPv4.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::Addresses;

/// Addresses, and something small for which there is room beside them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed<T> {
    V4(T, Ipv4Addr),
    Others(T, Box<Addresses>),
}

impl<T: Copy> Packed<T> {
    pub(super) fn new(addresses: Addresses, beside: T) -> Self {
        let mut all = addresses.iter();
        match (all.next(), all.next()) {
            (Some(IpAddr::V4(address)), None) => Self::V4(beside, address),
            _ => Self::Others(beside, Box::new(addresses)),
        }
    }

    pub(super) fn addresses(&self) -> Addresses {
        match self {
            Self::V4(_, address) => IpAddr::V4(*address).into(),
            Self::Others(_, addresses) => **addresses,
        }
    }

    pub(super) fn beside(&self) -> T {
        match self {
            Self::V4(beside, _) | Self::Others(beside, _) => *beside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Health;

    #[test]
    fn all_addresses_come_back_and_they_take_little() {
        let [v4, v6]: [IpAddr; 2] = ["10.0.0.1", "fd00::1"].map(|address| address.parse().unwrap());
        for addresses in [v4.into(), v6.into(), Addresses::from(v4).with(v6)] {
            let packed = Packed::new(addresses, Health::Draining);
            assert_eq!((packed.addresses(), packed.beside()), (addresses, Health::Draining));
        }
        assert_eq!(size_of::<Option<Packed<Health>>>(), 16);
    }
}
