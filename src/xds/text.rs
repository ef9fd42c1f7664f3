//! Foreign text, cut to what is worth keeping.

/// At most this many bytes of a text, with a mark where something was cut off.
pub(super) fn clip(text: &str, bytes: usize) -> String {
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
