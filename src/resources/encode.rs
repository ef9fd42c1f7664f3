//! The encoding of an assignment, by hand: through Envoy's message types an endpoint costs four allocations and some 200 ns.
//!
//! What is written is what these types write and no more; a test reads it back through them.

use std::io::Write as _;
use std::net::IpAddr;

use prost::encoding::{encode_varint, encoded_len_varint};

use crate::model::Locality;
use crate::view::{Assignment, Speaks, WeightedAddress};

/// The key of a field that has a length.
const fn key(number: u8) -> u8 {
    number << 3 | 2
}

const VARINT: u8 = 0;

/// The metadata of an endpoint to which mutual TLS must not be spoken, as the field of its `LbEndpoint`; clusters of sidecars
/// match it. Most endpoints speak it and carry nothing.
const PLAINTEXT: &[u8] =
    b"\x1a\x39\x0a\x37\x0a\x1cenvoy.transport_socket_match\x12\x17\x0a\x15\x0a\x07tlsMode\x12\x0a\x1a\x08disabled";

/// An address as text: at most 39 characters.
struct Text {
    bytes: [u8; 39],
    length: u8,
}

impl Text {
    fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 39];
        let left = match address {
            IpAddr::V4(address) => {
                let mut left = 39;
                let mut rest = &mut bytes[..];
                for (at, octet) in address.octets().into_iter().enumerate() {
                    let dot = usize::from(at > 0);
                    if dot == 1 {
                        rest[0] = b'.';
                    }
                    let digits = decimal(octet, &mut rest[dot..]);
                    rest = &mut rest[dot + digits..];
                    left -= dot + digits;
                }
                left
            }
            IpAddr::V6(address) => {
                let mut rest = &mut bytes[..];
                write!(rest, "{address}").expect("no address is longer");
                rest.len()
            }
        };
        let length = u8::try_from(39 - left).expect("39 at most");
        Self { bytes, length }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Writes the digits of a number; returns how many.
fn decimal(octet: u8, out: &mut [u8]) -> usize {
    let digits = [octet / 100, octet / 10 % 10, octet % 10];
    let zeros = match octet {
        0..=9 => 2,
        10..=99 => 1,
        _ => 0,
    };
    for (out, digit) in out.iter_mut().zip(&digits[zeros..]) {
        *out = b'0' + digit;
    }
    3 - zeros
}

fn put_field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(key(number));
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A `google.protobuf.UInt32Value` as a field.
fn put_wrapped(out: &mut Vec<u8>, number: u8, value: u32) {
    let length = match value {
        0 => 0,
        _ => 1 + varint_len(value),
    };
    out.extend_from_slice(&[key(number), length]);
    if value > 0 {
        out.push(1 << 3 | VARINT);
        encode_varint(u64::from(value), out);
    }
}

fn varint_len(value: u32) -> u8 {
    u8::try_from(encoded_len_varint(u64::from(value))).expect("5 at most")
}

/// `LbEndpoint { endpoint { address { socket_address { address, port_value } } }, load_balancing_weight }`. No part is
/// longer than 127 bytes, so that each length is one byte.
fn put_endpoint(out: &mut Vec<u8>, endpoint: &WeightedAddress) {
    let text = Text::of(endpoint.address);
    let metadata = match endpoint.speaks {
        Speaks::Default => &[][..],
        Speaks::Plaintext => PLAINTEXT,
    };
    let (port, weight) = (u32::from(endpoint.port), endpoint.weight.get());
    let socket = 2 + text.length + 1 + varint_len(port);
    // One is what a client takes where nothing is said.
    let weighted = match weight {
        1 => 0,
        _ => 3 + varint_len(weight),
    };
    out.extend_from_slice(&[
        key(2),
        socket + 6 + weighted + metadata.len() as u8,
        key(1),
        socket + 4,
        key(1),
        socket + 2,
        key(1),
        socket,
        key(2),
        text.length,
    ]);
    out.extend_from_slice(text.as_bytes());
    out.push(3 << 3 | VARINT);
    encode_varint(u64::from(port), out);
    out.extend_from_slice(metadata);
    if weight != 1 {
        put_wrapped(out, 4, weight);
    }
}

fn put_locality(out: &mut Vec<u8>, locality: &Locality) {
    let mut inner = Vec::new();
    let parts = [locality.region(), locality.zone(), locality.subzone()];
    for (number, part) in (1..).zip(parts) {
        if !part.is_empty() {
            put_field(&mut inner, number, part.as_bytes());
        }
    }
    put_field(out, 1, &inner);
}

