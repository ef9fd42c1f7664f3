//! YAML text as a tree in which each node knows its place.
//!
//! Typed deserialisation stops at the first mistake; this tree lets the reader go on past one. Of YAML it takes what a
//! settings file needs: one document of maps, lists and scalars. Anchors, aliases and tags are refused by name.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::error::{InvalidValue, Position};

/// A value and its place.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

impl Node {
    /// Whether nothing was written here.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: Kind::Null, .. }))
    }
}

/// What a node holds.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file, duplicates and all.
    Map(Vec<(Node, Node)>),
}

/// A single value as written, with what it is by YAML 1.2's core schema.
#[derive(Debug, PartialEq)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What a scalar is: quoted ones are always text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
}

/// A document that is no tree: the one mistake that ends reading.
#[derive(Debug, PartialEq)]
pub(super) struct NotATree {
    pub(super) at: Position,
    pub(super) what: InvalidValue,
}

/// Reads the one document of `text`; `None` where it holds nothing but comments.
pub(super) fn parse(text: &str) -> Result<Option<Node>, NotATree> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| NotATree {
            at: Position {
                line: error.marker().line(),
                column: error.marker().col() + 1,
            },
            what: InvalidValue::new(
                format!("is no valid YAML: {}", error.info()),
                "correct the syntax; the mistake may be in the lines above",
            ),
        })?;
        let at = place(&span);
        let node = match event {
            Event::DocumentStart(..) if root.is_some() => {
                return Err(refused(
                    at,
                    "has a second document",
                    "keep one document, remove the `---` and what follows",
                ));
            }
            Event::Alias(_) => {
                return Err(refused(at, "uses an alias (`*name`)", "write the value out"));
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, _, Some(tag))
            | Event::MappingStart(_, _, Some(tag)) => {
                return Err(refused(
                    at,
                    &format!("uses the tag `{}`", tag.original()),
                    "remove the tag",
                ));
            }
            Event::Scalar(text, style, ..) => Node {
                at,
                value: Value::Scalar(Scalar::new(text.into_owned(), style)),
            },
            Event::SequenceStart(..) => {
                open.push(Open {
                    at,
                    shape: Shape::List,
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open {
                    at,
                    shape: Shape::Map,
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(done) => done.close(),
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(parent) => parent.nodes.push(node),
            None => root = Some(node),
        }
    }
    Ok(root)
}

fn place(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn refused(at: Position, problem: &str, remedy: &str) -> NotATree {
    NotATree {
        at,
        what: InvalidValue::new(problem, remedy),
    }
}

/// A list or map whose end was not yet seen; a map's nodes are keys and values in turn.
struct Open {
    at: Position,
    shape: Shape,
    nodes: Vec<Node>,
}

enum Shape {
    List,
    Map,
}

impl Open {
    fn close(self) -> Node {
        let value = match self.shape {
            Shape::List => Value::List(self.nodes),
            Shape::Map => {
                let mut entries = Vec::with_capacity(self.nodes.len() / 2);
                let mut nodes = self.nodes.into_iter();
                while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                    entries.push((key, value));
                }
                Value::Map(entries)
            }
        };
        // The parser places a block map at its first key's colon in some cases; people look for the first key.
        let at = match &value {
            Value::Map(entries) => entries.first().map_or(self.at, |(key, _)| key.at),
            _ => self.at,
        };
        Node { at, value }
    }
}

impl Scalar {
    fn new(text: String, style: ScalarStyle) -> Self {
        let kind = if style == ScalarStyle::Plain {
            kind_of(&text)
        } else {
            Kind::Text
        };
        Self { text, kind }
    }
}

/// What an unquoted scalar is. Like the core schema, `yes` and `on` are text.
fn kind_of(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Kind::Bool,
        _ => {}
    }
    let digits = text.trim_start_matches(['+', '-', '.']);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok();
    if is_number { Kind::Number } else { Kind::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_scalars_have_the_kinds_of_the_core_schema() {
        for (text, kind) in [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("true", Kind::Bool),
            ("yes", Kind::Text),
            ("12", Kind::Number),
            ("-1.5e3", Kind::Number),
            ("30s", Kind::Text),
            ("inf", Kind::Text),
            ("127.0.0.1:80", Kind::Text),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }

    #[test]
    fn nodes_know_their_places() {
        let root = parse("# note\na:\n  b: 1\n  ü: [x, \"2\"]\n").unwrap().unwrap();
        let Value::Map(entries) = &root.value else {
            panic!("{root:?}")
        };
        let (key, inner) = &entries[0];
        assert_eq!(
            (key.at, root.at),
            (Position { line: 2, column: 1 }, Position { line: 2, column: 1 })
        );
        assert_eq!(inner.at, Position { line: 3, column: 3 });
        let Value::Map(entries) = &inner.value else {
            panic!("{inner:?}")
        };
        let Value::List(items) = &entries[1].1.value else {
            panic!("{inner:?}")
        };
        assert_eq!(items[1].at, Position { line: 4, column: 10 });
        assert_eq!(
            items[1].value,
            Value::Scalar(Scalar {
                text: "2".to_owned(),
                kind: Kind::Text
            })
        );
    }

    #[test]
    fn what_is_no_tree_is_refused_with_its_place() {
        for (text, line, problem) in [
            ("a: [1\nb: 2\n", 2, "is no valid YAML"),
            ("a: 1\n---\nb: 2\n", 2, "has a second document"),
            ("a: &x 1\nb: *x\n", 2, "uses an alias"),
            ("a: !!str 1\n", 1, "uses the tag `!!str`"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at.line, line, "{text} {error:?}");
            assert!(error.what.problem.starts_with(problem), "{text} {error:?}");
        }
        assert_eq!(parse("# nothing\n"), Ok(None));
    }

    #[test]
    fn deep_nesting_is_refused_and_not_a_stack_overflow() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
    }
}
