//! Each rule against a small tree that breaks it and nothing else.

use std::path::Path;

use super::rules::Purity::{Pure, Shell};
use super::rules::{Architecture, Layer};

const SMALL: Architecture = Architecture {
    layers: &[
        Layer {
            name: "core",
            purity: Pure,
            may_use: &[],
            without: &["kube"],
        },
        Layer {
            name: "edge",
            purity: Shell,
            may_use: &["core", "tool::open"],
            without: &["tonic"],
        },
        Layer {
            name: "tool",
            purity: Shell,
            may_use: &[],
            without: &[],
        },
    ],
    pure_parts: &["src/edge/convert/"],
    open_parts: &["tool::open"],
};

/// What [`SMALL`] allows, with everything in comments, strings and tests that it would refuse in code.
const RIGHT: &[(&str, &str)] = &[
    (
        "ARCHITECTURE.md",
        "# A\n\n## Modules of `src/`\n\n| module | may use |\n| --- | --- |\n| `core` P | – |\n| `edge`, `tool` | `core` |\n",
    ),
    ("src/lib.rs", "//! A.\npub mod core;\npub mod edge;\npub mod tool;\n"),
    ("src/main.rs", "//! A.\nfn main() {}\n"),
    (
        "src/core/mod.rs",
        "//! A. tokio::spawn and crate::edge are only spoken of.\nmod part;\npub use part::Part;\n\
         fn say(env: u8) -> &'static str { \"crate::edge Mutex\" }\n\
         #[cfg(test)]\nmod tests;\n",
    ),
    (
        "src/core/part.rs",
        "//! A.\nuse super::say;\npub(crate) struct Part;\n#[cfg(test)]\nmod tests { use crate::edge::X; async fn x() {} }\n",
    ),
    (
        "src/core/tests.rs",
        "//! A.\nuse crate::edge::X;\nuse super::super::edge::Y;\nasync fn x() { kube::x().await; info!(); }\n",
    ),
    (
        "src/edge/mod.rs",
        "//! A.\nmod convert;\nuse crate::core::{Part, make};\nuse crate::tool::open::Thing;\nuse std::sync::Mutex;\n\
         async fn x() { crate::core::make::<u8>(); self::tonic(); mine::tonic::x(); warn!(); }\nmod inline { use super::Part; }\n",
    ),
    (
        "src/edge/convert/mod.rs",
        "//! A.\nuse super::Mine;\nfn debug() { debug!(); }\n",
    ),
    ("src/tool/mod.rs", "//! A.\npub mod open;\nfn x() {}\n"),
    ("src/tool/open.rs", "//! A.\nuse crate::tool::deep::Own;\n"),
    ("tests/harness/mod.rs", "//! Of parallax.\nfn x() { \"parallax\" }\n"),
];

/// The violations of [`RIGHT`] with one file replaced or added.
fn violations_with(path: &str, text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in RIGHT.iter().chain([&(path, text)]) {
        write(&dir.path().join(path), text);
    }
    SMALL.violations(dir.path())
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("files are in folders")).expect("a writable folder");
    std::fs::write(path, text).expect("a writable folder");
}

/// Exactly one violation, which says `expected`.
#[track_caller]
fn refused(path: &str, text: &str, expected: &str) {
    let found = violations_with(path, text);
    assert_eq!(
        found.len(),
        1,
        "{text}\nexpected one violation with {expected:?}, found {found:#?}"
    );
    assert!(found[0].contains(expected), "{:?} lacks {expected:?}", found[0]);
}

#[test]
fn a_right_tree_passes() {
    assert_eq!(violations_with("README.md", "crate::edge"), Vec::<String>::new());
}

#[test]
fn an_edge_upward_is_refused() {
    refused(
        "src/core/part.rs",
        "//! A.\n\nuse crate::edge::X;\n",
        "src/core/part.rs:3: `core` may not use `crate::edge`",
    );
    refused(
        "src/core/part.rs",
        "//! A.\nfn x() { crate\n :: edge :: x() }\n",
        "`core` may not use `crate::edge`",
    );
    refused(
        "src/edge/mod.rs",
        "//! A.\nmod convert;\nuse crate::tool::Other;\n",
        "`edge` may not use `crate::tool`",
    );
    refused(
        "src/core/part.rs",
        "//! A.\nuse super::super::edge::X;\n",
        "`super::` up to the crate's root",
    );
    refused(
        "src/tool/mod.rs",
        "//! A.\npub mod open;\nmod a { use super::super::core::X; }\n",
        "`super::` up to the crate's root",
    );
    refused(
        "src/tool/mod.rs",
        "//! A.\npub mod open;\nuse self::super::core::X;\n",
        "`super::` up to the crate's root",
    );
}

#[test]
fn paths_that_hide_edges_are_refused() {
    refused(
        "src/core/part.rs",
        "//! A.\nuse crate::{edge::X};\n",
        "src/core/part.rs:2: `crate::{…}`",
    );
    refused("src/core/part.rs", "//! A.\nuse crate::*;\n", "`crate::*`");
    refused("src/core/part.rs", "//! A.\nuse crate as all;\n", "`use crate as`");
}

