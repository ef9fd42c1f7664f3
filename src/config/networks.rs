//! `networks`: what the settings say about networks, their address ranges and their gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::addresses;
use super::error::{InvalidValue, Position};
use super::reader::{Reader, Section};
use super::settings::{CidrConfig, GatewayConfig, GatewayPlace, MemberConfig, NetworkConfig};
use super::tree::{Node, Scalar, Value};
use super::values;

/// Where an east-west gateway listens for mutual TLS, as Istio's charts set it up.
const GATEWAY_PORT: u16 = 15443;

/// What is known of the members when the networks are read.
pub(super) struct KnownMembers<'a> {
    pub(super) named: &'a [MemberConfig],
    /// Whether members may come from elsewhere too, so that a name that is not among these may be right.
    pub(super) others: bool,
}

/// What was given already, and where, to find what is given twice.
#[derive(Default)]
struct Seen {
    cidrs: BTreeMap<(IpAddr, u8, Option<String>), Position>,
    gateways: BTreeMap<String, Position>,
    members: BTreeMap<String, (String, Position)>,
}

pub(super) fn networks(
    reader: &mut Reader<'_>,
    root: &Section<'_>,
    known: &KnownMembers<'_>,
) -> BTreeMap<String, NetworkConfig> {
    let mut seen = Seen::default();
    let mut networks = BTreeMap::new();
    for (name, at, node) in reader.entries(root, "networks") {
        let path = format!("networks.{name}");
        let scalar = Scalar {
            text: name.to_owned(),
            kind: super::tree::Kind::Text,
        };
        if let Err(what) = values::label_value(&scalar) {
            reader.error(at, path.clone(), what);
        }
        let section = reader.section(Some(node).filter(|node| !node.is_null()), "networks.NAME", path);
        let network = NetworkConfig {
            cidrs: cidrs(reader, &section, known, &mut seen),
            gateways: gateways(reader, &section, known, &mut seen),
            members: members(reader, &section, name, known, &mut seen),
            weight: reader.value(&section, "weight", weight),
        };
        networks.insert(name.to_owned(), network);
    }
    networks
}

/// What endpoints count, in percent.
pub(super) fn weight(scalar: &Scalar) -> Result<u16, InvalidValue> {
    let percent = values::integer(scalar, 0..=1000)?;
    Ok(u16::try_from(percent).expect("it is in the range"))
}

fn cidrs(reader: &mut Reader<'_>, network: &Section<'_>, known: &KnownMembers<'_>, seen: &mut Seen) -> Vec<CidrConfig> {
    let mut cidrs = Vec::new();
    for (index, node) in reader.list(network, "cidrs").iter().enumerate() {
        let path = format!("{}[{index}]", network.key_path("cidrs"));
        let (cidr, member) = match &node.value {
            Value::Scalar(scalar) => {
                let read = addresses::cidr(scalar).map_err(|what| reader.error(node.at, path.clone(), what));
                (read.ok(), None)
            }
            _ => {
                let section = reader.section(Some(node), "networks.NAME.cidrs[]", path.clone());
                reader.require(&section, "cidr", "write a range such as 10.1.0.0/16");
                let cidr = reader.value(&section, "cidr", addresses::cidr);
                (cidr, member(reader, &section, known))
            }
        };
        let Some((address, prefix)) = cidr else { continue };
        match seen.cidrs.get(&(address, prefix, member.clone())) {
            Some(first) => {
                let problem = format!("{address}/{prefix} is given already in line {}", first.line);
                let remedy =
                    "a range leads to one network: remove one of them, or name the member that each is true in";
                reader.error(node.at, path, InvalidValue::new(problem, remedy));
            }
            None => {
                seen.cidrs.insert((address, prefix, member.clone()), node.at);
                cidrs.push(CidrConfig {
                    address,
                    prefix,
                    member,
                });
            }
        }
    }
    cidrs
}

fn gateways(
    reader: &mut Reader<'_>,
    network: &Section<'_>,
    known: &KnownMembers<'_>,
    seen: &mut Seen,
) -> Vec<GatewayConfig> {
    let mut gateways = Vec::new();
    for (index, node) in reader.list(network, "gateways").iter().enumerate() {
        let path = format!("{}[{index}]", network.key_path("gateways"));
        let section = reader.section(Some(node), "networks.NAME.gateways[]", path.clone());
        let member = member(reader, &section, known);
        let port = reader.value(&section, "port", addresses::port).unwrap_or(GATEWAY_PORT);
        let place = place(reader, &section, node);
        let Some(place) = place else { continue };
        let unique = match &place {
            GatewayPlace::Address(address) => SocketAddr::new(*address, port).to_string(),
            GatewayPlace::Host(host) => format!("{host}:{port}"),
            GatewayPlace::Service { namespace, name } => {
                format!("{namespace}/{name} of {}", member.as_deref().unwrap_or(&network.path))
            }
        };
        match seen.gateways.get(&unique) {
            Some(first) => {
                let problem = format!("{unique} is given already in line {}", first.line);
                reader.error(
                    node.at,
                    path,
                    InvalidValue::new(problem, "a gateway leads to one network; remove one of them"),
                );
            }
            None => {
                seen.gateways.insert(unique, node.at);
                gateways.push(GatewayConfig { place, port, member });
            }
        }
    }
    gateways
}

