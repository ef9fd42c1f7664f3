//! The files of a checkout, and which of them the crate's `mod` declarations reach.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::source::Source;

/// One file below `src/`.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// From the root of the checkout, for instance `src/model/ids.rs`.
    pub(crate) path: String,
    /// `model` for `src/model/ids.rs`, `app` for `src/app.rs`; none for `lib.rs` and `main.rs`.
    pub(crate) module: Option<String>,
    /// How many modules it is below the crate's root: 2 for `src/model/ids.rs`.
    pub(crate) depth: usize,
    /// Declared behind `#[cfg(test)]`, itself or a module above it.
    pub(crate) is_test: bool,
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// All files that `src/lib.rs` and `src/main.rs` reach, by path, and those below `src/` that they don't.
pub(crate) fn read(root: &Path) -> (BTreeMap<String, SourceFile>, Vec<String>) {
    let mut files = BTreeMap::new();
    for name in ["src/lib.rs", "src/main.rs"] {
        if root.join(name).is_file() {
            reach(root, PathBuf::from(name), 0, false, &mut files);
        }
    }
    let orphans = rust_files(root, "src")
        .into_iter()
        .filter(|path| !files.contains_key(path))
        .collect();
    (files, orphans)
}

/// All Rust files below `root/folder`, from `root`, sorted.
pub(crate) fn rust_files(root: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for name in names(&root.join(&folder)) {
            let path = folder.join(name);
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(text(&path));
            }
        }
    }
    found.sort();
    found
}

/// The names in a folder, sorted; none if it does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("a readable folder")
                .file_name()
                .into_string()
                .expect("a name in UTF-8")
        })
        .collect();
    names.sort();
    names
}

fn reach(root: &Path, path: PathBuf, depth: usize, is_test: bool, files: &mut BTreeMap<String, SourceFile>) {
    let content = std::fs::read_to_string(root.join(&path)).expect("a readable file");
    let source = Source::new(&content);
    let folder = path.parent().expect("a file is in a folder").to_owned();
    let stem = path.file_stem().expect("a file has a name").to_owned();
    let is_folders_own = ["mod", "lib", "main"].iter().any(|name| stem == *name);
    let below = if is_folders_own {
        folder.clone()
    } else {
        folder.join(&stem)
    };

    for declared in source.declarations() {
        let candidates = match &declared.path {
            Some(given) => vec![folder.join(given)],
            None => vec![
                below.join(format!("{}.rs", declared.name)),
                below.join(&declared.name).join("mod.rs"),
            ],
        };
        if let Some(found) = candidates.into_iter().find(|candidate| root.join(candidate).is_file()) {
            reach(root, found, depth + 1, is_test || declared.is_test, files);
        }
    }
    let module = path
        .iter()
        .nth(1)
        .map(Path::new)
        .and_then(Path::file_stem)
        .and_then(|name| name.to_str());
    let module = module.filter(|_| depth > 0).map(str::to_owned);
    let path = text(&path);
    files.insert(
        path.clone(),
        SourceFile {
            path,
            module,
            depth,
            is_test,
            text: content,
            source,
        },
    );
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
