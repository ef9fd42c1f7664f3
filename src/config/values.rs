//! Single values: durations, sizes, names. Each says what is wrong and what to write instead.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::InvalidValue;
use super::settings::LogFormat;
use super::tree::{Kind, Scalar};

pub(super) type Parsed<T> = Result<T, InvalidValue>;

/// A value as an error may show it: escaped, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Text that is not empty. A number or boolean is refused: YAML would change its spelling (`010`, `1e3`).
pub(super) fn text(scalar: &Scalar) -> Parsed<&str> {
    match scalar.kind {
        Kind::Text if scalar.text.is_empty() => Err(InvalidValue::new("is empty", "give it a value or remove it")),
        Kind::Text => Ok(&scalar.text),
        kind => Err(InvalidValue::new(
            format!("is {}, expected text", described(kind)),
            format!("put it in quotes: {}", shown(&scalar.text)),
        )),
    }
}

/// What a scalar is, in words.
fn described(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "nothing",
        Kind::Bool => "a boolean",
        Kind::Number => "a number",
        Kind::Text => "text",
    }
}

/// `true` or `false`.
pub(super) fn boolean(scalar: &Scalar) -> Parsed<bool> {
    match (scalar.kind, scalar.text.to_ascii_lowercase().as_str()) {
        (Kind::Bool, text) => Ok(text == "true"),
        _ => Err(InvalidValue::new(
            format!(
                "{} is {}, expected a boolean",
                shown(&scalar.text),
                described(scalar.kind)
            ),
            "write true or false, without quotes",
        )),
    }
}

/// A whole number within `range`.
pub(super) fn integer(scalar: &Scalar, range: RangeInclusive<usize>) -> Parsed<usize> {
    let remedy = || format!("write a whole number from {} to {}", range.start(), range.end());
    if scalar.kind != Kind::Number {
        let problem = format!(
            "{} is {}, expected a number",
            shown(&scalar.text),
            described(scalar.kind)
        );
        return Err(InvalidValue::new(problem, remedy()));
    }
    let number = scalar.text.parse::<usize>();
    within(
        number.ok(),
        &range,
        || format!("{} is out of range", shown(&scalar.text)),
        remedy,
    )
}

fn within<T: PartialOrd>(
    value: Option<T>,
    range: &RangeInclusive<T>,
    problem: impl Fn() -> String,
    remedy: impl Fn() -> String,
) -> Parsed<T> {
    value
        .filter(|value| range.contains(value))
        .ok_or_else(|| InvalidValue::new(problem(), remedy()))
}

/// Splits `500ms` into its number and its unit.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A duration such as `500ms`, `30s`, `2m` or `1h`, within `range`.
pub(super) fn duration(scalar: &Scalar, range: RangeInclusive<Duration>) -> Parsed<Duration> {
    let given = &scalar.text;
    let (start, end) = (in_words(*range.start()), in_words(*range.end()));
    let remedy = || format!("write a whole number and a unit (ms, s, m or h), from {start} to {end}, such as 30s");
    let Some((number, unit)) = split_number(given) else {
        return Err(InvalidValue::new(format!("{} is no duration", shown(given)), remedy()));
    };
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" => {
            return Err(InvalidValue::new(format!("{} has no unit", shown(given)), remedy()));
        }
        _ => {
            return Err(InvalidValue::new(format!("{} is no duration", shown(given)), remedy()));
        }
    };
    let duration = milliseconds.map(Duration::from_millis);
    within(duration, &range, || format!("{} is out of range", shown(given)), remedy)
}

fn in_words(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds >= length && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

/// A size in bytes such as `262144`, `256KiB` or `64MiB`, within `range` (both in bytes).
pub(super) fn size(scalar: &Scalar, range: RangeInclusive<usize>) -> Parsed<usize> {
    let given = &scalar.text;
    let (start, end) = (bytes_in_words(*range.start()), bytes_in_words(*range.end()));
    let remedy =
        || format!("write bytes, or a whole number with KiB, MiB or GiB, from {start} to {end}, such as 64MiB");
    let no_size = || InvalidValue::new(format!("{} is no size", shown(given)), remedy());
    let (number, unit) = split_number(given).ok_or_else(no_size)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(no_size()),
    };
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
    within(bytes, &range, || format!("{} is out of range", shown(given)), remedy)
}

/// A size in the largest unit that divides it.
pub(super) fn bytes_in_words(bytes: usize) -> String {
    for (unit, length) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= length && bytes.is_multiple_of(length) {
            return format!("{}{unit}", bytes / length);
        }
    }
    bytes.to_string()
}

/// A Kubernetes label value that is not empty: members and networks travel in labels.
pub(super) fn label_value(scalar: &Scalar) -> Parsed<String> {
    let given = text(scalar)?;
    if is_label_value(given) {
        return Ok(given.to_owned());
    }
    Err(InvalidValue::new(
        format!("{} is no Kubernetes label value", shown(given)),
        "use 1 to 63 letters, digits, `-`, `_` or `.`, with a letter or digit first and last",
    ))
}

