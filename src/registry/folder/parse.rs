//! The text of one manifest file becomes records. Pure.

use std::fmt;

use serde_json::{Map, Value};
use serde_saphyr::{Budget, Options, Spanned};

use super::super::convert::{Converted, convert, kind_of};
use super::super::problem::Problem;
use crate::table::Record;

/// How deep lists may lie in lists.
const DEEPEST_LIST: usize = 4;

/// What becomes of what a file said before it could not be read.
pub(super) const KEPT: &str = "; what the file said before is kept";

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Its records with the lines they begin at, in order.
    pub(super) records: Vec<(u64, Record)>,
    /// What is wrong with single objects in it.
    pub(super) problems: Vec<Problem>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// YAML documents.
    Yaml,
    /// JSON values, one after the other.
    Json,
}

impl Format {
    /// By the file's name; `None` for files that are not read.
    pub(super) fn of(file_name: &str) -> Option<Self> {
        match file_name.rsplit_once('.') {
            Some((_, "yaml" | "yml")) => Some(Self::Yaml),
            Some((_, "json")) => Some(Self::Json),
            _ => None,
        }
    }
}

/// Reads a file. `file` is its name for people.
///
/// # Errors
/// When the text is not YAML or JSON: then it may be half written, and nothing of it is taken.
pub(super) fn parse(file: &str, text: &str, format: Format) -> Result<Content, Problem> {
    let documents = match format {
        Format::Yaml => yaml_documents(file, text)?,
        Format::Json => json_documents(file, text)?,
    };
    let mut reader = Reader {
        file,
        content: Content::default(),
    };
    for (line, document) in &documents {
        reader.read(*line, document, 0);
    }
    Ok(reader.content)
}

fn yaml_documents(file: &str, text: &str) -> Result<Vec<(u64, Value)>, Problem> {
    let documents: Vec<Spanned<Value>> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
            let line = error.location().map(|location| location.line());
            unreadable(file, line, "YAML", &error)
        })?;
    let documents = documents.into_iter();
    Ok(documents
        .map(|document| (document.referenced.line(), document.value))
        .collect())
}

/// Room for the largest file that is read, and none for aliases that expand to more than any manifest has.
fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_events = 8_000_000;
    budget.max_nodes = 4_000_000;
    budget.max_documents = 50_000;
    budget.max_aliases = 10_000;
    budget.max_anchors = 10_000;
    let mut options = Options::default();
    options.budget = Some(budget);
    // A text, not a cut-out of a file that may hold more than manifests.
    options.with_snippet = false;
    options
}

fn json_documents(file: &str, text: &str) -> Result<Vec<(u64, Value)>, Problem> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let start = stream.byte_offset();
        let blank = text[start..].len() - text[start..].trim_start().len();
        let line = 1 + text[..start + blank].matches('\n').count() as u64;
        match stream.next() {
            None => return Ok(documents),
            Some(Ok(document)) => documents.push((line, document)),
            Some(Err(error)) => {
                return Err(unreadable(file, Some(error.line() as u64), "JSON", &error));
            }
        }
    }
}

fn unreadable(file: &str, line: Option<u64>, format: &str, error: &dyn fmt::Display) -> Problem {
    let subject = match line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    };
    let error = error.to_string();
    let first_line = error.lines().next().unwrap_or_default();
    Problem::new(
        subject,
        format!("it is no {format}: {first_line}{KEPT}"),
        "correct the file",
    )
}

struct Reader<'a> {
    file: &'a str,
    content: Content,
}

