//! `parallax check-config`.

use std::path::Path;

use super::Failure;
use crate::config::Config;

/// One line about a settings file that is right.
pub(super) fn check(file: &Path) -> Result<String, Failure> {
    let config = Config::load(file)?;
    let mut members = match config.members.len() {
        0 => "no members".to_owned(),
        1 => "1 member".to_owned(),
        count => format!("{count} members"),
    };
    if let Some(folder) = &config.members_folder {
        members += &format!(" and those in {}", folder.display());
    }
    Ok(format!(
        "{} is right: {members}; xDS on {}, admin on {}\n",
        file.display(),
        config.listen,
        config.admin.listen
    ))
}
