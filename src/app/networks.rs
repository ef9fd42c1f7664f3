//! From the settings' words about networks to those of the table.

use std::collections::BTreeMap;

use super::traffic;
use crate::config::{Config, GatewayPlace, LocalityChoice, SharedChoice};
use crate::model::{
    Cidr, ClusterId, HostName, Locality, MemberWeight, NetworkId, ObjectName, Preference, ServiceKey, Shared,
    ZoneWeight, ZoneWeights,
};
use crate::table::{CidrRule, ClusterLocal, ExportTo, SettingsGateway, SettingsPlace, TableSettings};

/// What the table goes by. The settings are checked already; what fails here is a check that is missing there.
pub(super) fn table_settings(config: &Config) -> anyhow::Result<TableSettings> {
    let mut members = BTreeMap::new();
    let mut cidrs = Vec::new();
    let mut gateways = Vec::new();
    let mut weights = BTreeMap::new();
    let member = |name: &Option<String>| name.as_deref().map(ClusterId::new).transpose();
    for (name, said) in &config.networks {
        let network = NetworkId::new(name)?;
        if let Some(weight) = said.weight.and_then(MemberWeight::new) {
            weights.insert(network.clone(), weight);
        }
        for name in &said.members {
            members.insert(ClusterId::new(name)?, network.clone());
        }
        for range in &said.cidrs {
            cidrs.push(CidrRule {
                cidr: Cidr::new(range.address, range.prefix)?,
                network: network.clone(),
                member: member(&range.member)?,
            });
        }
        for gateway in &said.gateways {
            let place = match &gateway.place {
                GatewayPlace::Address(address) => SettingsPlace::Address(*address),
                GatewayPlace::Host(host) => SettingsPlace::Host(HostName::new(host)?),
                GatewayPlace::Service { namespace, name } => SettingsPlace::Service(ObjectName::new(namespace, name)),
            };
            gateways.push(SettingsGateway {
                network: network.clone(),
                member: member(&gateway.member)?,
                place,
                port: gateway.port,
            });
        }
    }
    Ok(TableSettings {
        members,
        cidrs: cidrs.into_iter().collect(),
        gateways,
        weights,
        zones: zones(config),
        preference: preference(config),
        export: ExportTo(config.mesh.export_to.iter().map(|name| name.as_str().into()).collect()),
        cluster_local: config
            .mesh
            .cluster_local
            .iter()
            .filter_map(|name| cluster_local(name))
            .collect(),
        domain: config.mesh.domain.as_str().into(),
        mtls: traffic::mtls(config),
        ..TableSettings::new(
            NetworkId::new(&config.mesh.default_network)?,
            &config.mesh.system_namespace,
        )
    })
}

fn zones(config: &Config) -> ZoneWeights {
    let said = config.zones.iter().filter_map(|((region, zone), said)| {
        Some(ZoneWeight {
            zone: Locality::new(region, zone, ""),
            weight: said.weight.and_then(MemberWeight::new)?,
        })
    });
    said.collect()
}

fn preference(config: &Config) -> Preference {
    let locality = &config.traffic.locality;
    if locality.mode == LocalityChoice::Off {
        return Preference::default();
    }
    let shared = locality.order.iter().map(|shared| match shared {
        SharedChoice::Network => Shared::Network,
        SharedChoice::Region => Shared::Region,
        SharedChoice::Zone => Shared::Zone,
        SharedChoice::Subzone => Shared::Subzone,
    });
    let regions = locality.failover.iter().map(|failover| {
        let to = failover.to.iter().map(|region| region.as_str().into());
        (failover.from.as_str().into(), to.collect())
    });
    Preference::by(shared.collect(), regions.collect())
}

fn cluster_local(text: &str) -> Option<ClusterLocal> {
    let (name, namespace) = text.split_once('.')?;
    Some(match name {
        "*" => ClusterLocal::Namespace(namespace.into()),
        name => ClusterLocal::Service(ServiceKey::new(namespace, name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_settings_take_the_table_takes() {
        let text = "
mesh: {defaultNetwork: flat}
membersFolder: m
networks:
  n1:
    members: [east]
    weight: 50
    cidrs: [10.1.0.0/16, {cidr: 'fd00::/8', member: east}, 0.0.0.0/0]
    gateways:
      - {address: 203.0.113.7}
      - {address: gw.example.com, member: east, port: 443}
      - {service: istio-system/eastwest}
";
        let config = Config::from_yaml(text, "f").unwrap();
        let settings = table_settings(&config).unwrap();
        assert_eq!(settings.default_network.as_str(), "flat");
        assert_eq!(
            (settings.members.len(), settings.gateways.len(), settings.weights.len()),
            (1, 3, 1)
        );
        assert_eq!(settings.cluster_local.len(), 2, "kubernetes.default and kube-system");
        let east = ClusterId::new("east").unwrap();
        let of = |address: &str| settings.cidrs.network_of(Some(&east), [address.parse().unwrap()]);
        assert!(of("10.1.2.3").is_some() && of("fd00::1").is_some() && of("2001:db8::1").is_none());
    }
}
