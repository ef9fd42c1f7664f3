//! Plain tables: columns, no borders, colour for what needs attention.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use super::super::Paint;

/// What a cell's content means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Wrong.
    Bad,
    /// Neither.
    Plain,
}

/// One cell.
pub(super) fn cell(text: impl ToString, mood: Mood) -> Cell {
    let text = text.to_string();
    let cell = Cell::new(if text.is_empty() { "-".to_owned() } else { text });
    match mood {
        Mood::Good => cell.fg(Color::Green),
        Mood::Odd => cell.fg(Color::Yellow),
        Mood::Bad => cell.fg(Color::Red),
        Mood::Plain => cell,
    }
}

/// One cell without a colour.
pub(super) fn plain(text: impl ToString) -> Cell {
    cell(text, Mood::Plain)
}

/// A table, each line with its end, as wide as it needs to be.
pub(super) fn table<const N: usize>(
    headers: [&str; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
    paint: Paint,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(headers);
    match paint {
        Paint::Colored => table.enforce_styling(),
        Paint::Plain => table.force_no_tty(),
    };
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let mut text = String::new();
    for line in table.lines() {
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// How long ago a time was, as `kubectl` writes it; `-` where there is none.
pub(super) fn age(at: &str, now: SystemTime) -> String {
    let Ok(at) = at.parse::<jiff::Timestamp>() else {
        return "-".to_owned();
    };
    // A clock that runs ahead of ours is no reason to show a negative age.
    let seconds = now.duration_since(at.into()).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long it is until a time, or that it is past.
pub(super) fn left(at: &str, now: SystemTime) -> String {
    let Ok(until) = at.parse::<jiff::Timestamp>() else {
        return "-".to_owned();
    };
    match SystemTime::from(until) > now {
        // The same words as for ages, from the other end.
        true => age(
            &jiff::Timestamp::try_from(now).unwrap_or_default().to_string(),
            until.into(),
        ),
        false => "expired".to_owned(),
    }
}

/// Addresses with a port; an IPv6 address gets its brackets.
pub(super) fn sockets(addresses: &[String], port: u32) -> String {
    let with_port = |address: &String| match (address.parse::<IpAddr>(), u16::try_from(port)) {
        (Ok(address), Ok(port)) => SocketAddr::new(address, port).to_string(),
        _ => format!("{address}:{port}"),
    };
    addresses.iter().map(with_port).collect::<Vec<_>>().join(",")
}

/// The first few of a list, and how many more there are.
pub(super) fn some_of(names: &[String], most: usize) -> String {
    let shown = names
        .iter()
        .take(most)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn columns_line_up_without_borders() {
        let rows = [[plain("a"), plain("")], [plain("longer"), cell("x", Mood::Bad)]];
        assert_eq!(
            table(["NAME", "B"], rows.clone(), Paint::Plain),
            "NAME     B\na        -\nlonger   x\n"
        );
        assert!(table(["NAME", "B"], rows, Paint::Colored).contains("\u{1b}["));
    }

    #[test]
    fn ages_are_short() {
        let at = "2023-11-14T22:13:20.250Z";
        let start = SystemTime::from(at.parse::<jiff::Timestamp>().unwrap());
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(age(at, start + Duration::from_secs(seconds)), text);
        }
        assert_eq!(age(at, start - Duration::from_secs(60)), "0s");
        assert_eq!(age("", start), "-");
        let hour = Duration::from_secs(3600);
        for (now, text) in [
            (start - hour, "60m"),
            (start - 72 * hour, "3d"),
            (start, "expired"),
            (start + hour, "expired"),
        ] {
            assert_eq!(left(at, now), text);
        }
        assert_eq!(left("", start), "-");
    }

    #[test]
    fn lists_are_cut_and_addresses_have_brackets() {
        let names: Vec<_> = ["a", "b", "c"].map(str::to_owned).into();
        assert_eq!(some_of(&names, 3), "a, b, c");
        assert_eq!(some_of(&names, 1), "a and 2 more");
        assert_eq!(
            sockets(&["10.0.0.1".to_owned(), "fd00::1".to_owned()], 80),
            "10.0.0.1:80,[fd00::1]:80"
        );
    }
}
