//! An answer's body as lines, or as a whole, in bounded memory.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

/// The longest line: an object in a watch. API servers hold objects of a few MiB at most.
pub(super) const LONGEST_LINE: usize = 16 << 20;

/// Why a body can't be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection broke.
    Cut(Box<dyn std::error::Error + Send + Sync>),
    /// It is longer than this many bytes.
    TooLong(usize),
}

/// Reads a body line by line.
#[derive(Debug)]
pub(super) struct Lines {
    body: Body,
    splitter: Splitter,
}

impl Lines {
    pub(super) fn of(body: Body) -> Self {
        Self {
            body,
            splitter: Splitter::new(LONGEST_LINE),
        }
    }

    /// The next line; `None` at the end. What the body ends with counts as a line.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if let Some(line) = self.splitter.line()? {
                return Ok(Some(line));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.splitter.push(chunk);
                    }
                }
                Some(Err(error)) => return Err(Broken::Cut(error.into())),
                None => return Ok(self.splitter.rest()),
            }
        }
    }
}

/// Reads a body whole, if it is no longer than `most` bytes.
pub(super) async fn whole(mut body: Body, most: usize) -> Result<Bytes, Broken> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Broken::Cut(error.into()))?;
        if let Ok(chunk) = frame.into_data() {
            if bytes.len() + chunk.len() > most {
                return Err(Broken::TooLong(most));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
    Ok(bytes.freeze())
}

/// Cuts chunks into lines. A line that lies within one chunk is not copied.
#[derive(Debug)]
struct Splitter {
    longest: usize,
    /// What came last, without the lines that were taken.
    chunk: Bytes,
    /// The beginning of a line, of earlier chunks.
    begun: BytesMut,
}

impl Splitter {
    fn new(longest: usize) -> Self {
        Self {
            longest,
            chunk: Bytes::new(),
            begun: BytesMut::new(),
        }
    }

    /// Takes a chunk, once there is no further line in those before.
    fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "its lines were not taken");
        self.chunk = chunk;
    }

    /// The next line that has something in it.
    fn line(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(at) = self.chunk.iter().position(|byte| *byte == b'\n') {
            let end = self.chunk.split_to(at + 1).slice(..at);
            let line = match self.begun.is_empty() {
                true => end,
                false => {
                    self.begun.extend_from_slice(&end);
                    // Not `split`, which would keep room for the longest line that ever came.
                    std::mem::take(&mut self.begun).freeze()
                }
            };
            if line.len() > self.longest {
                return Err(Broken::TooLong(self.longest));
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        if self.begun.len() + self.chunk.len() > self.longest {
            return Err(Broken::TooLong(self.longest));
        }
        self.begun.extend_from_slice(&std::mem::take(&mut self.chunk));
        Ok(None)
    }

    /// What is left without an end of line.
    fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.begun).freeze();
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&'static str]) -> Vec<String> {
        let mut splitter = Splitter::new(8);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::from_static(chunk.as_bytes()));
            while let Some(line) = splitter.line().unwrap() {
                lines.push(line);
            }
        }
        lines.extend(splitter.rest());
        lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = "one\n\ntwo\n3\nlast";
        let expected = ["one", "two", "3", "last"];
        assert_eq!(lines(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(lines(&[&text[..at], &text[at..]]), expected, "cut at {at}");
        }
        let bytes: Vec<_> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(lines(&bytes), expected);
        assert_eq!(lines(&["one\n"]), ["one"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut splitter = Splitter::new(8);
        let mut pushed = 0;
        let broken = loop {
            splitter.push(Bytes::from_static(b"abc"));
            pushed += 3;
            match splitter.line() {
                Ok(None) => {}
                other => break other,
            }
        };
        assert!(matches!(broken, Err(Broken::TooLong(8))), "{broken:?}");
        assert_eq!(pushed, 9);
        // The same where it comes with its end.
        splitter = Splitter::new(8);
        splitter.push(Bytes::from_static(b"123456789\n"));
        assert!(matches!(splitter.line(), Err(Broken::TooLong(8))));
    }
}