#[test]
fn another_modules_parts_are_refused() {
    let edge = |line: &str| format!("//! A.\nmod convert;\n{line}\n");
    let expected = "the only way into `core` is its mod.rs";
    refused("src/edge/mod.rs", &edge("use crate::core::part::Part;"), expected);
    refused(
        "src/edge/mod.rs",
        &edge("use crate::core::{make, part::Part};"),
        expected,
    );
    refused("src/edge/mod.rs", &edge("fn x() { crate::core::part::x() }"), expected);
    refused(
        "src/core/mod.rs",
        "//! A.\npub(crate) mod part;\n#[cfg(test)]\nmod tests;\n",
        "`pub mod part`: make it private",
    );
}

#[test]
fn a_forbidden_crate_is_refused() {
    refused(
        "src/edge/convert/mod.rs",
        "//! A.\nuse tonic::Status;\n",
        "src/edge/convert/mod.rs:2: `edge` may not use the crate `tonic`",
    );
    refused(
        "src/edge/convert/mod.rs",
        "//! A.\nuse tonic;\n",
        "may not use the crate `tonic`",
    );
    refused(
        "src/edge/convert/mod.rs",
        "//! A.\nfn x() -> ::tonic::Status {}\n",
        "may not use the crate `tonic`",
    );
    refused(
        "src/core/part.rs",
        "//! A.\nfn x(y: Option<kube::Client>) {}\n",
        "may not use the crate `kube`",
    );
}

#[test]
fn an_impure_word_in_a_pure_file_is_refused() {
    for line in [
        "async fn x() {}",
        "fn x() { y.await }",
        "use tokio::sync::watch;",
        "fn x() { Instant::now() }",
        "fn x() -> SystemTime {}",
        "struct X(Mutex<u8>);",
        "use std::sync::RwLock;",
        "use std::sync::mpsc;",
        "fn x() { std::thread::spawn() }",
        "fn x() { std::fs::read() }",
        "use std::net::TcpStream;",
        "fn x() { std::env::args() }",
        "fn x() { warn!() }",
        "fn x() { tracing::info!() }",
    ] {
        refused(
            "src/core/part.rs",
            &format!("//! A.\n{line}\n"),
            "src/core/part.rs:2: `",
        );
        refused(
            "src/edge/convert/mod.rs",
            &format!("//! A.\n{line}\n"),
            "in a pure file",
        );
    }
}

#[test]
fn code_after_a_test_module_still_counts() {
    refused(
        "src/core/part.rs",
        "//! A.\n#[cfg(test)]\nmod tests { fn a() { '}'; } }\nasync fn x() {}\n",
        "part.rs:4: `async`",
    );
}

#[test]
fn a_file_that_nothing_declares_is_refused() {
    refused(
        "src/core/orphan.rs",
        "//! A.\n",
        "src/core/orphan.rs: no `mod` declares it",
    );
    refused(
        "src/core/deep/mod.rs",
        "//! A.\n",
        "src/core/deep/mod.rs: no `mod` declares it",
    );
}

#[test]
fn tables_and_folders_name_the_same_modules() {
    let table =
        |rows: &str| format!("# A\n\n## Modules of `src/`\n\n| module |\n| --- |\n{rows}\n## Next\n\n| `tool` |\n");
    refused(
        "ARCHITECTURE.md",
        &table("| `core` P |\n| `edge` |\n"),
        "the table of modules lacks `tool`",
    );
    refused(
        "ARCHITECTURE.md",
        &table("| `core` |\n| `edge`, `tool` |\n"),
        "`core` is Pure in tests/architecture.rs",
    );
    refused(
        "ARCHITECTURE.md",
        &table("| `core`, `edge` P |\n| `tool` |\n"),
        "`edge` is Shell in tests/architecture.rs",
    );
    refused("src/other/notes.txt", "", "src/other: the module is in no layer");
}

#[test]
fn a_layer_or_a_pure_part_that_is_not_there_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in RIGHT
        .iter()
        .filter(|(path, _)| !path.starts_with("src/tool/") && !path.starts_with("src/edge/convert/"))
    {
        write(&dir.path().join(path), text);
    }
    assert_eq!(
        SMALL.violations(dir.path()),
        ["src/tool: tests/architecture.rs has a layer for it, but it is not there"]
    );

    write(&dir.path().join("src/edge/mod.rs"), "//! A.\nmod renamed;\n");
    write(&dir.path().join("src/edge/renamed.rs"), "//! A.\n");
    let found = SMALL.violations(dir.path());
    assert_eq!(
        found[0], "src/edge/convert/: is to be pure, but it is not there; renamed?",
        "{found:#?}"
    );
}

#[test]
fn a_long_file_is_refused_wherever_it_is() {
    let lines = |count: usize| format!("//! A.\n// B.\n\n{}", "x;\n".repeat(count));
    for path in ["tests/a.rs", "tests/a/b.rs", "examples/a.rs", "benches/a.rs"] {
        assert_eq!(violations_with(path, &lines(400)), Vec::<String>::new());
        refused(path, &lines(401), "401 lines of code, 400 are allowed");
    }
    refused("src/core/part.rs", &lines(401), "src/core/part.rs: 401 lines");
}

#[test]
fn a_file_that_does_not_say_what_it_is_for_is_refused() {
    refused(
        "src/core/part.rs",
        "use super::x;\n",
        "src/core/part.rs:1: the first line does not say",
    );
}

#[test]
fn a_harness_that_uses_the_library_is_refused() {
    refused(
        "tests/harness/mod.rs",
        "use parallax::model;\n",
        "tests/harness/mod.rs: the harness may not use the library",
    );
}
