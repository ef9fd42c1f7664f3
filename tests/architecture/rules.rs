//! The rules. Each looks at a tree of files and says what breaks it, with file, line and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::{Source, after_colons, closing, identifiers, leading_identifier, line};
use super::tree::{self, SourceFile};

/// The most lines of code in a file.
const MAX_LINES: usize = 400;

/// Words that a pure file has no use for: it neither waits, nor looks at the clock, nor shares state, nor touches the world.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "tokio",
    "futures",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "thread",
    "fs",
    "env",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
];

/// Macros that log above debug.
const LOUD: &[&str] = &["info", "warn", "error"];

/// What one module may name.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) purity: Purity,
    /// Other modules of `src/`, or `module::part` for a part alone.
    pub(crate) may_use: &'static [&'static str],
    /// External crates that it may not name.
    pub(crate) without: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purity {
    Pure,
    Shell,
}

/// What a checkout is held against.
#[derive(Debug)]
pub(crate) struct Architecture {
    pub(crate) layers: &'static [Layer],
    /// Files, or folders with a `/` at the end, that are pure though their module is not.
    pub(crate) pure_parts: &'static [&'static str],
    /// `module::part`: public parts, the only paths into a module besides its `mod.rs`.
    pub(crate) open_parts: &'static [&'static str],
}

impl Architecture {
    /// All that is wrong in the checkout at `root`, sorted.
    pub(crate) fn violations(&self, root: &Path) -> Vec<String> {
        let (files, orphans) = tree::read(root);
        let mut found: Vec<String> = orphans
            .iter()
            .map(|path| format!("{path}: no `mod` declares it, so it is not compiled"))
            .collect();
        self.check_modules(root, &mut found);
        self.check_pure_parts(root, &files, &mut found);
        for file in files.values() {
            let mut report = |at: usize, problem: String| {
                found.push(format!("{}:{}: {problem}", file.path, line(&file.source.code, at)));
            };
            if !file.text.starts_with("//! ") {
                report(
                    0,
                    "the first line does not say with `//! ` what the file is for".to_owned(),
                );
            }
            let layer = self
                .layers
                .iter()
                .find(|layer| Some(layer.name) == file.module.as_deref());
            if let (Some(layer), false) = (layer, file.is_test) {
                let code = file.source.without_tests();
                self.check_paths(layer, &code, &mut report);
                check_supers(file, &code, &mut report);
                check_crates(layer, &code, &mut report);
                self.check_doors(layer, file, &mut report);
                if layer.purity == Purity::Pure || self.pure_parts.iter().any(|part| covers(part, &file.path)) {
                    check_purity(&code, &mut report);
                }
            }
        }
        check_lengths(root, &mut found);
        check_harness(root, &mut found);
        found.sort();
        found
    }

    /// The folders of `src/`, the layers, and the table in ARCHITECTURE.md name the same modules.
    fn check_modules(&self, root: &Path, found: &mut Vec<String>) {
        let in_source: BTreeSet<String> = tree::names(&root.join("src"))
            .into_iter()
            .filter(|name| root.join("src").join(name).is_dir() || name.ends_with(".rs"))
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .filter(|name| name != "lib" && name != "main")
            .collect();
        let documented = documented_modules(root);
        for name in &in_source {
            match self.layers.iter().find(|layer| layer.name == name) {
                None => found.push(format!(
                    "src/{name}: the module is in no layer of tests/architecture.rs"
                )),
                Some(layer) => match documented.get(name) {
                    None => found.push(format!("ARCHITECTURE.md: the table of modules lacks `{name}`")),
                    Some(purity) if *purity != layer.purity => {
                        found.push(format!(
                            "ARCHITECTURE.md: `{name}` is {:?} in tests/architecture.rs",
                            layer.purity
                        ));
                    }
                    Some(_) => {}
                },
            }
        }
        let gone = self.layers.iter().filter(|layer| !in_source.contains(layer.name));
        found.extend(gone.map(|layer| {
            format!(
                "src/{}: tests/architecture.rs has a layer for it, but it is not there",
                layer.name
            )
        }));
    }

