//! The types that a client asked for.

use super::subscription::Subscription;
use crate::resources::ResourceType;

/// What there is of each type, in sending order. Boxed, for most streams ask for few.
#[derive(Debug, Default)]
pub(super) struct Kinds([Option<Box<Subscription>>; ResourceType::ALL.len()]);

impl Kinds {
    pub(super) fn get(&self, kind: ResourceType) -> Option<&Subscription> {
        self.0[kind as usize].as_deref()
    }

    pub(super) fn get_mut(&mut self, kind: ResourceType) -> Option<&mut Subscription> {
        self.0[kind as usize].as_deref_mut()
    }

    /// Takes one out, so that it can be changed by what the others say.
    pub(super) fn take(&mut self, kind: ResourceType) -> Option<Box<Subscription>> {
        self.0[kind as usize].take()
    }

    pub(super) fn put(&mut self, kind: ResourceType, subscription: Box<Subscription>) {
        self.0[kind as usize] = Some(subscription);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter().flatten().map(|subscription| &**subscription)
    }

    #[cfg(test)]
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.0.iter_mut().flatten().map(|subscription| &mut **subscription)
    }
}
