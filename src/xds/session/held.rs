//! What a client holds of one name. Small, for each stream keeps hundreds of these for hours.

use super::status::ResourceState;
use crate::resources::Version;

/// What a client holds of one name, or is about to.
#[derive(Debug)]
pub(super) enum Held {
    /// What it said on a new delta stream that it holds; the text may be from another release.
    Claimed(Box<str>, Doubts),
    /// What was sent on this stream, and none of it taken so far.
    Untaken(Version, Doubts),
    /// What was sent last, and taken.
    Taken(Version, Doubts),
    /// What was sent last, while it took another one before. Mostly for the moment until its ACK.
    Between(Box<Between>, Doubts),
}

/// Two versions of one name.
#[derive(Debug)]
pub(super) struct Between {
    sent: Version,
    taken: Version,
}

/// What refusals leave open.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubts {
    /// The answer with what was last sent was refused; a part of it may still be in use, which cannot be known.
    nacked: bool,
    /// It was new in an answer that was refused, and none with it was taken since: the client may have it or not.
    unsure: bool,
    /// The client had some version of it before the stream.
    had: bool,
}

impl Held {
    /// What a client says to hold.
    pub(super) fn claimed(version: &str) -> Self {
        Self::Claimed(version.into(), Doubts::default())
    }

    /// What is sent for the first time.
    pub(super) fn first(version: Version) -> Self {
        Self::Untaken(version, Doubts::default())
    }

    /// Whether the last version is this one.
    pub(super) fn is(&self, version: Version) -> bool {
        match self {
            Self::Claimed(text, _) => text.as_bytes() == version.text(),
            Self::Untaken(sent, _) | Self::Taken(sent, _) => *sent == version,
            Self::Between(both, _) => both.sent == version,
        }
    }

    /// Whether it was sent on this stream.
    pub(super) fn was_given(&self) -> bool {
        !matches!(self, Self::Claimed(..))
    }

    /// See [`Doubts`].
    pub(super) fn is_unsure(&self) -> bool {
        self.doubts().unsure
    }

    /// Whether the client has some version of it, or has refused it: about what was never answered nothing is known.
    pub(super) fn is_settled(&self) -> bool {
        let Doubts { unsure, had, .. } = self.doubts();
        !matches!(self, Self::Untaken(..)) || unsure || had
    }

    /// This version is sent.
    pub(super) fn send(&mut self, version: Version) {
        let mut doubts = self.doubts();
        doubts.nacked &= self.was_given() && self.is(version);
        doubts.had |= !self.was_given();
        let between = |taken| match taken == version {
            true => Self::Taken(version, doubts),
            false => Self::Between(Box::new(Between { sent: version, taken }), doubts),
        };
        *self = match self {
            Self::Claimed(..) | Self::Untaken(..) => Self::Untaken(version, doubts),
            Self::Taken(taken, _) => between(*taken),
            Self::Between(both, _) => between(both.taken),
        };
    }

    /// The answer that carried it was taken.
    pub(super) fn ack(&mut self) {
        let none = Doubts::default();
        *self = match self {
            Self::Claimed(text, _) => Self::Claimed(std::mem::take(text), none),
            Self::Untaken(version, _) | Self::Taken(version, _) => Self::Taken(*version, none),
            Self::Between(both, _) => Self::Taken(both.sent, none),
        };
    }

    /// The answer that carried it was refused.
    pub(super) fn nack(&mut self) {
        let untaken = !matches!(self, Self::Taken(..));
        let (Self::Claimed(_, doubts) | Self::Untaken(_, doubts) | Self::Taken(_, doubts) | Self::Between(_, doubts)) =
            self;
        doubts.nacked = true;
        doubts.unsure |= untaken;
    }

    /// The version last sent, as on the wire.
    pub(super) fn sent_text(&self) -> String {
        match self {
            Self::Claimed(text, _) => text.to_string(),
            Self::Untaken(sent, _) | Self::Taken(sent, _) => sent.to_string(),
            Self::Between(both, _) => both.sent.to_string(),
        }
    }

    /// The version last taken, as on the wire; empty when none was.
    pub(super) fn taken_text(&self) -> String {
        match self {
            Self::Claimed(..) | Self::Untaken(..) => String::new(),
            Self::Taken(taken, _) => taken.to_string(),
            Self::Between(both, _) => both.taken.to_string(),
        }
    }

    /// How the two relate.
    pub(super) fn state(&self) -> ResourceState {
        match self {
            _ if self.doubts().nacked => ResourceState::Nacked,
            Self::Claimed(..) | Self::Taken(..) => ResourceState::Synced,
            Self::Untaken(..) | Self::Between(..) => ResourceState::Stale,
        }
    }

    fn doubts(&self) -> Doubts {
        let (Self::Claimed(_, doubts) | Self::Untaken(_, doubts) | Self::Taken(_, doubts) | Self::Between(_, doubts)) =
            self;
        *doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_small_as_a_version_and_a_word() {
        assert_eq!(size_of::<Held>(), 24);
    }

    #[test]
    fn what_was_taken_is_remembered_until_something_else_is() {
        let [a, b] = [Version::of(&"a"), Version::of(&"b")];
        let mut held = Held::first(a);
        assert_eq!((held.taken_text(), held.state()), (String::new(), ResourceState::Stale));
        held.ack();
        held.send(b);
        held.nack();
        assert!(held.is(b) && held.is_unsure());
        assert_eq!(
            (held.taken_text(), held.state()),
            (a.to_string(), ResourceState::Nacked)
        );
        held.send(a);
        assert_eq!(held.state(), ResourceState::Synced, "it has that one");
        held.send(b);
        held.ack();
        assert_eq!((held.taken_text(), held.is_unsure()), (b.to_string(), false));
    }

    #[test]
    fn a_claim_is_compared_as_text() {
        let version = Version::of(&"a");
        let mut held = Held::claimed(&version.to_string());
        assert!(held.is(version) && !held.was_given());
        assert!(!Held::claimed("1").is(version));
        held.send(version);
        assert!(held.was_given());
        assert_eq!(held.state(), ResourceState::Stale);
    }
}