    /// A pure part that was renamed would go unwatched. A module that is only a `mod.rs` so far has no parts yet.
    fn check_pure_parts(&self, root: &Path, files: &BTreeMap<String, SourceFile>, found: &mut Vec<String>) {
        for part in self.pure_parts {
            let module = part.split('/').nth(1).expect("pure parts are below src/MODULE/");
            let has_parts = tree::rust_files(root, &format!("src/{module}")).len() > 1;
            if has_parts && !files.keys().any(|path| covers(part, path)) {
                found.push(format!("{part}: is to be pure, but it is not there; renamed?"));
            }
        }
    }

    /// Each `crate::…` names a module that this layer may use, through its `mod.rs`.
    fn check_paths(&self, layer: &Layer, code: &str, report: &mut impl FnMut(usize, String)) {
        for (at, _) in identifiers(code).filter(|(_, word)| *word == "crate") {
            let Some(path) = after_colons(&code[at + "crate".len()..]) else {
                // `pub(crate)` is fine, another name for the whole crate is not.
                if code[..at].trim_end().ends_with("use") {
                    report(at, "`use crate as` hides which modules are used".to_owned());
                }
                continue;
            };
            let Some((name, rest)) = leading_identifier(path) else {
                report(
                    at,
                    "`crate::{…}` and `crate::*` hide which modules are used: one `use crate::module::…` each"
                        .to_owned(),
                );
                continue;
            };
            if name == layer.name {
                continue;
            }
            let inner = after_colons(rest);
            let part = inner
                .and_then(leading_identifier)
                .map(|(part, _)| format!("{name}::{part}"));
            let is_allowed =
                layer.may_use.contains(&name) || part.as_deref().is_some_and(|part| layer.may_use.contains(&part));
            if !is_allowed {
                report(at, format!("`{}` may not use `crate::{name}`", layer.name));
            } else if inner.is_some_and(reaches_inside)
                && !part.is_some_and(|part| self.open_parts.contains(&part.as_str()))
            {
                report(
                    at,
                    format!("the only way into `{name}` is its mod.rs: name what it re-exports"),
                );
            }
        }
    }

    /// A module's `mod.rs` keeps its parts to itself.
    fn check_doors(&self, layer: &Layer, file: &SourceFile, report: &mut impl FnMut(usize, String)) {
        if file.path != format!("src/{}/mod.rs", layer.name) {
            return;
        }
        for declared in file
            .source
            .declarations()
            .iter()
            .filter(|declared| declared.is_public && !declared.is_test)
        {
            let part = format!("{}::{}", layer.name, declared.name);
            if !self.open_parts.contains(&part.as_str()) {
                report(
                    0,
                    format!(
                        "`pub mod {}`: make it private and re-export what others need",
                        declared.name
                    ),
                );
            }
        }
    }
}

/// Whether what follows `crate::module::` goes through a part of the module: `part::…` or `{part::…}`.
fn reaches_inside(inner: &str) -> bool {
    let is_part = |word: &str, rest: &str| {
        word.starts_with(|c: char| c.is_lowercase()) && after_colons(rest).is_some_and(|rest| !rest.starts_with('<'))
    };
    if inner.starts_with('{') {
        let group = &inner[..closing(inner, 0)];
        return identifiers(group).any(|(at, word)| is_part(word, &group[at + word.len()..]));
    }
    leading_identifier(inner).is_some_and(|(word, rest)| is_part(word, rest))
}

/// `super::` stays inside the module.
fn check_supers(file: &SourceFile, code: &str, report: &mut impl FnMut(usize, String)) {
    for (at, _) in identifiers(code).filter(|(_, word)| *word == "super") {
        if code[..at]
            .trim_end()
            .strip_suffix("::")
            .is_some_and(|before| before.trim_end().ends_with("super"))
        {
            continue;
        }
        let mut steps = 0;
        let mut rest = &code[at..];
        while let Some(after) = rest.strip_prefix("super").and_then(after_colons) {
            steps += 1;
            rest = after;
        }
        if steps >= file.depth + inline_modules_around(code, at) {
            report(
                at,
                "`super::` up to the crate's root: write `crate::`, so that the edge is seen".to_owned(),
            );
        }
    }
}

