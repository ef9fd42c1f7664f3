//! Which endpoints a viewer is sent to first: those that are near, where somebody asks for that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Locality, NetworkId, ViewKey};

/// Something that a viewer and an endpoint may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shared {
    /// The network. In the first place it sets others apart, and the rest of the order counts among these too; elsewhere it is a
    /// step like any other.
    Network,
    /// The region.
    Region,
    /// The zone.
    Zone,
    /// The subzone.
    Subzone,
}

/// What somebody prefers; by default all endpoints are alike. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Preference(Option<Arc<Order>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    shared: Vec<Shared>,
    /// Of a region, where to go next, in order, before all others.
    regions: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

/// How far an endpoint is from a viewer; the least is the nearest, and nothing else is meant by the number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance(u32);

impl Preference {
    /// The more of these a viewer and an endpoint share, from the first on without a gap, the nearer they are. `regions`: where
    /// viewers of a region go first of what is in another.
    #[must_use]
    pub fn by(shared: Vec<Shared>, regions: BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Self {
        Self((!shared.is_empty()).then(|| Arc::new(Order { shared, regions })))
    }

    /// `trafficDistribution: PreferSameZone`, as Istio reads it: the own network, in it the region, in that the zone.
    #[must_use]
    pub fn same_zone() -> Self {
        Self::by(vec![Shared::Network, Shared::Region, Shared::Zone], BTreeMap::new())
    }

    /// `trafficDistribution: PreferSameNode`. A Node is no part of a locality; the subzone, which may be one, is the nearest.
    #[must_use]
    pub fn same_node() -> Self {
        let shared = vec![Shared::Network, Shared::Region, Shared::Zone, Shared::Subzone];
        Self::by(shared, BTreeMap::new())
    }

    /// True where all are alike.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// How many steps there may be from the nearest to where nothing is shared any more.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.0.as_ref().map_or(0, |order| order.shared.len())
    }

    /// How far something on this network and in this locality is from a viewer.
    #[must_use]
    pub fn distance(&self, viewer: &ViewKey, network: &NetworkId, locality: &Locality) -> Distance {
        let Some(order) = &self.0 else {
            return Distance::default();
        };
        let own = &viewer.vantage.locality;
        // Of a viewer that is nowhere, nothing is near.
        let known = !own.is_unknown();
        let shares = |part: &Shared| match part {
            Shared::Network => viewer.network == *network,
            Shared::Region => !known || own.region() == locality.region(),
            Shared::Zone => !known || own.zone() == locality.zone(),
            Shared::Subzone => !known || own.subzone() == locality.subzone(),
        };
        let (apart, steps) = match order.shared.as_slice() {
            [Shared::Network, rest @ ..] => (!shares(&Shared::Network), rest),
            all => (false, all),
        };
        let shared = steps.iter().take_while(|part| shares(part)).count();
        let next = match order.regions.get(own.region()) {
            Some(next) if known && !shares(&Shared::Region) => next
                .iter()
                .position(|region| **region == *locality.region())
                .unwrap_or(next.len()),
            _ => 0,
        };
        let small = |number: usize, most: u32| u32::try_from(number).map_or(most, |number| number.min(most));
        Distance(u32::from(apart) << 31 | small(steps.len() - shared, 0x7f) << 16 | small(next, 0xffff))
    }
}

#[cfg(test)]
mod tests {
    use super::super::AddressFamilies;
    use super::*;

    fn viewer(region: &str, zone: &str) -> ViewKey {
        let mut key = ViewKey::endpoints(NetworkId::new("net1").unwrap(), AddressFamilies::V4);
        key.vantage.locality = Locality::new(region, zone, "");
        key
    }

    /// The places `network region/zone`, from the nearest; those as near as the one before in the same list.
    fn order(preference: &Preference, viewer: &ViewKey, places: &[&str]) -> Vec<Vec<String>> {
        let mut found: BTreeMap<Distance, Vec<String>> = BTreeMap::new();
        for place in places {
            let (network, at) = place.split_once(' ').unwrap();
            let (region, zone) = at.split_once('/').unwrap();
            let distance = preference.distance(
                viewer,
                &NetworkId::new(network).unwrap(),
                &Locality::new(region, zone, ""),
            );
            found.entry(distance).or_default().push((*place).to_owned());
        }
        found.into_values().collect()
    }

    const PLACES: [&str; 5] = ["net1 r1/a", "net1 r1/b", "net2 r1/a", "net2 r2/c", "net1 r3/d"];

    #[test]
    fn the_more_is_shared_the_nearer() {
        let levels = Preference::by(vec![Shared::Region, Shared::Zone, Shared::Subzone], BTreeMap::new());
        assert_eq!(
            order(&levels, &viewer("r1", "a"), &PLACES),
            [
                vec!["net1 r1/a", "net2 r1/a"],
                vec!["net1 r1/b"],
                vec!["net2 r2/c", "net1 r3/d"]
            ]
        );
        // The own network first, and the same order again behind it.
        assert_eq!(
            order(&Preference::same_zone(), &viewer("r1", "a"), &PLACES),
            [
                ["net1 r1/a"],
                ["net1 r1/b"],
                ["net1 r3/d"],
                ["net2 r1/a"],
                ["net2 r2/c"]
            ]
        );
    }

    #[test]
    fn regions_come_in_the_order_that_is_given() {
        let regions = BTreeMap::from([("r1".into(), vec!["r3".into()])]);
        let levels = Preference::by(vec![Shared::Region, Shared::Zone], regions);
        let found = order(&levels, &viewer("r1", "a"), &PLACES);
        assert_eq!(found[2..], [vec!["net1 r3/d"], vec!["net2 r2/c"]]);
        let elsewhere = order(&levels, &viewer("r2", "c"), &PLACES);
        assert_eq!(elsewhere.len(), 2, "r2 says nothing of where to go: {elsewhere:?}");
    }

    #[test]
    fn without_a_word_or_a_place_all_are_alike() {
        assert_eq!(order(&Preference::default(), &viewer("r1", "a"), &PLACES).len(), 1);
        let nowhere = order(&Preference::same_zone(), &viewer("", ""), &PLACES);
        assert_eq!(nowhere.len(), 2, "the network is known all the same: {nowhere:?}");
    }
}
