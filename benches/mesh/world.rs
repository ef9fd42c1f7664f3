//! The meshes that are measured: how many members, networks, services and endpoints, and where each is. A function of the
//! size alone, so that every target sees the same.

use std::net::Ipv4Addr;
use std::sync::Arc;

/// The size of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) members: usize,
    pub(crate) networks: usize,
    /// Services with different names.
    pub(crate) services: usize,
    /// How many of them each member has.
    pub(crate) services_per_member: usize,
    /// Endpoints in all.
    pub(crate) endpoints: usize,
    pub(crate) proxies: usize,
}

/// For a look that takes a minute.
pub(crate) const S: Size = size("S", [3, 2, 50, 50, 1_000, 100]);
/// The shape of Istio's multicluster tests.
pub(crate) const M: Size = size("M", [10, 5, 300, 300, 40_000, 1_000]);
/// The shape of Cilium's scale tests.
pub(crate) const L: Size = size("L", [250, 50, 1_000, 100, 250_000, 5_000]);
/// Beyond what anybody is known to run.
pub(crate) const XL: Size = size("XL", [500, 100, 5_000, 200, 1_000_000, 10_000]);

/// A mesh of some other size; in the order of the fields.
pub(crate) const fn size(name: &'static str, n: [usize; 6]) -> Size {
    Size {
        name,
        members: n[0],
        networks: n[1],
        services: n[2],
        services_per_member: n[3],
        endpoints: n[4],
        proxies: n[5],
    }
}

/// Pods' addresses of changes, which no pod of a generated mesh has.
const FRESH: u32 = u32::from_be_bytes([172, 16, 0, 0]);

impl Size {
    pub(crate) fn of(name: &str) -> Option<Self> {
        [S, M, L, XL]
            .into_iter()
            .find(|size| size.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn member_name(member: usize) -> String {
        format!("member-{member:03}")
    }

    /// The network of a member; neighbours share one.
    pub(crate) fn network_of(&self, member: usize) -> usize {
        member % self.members * self.networks / self.members
    }

    pub(crate) fn network_name(network: usize) -> String {
        format!("net-{network:03}")
    }

    /// A member on this network.
    pub(crate) fn member_on(&self, network: usize) -> usize {
        (0..self.members)
            .find(|member| self.network_of(*member) == network)
            .unwrap_or_default()
    }

    /// The services of a member.
    pub(crate) fn services_of(&self, member: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, all) = (member * self.services_per_member, self.services);
        (0..self.services_per_member).map(move |at| (first + at) % all)
    }

    /// How many endpoints the `at`th service of a member has.
    pub(crate) fn endpoints_of(&self, member: usize, at: usize) -> usize {
        let pairs = self.members * self.services_per_member;
        let pair = member % self.members * self.services_per_member + at;
        self.endpoints / pairs + usize::from(pair < self.endpoints % pairs)
    }

    /// The address of the `endpoint`th pod of the `at`th service of a member.
    pub(crate) fn address(&self, member: usize, at: usize, endpoint: usize) -> Ipv4Addr {
        let most = self.endpoints.div_ceil(self.members * self.services_per_member);
        let index = (member * self.services_per_member + at) * most + endpoint;
        Ipv4Addr::from(u32::from_be_bytes([10, 0, 0, 0]) + u32::try_from(index).unwrap_or_default())
    }

    /// An address that was not used before.
    pub(crate) fn fresh_address(count: u32) -> Ipv4Addr {
        Ipv4Addr::from(FRESH + count % (1 << 20))
    }

    /// The counts of the fresh addresses in an encoded assignment.
    pub(crate) fn fresh_in(mut content: &[u8]) -> impl Iterator<Item = u32> + use<'_> {
        const BEGIN: &[u8] = b"172.";
        std::iter::from_fn(move || {
            let at = content.windows(BEGIN.len()).position(|window| window == BEGIN)?;
            content = &content[at..];
            let end = content
                .iter()
                .position(|byte| !(byte.is_ascii_digit() || *byte == b'.'));
            let (address, rest) = content.split_at(end.unwrap_or(content.len()));
            content = rest;
            let address: Ipv4Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
            Some(u32::from(address) - FRESH)
        })
    }

    pub(crate) fn gateway(&self, member: usize) -> Ipv4Addr {
        let index = u32::try_from(member).unwrap_or_default();
        Ipv4Addr::from(u32::from_be_bytes([198, 18, 0, 1]) + index)
    }

    pub(crate) fn service_name(service: usize) -> (String, String) {
        (format!("ns-{}", service % 10), format!("service-{service:04}"))
    }

    /// `count` lists of `each` services, as names of clusters: what proxies with a scope watch.
    pub(crate) fn scopes(&self, count: usize, each: usize) -> Vec<Vec<Arc<str>>> {
        let scope = |at: usize| {
            let services = (0..each).map(|service| (at * each + service) % self.services);
            services.map(|service| Self::cluster_name(service).into()).collect()
        };
        (0..count).map(scope).collect()
    }

    /// The name of a service's Envoy cluster.
    pub(crate) fn cluster_name(service: usize) -> String {
        let (namespace, name) = Self::service_name(service);
        format!("outbound|8080||{name}.{namespace}.svc.cluster.local")
    }
}