impl Reader<'_> {
    fn read(&mut self, line: u64, object: &Value, depth: usize) {
        if object.is_null() {
            return;
        }
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() || version.is_empty() {
            self.content.problems.push(Problem::new(
                format!("{}:{line}", self.file),
                "this is no Kubernetes object: it has no apiVersion or no kind; it is passed over",
                "write both, or remove it",
            ));
            return;
        }
        if let (Some(of), Some(Value::Array(items))) = (kind.strip_suffix("List"), object.get("items")) {
            self.read_list(line, (version, of), items, depth);
            return;
        }
        match kind_of(object) {
            Some(kind) => {
                let Converted { record, problems, .. } = convert(kind, object);
                let records = record.into_iter().map(|record| (line, record));
                self.content.records.extend(records);
                let place = format!("{}:{line}", self.file);
                self.content
                    .problems
                    .extend(problems.into_iter().map(|problem| Problem {
                        subject: format!("{} ({place})", problem.subject),
                        ..problem
                    }));
            }
            None => {
                tracing::debug!(
                    file = self.file,
                    line,
                    version,
                    kind,
                    "an object of a kind that is not read"
                );
            }
        }
    }

    /// Items of a list of one kind need not say it again.
    fn read_list(&mut self, line: u64, (version, kind): (&str, &str), items: &[Value], depth: usize) {
        if depth >= DEEPEST_LIST {
            self.content.problems.push(Problem::new(
                format!("{}:{line}", self.file),
                "lists lie too deep in lists; the innermost is passed over",
                "write the objects as documents of their own",
            ));
            return;
        }
        for item in items {
            match item {
                Value::Object(fields) if !kind.is_empty() && !fields.contains_key("kind") => {
                    let mut fields: Map<String, Value> = fields.clone();
                    fields.insert("kind".to_owned(), kind.into());
                    fields.entry("apiVersion").or_insert_with(|| version.into());
                    self.read(line, &Value::Object(fields), depth + 1);
                }
                item => self.read(line, item, depth + 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> String {
        format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n")
    }

    fn read(text: &str) -> Content {
        parse("f.yaml", text, Format::Yaml).unwrap()
    }

    fn names(content: &Content) -> Vec<String> {
        let names = content.records.iter();
        names
            .map(|(line, record)| format!("{line} {} {}", record.kind(), record.name()))
            .collect()
    }

    #[test]
    fn documents_lists_and_unknown_kinds() {
        let text = format!(
            "# a comment\n---\n{}---\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\n---\n\
         apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: a, namespace: shop}}}}\n\
         - {{apiVersion: v1, kind: Secret, metadata: {{name: s}}}}\n---\n\
         apiVersion: v1\nkind: PodList\nitems:\n- metadata: {{name: b}}\n",
            node("n1")
        );
        let content = read(&text);
        assert_eq!(names(&content), ["3 Node n1", "13 Pod shop/a", "19 Pod default/b"]);
        assert_eq!(content.problems, []);
        let json = "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"a\"}}\n\n\
                {\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"b\"}}\n";
        let content = parse("f.json", json, Format::Json).unwrap();
        assert_eq!(names(&content), ["1 Node a", "3 Node b"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, expected) in [
            ("a: b\nc: [1,\nb: 2\n", "f.yaml:2: it is no YAML"),
            ("a: b\n  c: d\n", "f.yaml:2: it is no YAML"),
            ("x: 'abc\n", "f.yaml:1: it is no YAML"),
        ] {
            let problem = parse("f.yaml", text, Format::Yaml).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let problem = parse("f.json", "{\n \"a\": }", Format::Json).unwrap_err().to_string();
        assert!(problem.contains("f.json:2: it is no JSON"), "{problem}");
        for (text, expected) in [
            ("---\nsome text\n", "f.yaml:2: this is no Kubernetes object"),
            (
                "kind: Pod\nmetadata: {name: a}\n",
                "f.yaml:1: this is no Kubernetes object",
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop}\n",
                "a Pod in namespace shop (f.yaml:1): it has no name",
            ),
        ] {
            let content = read(&format!("{text}---\n{}", node("n1")));
            assert_eq!(content.records.len(), 1, "the other object is taken");
            let problem = content.problems[0].to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let mut nested = "{apiVersion: v1, kind: List, items: [".repeat(12);
        nested.push_str(&"]}".repeat(12));
        assert!(read(&nested).problems[0].to_string().contains("too deep"));
    }

    #[test]
    fn aliases_that_grow_without_bound_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        // Unfolded these are 10^12 values: a parser that took them would not come back.
        assert!(parse("f.yaml", &text, Format::Yaml).is_err());
    }
}