/// `address` or `service`, exactly one of them.
fn place(reader: &mut Reader<'_>, section: &Section<'_>, node: &Node) -> Option<GatewayPlace> {
    let address = reader.value(section, "address", addresses::gateway_address);
    let service = reader.value(section, "service", addresses::service_name);
    let what = match (section.has("address"), section.has("service")) {
        (true, true) => InvalidValue::new("has both an address and a service", "make two gateways of it"),
        (false, false) if section.lacks("address") => {
            InvalidValue::new("leads nowhere", "add `address: ADDRESS` or `service: NAMESPACE/NAME`")
        }
        _ => return address.or(service),
    };
    reader.error(node.at, section.path.clone(), what);
    None
}

fn members(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    network: &str,
    known: &KnownMembers<'_>,
    seen: &mut Seen,
) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    for (index, node) in reader.list(section, "members").iter().enumerate() {
        let path = format!("{}[{index}]", section.key_path("members"));
        let name = match &node.value {
            Value::Scalar(scalar) => values::label_value(scalar),
            _ => Err(InvalidValue::new("is no name", "write the name of a member")),
        };
        let checked = name.and_then(|name| {
            check_member(&name, known)?;
            if let Some((other, first)) = seen.members.get(&name) {
                return Err(InvalidValue::new(
                    format!("member {name} is in network {other} already, in line {}", first.line),
                    "a member has one network of its own; single pods and ranges may have others",
                ));
            }
            let own = known.named.iter().find(|member| member.name == name);
            match own.and_then(|member| member.network.as_deref()) {
                Some(own) if own != network => Err(InvalidValue::new(
                    format!("member {name} says `network: {own}` of itself"),
                    "say it in one place",
                )),
                _ => Ok(name),
            }
        });
        match checked {
            Ok(name) => {
                seen.members.insert(name.clone(), (network.to_owned(), node.at));
                members.insert(name);
            }
            Err(what) => reader.error(node.at, path, what),
        }
    }
    members
}

/// The key `member`, which must be one.
fn member(reader: &mut Reader<'_>, section: &Section<'_>, known: &KnownMembers<'_>) -> Option<String> {
    reader.value(section, "member", |scalar| {
        let name = values::label_value(scalar)?;
        check_member(&name, known)?;
        Ok(name)
    })
}

fn check_member(name: &str, known: &KnownMembers<'_>) -> Result<(), InvalidValue> {
    if known.others || known.named.iter().any(|member| member.name == name) {
        return Ok(());
    }
    let names: Vec<_> = known.named.iter().map(|member| member.name.as_str()).collect();
    let remedy = match names.as_slice() {
        [] => "there are no members yet".to_owned(),
        names => format!("name one of the members: {}", names.join(", ")),
    };
    Err(InvalidValue::new(format!("there is no member {name}"), remedy))
}

#[cfg(test)]
mod tests {
    use super::super::{CidrConfig, Config, GatewayConfig, GatewayPlace};

    const MEMBERS: &str = "members: [{name: east, folder: e, network: n1}, {name: west, folder: w}]\n";

    fn read(networks: &str) -> Result<Config, String> {
        let text = format!("{MEMBERS}networks:\n{networks}");
        Config::from_yaml(&text, "f").map_err(|errors| errors.to_string())
    }

