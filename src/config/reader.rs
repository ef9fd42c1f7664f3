//! Takes values out of the tree and writes down every mistake on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, InvalidValue, Position};
use super::keys;
use super::tree::{Node, Scalar, Value};

/// Reads one file; holds the mistakes found so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    errors: Vec<ConfigError>,
}

/// A map of the file whose keys are known ones. A section that is absent, or was no map, is empty.
pub(super) struct Section<'t> {
    /// The section's key path, such as `members[1]`.
    pub(super) path: String,
    /// Where it begins.
    pub(super) at: Position,
    known: &'static [&'static str],
    entries: BTreeMap<&'t str, &'t Node>,
    /// Whether the file has a map here: only then its keys can be missing.
    is_map: bool,
}

impl<'t> Section<'t> {
    fn empty(path: String, at: Position, known: &'static [&'static str]) -> Self {
        Self {
            path,
            at,
            known,
            entries: BTreeMap::new(),
            is_map: false,
        }
    }

    /// The node of `key`; a key without a value counts as absent, so that a section of comments may stay.
    pub(super) fn node(&self, key: &str) -> Option<&'t Node> {
        debug_assert!(
            self.known.contains(&key),
            "`{key}` of `{}` is missing in the table of keys",
            self.path
        );
        self.entries.get(key).copied().filter(|node| !node.is_null())
    }

    /// Whether the section is there, and its `key` is not.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.is_map && !self.has(key)
    }

    /// Whether `key` has a value, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Where the value of `key` stands, or else where the section begins.
    pub(super) fn place(&self, key: &str) -> Position {
        self.node(key).map_or(self.at, |node| node.at)
    }

    /// The full path of `key`.
    pub(super) fn key_path(&self, key: &str) -> String {
        keys::join(&self.path, key)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self {
            file,
            errors: Vec::new(),
        }
    }

    /// Writes down a mistake.
    pub(super) fn error(&mut self, at: Position, key: impl Into<String>, what: InvalidValue) {
        let InvalidValue { problem, remedy } = what;
        self.errors.push(ConfigError {
            file: self.file.to_owned(),
            at: Some(at),
            key: key.into(),
            problem,
            remedy,
        });
    }

    /// The mistakes found.
    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// Reads `node` as a section: `name` finds its keys in the table, `path` is what people see.
    pub(super) fn section<'t>(&mut self, node: Option<&'t Node>, name: &str, path: String) -> Section<'t> {
        let known = keys::of_section(name);
        let Some(node) = node else {
            return Section::empty(path, Position { line: 1, column: 1 }, known);
        };
        let mut section = Section::empty(path, node.at, known);
        let Value::Map(map) = &node.value else {
            let what = InvalidValue::new(
                format!("is {}, expected keys and values", described(node)),
                format!("write indented `key: value` lines with one of: {}", known.join(", ")),
            );
            self.error(node.at, section.path.clone(), what);
            return section;
        };
        section.is_map = true;
        let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
        for (key, value) in map {
            let Value::Scalar(Scalar { text, .. }) = &key.value else {
                let what = InvalidValue::new(format!("has {} as a key", described(key)), "use a word as the key");
                self.error(key.at, section.path.clone(), what);
                continue;
            };
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            let full = keys::join(&section.path, &shown);
            if let Some(first) = seen.insert(text, key.at) {
                let problem = format!("is given twice, first in line {}", first.line);
                self.error(key.at, full, InvalidValue::new(problem, "remove one of them"));
            } else if known.contains(&text.as_str()) {
                section.entries.insert(text, value);
            } else {
                let remedy = keys::remedy_for_unknown(name, text);
                self.error(key.at, full, InvalidValue::new("is no known key", remedy));
            }
        }
        section
    }

    /// The section under `key`.
    pub(super) fn child<'t>(&mut self, parent: &Section<'t>, key: &str) -> Section<'t> {
        self.section(parent.node(key), key, parent.key_path(key))
    }

    /// The single value under `key`; `None` where it is absent or wrong.
    pub(super) fn value<T>(
        &mut self,
        section: &Section<'_>,
        key: &str,
        parse: impl FnOnce(&Scalar) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        let node = section.node(key)?;
        let parsed = match &node.value {
            Value::Scalar(scalar) => parse(scalar),
            _ => Err(InvalidValue::new(
                format!("is {}, expected a single value", described(node)),
                format!("write `{key}: VALUE`"),
            )),
        };
        parsed
            .map_err(|what| self.error(node.at, section.key_path(key), what))
            .ok()
    }

    /// Writes down that `key` is missing, where it is.
    pub(super) fn require(&mut self, section: &Section<'_>, key: &str, remedy: &str) {
        if section.lacks(key) {
            self.error(
                section.at,
                section.key_path(key),
                InvalidValue::new("is missing", remedy),
            );
        }
    }

    /// A path; a relative one starts at the folder of the settings file, wherever we were started.
    pub(super) fn path(&mut self, section: &Section<'_>, key: &str) -> Option<PathBuf> {
        let folder = self.folder().to_owned();
        self.value(section, key, |scalar| {
            super::values::text(scalar).map(|text| folder.join(text))
        })
    }

    /// The folder of the settings file.
    pub(super) fn folder(&self) -> &'a Path {
        Path::new(self.file).parent().unwrap_or(Path::new(""))
    }

    /// The entries of the map under `key`, whose keys are names that the writer of the file chose: each once.
    pub(super) fn entries<'t>(&mut self, section: &Section<'t>, key: &str) -> Vec<(&'t str, Position, &'t Node)> {
        let Some(node) = section.node(key) else {
            return Vec::new();
        };
        let path = section.key_path(key);
        let Value::Map(map) = &node.value else {
            let what = InvalidValue::new(
                format!("is {}, expected names with what belongs to each", described(node)),
                "write indented `NAME:` lines",
            );
            self.error(node.at, path, what);
            return Vec::new();
        };
        let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
        let mut entries = Vec::new();
        for (key, value) in map {
            let Value::Scalar(Scalar { text, .. }) = &key.value else {
                let what = InvalidValue::new(format!("has {} as a name", described(key)), "use a word as the name");
                self.error(key.at, path.clone(), what);
                continue;
            };
            if let Some(first) = seen.insert(text, key.at) {
                let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
                let problem = format!("is given twice, first in line {}", first.line);
                let what = InvalidValue::new(problem, "write all of it in one place");
                self.error(key.at, keys::join(&path, &shown), what);
            } else {
                entries.push((text.as_str(), key.at, value));
            }
        }
        entries
    }

    /// The items of the list under `key`.
    pub(super) fn list<'t>(&mut self, section: &Section<'t>, key: &str) -> &'t [Node] {
        let Some(node) = section.node(key) else {
            return &[];
        };
        let Value::List(items) = &node.value else {
            let what = InvalidValue::new(
                format!("is {}, expected a list", described(node)),
                "begin each entry with `- ` on a line of its own",
            );
            self.error(node.at, section.key_path(key), what);
            return &[];
        };
        items
    }
}

/// What a node is, in words.
fn described(node: &Node) -> &'static str {
    match &node.value {
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