/// A DNS label, as namespaces are named.
pub(super) fn dns_label(scalar: &Scalar) -> Parsed<String> {
    let given = text(scalar)?;
    if is_dns_label(given) {
        return Ok(given.to_owned());
    }
    Err(InvalidValue::new(
        format!("{} is no namespace name", shown(given)),
        "use 1 to 63 lower-case letters, digits or `-`, with a letter or digit first and last",
    ))
}

/// A DNS name without a dot at its end.
pub(super) fn dns_name(scalar: &Scalar) -> Parsed<String> {
    let given = text(scalar)?;
    if given.len() <= 253 && given.split('.').all(is_dns_label) {
        return Ok(given.to_owned());
    }
    Err(InvalidValue::new(
        format!("{} is no domain name", shown(given)),
        "use lower-case letters, digits and `-` in parts joined by single dots, such as cluster.local",
    ))
}

/// Whether a text is a Kubernetes label value that is not empty.
pub(super) fn is_label_value(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

pub(super) fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
}

/// One of these words.
pub(super) fn one_of<T: Copy>(scalar: &Scalar, choices: &[(&str, T)]) -> Parsed<T> {
    let text = text(scalar)?;
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        InvalidValue::new(
            format!("{} is none of the choices", shown(text)),
            format!("use one of: {}", words.join(", ")),
        )
    })
}

/// A log filter that the logger will take.
pub(super) fn log_filter(scalar: &Scalar) -> Parsed<String> {
    let given = text(scalar)?;
    let wrong = |why: &dyn Display| {
        InvalidValue::new(
            format!("{} is no log filter: {why}", shown(given)),
            "write error, warn, info, debug or trace, or a list such as info,parallax::xds=debug",
        )
    };
    EnvFilter::builder().parse(given).map_err(|error| wrong(&error))?;
    // The parser takes any lone word for a module of that name and turns off all others, so that a mistyped level is silence.
    let lone =
        |part: &&str| !part.is_empty() && !part.contains(['=', '[', ']']) && part.parse::<LevelFilter>().is_err();
    match given.split(',').map(str::trim).find(lone) {
        Some(word) => Err(wrong(&format_args!("{} is no level", shown(word)))),
        None => Ok(given.to_owned()),
    }
}

/// `text` or `json`.
pub(super) fn log_format(scalar: &Scalar) -> Parsed<LogFormat> {
    match text(scalar)? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(InvalidValue::new(
            format!("{} is no log format", shown(other)),
            "write text or json",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, kind: Kind) -> Scalar {
        Scalar {
            text: text.to_owned(),
            kind,
        }
    }

    #[test]
    fn durations() {
        let read = |text: &str| {
            duration(
                &plain(text, Kind::Text),
                Duration::from_millis(1)..=Duration::from_secs(3600),
            )
        };
        for (text, expected) in [
            ("1ms", 1),
            ("500ms", 500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for (text, problem) in [
            ("30", "has no unit"),
            ("s", "no duration"),
            ("-1s", "no duration"),
            ("1.5s", "no duration"),
            ("1d", "no duration"),
            ("0s", "out of range"),
            ("2h", "out of range"),
            ("18446744073709551615h", "out of range"),
            ("99999999999999999999s", "no duration"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.problem.contains(problem), "{text}: {error}");
            assert!(error.remedy.contains("from 1ms to 1h"), "{error}");
        }
    }

    #[test]
    fn a_mistyped_log_level_is_no_module() {
        for (given, is_right) in [
            ("info", true),
            ("warn,parallax::xds=debug", true),
            ("off", true),
            ("loud", false),
            ("inof,parallax::xds=debug", false),
            ("a=b=c", false),
        ] {
            assert_eq!(log_filter(&plain(given, Kind::Text)).is_ok(), is_right, "{given}");
        }
    }

    #[test]
    fn sizes() {
        let read = |text: &str| size(&plain(text, Kind::Number), 1024..=1 << 30);
        for (text, expected) in [
            ("1024", 1024),
            ("2048B", 2048),
            ("256KiB", 256 << 10),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for (text, problem) in [
            ("64MB", "no size"),
            ("1", "out of range"),
            ("2GiB", "out of range"),
            ("-1", "no size"),
        ] {
            assert!(read(text).unwrap_err().problem.contains(problem), "{text}");
        }
    }

    #[test]
    fn names() {
        for (text, label, dns) in [
            ("east-1", true, true),
            ("East_1.a", true, false),
            ("-east", false, false),
            ("east-", false, false),
            ("öst", false, false),
            (&"a".repeat(63), true, true),
            (&"a".repeat(64), false, false),
        ] {
            assert_eq!(label_value(&plain(text, Kind::Text)).is_ok(), label, "{text}");
            assert_eq!(dns_label(&plain(text, Kind::Text)).is_ok(), dns, "{text}");
        }
        assert!(dns_name(&plain("cluster.local", Kind::Text)).is_ok());
        assert!(dns_name(&plain("cluster.local.", Kind::Text)).is_err());
        let error = label_value(&plain("7", Kind::Number)).unwrap_err();
        assert_eq!(error.to_string(), "is a number, expected text; put it in quotes: \"7\"");
    }

    #[test]
    fn an_error_shows_a_value_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert!(shown(&"x".repeat(10_000)).len() < 100);
    }
}
