//! Durations as our settings and kinds write them: a whole number and a unit.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration; write a whole number and ms, s, m or h, such as 10m")]
pub struct InvalidDuration {
    text: String,
}

/// Reads a whole number followed by `ms`, `s`, `m` or `h`.
///
/// # Errors
/// When it is anything else, or too large a number.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let millis: Option<u64> = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let duration = millis.and_then(|millis| number.parse::<u64>().ok()?.checked_mul(millis));
    duration.map(Duration::from_millis).ok_or_else(|| InvalidDuration {
        text: text.chars().take(40).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_and_a_unit_and_nothing_else() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "10", "-1s", "1.5s", "1 s", "1d", "18446744073709551615h"] {
            let said = parse_duration(text).expect_err(text).to_string();
            assert!(said.contains("such as 10m"), "{said}");
        }
    }
}
