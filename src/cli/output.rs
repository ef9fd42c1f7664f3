//! In which form an answer is printed.

use std::io::{IsTerminal as _, stdout};

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables for people.
    Table,
    /// JSON, with the field names of the debug service.
    Json,
    /// YAML, likewise.
    Yaml,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Also into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// Whether tables are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// They are.
    Colored,
    /// They are not.
    Plain,
}

impl ColorChoice {
    /// What it means for standard output.
    #[must_use]
    pub fn paint(self) -> Paint {
        match self {
            Self::Auto if stdout().is_terminal() => Paint::Colored,
            Self::Always => Paint::Colored,
            Self::Auto | Self::Never => Paint::Plain,
        }
    }
}

/// How many lines an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One answer and nothing else: laid out for reading.
    Whole,
    /// One of many: a line of JSON, a document of YAML.
    OneOfMany,
}

/// An answer in the form asked for; `table` makes the one for people.
pub(super) fn format<M: Serialize>(
    message: &M,
    format: OutputFormat,
    layout: Layout,
    table: impl FnOnce(&M) -> String,
) -> Result<String, Failure> {
    let mut text = match (format, layout) {
        (OutputFormat::Table, _) => table(message),
        (OutputFormat::Json, Layout::Whole) => {
            serde_json::to_string_pretty(message).map_err(|error| Failure::Format(error.to_string()))?
        }
        (OutputFormat::Json, Layout::OneOfMany) => {
            serde_json::to_string(message).map_err(|error| Failure::Format(error.to_string()))?
        }
        (OutputFormat::Yaml, layout) => {
            let text = serde_saphyr::to_string(message).map_err(|error| Failure::Format(error.to_string()))?;
            if layout == Layout::OneOfMany {
                format!("---\n{text}")
            } else {
                text
            }
        }
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::proto as v1;

    #[test]
    fn programs_get_the_field_names_of_the_service() {
        let message = v1::ProxyType {
            type_url: "t".to_owned(),
            r#type: "CDS".to_owned(),
            state: "no".to_owned(),
            nack: Some(v1::Nack {
                version: "1e10".to_owned(),
                message: "0123".to_owned(),
                code: 3,
            }),
            in_flight_since: "2023-11-14T22:13:20.250Z".to_owned(),
            ..v1::ProxyType::default()
        };
        let of = |form, layout| format(&message, form, layout, |_| "table".to_owned()).unwrap();
        let json = of(OutputFormat::Json, Layout::OneOfMany);
        assert_eq!(json.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["typeUrl"], "t");
        assert_eq!(json["type"], "CDS");
        let yaml = of(OutputFormat::Yaml, Layout::OneOfMany);
        assert!(yaml.starts_with("---\ntypeUrl: t\n"), "{yaml}");
        let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(
            read, json,
            "YAML says the same as JSON, and a text that looks like a bool, a number or a time stays one"
        );
        assert_eq!(of(OutputFormat::Table, Layout::Whole), "table\n");
    }
}
