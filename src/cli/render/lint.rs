//! `lint`.

use super::super::Paint;
use super::table::{Mood, cell, plain, table};
use super::v1;

/// One line for each finding with what is wrong, and below what to do about each.
pub(crate) fn lint(answer: &v1::LintResponse, paint: Paint) -> String {
    if answer.findings.is_empty() {
        return "Nothing is wrong.\n".to_owned();
    }
    let rows = answer.findings.iter().map(|finding| {
        let mood = if finding.severity == "error" {
            Mood::Bad
        } else {
            Mood::Odd
        };
        let what = format!("{}; {}", finding.problem, finding.remedy);
        // What is wrong begins with the field already where it was found in one object.
        let what = match finding
            .problem
            .strip_prefix(&*finding.field)
            .filter(|_| !finding.field.is_empty())
        {
            Some(rest) => format!("{}; {}", rest.trim_start_matches([':', ' ']), finding.remedy),
            None => what,
        };
        [
            cell(&finding.severity, mood),
            plain(&finding.member),
            plain(&finding.object),
            plain(&finding.field),
            plain(what),
        ]
    });
    table(
        ["SEVERITY", "MEMBER", "OBJECT", "FIELD", "WHAT IS WRONG, AND WHAT TO DO"],
        rows,
        paint,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_with_the_remedy() {
        let finding = |severity: &str, field: &str, problem: &str| v1::Finding {
            severity: severity.to_owned(),
            member: "west".to_owned(),
            object: "Service shop/web".to_owned(),
            field: field.to_owned(),
            problem: problem.to_owned(),
            remedy: "correct it".to_owned(),
        };
        let answer = v1::LintResponse {
            findings: vec![
                finding(
                    "error",
                    "spec.ports[0].port",
                    "spec.ports[0].port is 70000, which is no port",
                ),
                finding("warning", "", "it has no endpoints"),
            ],
        };
        assert_eq!(
            lint(&answer, Paint::Plain),
            "\
SEVERITY   MEMBER   OBJECT             FIELD                WHAT IS WRONG, AND WHAT TO DO
error      west     Service shop/web   spec.ports[0].port   is 70000, which is no port; correct it
warning    west     Service shop/web   -                    it has no endpoints; correct it
"
        );
        assert!(lint(&answer, Paint::Colored).contains("\u{1b}["));
        assert_eq!(lint(&v1::LintResponse::default(), Paint::Plain), "Nothing is wrong.\n");
    }
}
