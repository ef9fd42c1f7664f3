//! What endpoints count by where they run.

use std::collections::BTreeMap;

use super::{Locality, MemberWeight};

/// What the settings say of regions and zones; of a zone its own word counts before that of its region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneWeights {
    /// By region, then zone; an empty zone is the region as a whole.
    regions: BTreeMap<Box<str>, BTreeMap<Box<str>, ZoneWeight>>,
}

/// What is said of a region or zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneWeight {
    /// Which it is said of: a region and a zone, or a region without one.
    pub zone: Locality,
    /// What each endpoint there counts.
    pub weight: MemberWeight,
}

impl FromIterator<ZoneWeight> for ZoneWeights {
    fn from_iter<I: IntoIterator<Item = ZoneWeight>>(weights: I) -> Self {
        let mut regions: BTreeMap<Box<str>, BTreeMap<Box<str>, ZoneWeight>> = BTreeMap::new();
        for said in weights {
            let zones = regions.entry(said.zone.region().into()).or_default();
            zones.insert(said.zone.zone().into(), said);
        }
        Self { regions }
    }
}

impl ZoneWeights {
    /// True where nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// What is said of a place, if anything. Where its region is not known (the Nodes of its member may not be read) its zone
    /// tells alone, first in the order of regions.
    #[must_use]
    pub fn of(&self, place: &Locality) -> Option<&ZoneWeight> {
        match self.regions.get(place.region()) {
            Some(zones) => zones.get(place.zone()).or_else(|| zones.get("")),
            None if place.region().is_empty() && !place.zone().is_empty() => {
                self.regions.values().find_map(|zones| zones.get(place.zone()))
            }
            None => None,
        }
    }

    /// All that is said, by region and zone.
    pub fn iter(&self) -> impl Iterator<Item = &ZoneWeight> {
        self.regions.values().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(said: &[(&str, &str, u16)]) -> ZoneWeights {
        let weights = said.iter().map(|(region, zone, percent)| ZoneWeight {
            zone: Locality::new(region, zone, ""),
            weight: MemberWeight::new(*percent).unwrap(),
        });
        weights.collect()
    }

    #[test]
    fn a_zones_own_word_counts_before_that_of_its_region() {
        let weights = weights(&[("r1", "", 0), ("r1", "b", 50), ("", "z", 20)]);
        let of = |region, zone| {
            let said = weights.of(&Locality::new(region, zone, "rack"))?;
            Some((said.zone.to_string(), said.weight.percent()))
        };
        assert_eq!(of("r1", "a"), Some(("r1".to_owned(), 0)));
        assert_eq!(of("r1", ""), Some(("r1".to_owned(), 0)));
        assert_eq!(of("r1", "b"), Some(("r1/b".to_owned(), 50)));
        assert_eq!(of("", "z"), Some(("/z".to_owned(), 20)));
        assert_eq!((of("r2", "b"), of("", "")), (None, None));
    }

    #[test]
    fn where_the_region_is_not_known_the_zone_tells_alone() {
        let weights = weights(&[("r1", "", 0), ("r1", "b", 50)]);
        let of = |zone| Some(weights.of(&Locality::new("", zone, ""))?.weight.percent());
        assert_eq!((of("b"), of("a"), of("")), (Some(50), None, None));
    }
}
