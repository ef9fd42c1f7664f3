//! Where something runs: region, zone and subzone.

use std::fmt;
use std::sync::Arc;

/// Region, zone and subzone; a part that is not known is empty. Ordered by these three, which fixes the order of output.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// `topology.kubernetes.io/region` of the Node.
    pub region: Arc<str>,
    /// `topology.kubernetes.io/zone` of the Node.
    pub zone: Arc<str>,
    /// `topology.istio.io/subzone` of the Node.
    pub subzone: Arc<str>,
}

impl Locality {
    /// Joins the three parts; an unknown part is empty.
    #[must_use]
    pub fn new(region: &str, zone: &str, subzone: &str) -> Self {
        Self {
            region: region.into(),
            zone: zone.into(),
            subzone: subzone.into(),
        }
    }

    /// True when nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unknown() {
            return f.pad("-");
        }
        let text = format!("{}/{}/{}", self.region, self.zone, self.subzone);
        f.pad(text.trim_end_matches('/'))
    }
}
