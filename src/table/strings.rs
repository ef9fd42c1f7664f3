//! One copy of texts that a member repeats: namespaces, Nodes, zones, names of ports.

use std::collections::HashSet;
use std::sync::Arc;

/// Below this many texts it is not worth looking for those that nobody uses any more.
const SMALL: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Strings {
    known: HashSet<Arc<str>>,
    /// The number of texts at which unused ones are swept out next.
    sweep_at: usize,
}

impl Strings {
    /// Puts the known copy of an equal text in the place of this one.
    pub(super) fn share(&mut self, text: &mut Arc<str>) {
        match self.known.get(text) {
            Some(known) => *text = Arc::clone(known),
            None => {
                if self.known.len() > self.sweep_at.max(SMALL) {
                    self.known.retain(|known| Arc::strong_count(known) > 1);
                    self.sweep_at = self.known.len() * 2;
                }
                self.known.insert(Arc::clone(text));
            }
        }
    }

    /// The same for a text that may be missing.
    pub(super) fn share_some(&mut self, text: &mut Option<Arc<str>>) {
        if let Some(text) = text {
            self.share(text);
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
        assert!(strings.known.len() <= 2 * SMALL, "{} are left", strings.known.len());
        assert!(strings.known.contains("zone-1"), "one in use stays");
    }
}