/// The `ClusterLoadAssignment` of this name.
pub(super) fn assignment(name: &str, assignment: &Assignment) -> Vec<u8> {
    let endpoints: usize = assignment.localities.iter().map(|group| group.endpoints.len()).sum();
    let mut out = Vec::with_capacity(name.len() + 16 + assignment.localities.len() * 80 + endpoints * 32);
    put_field(&mut out, 1, name.as_bytes());
    let mut group_out = Vec::new();
    for group in &assignment.localities {
        group_out.clear();
        // Also where it is unknown: gRPC clients refuse an assignment of which one has none.
        put_locality(&mut group_out, &group.locality);
        let mut sum = 0;
        for endpoint in &group.endpoints {
            put_endpoint(&mut group_out, endpoint);
            sum += u64::from(endpoint.weight.get());
        }
        // Envoy reads a locality's weight only with locality-weighted balancing, gRPC clients always: it is the sum.
        put_wrapped(&mut group_out, 3, u32::try_from(sum).unwrap_or(u32::MAX));
        if group.priority > 0 {
            group_out.push(5 << 3 | VARINT);
            encode_varint(u64::from(group.priority), &mut group_out);
        }
        put_field(&mut out, 2, &group_out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::LocalityEndpoints;
    use envoy_types::pb::envoy::config::core::v3 as core;
    use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
    use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
    use envoy_types::pb::envoy::config::endpoint::v3::{
        ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
    };
    use envoy_types::pb::google::protobuf::value::Kind;
    use envoy_types::pb::google::protobuf::{Struct, UInt32Value, Value};
    use proptest::prelude::*;
    use prost::Message;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::num::NonZeroU32;

    fn tls_mode(mode: &str) -> Struct {
        let value = Value {
            kind: Some(Kind::StringValue(mode.to_owned())),
        };
        Struct {
            fields: [("tlsMode".to_owned(), value)].into(),
        }
    }

    fn message(name: &str, assignment: &Assignment) -> ClusterLoadAssignment {
        let lb_endpoint = |endpoint: &WeightedAddress| {
            let weight = endpoint.weight.get();
            LbEndpoint {
                host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                    address: Some(core::Address {
                        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
                            address: endpoint.address.to_string(),
                            port_specifier: Some(PortSpecifier::PortValue(u32::from(endpoint.port))),
                            ..core::SocketAddress::default()
                        })),
                    }),
                    ..Endpoint::default()
                })),
                metadata: (endpoint.speaks == Speaks::Plaintext).then(|| core::Metadata {
                    filter_metadata: [("envoy.transport_socket_match".to_owned(), tls_mode("disabled"))].into(),
                    ..core::Metadata::default()
                }),
                load_balancing_weight: (weight != 1).then_some(UInt32Value { value: weight }),
                ..LbEndpoint::default()
            }
        };
        let group = |group: &LocalityEndpoints| {
            let sum: u64 = group
                .endpoints
                .iter()
                .map(|endpoint| u64::from(endpoint.weight.get()))
                .sum();
            LocalityLbEndpoints {
                locality: Some(core::Locality {
                    region: group.locality.region().to_owned(),
                    zone: group.locality.zone().to_owned(),
                    sub_zone: group.locality.subzone().to_owned(),
                }),
                priority: group.priority,
                lb_endpoints: group.endpoints.iter().map(lb_endpoint).collect(),
                load_balancing_weight: Some(UInt32Value {
                    value: u32::try_from(sum).unwrap_or(u32::MAX),
                }),
                ..LocalityLbEndpoints::default()
            }
        };
        ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: assignment.localities.iter().map(group).collect(),
            ..ClusterLoadAssignment::default()
        }
    }

    fn addresses() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
            Just(Ipv6Addr::from([255, 255, 255, 255, 255, 255, 255, 255].map(|_: u16| 0xffff)).into()),
        ]
    }

    fn speaks() -> impl Strategy<Value = Speaks> {
        prop_oneof![Just(Speaks::Default), Just(Speaks::Plaintext)]
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_envoys_own_types_write(
            name in ".{1,200}",
            groups in prop::collection::vec(
                (prop_oneof![Just(0), any::<u32>()], ".{0,9}", ".{0,200}", prop::collection::vec((addresses(), any::<u16>(), 1u32.., speaks()), 0..20)),
                0..5,
            ),
        ) {
            let localities = groups.into_iter().map(|(priority, region, zone, endpoints)| LocalityEndpoints {
                priority,
                locality: Locality::new(&region, &zone, ""),
                endpoints: endpoints
                    .into_iter()
                    .map(|(address, port, weight, speaks)| WeightedAddress {
                        address,
                        port,
                        weight: NonZeroU32::new(weight).unwrap(),
                        speaks,
                    })
                    .collect(),
            });
            let given = Assignment { localities: localities.collect() };
            let bytes = assignment(&name, &given);
            prop_assert_eq!(ClusterLoadAssignment::decode(&*bytes).unwrap(), message(&name, &given));
            prop_assert_eq!(bytes, message(&name, &given).encode_to_vec());
        }
    }
}
