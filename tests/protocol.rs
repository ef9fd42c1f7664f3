//! Holds `docs/xds.md` to the code: every rule of the protocol with the tests that name it.
//!
//! A test names a rule by the beginning of its own name: `r16_m21_what_happens` is a test of rule R16 and of mistake M21.
//! The rules themselves, in short, are in `protocol/rules.rs`. `UPDATE=1 cargo test --test protocol` writes the page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

#[path = "protocol/mistakes.rs"]
mod mistakes;
#[path = "protocol/names.rs"]
mod names;
#[path = "protocol/rules.rs"]
mod rules;

use mistakes::MISTAKES;
use names::{Found, tests_that_name_rules};
use rules::{RULES, Verdict};

const PAGE: &str = "docs/xds.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tests by the rule or mistake that they name.
fn by_rule() -> BTreeMap<String, Vec<Found>> {
    let mut all: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for found in tests_that_name_rules(root()) {
        for rule in &found.rules {
            all.entry(rule.clone()).or_default().push(found.clone());
        }
    }
    all
}

#[test]
fn every_rule_has_a_test_or_a_reason_and_every_test_a_rule() {
    let tests = by_rule();
    let numbers: Vec<u32> = RULES.iter().map(|rule| rule.number).collect();
    assert_eq!(numbers, (1..=117).collect::<Vec<_>>(), "R1 to R117, in order");
    let numbers: Vec<u32> = MISTAKES.iter().map(|mistake| mistake.number).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>(), "M1 to M24, in order");
    let mut problems = Vec::new();
    for rule in RULES {
        let tested = tests.contains_key(&format!("R{}", rule.number));
        match rule.verdict {
            Verdict::Kept if !tested => problems.push(format!("R{} has no test", rule.number)),
            Verdict::NotOurs(_) if tested => {
                problems.push(format!("R{} has a test, so it is kept", rule.number));
            }
            _ => {}
        }
    }
    for mistake in MISTAKES {
        if !tests.contains_key(&format!("M{}", mistake.number)) {
            problems.push(format!("M{} has no test", mistake.number));
        }
    }
    let known = |name: &str| {
        let number: u32 = name[1..].parse().unwrap_or(0);
        match &name[..1] {
            "R" => (1..=117).contains(&number),
            _ => (1..=24).contains(&number),
        }
    };
    problems.extend(
        tests
            .keys()
            .filter(|name| !known(name))
            .map(|name| format!("{name} is no rule")),
    );
    assert!(
        problems.is_empty(),
        "see tests/protocol/rules.rs:\n{}",
        problems.join("\n")
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write the page is said by whoever runs the test"
)]
fn the_page_is_up_to_date() {
    let page = page(&by_rule());
    let path = root().join(PAGE);
    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &page).expect("a String takes everything");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{PAGE} is not what the code says: run `UPDATE=1 cargo test --test protocol`"
    );
}

fn page(tests: &BTreeMap<String, Vec<Found>>) -> String {
    let count = |wanted: fn(&Verdict) -> bool| RULES.iter().filter(|rule| wanted(&rule.verdict)).count();
    let kept = count(|verdict| matches!(verdict, Verdict::Kept));
    let not_ours = count(|verdict| matches!(verdict, Verdict::NotOurs(_)));
    let all: std::collections::BTreeSet<&String> = tests.values().flatten().map(|found| &found.name).collect();
    let mut page = format!(
        "<!-- Written by `UPDATE=1 cargo test --test protocol` from tests/protocol/rules.rs and the names of the tests. -->\n\n\
         # How Parallax keeps to xDS\n\n\
         117 rules that an xDS server has to keep, in short, and the tests that hold Parallax to each: {kept} are kept, \
         {not_ours} do not apply. {} tests name a rule; a test does \
         so by the beginning of its name.\n\n\
         *SotW* is the state-of-the-world dialect, *delta* the incremental one. Parallax serves CDS, EDS, \
         SDS, LDS and RDS over aggregated streams of both.\n\n\
         R72 and R81 hold for what went while a client was away in delta only: in SotW a client that comes back does not say \
         what it has, so a cluster that is gone is missing in the first answer, and requests that listeners or routes from \
         before send to it fail until the new ones arrive, moments later. `parallax bootstrap` asks for delta.\n\n\
         Beside these tests, a model of the session (`src/xds/session/tests/model`) takes some millions of random steps in \
         every run and compares each answer with a reference.\n",
        all.len()
    );
    for rule in RULES {
        if let Some(section) = rules::section(rule.number) {
            write!(
                page,
                "\n## {section}\n\n| rule | what it asks | verdict | tests |\n| --- | --- | --- | --- |\n"
            )
            .expect("a String takes everything");
        }
        let id = format!("R{}", rule.number);
        let verdict = match rule.verdict {
            Verdict::Kept => "kept".to_owned(),
            Verdict::NotOurs(why) => format!("does not apply: {why}"),
        };
        writeln!(page, "| {id} | {} | {verdict} | {} |", rule.says, cell(tests.get(&id)))
            .expect("a String takes everything");
    }
    page.push_str(
        "\n## Mistakes that other servers made\n\n| mistake | what went wrong | rules | tests |\n| --- | --- | --- | --- |\n",
    );
    for mistake in MISTAKES {
        let id = format!("M{}", mistake.number);
        let tests = cell(tests.get(&id));
        writeln!(page, "| {id} | {} | {} | {tests} |", mistake.says, mistake.rules).expect("a String takes everything");
    }
    page
}

fn cell(tests: Option<&Vec<Found>>) -> String {
    let each = tests.into_iter().flatten();
    let each = each.map(|found| format!("[`{}`](../{})", found.name, found.file));
    each.collect::<Vec<_>>().join("<br>")
}
