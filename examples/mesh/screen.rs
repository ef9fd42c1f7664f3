//! A block of lines that stays at the bottom of a terminal while others pass above it. Where there is no terminal, only those pass.

use std::io::{IsTerminal, Write, stdout};

/// Where it is drawn.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    /// How many lines of the block are on the terminal.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            terminal: stdout().is_terminal(),
            drawn: 0,
        }
    }

    /// Draws the block anew.
    pub(crate) fn draw(&mut self, block: &[String]) {
        if self.terminal {
            let text = self.cleared() + &block.iter().map(|line| format!("{line}\n")).collect::<String>();
            self.drawn = block.len();
            put(&text);
        }
    }

    /// Lets a line pass; the block comes below it with the next [`Screen::draw`].
    pub(crate) fn say(&mut self, line: &str) {
        let text = self.cleared() + line + "\n";
        self.drawn = 0;
        put(&text);
    }

    /// Says the block once, where it isn't drawn.
    pub(crate) fn keep(&mut self, block: &[String]) {
        if !self.terminal {
            block.iter().for_each(|line| self.say(line));
        }
    }

    /// What takes the block away.
    fn cleared(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }
}

/// A terminal that is gone is no reason to leave namespaces behind.
fn put(text: &str) {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}
