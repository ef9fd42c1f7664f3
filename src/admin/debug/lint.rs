//! What is wrong with the mesh's objects, as a message. Pure.

use super::v1;
use crate::lint::{Finding, Severity};
use crate::registry::{MemberReport, MemberState, Problem};

/// Puts together what was found in single objects of members, outside of them, and in the mesh as a whole.
#[must_use]
pub(in super::super) fn lint_response(
    members: &[MemberReport],
    outside: &[Problem],
    mesh: Vec<Finding>,
) -> v1::LintResponse {
    let mut findings = mesh;
    for member in members {
        let name = member.name.as_str();
        findings.extend(member.problems.iter().map(|problem| of_problem(name, problem)));
        if let Some(more @ 1..) = member.problem_count.checked_sub(member.problems.len()) {
            findings.push(Finding::of(Severity::Error, name, "").says(
                format!("{more} more problems of its objects are not told one by one"),
                "correct those that are told first",
            ));
        }
        if member.state != MemberState::Synced {
            findings.push(Finding::of(Severity::Warning, name, "").says(
                "it is not read at present, so what is said of it may be out of date",
                "see why: parallax get members",
            ));
        }
    }
    findings.extend(outside.iter().map(|problem| of_problem("", problem)));
    of_findings(findings)
}

/// The findings in order, as a message.
#[must_use]
pub fn of_findings(mut findings: Vec<Finding>) -> v1::LintResponse {
    findings.sort();
    findings.dedup();
    let findings = findings.into_iter().map(|finding| v1::Finding {
        severity: finding.severity.to_string(),
        member: finding.member,
        object: finding.object,
        field: finding.field,
        problem: finding.problem,
        remedy: finding.remedy,
    });
    v1::LintResponse {
        findings: findings.collect(),
    }
}

/// What was found where an object was read.
#[must_use]
pub fn of_problem(member: &str, problem: &Problem) -> Finding {
    Finding::of_object(
        Severity::Error,
        member,
        &problem.subject,
        &problem.problem,
        &problem.remedy,
    )
}
