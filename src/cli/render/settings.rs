//! `get settings`.

use std::time::SystemTime;

use super::super::Paint;
use super::table::{Mood, age, cell, plain, table};
use super::v1;

/// Which settings are in force, and below what of the file is not.
pub(crate) fn settings(answer: &v1::GetSettingsResponse, now: SystemTime, paint: Paint) -> String {
    let (state, mood) = match (answer.mistakes.is_empty(), answer.waiting_for_restart.is_empty()) {
        (false, _) => ("refused, those before it are in force", Mood::Bad),
        (true, false) => ("in force, but for what needs a restart", Mood::Odd),
        (true, true) => ("in force", Mood::Good),
    };
    let row = [
        plain(&answer.file),
        cell(state, mood),
        plain(answer.generation),
        plain(age(&answer.since, now)),
    ];
    let mut text = table(["FILE", "STATE", "GENERATION", "IN FORCE FOR"], [row], paint);
    if !answer.mistakes.is_empty() {
        text += "\nThe file was changed and can't be taken:\n";
        for mistake in &answer.mistakes {
            text += &format!("  {mistake}\n");
        }
    }
    if !answer.waiting_for_restart.is_empty() {
        text += &format!(
            "\nTakes effect with a restart: {}\n",
            answer.waiting_for_restart.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_a_file_is_not_in_force_is_told() {
        let now: jiff::Timestamp = "2026-01-31T12:00:30Z".parse().unwrap();
        let mut answer = v1::GetSettingsResponse {
            file: "parallax.yaml".to_owned(),
            generation: 3,
            since: "2026-01-31T12:00:00Z".to_owned(),
            mistakes: Vec::new(),
            waiting_for_restart: Vec::new(),
        };
        let shown = settings(&answer, now.into(), Paint::Plain);
        assert_eq!(
            shown,
            "\
FILE            STATE      GENERATION   IN FORCE FOR
parallax.yaml   in force   3            30s
"
        );
        answer.waiting_for_restart = vec!["log".to_owned(), "tls".to_owned()];
        let shown = settings(&answer, now.into(), Paint::Plain);
        assert!(
            shown.contains("but for what needs a restart") && shown.ends_with("restart: log, tls\n"),
            "{shown}"
        );
        answer.mistakes = vec!["parallax.yaml:1:1: lisen: is no known key".to_owned()];
        let shown = settings(&answer, now.into(), Paint::Plain);
        assert!(
            shown.contains("refused") && shown.contains("  parallax.yaml:1:1: lisen"),
            "{shown}"
        );
    }
}
