//! One copy of what a member repeats: namespaces, Nodes, zones, names of ports, and what many pods have in common.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::record::{Labels, PodTraits};
use crate::model::PodName;

/// Below this many values it is not worth looking for those that nobody uses any more.
const SMALL: usize = 256;

/// Values of which one copy is kept, as long as somebody uses it.
#[derive(Debug)]
pub struct Shared<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// The number of values at which unused ones are swept out next.
    sweep_at: usize,
}

/// Texts, and traits of pods, of which one copy is kept.
#[derive(Debug, Default)]
pub struct Strings {
    texts: Shared<str>,
    traits: Shared<PodTraits>,
}

impl Strings {
    /// Puts the known copy of an equal text in the place of this one.
    pub(super) fn share(&mut self, text: &mut Arc<str>) {
        self.texts.share(text);
    }

    /// The same for a text that may be missing.
    pub(super) fn share_some(&mut self, text: &mut Option<Arc<str>>) {
        if let Some(text) = text {
            self.share(text);
        }
    }

    /// Makes a name anew with the known copy of its namespace.
    pub(super) fn share_pod(&mut self, pod: &mut PodName) {
        let mut namespace = Arc::clone(pod.namespace());
        self.share(&mut namespace);
        if !Arc::ptr_eq(&namespace, pod.namespace()) {
            *pod = PodName::new(namespace, pod.name());
        }
    }

    /// Puts known copies in the place of all keys and values.
    pub(super) fn share_labels(&mut self, labels: &mut Labels) {
        for (key, value) in labels {
            self.share(key);
            self.share(value);
        }
    }

    /// Puts known copies in the place of traits as a whole, and for what is in those that are new.
    pub(super) fn share_traits(&mut self, traits: &mut Arc<PodTraits>) {
        if let Some(known) = self.traits.known.get(traits) {
            *traits = Arc::clone(known);
            return;
        }
        if let Some(traits) = Arc::get_mut(traits) {
            self.share_labels(&mut traits.labels);
            traits.labels.shrink_to_fit();
            self.share(&mut traits.account);
        }
        self.traits.share(traits);
    }
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: 0,
        }
    }
}

impl<T: ?Sized + Hash + Eq> Shared<T> {
    /// Puts the known copy of an equal value in the place of this one.
    pub(super) fn share(&mut self, value: &mut Arc<T>) {
        match self.known.get(value) {
            Some(known) => *value = Arc::clone(known),
            None => {
                if self.known.len() > self.sweep_at.max(SMALL) {
                    self.known.retain(|known| Arc::strong_count(known) > 1);
                    self.known.shrink_to_fit();
                    self.sweep_at = self.known.len() * 2;
                }
                self.known.insert(Arc::clone(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut strings = Strings::default();
        let (mut one, mut other): (Arc<str>, Arc<str>) = ("zone-1".into(), "zone-1".into());
        strings.share(&mut one);
        strings.share(&mut other);
        assert!(Arc::ptr_eq(&one, &other));
        for number in 0..10_000 {
            strings.share(&mut number.to_string().into());
        }
        assert!(
            strings.texts.known.len() <= 2 * SMALL,
            "{} are left",
            strings.texts.known.len()
        );
        assert!(strings.texts.known.contains("zone-1"), "one in use stays");
    }
}
