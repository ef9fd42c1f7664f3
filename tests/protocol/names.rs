//! Finds the tests that name rules, by reading the sources as text.

use std::path::Path;

/// A test, and what it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// The function.
    pub(crate) name: String,
    /// Its file, from the root on.
    pub(crate) file: String,
    /// `R16`, `M21`, ….
    pub(crate) rules: Vec<String>,
}

/// All of them, by file and place.
///
/// # Panics
/// If a function has such a name and is no test: then its rule would seem to be tested.
pub(crate) fn tests_that_name_rules(root: &Path) -> Vec<Found> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let path = file.strip_prefix(root).expect("it is below").display().to_string();
        found.extend(in_text(&path, &text));
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn in_text(file: &str, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = function(line) {
            let rules = rules_of(name);
            if !rules.is_empty() {
                assert!(is_test, "{file}: `{name}` names a rule and is no test");
                found.push(Found {
                    name: name.to_owned(),
                    file: file.to_owned(),
                    rules,
                });
            }
            is_test = false;
        }
    }
    found
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// `r16_m21_what_happens` names R16 and M21.
fn rules_of(name: &str) -> Vec<String> {
    let is_rule = |part: &&str| {
        let number = part.strip_prefix(['r', 'm']).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    name.split('_').take_while(is_rule).map(str::to_uppercase).collect()
}

#[test]
fn rules_are_read_from_the_beginning_of_a_name() {
    for (name, rules) in [
        ("r16_m21_what_happens", &["R16", "M21"][..]),
        ("r3_of_r4", &["R3"]),
        ("read_r3", &[]),
        ("m_12", &[]),
        ("rules", &[]),
    ] {
        assert_eq!(rules_of(name), rules, "{name}");
    }
}

#[test]
fn a_function_that_only_looks_like_a_test_is_refused() {
    let test = "#[test]\nfn r1_a() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn m2_b() {}\nfn helper() {}\n";
    let names: Vec<String> = in_text("f", test).into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["r1_a", "m2_b"]);
    for wrong in ["fn r1_a() {}", "#[test]\nfn a() {}\nfn r1_b() {}"] {
        assert!(std::panic::catch_unwind(|| in_text("f", wrong)).is_err(), "{wrong}");
    }
}
