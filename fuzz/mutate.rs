//! Bytes that almost make sense: good examples, spliced and damaged. Deterministic for a seed.
//!
//! Included by the tests of several modules, and by the programs beside this file.

/// Numbers from a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap_or(u64::MAX)).unwrap_or_default()
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Which seeds to run: always the same, or with `FUZZ_FACTOR=100 cargo test --lib fuzz::` a hundred times as many others.
#[expect(
    clippy::disallowed_methods,
    reason = "a longer run by hand, which is no setting of the program"
)]
pub(super) fn seeds(count: u64) -> std::ops::Range<u64> {
    match std::env::var("FUZZ_FACTOR")
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
    {
        Some(factor) => 1 << 40..(1 << 40) + count * factor,
        None => 0..count,
    }
}

/// What one kind of input is made of.
#[derive(Debug)]
pub(super) struct Material {
    /// Good inputs.
    examples: Vec<Vec<u8>>,
    /// Pieces that mean something.
    words: Vec<Vec<u8>>,
}

/// The longest input, but for a word or two.
pub(super) const LONGEST: usize = 16 << 10;

impl Material {
    pub(super) fn new<E: Into<Vec<u8>>, W: Into<Vec<u8>>>(
        examples: impl IntoIterator<Item = E>,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        Self {
            examples: examples.into_iter().map(Into::into).collect(),
            words: words.into_iter().map(Into::into).collect(),
        }
    }

    /// One input: an example with some damage; rarely with none, or nothing but noise.
    pub(super) fn input(&self, draw: &mut Draw) -> Vec<u8> {
        if draw.below(50) == 0 {
            let length = draw.below(300);
            return (0..length).map(|_| draw.next() as u8).collect();
        }
        let mut bytes = draw.pick(&self.examples).clone();
        if draw.below(2) == 0 {
            // Of most forms more words at the end are still good.
            for _ in 0..draw.below(5) {
                bytes.extend(draw.pick(&self.words));
            }
            return bytes;
        }
        let damages = draw.below(9);
        for _ in 0..damages {
            self.damage(&mut bytes, draw);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn damage(&self, bytes: &mut Vec<u8>, draw: &mut Draw) {
        let at = draw.below(bytes.len() + 1);
        let end = (at + draw.below(40)).min(bytes.len());
        match draw.below(9) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let word = draw.pick(&self.words).clone();
                bytes.splice(at..at, word);
            }
            2 | 3 => {
                let word = draw.pick(&self.words).clone();
                bytes.splice(at..end, word);
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << draw.below(8);
                }
            }
            5 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = draw.next() as u8;
                }
            }
            // A part again, or many times.
            6 => {
                let part = bytes[at..end].to_vec();
                for _ in 0..=draw.below(30) {
                    if bytes.len() < LONGEST {
                        bytes.splice(at..at, part.iter().copied());
                    }
                }
            }
            // The beginning of this, the rest of another.
            7 => {
                let other = draw.pick(&self.examples);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[draw.below(other.len() + 1)..]);
            }
            _ => bytes.truncate(at),
        }
    }
}