/// How many `mod name { … }` the place is in.
fn inline_modules_around(code: &str, at: usize) -> usize {
    let keywords = identifiers(&code[..at]).filter(|(_, word)| *word == "mod");
    let opens = keywords.filter_map(|(start, _)| {
        let (_, rest) = leading_identifier(code[start + 3..].trim_start())?;
        rest.trim_start()
            .starts_with('{')
            .then(|| code.len() - rest.trim_start().len())
    });
    opens.filter(|open| *open < at && closing(code, *open) > at).count()
}

/// No crate is named that the layer must do without.
fn check_crates(layer: &Layer, code: &str, report: &mut impl FnMut(usize, String)) {
    for (at, word) in identifiers(code).filter(|(_, word)| layer.without.contains(word)) {
        let before = code[..at].trim_end();
        // `mine::tonic::x` and `<T>::tonic`, but not `-> ::tonic::x`.
        let is_inside_path = before.strip_suffix("::").map(str::trim_end).is_some_and(|before| {
            before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>') && !before.ends_with("->")
        });
        let rest = code[at + word.len()..].trim_start();
        let is_used_whole = before.ends_with("use") && (rest.starts_with(';') || rest.starts_with("as "));
        if !is_inside_path && (rest.starts_with("::") || is_used_whole) {
            report(at, format!("`{}` may not use the crate `{word}`", layer.name));
        }
    }
}

fn check_purity(code: &str, report: &mut impl FnMut(usize, String)) {
    for (at, word) in identifiers(code) {
        let rest = &code[at + word.len()..];
        // Fields and locals may be called `env`; paths that start or go on with it are the modules.
        let is_module_like = word.starts_with(|c: char| c.is_lowercase()) && word != "async" && word != "await";
        let is_path = rest.trim_start().starts_with("::") || code[..at].trim_end().ends_with("::");
        if IMPURE.contains(&word) && (!is_module_like || is_path) {
            report(
                at,
                format!("`{word}` in a pure file: hand the value in, or move the code to the shell around it"),
            );
        }
        if LOUD.contains(&word) && rest.starts_with('!') {
            report(
                at,
                format!("`{word}!` in a pure file: return what happened, the shell logs it"),
            );
        }
    }
}

fn check_lengths(root: &Path, found: &mut Vec<String>) {
    for path in ["src", "tests", "examples", "benches"]
        .iter()
        .flat_map(|folder| tree::rust_files(root, folder))
    {
        let lines = read(root, &path).code_lines();
        if lines > MAX_LINES {
            found.push(format!(
                "{path}: {lines} lines of code, {MAX_LINES} are allowed: which two things is it about?"
            ));
        }
    }
}

/// The demo includes the harness too, and must see Parallax from outside.
fn check_harness(root: &Path, found: &mut Vec<String>) {
    for path in tree::rust_files(root, "tests/harness") {
        if identifiers(&read(root, &path).code).any(|(_, word)| word == "parallax") {
            found.push(format!("{path}: the harness may not use the library"));
        }
    }
}

fn read(root: &Path, path: &str) -> Source {
    Source::new(&std::fs::read_to_string(root.join(path)).expect("a readable file"))
}

fn covers(part: &str, path: &str) -> bool {
    if part.ends_with('/') {
        path.starts_with(part)
    } else {
        path == part
    }
}

/// The modules in the first column of the table below the heading "Modules …" of ARCHITECTURE.md; `P` beside them means pure.
fn documented_modules(root: &Path) -> BTreeMap<String, Purity> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with("Modules"))
        .unwrap_or_default();
    let first_cells = section
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let mut modules = BTreeMap::new();
    for cell in first_cells {
        let purity = if cell.split_whitespace().any(|word| word == "P") {
            Purity::Pure
        } else {
            Purity::Shell
        };
        modules.extend(cell.split('`').skip(1).step_by(2).map(|name| (name.to_owned(), purity)));
    }
    modules
}
