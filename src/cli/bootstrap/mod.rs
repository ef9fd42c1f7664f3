//! `parallax bootstrap` and `parallax gateway-bootstrap`: what a plain Envoy starts with to attach to the mesh.

mod args;
mod envoy;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Failure, OutputFormat};
pub use args::BootstrapArgs;
use envoy::{Bootstrap, Role};

/// Writes the bootstrap of a pod's proxy.
pub(super) fn sidecar(args: &BootstrapArgs, form: OutputFormat, out: &mut dyn Write) -> Result<(), Failure> {
    run(Role::Sidecar, args, form, out)
}

/// Writes the bootstrap of a gateway.
pub(super) fn gateway(args: &BootstrapArgs, form: OutputFormat, out: &mut dyn Write) -> Result<(), Failure> {
    run(Role::Router, args, form, out)
}

/// To standard output, or into a folder with the files that it refers to.
fn run(role: Role, args: &BootstrapArgs, form: OutputFormat, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(folder) = &args.out else {
        if args.token.is_some() {
            return Err(Failure::Refused(
                "Envoy reads a token by way of a second file; name a folder for both with --out".to_owned(),
            ));
        }
        let bootstrap = Bootstrap {
            role,
            args,
            files_at: None,
        };
        return Ok(out.write_all(text(&bootstrap.value(), form)?.as_bytes())?);
    };
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let whole = || std::path::absolute(folder).map_err(|error| unwritten(folder, &error));
    let files_at: PathBuf = match &args.mounted_at {
        Some(path) => path.clone(),
        None => whole()?,
    };
    let mut args = args.clone();
    if args.mounted_at.is_none() {
        // Envoy may be started from another folder than we are.
        let files = [&mut args.token, &mut args.certificate, &mut args.key, &mut args.ca];
        for path in files.into_iter().flatten() {
            *path = std::path::absolute(&*path).map_err(|error| unwritten(path, &error))?;
        }
    }
    let bootstrap = Bootstrap {
        role,
        args: &args,
        files_at: Some(&files_at),
    };
    let extension = match form {
        OutputFormat::Json => "json",
        OutputFormat::Table | OutputFormat::Yaml => "yaml",
    };
    let mut written = vec![(format!("bootstrap.{extension}"), bootstrap.value())];
    // Envoy tells the form of a file by its name.
    written.extend(
        bootstrap
            .secrets()
            .into_iter()
            .map(|(name, secret)| (format!("{name}.json"), secret)),
    );
    for (name, value) in &written {
        let form = if name.ends_with(".json") {
            OutputFormat::Json
        } else {
            form
        };
        put(&folder.join(name), &text(value, form)?)?;
    }
    let (name, _) = &written[0];
    let start = files_at.join(name);
    Ok(writeln!(
        out,
        "written to {}; start with: envoy -c {}",
        folder.display(),
        start.display()
    )?)
}

/// Replaces a file as a whole: an Envoy that watches the folder takes it up.
fn put(file: &Path, text: &str) -> Result<(), Failure> {
    let draft = file.with_extension("draft");
    let done = std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, file));
    done.map_err(|error| unwritten(file, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Refused(format!("cannot write {}: {error}", path.display()))
}

fn text(value: &Value, form: OutputFormat) -> Result<String, Failure> {
    let format = |error: &dyn std::fmt::Display| Failure::Format(error.to_string());
    Ok(match form {
        OutputFormat::Json => serde_json::to_string_pretty(value).map_err(|error| format(&error))? + "\n",
        OutputFormat::Table | OutputFormat::Yaml => serde_saphyr::to_string(value).map_err(|error| format(&error))?,
    })
}

#[cfg(test)]
mod tests;
