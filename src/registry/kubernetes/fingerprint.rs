//! What tells one cluster from another. Pure.

use std::collections::BTreeMap;

/// The namespace that every cluster has from its beginning to its end.
pub(super) const KUBE_SYSTEM: &str = "kube-system";

/// The UIDs of namespaces of a cluster: of `kube-system`, as is the custom, and of others where that may not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    pub(super) fn add(&mut self, namespace: &str, uid: String) {
        self.0.insert(namespace.to_owned(), uid);
    }

    /// Whether these can't be of one cluster. Where nothing is known of both there is no telling.
    pub(in super::super) fn contradicts(&self, other: &Self) -> bool {
        let pairs = self
            .0
            .iter()
            .filter_map(|(name, uid)| Some((name, uid, other.0.get(name)?)));
        let mut pairs: Vec<_> = pairs.collect();
        if pairs.iter().any(|(name, ..)| *name == KUBE_SYSTEM) {
            // Others may have been made anew.
            pairs.retain(|(name, ..)| *name == KUBE_SYSTEM);
        }
        pairs.iter().any(|(_, one, other)| one != other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uids: &[(&str, &str)]) -> Fingerprint {
        let mut found = Fingerprint::default();
        for (name, uid) in uids {
            found.add(name, (*uid).to_owned());
        }
        found
    }

    #[test]
    fn the_oldest_namespace_counts_most() {
        let (one, other) = (
            of(&[(KUBE_SYSTEM, "1"), ("shop", "a")]),
            of(&[(KUBE_SYSTEM, "2"), ("shop", "a")]),
        );
        assert!(one.contradicts(&other) && !one.contradicts(&one));
        assert!(!one.contradicts(&of(&[(KUBE_SYSTEM, "1"), ("shop", "b")])), "made anew");
        assert!(one.contradicts(&of(&[("shop", "b")])));
        assert!(!one.contradicts(&of(&[("shop", "a")])) && !one.contradicts(&of(&[("cart", "b")])));
    }
}
