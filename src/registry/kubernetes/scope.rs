//! Which objects of a member count, where only some of its namespaces are to be read. Pure.

use std::sync::Arc;

use super::super::convert::Converted;
use crate::table::Kind;

/// Leaves nothing but the name of an object in a namespace that is not to be read. Nodes and Namespaces are those of the whole
/// cluster: endpoints need their localities and networks. No namespaces are all of them.
pub(super) fn within(namespaces: &[Arc<str>], kind: Kind, mut converted: Converted) -> Converted {
    let is_namespaced = !matches!(kind, Kind::Namespace | Kind::Node);
    let is_outside = |namespace: &Arc<str>| !namespaces.is_empty() && !namespaces.contains(namespace);
    if is_namespaced && converted.name.as_ref().is_some_and(|name| is_outside(&name.namespace)) {
        converted.record = None;
        converted.is_unreadable = false;
        converted.problems.clear();
    }
    converted
}
