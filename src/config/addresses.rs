//! Single values that say where something is: ranges, ports, gateways, Services, DNS servers.

use std::net::{IpAddr, SocketAddr};

use super::error::InvalidValue;
use super::settings::GatewayPlace;
use super::tree::Scalar;
use super::values::{Parsed, integer, is_dns_label, shown, text};

/// A range of addresses, such as `10.1.0.0/16`: the first address and how many bits all of them share.
pub(super) fn cidr(scalar: &Scalar) -> Parsed<(IpAddr, u8)> {
    let given = &scalar.text;
    let wrong = |problem: String, remedy: String| Err(InvalidValue::new(format!("{} {problem}", shown(given)), remedy));
    let (address, length) = match given.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (given.as_str(), None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong(
            "is no range of addresses".to_owned(),
            "write the first address and a length, such as 10.1.0.0/16 or fd00:1::/32".to_owned(),
        );
    };
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let Some(length) = length else {
        return wrong(
            "has no length".to_owned(),
            format!("write {address}/{width} for one address"),
        );
    };
    let Some(prefix) = length.parse::<u8>().ok().filter(|prefix| *prefix <= width) else {
        return wrong(
            "has a wrong length".to_owned(),
            format!("write a length from 0 to {width}"),
        );
    };
    if let (IpAddr::V4(short), true) = (address.to_canonical(), address.is_ipv6()) {
        let prefix = prefix.saturating_sub(96);
        return wrong(
            "is IPv4 in the form of IPv6".to_owned(),
            format!("write {short}/{prefix}"),
        );
    }
    let first = first_of(address, prefix);
    if first != address {
        return wrong(
            "does not begin with its first address".to_owned(),
            format!("write {first}/{prefix}"),
        );
    }
    Ok((address, prefix))
}

/// The first address of a range.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// A port number.
pub(super) fn port(scalar: &Scalar) -> Parsed<u16> {
    let number = integer(scalar, 1..=usize::from(u16::MAX))?;
    Ok(u16::try_from(number).unwrap_or(u16::MAX))
}

/// The address or host name of a gateway.
pub(super) fn gateway_address(scalar: &Scalar) -> Parsed<GatewayPlace> {
    let given = text(scalar)?;
    let wrong = |problem: &str, remedy: String| Err(InvalidValue::new(format!("{} {problem}", shown(given)), remedy));
    if let Ok(socket) = given.parse::<SocketAddr>() {
        return wrong(
            "has a port in it",
            format!(
                "write `address: {}`, and write the port as `port: {}`",
                socket.ip(),
                socket.port()
            ),
        );
    }
    if let Ok(address) = given.parse::<IpAddr>() {
        let short = address.to_canonical();
        return match short {
            _ if short != address => wrong("is IPv4 in the form of IPv6", format!("write {short}")),
            _ if short.is_unspecified() || short.is_multicast() => wrong(
                "is no address of a host",
                "write the address at which other networks reach the gateway".to_owned(),
            ),
            _ => Ok(GatewayPlace::Address(address)),
        };
    }
    let name = given.strip_suffix('.').unwrap_or(given).to_ascii_lowercase();
    let is_complete = name.contains('.') && name.len() <= 253 && name.split('.').all(is_dns_label);
    let is_number = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_complete && !is_number {
        return Ok(GatewayPlace::Host(name));
    }
    wrong(
        "is neither an address nor a host name that can be looked up: it is no complete host name",
        "write an IP address, or a name with all its parts such as gateway.example.com".to_owned(),
    )
}

/// `NAMESPACE/NAME` of a Service.
pub(super) fn service_name(scalar: &Scalar) -> Parsed<GatewayPlace> {
    let given = text(scalar)?;
    match given.split_once('/') {
        Some((namespace, name)) if is_dns_label(namespace) && is_dns_label(name) => Ok(GatewayPlace::Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err(InvalidValue::new(
            format!("{} names no Service", shown(given)),
            "write NAMESPACE/NAME, such as istio-system/eastwest",
        )),
    }
}

/// The address of a DNS server, with a port where it is not 53.
pub(super) fn dns_server(scalar: &Scalar) -> Parsed<SocketAddr> {
    let given = text(scalar)?;
    let address = given.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    address.or_else(|_| given.parse::<SocketAddr>()).map_err(|_| {
        InvalidValue::new(
            format!("{} is no address of a DNS server", shown(given)),
            "write an IP address, or IP:PORT where the port is not 53",
        )
    })
}
