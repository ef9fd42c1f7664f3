//! The page on faults: its first matrix is what the tests of these faults recorded, the others name tests that exist.
//!
//! `make faults` runs those tests and has the first matrix written anew, by the variable below.

use std::path::{Path, PathBuf};

use super::harness::Fault;

/// Set by `make faults`: the matrix is written, and not only looked at.
const WRITE: &str = "PARALLAX_WRITE_FAULTS";
const BEGIN: &str = "<!-- written by `make faults`, from a run of these tests -->\n";
const END: &str = "<!-- end -->\n";
const HEAD: &str =
    "| fault | what the Envoys saw | noticed after | once it is over | test |\n| --- | --- | --- | --- | --- |\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/faults.md")).expect("the page is there")
}

/// The text of all Rust files below a folder, but of this one.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            into.push((path, text));
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut code = Vec::new();
    sources(&root().join("src"), &mut code);
    sources(&root().join("tests"), &mut code);
    code
}

/// The rows of a table, each as its cells.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let table = table.lines().skip_while(|line| !line.starts_with("| "));
    let rows = table.take_while(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// What is before that which `make faults` writes, that, and what is behind it.
fn parts(page: &str) -> (&str, &str, &str) {
    let (before, after) = page.split_once(BEGIN).expect("it begins");
    let (generated, behind) = after.split_once(END).expect("it ends");
    (before, generated, behind)
}

/// The faults that a test has Envoys watched for.
fn watched(text: &str) -> impl Iterator<Item = &str> {
    let begun = ["watch(", "Watch::begin("]
        .into_iter()
        .flat_map(|call| text.split(call).skip(1));
    let named = begun.filter_map(|after| after.trim_start().strip_prefix("Fault::"));
    named.filter_map(|name| name.split(|c: char| !c.is_alphanumeric()).next())
}

#[test]
fn the_matrix_of_real_faults_has_what_tests_record_and_nothing_else() {
    let mut page = page();
    if std::env::var_os(WRITE).is_some() {
        let rows = Fault::ALL.map(|fault| fault.recorded().unwrap_or_else(|error| panic!("{error:#}")));
        let (before, _, behind) = parts(&page);
        page = format!("{before}{BEGIN}{HEAD}{}{END}{behind}", rows.concat());
        // At once: the other test reads it at the same time.
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.md");
        std::fs::write(&written, &page).expect("it can be written");
        std::fs::rename(written, root().join("docs/faults.md")).expect("target/ is on the same disk");
    }
    let on_page = rows(parts(&page).1);
    let on_page: Vec<_> = on_page.iter().map(|row| (row[0], row[4].trim_matches('`'))).collect();
    let recorded = Fault::ALL.map(|fault| (fault.title(), fault.test()));
    assert_eq!(on_page, recorded, "`make faults` writes the page anew");
    let code = all_sources();
    // Whatever is watched anywhere has a row.
    let rows = Fault::ALL.map(|fault| format!("{fault:?}"));
    for (path, text) in &code {
        for name in watched(text) {
            assert!(
                rows.iter().any(|row| row == name),
                "{}: {name} has no row",
                path.display()
            );
        }
    }
    for fault in Fault::ALL {
        let head = format!("async fn {}()", fault.test());
        let (path, text) = code
            .iter()
            .find(|(_, text)| text.contains(&head))
            .unwrap_or_else(|| panic!("there is no test {:?}", fault.test()));
        let name = format!("Fault::{fault:?}");
        assert!(text.contains(&name), "{} does not record {name}", path.display());
    }
}

#[test]
fn every_row_of_the_other_matrix_names_a_test_that_exists() {
    let page = page();
    let (_, matrix) = page.split_once("### Held by fakes").expect("the matrix is there");
    let code = all_sources();
    let rows = rows(matrix);
    for row in &rows {
        let name = row.last().expect("a row has cells").trim_matches('`');
        let head = format!("fn {name}(");
        assert!(
            code.iter().any(|(_, text)| text.contains(&head)),
            "there is no test {name:?}: {row:?}"
        );
    }
    assert!(rows.len() > 15, "{} rows", rows.len());
}
