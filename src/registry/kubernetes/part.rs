//! What is listed and watched by itself, and how far that is known. Pure.

use super::resource::Place;

/// A part of a kind that has watches of its own.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    /// The version that is known; `None` where a list is needed.
    pub(super) position: Option<String>,
    /// We are not allowed to read it, and go without.
    pub(super) is_lacking: bool,
}

impl Part {
    pub(super) fn of(place: Place) -> Self {
        Self {
            place,
            position: None,
            is_lacking: false,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_lacking || self.position.is_some()
    }

    /// A list is needed.
    pub(super) fn forget(&mut self) {
        self.position = None;
        self.is_lacking = false;
    }
}

/// An object without a version leaves the position where it is: then it is told again, which does no harm.
pub(super) fn advance(position: &mut String, version: Option<String>) {
    if let Some(version) = version {
        *position = version;
    }
}
