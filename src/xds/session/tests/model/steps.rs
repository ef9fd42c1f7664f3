//! What may happen, drawn from a seed, and made short when it fails.

use super::{CONTENTS, NAMES, ResourceType};

/// What a client does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// Takes it and says so.
    Take,
    /// Takes it, and says so later.
    TakeLater,
    /// Refuses all of it.
    Refuse,
    /// Refuses a part and keeps the rest, as real ones may.
    RefusePart,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A resource gets this content; it may have it already.
    Put(ResourceType, usize, usize),
    /// A resource goes.
    Delete(ResourceType, usize),
    /// One request reaches the server.
    Deliver,
    /// The server gives one answer, if one is due.
    Serve,
    /// One answer reaches the client.
    Receive(Reply),
    /// What the client kept back to say it says now.
    Release,
    /// The server has waited long enough for ACKs that other types wait for.
    GiveUp,
    /// Asks for a name, which in delta may be one that was asked for already.
    Subscribe(ResourceType, usize),
    /// Gives a name back, which may be one that was never asked for.
    Unsubscribe(ResourceType, usize),
    /// Both in one message, together with what was kept back.
    Swap(ResourceType, usize, usize),
    Star(ResourceType),
    Unstar(ResourceType),
    /// The same list once more, or in delta nothing, with the nonce of the last reply.
    Repeat(ResourceType),
    /// The same with a nonce that was never given.
    Junk(ResourceType),
    /// A new stream.
    Reconnect {
        /// The client still holds what it held; in delta it says so.
        keeps: bool,
        /// The type that is sent first is asked for first.
        in_order: bool,
        /// `*` is said by saying nothing.
        silently: bool,
    },
}

/// Numbers from a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("small");
        usize::try_from(self.next() % end).expect("small")
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn kind(&mut self) -> ResourceType {
        // Parents and their children meet most.
        let end = if self.coin() { 2 } else { ResourceType::ALL.len() };
        ResourceType::ALL[self.below(end)]
    }

    fn name(&mut self) -> usize {
        self.below(NAMES.len())
    }

    fn step(&mut self) -> Step {
        match self.below(60) {
            0..10 => Step::Put(self.kind(), self.name(), self.below(CONTENTS)),
            10..15 => Step::Delete(self.kind(), self.name()),
            15..26 => Step::Deliver,
            26..37 => Step::Serve,
            37..43 => Step::Receive(Reply::Take),
            43..45 => Step::Receive(Reply::TakeLater),
            45 => Step::Receive(Reply::Refuse),
            46 => Step::Receive(Reply::RefusePart),
            47 if self.coin() => Step::GiveUp,
            47 => Step::Release,
            48..51 => Step::Subscribe(self.kind(), self.name()),
            51..53 => Step::Unsubscribe(self.kind(), self.name()),
            53 => Step::Swap(self.kind(), self.name(), self.name()),
            54 => Step::Star(self.kind()),
            55 => Step::Unstar(self.kind()),
            56 => Step::Repeat(self.kind()),
            57 => Step::Junk(self.kind()),
            _ => Step::Reconnect {
                keeps: self.coin(),
                in_order: self.coin(),
                silently: self.coin(),
            },
        }
    }

    /// Some steps; most sequences are short, where mistakes show best.
    pub(super) fn sequence(&mut self) -> Vec<Step> {
        let longest = 1 << (3 + self.below(6));
        let length = 1 + self.below(longest);
        (0..length).map(|_| self.step()).collect()
    }
}

/// Leaves out steps as long as what remains still fails.
pub(super) fn shrink(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut size = steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < steps.len() {
            let mut rest = steps.clone();
            rest.drain(at..(at + size).min(steps.len()));
            if fails(&rest) {
                steps = rest;
                shorter = true;
            } else {
                at += size;
            }
        }
        if size == 1 && !shorter {
            return steps;
        }
        size = size.div_ceil(2);
    }
}
