//! Foreign text, cut to what is worth keeping.

/// At most this many bytes of a text, with a mark where something was cut off. Control characters become marks of the same
/// kind, but for ends of lines: the text is shown on people's terminals.
pub(super) fn clip(text: &str, bytes: usize) -> String {
    let is_dangerous = |c: char| c.is_control() && c != '\n';
    if text.contains(is_dangerous) {
        return clip(&text.replace(is_dangerous, "…"), bytes);
    }
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    // Exactly as large as it has to be: these texts are kept as long as their streams.
    let mut kept = String::with_capacity(end + '…'.len_utf8());
    kept.push_str(&text[..end]);
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_commands_no_terminal() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("größer", 3), "gr…");
        assert_eq!(clip("a\u{1b}[31m\r\nb", 99), "a…[31m…\nb");
    }
}
