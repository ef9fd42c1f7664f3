//! `parallax lint` on files: the objects go into a table as those of a running server do, and nothing is served.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{members, networks};
use crate::admin::{self, proto as v1};
use crate::cli::{Failure, Global, LintArgs, print_findings};
use crate::config::{self, Config};
use crate::lint::{self, Finding, Lookups, Severity};
use crate::model::ClusterId;
use crate::registry::{MemberOptions, Problem, members_in_folder, read_manifests};
use crate::table::{EndpointTable, RegistryChange, RegistryEvent};

/// The member of files that are named one by one.
const FILES: &str = "files";

/// One member to check.
struct Checked {
    options: MemberOptions,
    paths: Vec<PathBuf>,
}

/// Checks the files and folders that are named, or the members of a settings file, and prints what is wrong.
///
/// # Errors
/// Where something is wrong with them, and where they can't be read.
pub fn lint(args: &LintArgs, global: &Global, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    print_findings(&answer(args)?, global, out)
}

fn answer(args: &LintArgs) -> Result<v1::LintResponse, Failure> {
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let refused = |error: anyhow::Error| Failure::Refused(format!("{error:#}"));
    let mut findings = Vec::new();
    let checked = match args.files.is_empty() {
        true => of_settings(&config, &mut findings)?,
        false => of_paths(&args.files, &config, &mut findings)?,
    };
    let table = EndpointTable::new(networks::table_settings(&config).map_err(refused)?);
    for (member, Checked { options, paths }) in checked {
        let read = read_manifests(&paths).map_err(|problem| Failure::Missing(problem.to_string()))?;
        let name = member.as_str();
        findings.extend(read.problems.iter().map(|problem| admin::of_problem(name, problem)));
        for change in [
            RegistryChange::Joined {
                network: options.network,
            },
            RegistryChange::Replace(read.lists),
        ] {
            table.apply(RegistryEvent {
                member: member.clone(),
                change,
            });
        }
    }
    findings.extend(lint::lint(&table, &config.mesh.domain, Lookups::NotMade));
    Ok(admin::of_findings(findings))
}

/// The members of the settings that are folders; those that are not are named.
fn of_settings(config: &Config, findings: &mut Vec<Finding>) -> Result<BTreeMap<ClusterId, Checked>, Failure> {
    let mut checked = BTreeMap::new();
    for member in &config.members {
        let refused = |error: anyhow::Error| Failure::Refused(format!("{error:#}"));
        let config::MemberSource::Folder(path) = &member.source else {
            findings.push(Finding::of(Severity::Warning, member.name.as_str(), "").says(
                "it is an API server, which is not asked here",
                "ask the control plane that reads it: parallax lint --server ADDR",
            ));
            continue;
        };
        let name = ClusterId::new(&member.name).map_err(|error| Failure::Refused(error.to_string()))?;
        let options = members::options(config, member).map_err(refused)?;
        let paths = vec![path.clone()];
        checked.insert(name, Checked { options, paths });
    }
    if let Some(folder) = &config.members_folder {
        add_folder(folder, config, &mut checked, findings)?;
    }
    Ok(checked)
}

/// A folder that has nothing but folders is one of members, as `serve --members` takes it; any other one is a member, and the
/// files that are named are one together.
fn of_paths(
    paths: &[PathBuf],
    config: &Config,
    findings: &mut Vec<Finding>,
) -> Result<BTreeMap<ClusterId, Checked>, Failure> {
    let mut checked: BTreeMap<ClusterId, Checked> = BTreeMap::new();
    for path in paths {
        if path.is_dir() && holds_only_folders(path) {
            add_folder(path, config, &mut checked, findings)?;
            continue;
        }
        let own = path.canonicalize().unwrap_or_else(|_| path.clone());
        let own = own.file_name().filter(|_| path.is_dir()).and_then(|name| name.to_str());
        let name = ClusterId::new(own.unwrap_or(FILES)).or_else(|_| ClusterId::new(FILES));
        let name = name.map_err(|error| Failure::Refused(error.to_string()))?;
        add(name, path.clone(), config, &mut checked);
    }
    Ok(checked)
}

fn holds_only_folders(folder: &Path) -> bool {
    let is_hidden = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let mut entries = entries
        .filter_map(Result::ok)
        .filter(|entry| !is_hidden(entry))
        .peekable();
    entries.peek().is_some() && entries.all(|entry| entry.path().is_dir() || !is_manifest(&entry.path()))
}

fn is_manifest(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("yaml" | "yml" | "json"))
}

fn add_folder(
    folder: &Path,
    config: &Config,
    checked: &mut BTreeMap<ClusterId, Checked>,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let found = members_in_folder(folder).map_err(|problem: Problem| Failure::Missing(problem.to_string()))?;
    findings.extend(found.1.iter().map(|problem| admin::of_problem("", problem)));
    for (name, path) in found.0 {
        add(name, path, config, checked);
    }
    Ok(())
}

fn add(name: ClusterId, path: PathBuf, config: &Config, checked: &mut BTreeMap<ClusterId, Checked>) {
    let options = || members::default_options(config);
    let member = checked.entry(name).or_insert_with(|| Checked {
        options: options(),
        paths: Vec::new(),
    });
    member.paths.push(path);
}
