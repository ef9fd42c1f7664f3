//! The name of a pod, as small as it gets: there are as many as endpoints.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use triomphe::ThinArc;

use super::ObjectName;

/// The namespace and name of a pod: one allocation behind a pointer of 8 bytes. A pod, its entries in slices and its endpoints
/// share one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "ObjectName", into = "ObjectName")]
pub struct PodName(ThinArc<Arc<str>, u8>);

impl PodName {
    /// Joins a namespace, of which this copy is kept, and a name.
    #[must_use]
    pub fn new(namespace: Arc<str>, name: &str) -> Self {
        Self(ThinArc::from_header_and_slice(namespace, name.as_bytes()))
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.0.header.header
    }

    /// The pod's name.
    #[must_use]
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.0.slice).expect("the bytes were those of a text")
    }
}

impl From<&ObjectName> for PodName {
    fn from(name: &ObjectName) -> Self {
        Self::new(Arc::clone(&name.namespace), &name.name)
    }
}

impl From<ObjectName> for PodName {
    fn from(name: ObjectName) -> Self {
        Self::new(name.namespace, &name.name)
    }
}

impl From<&PodName> for ObjectName {
    fn from(pod: &PodName) -> Self {
        Self {
            namespace: Arc::clone(pod.namespace()),
            name: pod.name().into(),
        }
    }
}

impl From<PodName> for ObjectName {
    fn from(pod: PodName) -> Self {
        Self::from(&pod)
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ObjectName::from(self).fmt(f)
    }
}

impl fmt::Debug for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_and_small() {
        let name = ObjectName::new("shop", "web-ü");
        let pod = PodName::from(&name);
        assert_eq!((&**pod.namespace(), pod.name()), ("shop", "web-ü"));
        assert_eq!((ObjectName::from(&pod), pod.to_string()), (name, "shop/web-ü".into()));
        assert_eq!(size_of::<Option<PodName>>(), 8);
    }

    #[test]
    fn names_are_in_the_order_of_objects() {
        let names = [("a", "b"), ("a", "b-1"), ("ab", "a"), ("b", "")];
        let names = names.map(|(namespace, name)| ObjectName::new(namespace, name));
        let pods = names.each_ref().map(PodName::from);
        assert!(names.is_sorted() && pods.is_sorted());
    }
}