    #[test]
    fn everything_that_can_be_said() {
        let config = read(
            "
  n1: {members: [east]}
  n2:
    cidrs: [10.2.0.0/16, 'fd00::/8', {cidr: 10.1.0.0/16, member: west}]
    gateways:
      - {address: 203.0.113.7}
      - {address: GW.example.com., port: 443, member: west}
      - {service: mesh/gw, port: 15444}
  n3:
",
        )
        .unwrap();
        let n2 = &config.networks["n2"];
        let cidr = |address: &str, prefix, member: Option<&str>| CidrConfig {
            address: address.parse().unwrap(),
            prefix,
            member: member.map(str::to_owned),
        };
        assert_eq!(
            n2.cidrs,
            [
                cidr("10.2.0.0", 16, None),
                cidr("fd00::", 8, None),
                cidr("10.1.0.0", 16, Some("west"))
            ]
        );
        let gateway = |place, port, member: Option<&str>| GatewayConfig {
            place,
            port,
            member: member.map(str::to_owned),
        };
        assert_eq!(
            n2.gateways,
            [
                gateway(GatewayPlace::Address("203.0.113.7".parse().unwrap()), 15443, None),
                gateway(GatewayPlace::Host("gw.example.com".to_owned()), 443, Some("west")),
                gateway(
                    GatewayPlace::Service {
                        namespace: "mesh".to_owned(),
                        name: "gw".to_owned()
                    },
                    15444,
                    None
                )
            ]
        );
        assert_eq!(config.networks["n1"].members, ["east".to_owned()].into());
        assert_eq!(config.networks.len(), 3);
    }

    #[test]
    fn each_mistake_is_named_with_what_to_write() {
        for (networks, expected) in [
            ("  -n: {}", "networks.-n: \"-n\" is no Kubernetes label value"),
            ("  n: {cidr: 10.0.0.0/8}", "did you mean `networks.NAME.cidrs`?"),
            ("  n: {}\n  n: {}", "is given twice"),
            ("  n: {cidrs: [10.1.2.3/16]}", "write 10.1.0.0/16"),
            ("  n: {cidrs: [10.1.0.0]}", "has no length; write 10.1.0.0/32"),
            ("  n: {cidrs: [10.1.0.0/33]}", "from 0 to 32"),
            ("  n: {cidrs: ['fd00::/129']}", "from 0 to 128"),
            ("  n: {cidrs: [east/8]}", "is no range of addresses"),
            ("  n: {cidrs: ['::ffff:10.0.0.0/104']}", "write 10.0.0.0/8"),
            (
                "  n: {cidrs: [10.0.0.0/8]}\n  m: {cidrs: [10.0.0.0/8]}",
                "10.0.0.0/8 is given already in line 3",
            ),
            ("  n: {cidrs: [{member: east}]}", "networks.n.cidrs[0].cidr: is missing"),
            (
                "  n: {cidrs: [{cidr: 10.0.0.0/8, member: north}]}",
                "no member north; name one of the members: east, west",
            ),
            ("  n: {members: [north]}", "there is no member north"),
            (
                "  n: {members: [west]}\n  m: {members: [west]}",
                "member west is in network n already, in line 3",
            ),
            ("  n: {members: [east]}", "member east says `network: n1` of itself"),
            ("  n: {members: [[east]]}", "is no name"),
            ("  n: {gateways: [{port: 1}]}", "leads nowhere"),
            (
                "  n: {gateways: [{address: 192.0.2.1, service: a/b}]}",
                "has both an address and a service",
            ),
            ("  n: {gateways: [{address: 192.0.2.1, port: 0}]}", "from 1 to 65535"),
            (
                "  n: {gateways: [{address: 192.0.2.1, port: 65536}]}",
                "from 1 to 65535",
            ),
            (
                "  n: {gateways: [{address: '192.0.2.1:15443'}]}",
                "write the port as `port: 15443`",
            ),
            ("  n: {gateways: [{address: '::ffff:192.0.2.1'}]}", "write 192.0.2.1"),
            ("  n: {gateways: [{address: 0.0.0.0}]}", "is no address of a host"),
            ("  n: {gateways: [{address: gateway}]}", "is no complete host name"),
            ("  n: {gateways: [{address: a_b.c!}]}", "is no complete host name"),
            ("  n: {gateways: [{service: gw}]}", "write NAMESPACE/NAME"),
            (
                "  n: {gateways: [{address: 192.0.2.1}]}\n  m: {gateways: [{address: 192.0.2.1, port: 15443}]}",
                "192.0.2.1:15443 is given already in line 3",
            ),
            ("  n: 5", "expected keys and values"),
            ("  n: {cidrs: 10.0.0.0/8}", "expected a list"),
        ] {
            let errors = read(networks).expect_err(networks);
            assert!(errors.contains(expected), "{networks}: {errors}");
        }
        let anywhere = "memberSecrets: {inCluster: true}\nnetworks: {n: {members: [north]}}";
        Config::from_yaml(anywhere, "f").expect("it may come in a Secret");
        let nested = "  n: {cidrs: [10.0.0.0/8]}\n  m: {cidrs: [10.1.0.0/16, {cidr: 10.0.0.0/8, member: west}]}";
        read(nested).expect("the narrower range counts");
    }
}
