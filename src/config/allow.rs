//! `memberSecrets.allow`: what kubeconfigs in Secrets may use beside tokens and data.

use super::error::InvalidValue;
use super::reader::{Reader, Section};
use super::settings::AllowConfig;
use super::tree::Value;
use super::values;

const REMEDY: &str = "write exec:COMMAND, auth-provider:NAME, folder:/PATH or insecure-skip-tls-verify";

/// Reads the list; nothing is allowed where it is absent.
pub(super) fn allow(reader: &mut Reader<'_>, section: &Section<'_>) -> AllowConfig {
    let mut allow = AllowConfig::default();
    for (index, node) in reader.list(section, "allow").iter().enumerate() {
        let word = match &node.value {
            Value::Scalar(scalar) => values::text(scalar),
            _ => Err(InvalidValue::new("is no single value", REMEDY)),
        };
        if let Err(what) = word.and_then(|word| take(&mut allow, word)) {
            reader.error(node.at, format!("{}[{index}]", section.key_path("allow")), what);
        }
    }
    allow
}

fn take(allow: &mut AllowConfig, word: &str) -> Result<(), InvalidValue> {
    match word.split_once(':') {
        Some(("exec", command)) if !command.is_empty() => {
            allow.exec.insert(command.to_owned());
        }
        Some(("auth-provider", name)) if !name.is_empty() => {
            allow.auth_providers.insert(name.to_owned());
        }
        Some(("folder", path)) if path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
            allow.folders.insert(path.into());
        }
        None if word == "insecure-skip-tls-verify" => allow.insecure_skip_tls_verify = true,
        _ => {
            let problem = format!("{} is nothing that can be allowed", values::shown(word));
            return Err(InvalidValue::new(problem, REMEDY));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_ones_and_name_something() {
        let mut allow = AllowConfig::default();
        for word in [
            "exec:aws",
            "auth-provider:gcp",
            "folder:/var/run",
            "insecure-skip-tls-verify",
        ] {
            take(&mut allow, word).unwrap();
        }
        assert!(allow.exec.contains("aws") && allow.auth_providers.contains("gcp"));
        assert!(allow.folders.contains(std::path::Path::new("/var/run")) && allow.insecure_skip_tls_verify);
        for word in [
            "exec",
            "exec:",
            "folder:relative",
            "folder:/a/../b",
            "everything",
            "insecure-skip-tls-verify:",
        ] {
            let said = take(&mut allow, word).unwrap_err();
            assert!(said.remedy.contains("exec:COMMAND"), "{word}");
        }
    }
}
