//! Why endpoints are withheld, with who said so. Pure.

use std::collections::BTreeSet;

use crate::model::{ClusterId, GatewaySet, NetworkId};
use crate::registry::{MemberReport, MemberSource};
use crate::view::WithheldReason;

/// Where what is said of members and networks is found.
#[derive(Debug)]
pub(super) struct Said<'a> {
    /// The gateways, and what should be one.
    pub(super) gateways: &'a GatewaySet,
    /// The members.
    pub(super) members: &'a [MemberReport],
}

impl Said<'_> {
    /// A reason for people, with who said so or what is behind it.
    pub(super) fn why(&self, reason: &WithheldReason) -> String {
        let more = match reason {
            WithheldReason::Drained(member) => self.who_weighs(member).map(str::to_owned),
            WithheldReason::NoGateway(network) => self.why_no_gateway(network),
            _ => None,
        };
        match more {
            None => reason.to_string(),
            Some(more) => format!("{reason} ({more})"),
        }
    }

    /// Of these networks what keeps all others out: something should be a gateway, and nothing is.
    pub(super) fn cut_off(&self, networks: &BTreeSet<NetworkId>) -> Vec<String> {
        let cut_off = networks
            .iter()
            .filter(|network| self.gateways.of(network).is_empty())
            .filter_map(|network| {
                let why = self.why_no_gateway(network)?;
                let reason = WithheldReason::NoGateway(network.clone());
                Some(format!("withheld from all other networks: {reason} ({why})"))
            });
        cut_off.collect()
    }

    fn who_weighs(&self, member: &ClusterId) -> Option<&'static str> {
        let report = self.members.iter().find(|report| report.name == *member)?;
        Some(who_weighs(&report.source))
    }

    /// What should be a gateway of the network that has none, and why it is not.
    fn why_no_gateway(&self, network: &NetworkId) -> Option<String> {
        let unusable = self.gateways.unusable().iter();
        let unusable = unusable.filter(|unusable| unusable.source.network == *network);
        let reasons = unusable.map(|unusable| {
            let source = &unusable.source;
            let member = source.member.as_ref().map(|member| format!(" of {member}"));
            format!("{}{}: {}", source.origin, member.unwrap_or_default(), unusable.reason)
        });
        let reasons: Vec<_> = reasons.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// What says how much a member's endpoints count.
pub(super) fn who_weighs(source: &MemberSource) -> &'static str {
    match source {
        MemberSource::Secret { .. } => "spec.weight of its Member object",
        MemberSource::Folder { .. }
        | MemberSource::Kubernetes { .. }
        | MemberSource::InCluster
        | MemberSource::Remembered => "weight in `members` of the settings",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn who_said_so_is_told_and_which_networks_are_cut_off() {
        let gateways = samples::gateways();
        let said = Said {
            gateways: &gateways,
            members: &[],
        };
        let gone = WithheldReason::Drained(samples::member("gone"));
        assert_eq!(said.why(&gone), "member gone is drained: its weight is 0");
        let of_settings = MemberSource::Folder { path: "west".into() };
        assert_eq!(who_weighs(&of_settings), "weight in `members` of the settings");
        let networks = ["net1", "net2", "net3"].map(samples::network);
        assert_eq!(
            said.cut_off(&networks.into()),
            [
                "withheld from all other networks: network net3 has no usable gateway (service istio-system/eastwest of north: none of its pods is ready)"
            ]
        );
    }
}
