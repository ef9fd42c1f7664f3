//! `parallax check-config`.

use std::path::Path;

use super::Failure;
use crate::config::Config;

/// One line about a settings file that is right.
pub(super) fn check(file: &Path) -> Result<String, Failure> {
    let config = Config::load(file)?;
    let named = match config.members.len() {
        1 => "1 member".to_owned(),
        count => format!("{count} members"),
    };
    let members = match &config.members_folder {
        None => named,
        Some(folder) if config.members.is_empty() => format!("the members in {}", folder.display()),
        Some(folder) => format!("{named} and those in {}", folder.display()),
    };
    Ok(format!(
        "{} is right: {members}; xDS on {}, admin on {}\n",
        file.display(),
        config.listen,
        config.admin.listen
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("parallax.yaml");
        std::fs::write(&file, text).unwrap();
        let cut = |said: String| said.replace(&format!("{}/", folder.path().display()), "");
        check(&file).map(cut).map_err(|failure| {
            assert_eq!(failure.code(), 64);
            cut(failure.to_string())
        })
    }

    #[test]
    fn a_right_file_is_summed_up() {
        let said = checked("members:\n  - name: west\n    folder: a\n").unwrap();
        assert_eq!(
            said,
            "parallax.yaml is right: 1 member; xDS on 127.0.0.1:15010, admin on 127.0.0.1:15080\n"
        );
        assert!(
            checked("membersFolder: m\n")
                .unwrap()
                .contains("right: the members in m;")
        );
    }

    #[test]
    fn every_mistake_has_its_line() {
        let said = checked("lisen: 1\nmembers:\n  - name: -a\n").unwrap_err();
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].starts_with("parallax.yaml:1:1: lisen"), "{said}");
        assert!(lines.iter().any(|line| line.starts_with("parallax.yaml:3:")), "{said}");
    }
}
