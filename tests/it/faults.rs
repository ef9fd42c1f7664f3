//! The page on faults names tests that exist.

use std::path::Path;

/// The text of all Rust files below a folder.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of ours") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *into += &std::fs::read_to_string(&path).expect("a text");
        }
    }
}

#[test]
fn every_row_of_the_fault_matrix_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/faults.md")).expect("the page is there");
    let (_, matrix) = page.split_once("## Fault by fault").expect("the matrix is there");
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let matrix = matrix.lines().skip_while(|line| !line.starts_with("| "));
    let rows = matrix.take_while(|line| line.starts_with("| ")).skip(2);
    let mut count = 0;
    for row in rows {
        let name = row.rsplit('|').nth(1).map(|cell| cell.trim().trim_matches('`'));
        let name = name.expect("a row has cells");
        assert!(
            code.contains(&format!("fn {name}(")),
            "there is no test {name:?}: {row}"
        );
        count += 1;
    }
    assert!(count > 20, "{count} rows");
}
