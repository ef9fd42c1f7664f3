//! Where something runs: region, zone and subzone.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Region, zone and subzone; a part that is not known is empty. Ordered by these three, which fixes the order of output.
///
/// One pointer: all endpoints of a Node share one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Locality(Option<Arc<Parts>>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Parts {
    region: Box<str>,
    zone: Box<str>,
    subzone: Box<str>,
}

impl Locality {
    /// Joins the three parts; an unknown part is empty.
    #[must_use]
    pub fn new(region: &str, zone: &str, subzone: &str) -> Self {
        if region.is_empty() && zone.is_empty() && subzone.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Parts {
            region: region.into(),
            zone: zone.into(),
            subzone: subzone.into(),
        })))
    }

    /// `topology.kubernetes.io/region` of the Node.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.as_ref().map_or("", |parts| &parts.region)
    }

    /// `topology.kubernetes.io/zone` of the Node.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.0.as_ref().map_or("", |parts| &parts.zone)
    }

    /// `topology.istio.io/subzone` of the Node.
    #[must_use]
    pub fn subzone(&self) -> &str {
        self.0.as_ref().map_or("", |parts| &parts.subzone)
    }

    /// Whether it is the very same, which takes no look at any text. One that is not may still be equal.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// True when nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unknown() {
            return f.pad("-");
        }
        let text = format!("{}/{}/{}", self.region(), self.zone(), self.subzone());
        f.pad(text.trim_end_matches('/'))
    }
}
