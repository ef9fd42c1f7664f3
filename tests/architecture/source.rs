//! Rust text as the rules see it: comments, strings and tests blanked out, everything else at its old place.

/// Text whose comments, and whose strings too, are spaces. Lengths and line ends are those of the original.
#[derive(Debug)]
pub(crate) struct Source {
    /// Without comments.
    pub(crate) uncommented: String,
    /// Without comments and without the contents of strings and characters.
    pub(crate) code: String,
}

/// `mod NAME;` somewhere in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// What `#[path = "…"]` says.
    pub(crate) path: Option<String>,
    /// Behind `#[cfg(test)]`.
    pub(crate) is_test: bool,
    /// With any `pub`.
    pub(crate) is_public: bool,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let mut uncommented = text.as_bytes().to_vec();
        let mut code = uncommented.clone();
        let mut at = 0;
        while at < text.len() {
            let (kind, length) = piece(text, at);
            if kind == Piece::Comment {
                blank(&mut uncommented[at..at + length]);
            }
            if kind != Piece::Code {
                blank(&mut code[at..at + length]);
            }
            at += length;
        }
        let whole = "only whole characters were replaced";
        Self {
            uncommented: String::from_utf8(uncommented).expect(whole),
            code: String::from_utf8(code).expect(whole),
        }
    }

    /// Lines with more than white space and comments on them.
    pub(crate) fn code_lines(&self) -> usize {
        self.uncommented.lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// The modules in files of their own that this file declares.
    pub(crate) fn declarations(&self) -> Vec<Declaration> {
        let declared = identifiers(&self.code).filter(|(_, word)| *word == "mod");
        declared.filter_map(|(at, _)| self.declaration(at)).collect()
    }

    /// The code with everything behind `#[cfg(test)]` blanked out too.
    pub(crate) fn without_tests(&self) -> String {
        const MARK: &str = "#[cfg(test)]";
        let mut code = self.code.clone().into_bytes();
        let mut from = 0;
        while let Some(found) = self.code[from..].find(MARK) {
            let start = from + found;
            from = item_end(&self.code, start + MARK.len());
            blank(&mut code[start..from]);
        }
        String::from_utf8(code).expect("only whole characters were replaced")
    }

    fn declaration(&self, at: usize) -> Option<Declaration> {
        let (name, rest) = leading_identifier(self.code[at + 3..].trim_start())?;
        if !rest.trim_start().starts_with(';') {
            return None;
        }
        // Attributes and visibility stand between the end of the item before and the keyword.
        let start = self.code[..at].rfind([';', '{', '}']).map_or(0, |end| end + 1);
        let path = self.uncommented[start..at]
            .split_once("path = \"")
            .and_then(|(_, path)| path.split('"').next());
        let before = &self.code[start..at];
        Some(Declaration {
            name: name.to_owned(),
            path: path.map(str::to_owned),
            is_test: before.contains("cfg(test)"),
            is_public: identifiers(before).any(|(_, word)| word == "pub"),
        })
    }
}

/// All words of `code` with their places. Numbers and lifetimes count as words too, which hurts nobody.
pub(crate) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += code[at..].find(is_word)?;
        let (word, _) = leading_identifier(&code[at..])?;
        let found = (at, word);
        at += word.len();
        Some(found)
    })
}

/// The word that `code` starts with, and what follows.
pub(crate) fn leading_identifier(code: &str) -> Option<(&str, &str)> {
    let end = code.find(|c| !is_word(c)).unwrap_or(code.len());
    (end > 0).then(|| code.split_at(end))
}

/// What follows `::` at the start of `code`, white space aside.
pub(crate) fn after_colons(code: &str) -> Option<&str> {
    code.trim_start().strip_prefix("::").map(str::trim_start)
}

/// The place behind the bracket that closes the one at `open`; the end of the text if none does.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

/// The number of the line, from 1, that the place `at` is on.
pub(crate) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The place behind the item that starts at `at`, its other attributes included.
fn item_end(code: &str, mut at: usize) -> usize {
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if code[at..].starts_with("#[") {
            at = closing(code, at + 1);
            continue;
        }
        return match code[at..].find([';', '{']) {
            None => code.len(),
            Some(end) if code[at + end..].starts_with(';') => at + end + 1,
            Some(open) => closing(code, at + open),
        };
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Code,
    Comment,
    Literal,
}

/// What starts at `at`, and its length in bytes.
fn piece(text: &str, at: usize) -> (Piece, usize) {
    let rest = &text[at..];
    if rest.starts_with("//") {
        return (Piece::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Piece::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Piece::Literal, quoted(rest, '"'));
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut inside = inside.chars();
        let is_character = inside.next() == Some('\\') || inside.next() == Some('\'');
        return if is_character {
            (Piece::Literal, quoted(rest, '\''))
        } else {
            (Piece::Code, 1)
        };
    }
    match leading_identifier(rest) {
        Some((word @ ("r" | "br" | "cr"), after)) => match raw_string(after) {
            Some(length) => (Piece::Literal, word.len() + length),
            None => (Piece::Code, word.len()),
        },
        Some((word, _)) => (Piece::Code, word.len()),
        None => (Piece::Code, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of `#"…"#` with any number of `#`.
fn raw_string(after: &str) -> Option<usize> {
    let hashes = after.find(|c| c != '#')?;
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(after.len(), |at| hashes + 1 + at + end.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(bytes: &mut [u8]) {
    bytes
        .iter_mut()
        .filter(|byte| **byte != b'\n')
        .for_each(|byte| *byte = b' ');
}

#[test]
fn comments_strings_and_tests_are_no_code() {
    let text =
        "a(\"// \\\" b\"); // c\n/* d /* e */ f */ g('\"', '\\'', 'é') /// h\nfn i<'j>() -> r#type { r#\"k\" // l\"# }";
    let source = Source::new(text);
    assert_eq!(source.code.len(), text.len());
    let words: Vec<&str> = identifiers(&source.code).map(|(_, word)| word).collect();
    assert_eq!(words, ["a", "g", "fn", "i", "j", "r", "type"]);

    let source = Source::new("a;\n#[cfg(test)]\n#[b]\nmod tests {\n fn c() { \"}\" }\n}\nd;#[cfg(test)] use e::{f};g;");
    let words: Vec<String> = identifiers(&source.without_tests())
        .map(|(_, word)| word.to_owned())
        .collect();
    assert_eq!(words, ["a", "d", "g"]);
    assert_eq!(source.code_lines(), 7);
    assert_eq!(
        Source::new("//! a\n\n/* b\n c */\nlet d = \"\n// e\";\n").code_lines(),
        2
    );
}

#[test]
fn declarations_are_found() {
    let source =
        Source::new("mod a;\n// mod b;\npub(crate) mod c;\nmod d { mod e; }\n#[cfg(test)]\n#[path = \"g.rs\"]\nmod f;");
    let found = source.declarations();
    let names: Vec<_> = found
        .iter()
        .map(|d| (d.name.as_str(), d.path.as_deref(), d.is_test, d.is_public))
        .collect();
    assert_eq!(
        names,
        [
            ("a", None, false, false),
            ("c", None, false, true),
            ("e", None, false, false),
            ("f", Some("g.rs"), true, false)
        ]
    );
}
