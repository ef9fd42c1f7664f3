//! Which proxies a CSDS request asks about. Pure.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::r#type::matcher::v3::NodeMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use tonic::Status;

/// Node ids that a request asks about: all where it has no matchers, else those that any of them takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeFilter {
    patterns: Vec<Pattern>,
    everything: bool,
}

/// A pattern on node ids.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    kind: Kind,
    ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
}

impl NodeFilter {
    /// Refuses what is not understood, rather than to answer for too many or too few proxies.
    pub(super) fn read(matchers: &[NodeMatcher]) -> Result<Self, Status> {
        let mut filter = Self {
            patterns: Vec::new(),
            everything: matchers.is_empty(),
        };
        for matcher in matchers {
            if !matcher.node_metadatas.is_empty() {
                return Err(Status::invalid_argument(
                    "node_metadatas can't be matched here; use node_id",
                ));
            }
            // A matcher without any condition takes every node.
            let Some(id) = &matcher.node_id else {
                filter.everything = true;
                continue;
            };
            let kind = match &id.match_pattern {
                Some(MatchPattern::Exact(text)) => Kind::Exact(text.clone()),
                Some(MatchPattern::Prefix(text)) => Kind::Prefix(text.clone()),
                Some(MatchPattern::Suffix(text)) => Kind::Suffix(text.clone()),
                Some(MatchPattern::Contains(text)) => Kind::Contains(text.clone()),
                Some(_) | None => {
                    let message = "node_id can be matched by exact, prefix, suffix or contains";
                    return Err(Status::invalid_argument(message));
                }
            };
            filter.patterns.push(
                Pattern {
                    kind,
                    ignore_case: id.ignore_case,
                }
                .folded(),
            );
        }
        Ok(filter)
    }

    /// The ids that are asked about, where no other can be: so that one proxy's answer does not cost a look at all.
    pub(super) fn exact_ids(&self) -> Option<BTreeSet<&str>> {
        let exact = |pattern: &'_ Pattern| {
            matches!(
                pattern,
                Pattern {
                    kind: Kind::Exact(_),
                    ignore_case: false
                }
            )
        };
        if self.everything || !self.patterns.iter().all(exact) {
            return None;
        }
        let ids = self.patterns.iter().map(|pattern| {
            let (Kind::Exact(text) | Kind::Prefix(text) | Kind::Suffix(text) | Kind::Contains(text)) = &pattern.kind;
            text.as_str()
        });
        Some(ids.collect())
    }

    pub(super) fn takes(&self, node_id: &str) -> bool {
        self.everything || self.patterns.iter().any(|pattern| pattern.takes(node_id))
    }
}

impl Pattern {
    /// Brings its text to lower case where case does not count.
    fn folded(mut self) -> Self {
        if self.ignore_case {
            let (Kind::Exact(text) | Kind::Prefix(text) | Kind::Suffix(text) | Kind::Contains(text)) = &mut self.kind;
            *text = text.to_ascii_lowercase();
        }
        self
    }

    fn takes(&self, node_id: &str) -> bool {
        let folded = if self.ignore_case {
            node_id.to_ascii_lowercase()
        } else {
            node_id.to_owned()
        };
        match &self.kind {
            Kind::Exact(text) => folded == *text,
            Kind::Prefix(text) => folded.starts_with(text),
            Kind::Suffix(text) => folded.ends_with(text),
            Kind::Contains(text) => folded.contains(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, StructMatcher};

    use super::*;

    fn by_id(pattern: MatchPattern, ignore_case: bool) -> NodeMatcher {
        let node_id = StringMatcher {
            match_pattern: Some(pattern),
            ignore_case,
        };
        NodeMatcher {
            node_id: Some(node_id),
            node_metadatas: Vec::new(),
        }
    }

    #[test]
    fn any_matcher_is_enough_and_none_takes_all() {
        assert!(NodeFilter::read(&[]).unwrap().takes("a"));
        let filter = NodeFilter::read(&[
            by_id(MatchPattern::Exact("one".to_owned()), false),
            by_id(MatchPattern::Prefix("SIDE".to_owned()), true),
            by_id(MatchPattern::Suffix("~local".to_owned()), false),
            by_id(MatchPattern::Contains("web".to_owned()), false),
        ])
        .unwrap();
        for (id, taken) in [
            ("one", true),
            ("One", false),
            ("sidecar", true),
            ("x~local", true),
            ("a-web-b", true),
            ("two", false),
        ] {
            assert_eq!(filter.takes(id), taken, "{id}");
        }
    }

    #[test]
    fn exact_ids_are_known_where_nothing_else_is_asked_for() {
        let exact = |id: &str| by_id(MatchPattern::Exact(id.to_owned()), false);
        let filter = NodeFilter::read(&[exact("b"), exact("a")]).unwrap();
        assert_eq!(filter.exact_ids(), Some(["a", "b"].into()));
        for other in [
            by_id(MatchPattern::Prefix("a".to_owned()), false),
            by_id(MatchPattern::Exact("a".to_owned()), true),
            NodeMatcher::default(),
        ] {
            assert_eq!(NodeFilter::read(&[exact("b"), other]).unwrap().exact_ids(), None);
        }
        assert_eq!(NodeFilter::read(&[]).unwrap().exact_ids(), None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let metadata = NodeMatcher {
            node_id: None,
            node_metadatas: vec![StructMatcher::default()],
        };
        assert!(
            NodeFilter::read(&[metadata])
                .unwrap_err()
                .message()
                .contains("node_metadatas")
        );
        let empty = NodeMatcher {
            node_id: Some(StringMatcher::default()),
            node_metadatas: Vec::new(),
        };
        assert!(NodeFilter::read(&[empty]).unwrap_err().message().contains("exact"));
    }
}
