//! One thing that is wrong.

use std::fmt;

use crate::model::{ClusterId, ServiceKey};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is not served, or not as its object says.
    Error,
    /// It is served as it is written, which may not be what is meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Something that is wrong, in words that lead to a fix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// In which member; empty where it is of the mesh.
    pub member: String,
    /// The object, such as `Service shop/web`, with the file and line where it is from one.
    pub object: String,
    /// The field of the object; empty where it is about the object as a whole.
    pub field: String,
    /// What is wrong, and what becomes of it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// About an object of a member as a whole; either is empty where there is none.
    #[must_use]
    pub fn of(severity: Severity, member: impl Into<String>, object: impl Into<String>) -> Self {
        Self {
            severity,
            member: member.into(),
            object: object.into(),
            field: String::new(),
            problem: String::new(),
            remedy: String::new(),
        }
    }

    /// About a Service of a member.
    pub(super) fn service(severity: Severity, member: &ClusterId, key: &ServiceKey) -> Self {
        Self::of(
            severity,
            member.as_str(),
            format!("Service {}/{}", key.namespace, key.name),
        )
    }

    /// The same about one of its fields.
    pub(super) fn at(self, field: impl Into<String>) -> Self {
        let field = field.into();
        Self { field, ..self }
    }

    /// The same with what is wrong and what to do.
    #[must_use]
    pub fn says(self, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (problem, remedy) = (problem.into(), remedy.into());
        Self {
            problem,
            remedy,
            ..self
        }
    }

    /// What was found where an object was read. Such a problem begins with the field that it is about, where it is about one:
    /// `spec.ports[0].port is 70000, which is no port`.
    #[must_use]
    pub fn of_object(severity: Severity, member: &str, object: &str, problem: &str, remedy: &str) -> Self {
        Self::of(severity, member, object)
            .at(field_of(problem))
            .says(problem, remedy)
    }
}

/// The path of a field, or the label or annotation, that a text begins with; empty where it begins with anything else.
fn field_of(problem: &str) -> &str {
    let end = |from: usize| {
        let word = problem[from..].find(' ').map_or(problem.len(), |at| from + at);
        problem[..word].trim_end_matches([':', ',', ';'])
    };
    for kind in ["label ", "annotation "] {
        if problem.starts_with(kind) {
            return end(kind.len());
        }
    }
    let word = end(0);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']' | '-' | '/' | '_');
    let whole = ["spec", "status", "metadata", "ports", "endpoints"].contains(&word);
    let begins = word.starts_with(|c: char| c.is_ascii_lowercase());
    if whole || (begins && word.contains(['.', '[']) && word.chars().all(plain)) {
        word
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_what_a_problem_begins_with() {
        for (problem, field) in [
            ("spec.ports[0].port is 70000, which is no port", "spec.ports[0].port"),
            ("endpoints[2].addresses[0] is \"x\"", "endpoints[2].addresses[0]"),
            ("spec can't be read: invalid type", "spec"),
            (
                "label topology.istio.io/network: no name; ignored",
                "label topology.istio.io/network",
            ),
            ("it names no Service (label x.y/z)", ""),
            ("the host name a.b leads nowhere", ""),
            ("Über.all is wrong", ""),
            ("", ""),
        ] {
            assert_eq!(field_of(problem), field, "{problem:?}");
        }
    }
}
