//! Manifests read once, for whoever checks them before anything runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::problem::Problem;
use super::files::list;
use super::merge::{Lists, merge};
use super::parse::{Content, Format, parse};
use super::scan::read_text;

/// What manifests say, and what is wrong with single objects in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    /// Complete lists of all kinds.
    pub lists: Lists,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads files of manifests, and all of those in folders, as the objects of one member. Blocks.
///
/// # Errors
/// When a path leads to nothing that can be read.
pub fn read_manifests(paths: &[PathBuf]) -> Result<Manifests, Problem> {
    let mut files: BTreeMap<String, Content> = BTreeMap::new();
    let mut problems = Vec::new();
    for path in paths {
        for (file, format) in files_of(path, &mut problems)? {
            let name = file.display().to_string();
            let read = fs::metadata(&file)
                .map_err(Into::into)
                .and_then(|found| read_text(&file, found.len()));
            let content = read
                .map_err(|error| Problem::new(&*name, error.to_string(), "correct the file, or leave it out"))
                .and_then(|text| parse(&name, &text, format));
            match content {
                Ok(content) => {
                    files.insert(name, content);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    let (lists, found) = merge(files.iter().map(|(name, content)| (name.as_str(), content)));
    problems.extend(found);
    for problem in &mut problems {
        // Here nothing was said before.
        problem.problem = problem.problem.replace(super::parse::KEPT, "");
    }
    problems.sort();
    Ok(Manifests { lists, problems })
}

/// The manifests that a path leads to: itself, or those in it.
fn files_of(path: &Path, problems: &mut Vec<Problem>) -> Result<Vec<(PathBuf, Format)>, Problem> {
    if !path.is_dir() {
        fs::metadata(path).map_err(|error| {
            Problem::new(
                path.display().to_string(),
                format!("it can't be read: {error}"),
                "name a file or a folder of manifests",
            )
        })?;
        let format = path.file_name().and_then(|name| Format::of(name.to_str()?));
        // Whoever names a file means it, whatever it is called.
        return Ok(vec![(path.to_owned(), format.unwrap_or(Format::Yaml))]);
    }
    let listing = list(path).map_err(|error| {
        Problem::new(
            path.display().to_string(),
            error.to_string(),
            "name a file or a folder of manifests",
        )
    })?;
    problems.extend(listing.problems);
    let files = listing.files.into_iter();
    Ok(files.map(|(below, found)| (path.join(below), found.format)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Kind;

    #[test]
    fn files_and_folders_are_one_member_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let node = |name: &str| format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("more")).unwrap();
        write("a.yaml", &node("a"));
        write("more/b.yaml", &node("b"));
        write("more/broken.yaml", "a: [");
        write("more/readme.md", "not read");
        write("named", &node("a"));
        let paths = ["more", "a.yaml", "named"].map(|name| folder.path().join(name));
        let read = read_manifests(&paths).unwrap();
        assert_eq!(read.lists[&Kind::Node].len(), 2);
        let said: Vec<_> = read.problems.iter().map(ToString::to_string).collect();
        assert!(
            said.iter()
                .any(|problem| problem.contains("more/broken.yaml") && !problem.contains("kept")),
            "{said:?}"
        );
        assert!(said.iter().any(|problem| problem.contains("is already in")), "{said:?}");
        assert_eq!(said.len(), 2);
        let missing = read_manifests(&[folder.path().join("nowhere")])
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("nowhere") && missing.contains("name a file"),
            "{missing}"
        );
    }
}
