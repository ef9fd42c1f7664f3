//! One client's session: what it asked for, what it holds, what is due to it. Pure: requests and changes go in, answers
//! come out; both dialects of xDS share this one core.

mod answer;
mod foreign;
mod held;
mod kinds;
mod order;
mod request;
mod response;
mod status;
mod subscription;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cache::{Changes, Lookup};
use crate::model::Role;
use crate::resources::ResourceType;

use foreign::Foreign;
use kinds::Kinds;
use order::{Order, Patience};
use subscription::Subscription;

pub use request::Dialect;
pub(super) use request::{Body, Rejection, Request};
pub(super) use response::{Response, TypeUrl};
pub use status::{Nack, ResourceState, ResourceStatus, TypeStatus};

/// The longest name or type URL that is taken, in bytes.
const MAX_NAME_BYTES: usize = 4 << 10;

/// The most types that we do not serve which one client may ask for.
const MAX_FOREIGN_TYPES: usize = 64;

/// Why a request ends its stream: the client broke the protocol, or asks for more than it may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    /// On an aggregated stream nothing else tells the type.
    #[error("type_url is empty; on an aggregated stream every request must name its type")]
    NoTypeUrl,
    /// A type URL beyond any sensible length.
    #[error("type_url has {bytes} bytes, at most {MAX_NAME_BYTES} are taken")]
    TypeUrlTooLong { bytes: usize },
    /// A resource name beyond any sensible length.
    #[error("a resource name has {bytes} bytes, at most {MAX_NAME_BYTES} are taken")]
    NameTooLong { bytes: usize },
    /// Too many types that are not served.
    #[error("more than {MAX_FOREIGN_TYPES} types that are not served here were asked for on one stream")]
    TooManyTypes,
    /// Too many names on one stream.
    #[error("more than {limit} resource names were asked for on one stream; ask for fewer")]
    TooManyNames { limit: usize },
}

/// What the cache has to be told after a request, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    /// Names that are wanted from now on.
    Subscribe(ResourceType, Vec<Arc<str>>),
    /// The whole type is wanted from now on.
    SubscribeAll(ResourceType),
    /// Names that are no longer asked for by name.
    Unsubscribe(ResourceType, Vec<Arc<str>>),
    /// The whole type is no longer wanted.
    UnsubscribeAll(ResourceType),
}

/// What a client said to the answer in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It took it.
    Acked(ResourceType),
    /// It refused it, or a part of it.
    Nacked(ResourceType),
}

/// What follows from a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// To be told to the cache before the next answer is built.
    pub(super) interests: Vec<Interest>,
    /// Whether the request settled the answer in flight.
    pub(super) verdict: Option<Verdict>,
}

/// One stream's state over all types. Holds names and versions; content only of clusters in the state of the world.
#[derive(Debug)]
pub(super) struct Session {
    dialect: Dialect,
    role: Role,
    max_names: usize,
    /// Counts answers; the nonce of each.
    sent: u64,
    kinds: Kinds,
    patience: Patience,
    /// Something that is due was kept back when an answer was asked for last.
    keeps_back: bool,
    /// Types that we do not serve.
    foreign: BTreeMap<Arc<str>, Foreign>,
}

impl Session {
    /// A session without subscriptions, of a client that gets what is for this role; it takes at most `max_names` names in all.
    pub(super) fn new(dialect: Dialect, role: Role, max_names: usize) -> Self {
        Self {
            dialect,
            role,
            max_names,
            sent: 0,
            kinds: Kinds::default(),
            patience: Patience::Some,
            keeps_back: false,
            foreign: BTreeMap::new(),
        }
    }

    /// The dialect of the stream.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Takes a request: settles the answer in flight if its nonce says so, then applies the change of subscriptions. A
    /// stale nonce settles nothing, but its names count: requests of one stream are in order, so the last one is right.
    ///
    /// # Errors
    /// When the client broke the protocol so that nothing sensible can be answered, or passed a limit.
    pub(super) fn on_request(&mut self, request: Request) -> Result<Effect, SessionError> {
        let Request {
            type_url,
            nonce,
            error,
            body,
        } = request;
        body.check()?;
        match type_url.len() {
            0 => return Err(SessionError::NoTypeUrl),
            bytes if bytes > MAX_NAME_BYTES => return Err(SessionError::TypeUrlTooLong { bytes }),
            _ => {}
        }
        let Some(kind) = ResourceType::from_url(&type_url) else {
            self.on_foreign(&type_url, body)?;
            return Ok(Effect::default());
        };
        // What a client says to hold is kept like what it asks for.
        let claims = match &body {
            Body::Names(_) => 0,
            Body::Delta { initial, .. } => initial.len(),
        };
        let renewed = self.renewed(kind, &body);
        let mut subscription = self
            .kinds
            .take(kind)
            .unwrap_or_else(|| Box::new(Subscription::new(kind, self.dialect)));
        let verdict = subscription.settle(&nonce, error);
        let parent = ResourceType::ALL
            .into_iter()
            .find(|parent| child_of(*parent) == Some(kind));
        let parent = parent.and_then(|parent| self.kinds.get(parent));
        let interests = subscription.apply(body, &renewed, parent);
        self.kinds.put(kind, subscription);
        let names: usize = self.kinds.all().map(|subscription| subscription.name_count()).sum();
        if names.max(claims) > self.max_names {
            return Err(SessionError::TooManyNames { limit: self.max_names });
        }
        Ok(Effect { interests, verdict })
    }

    /// Of the names that a client asks for and says to hold, those whose parent it got on this very stream: it awaits them
    /// anew. This happens where the parents were asked for, and answered, first.
    fn renewed(&self, kind: ResourceType, body: &Body) -> BTreeSet<String> {
        let Body::Delta { subscribe, initial, .. } = body else {
            return BTreeSet::new();
        };
        let mut kinds = ResourceType::ALL.into_iter();
        let parent = kinds.find(|other| child_of(*other) == Some(kind));
        let Some(parents) = parent.and_then(|parent| self.kinds.get(parent)) else {
            return BTreeSet::new();
        };
        let claimed = subscribe.iter().filter(|name| initial.contains_key(*name));
        claimed.filter(|name| parents.was_given(name)).cloned().collect()
    }

    /// Marks names that may have changed; they are compared when the next answer is built.
    pub(super) fn on_changes(&mut self, changes: &Changes) {
        for (kind, names) in changes {
            if let Some(subscription) = self.kinds.get_mut(*kind) {
                subscription.mark(names);
            }
        }
    }

    /// The next answer that is due, from the present state, in sending order; at most one per type is in flight.
    pub(super) fn next(&mut self, lookup: &dyn Lookup) -> Option<Response> {
        loop {
            let mut learned = false;
            self.keeps_back = false;
            for kind in ResourceType::ALL {
                if let Some(response) = self.next_of(kind, lookup, &mut learned) {
                    return Some(response);
                }
            }
            // What was kept back for what was not known yet may be due now.
            if !(self.keeps_back && learned) {
                break;
            }
        }
        for (url, foreign) in &mut self.foreign {
            if let Some(removed) = foreign.answer() {
                self.sent += 1;
                return Some(Response::empty(url, self.sent, removed));
            }
        }
        self.patience = Patience::Some;
        None
    }

    /// The answer of one type that is due.
    fn next_of(&mut self, kind: ResourceType, lookup: &dyn Lookup, learned: &mut bool) -> Option<Response> {
        let nonce = self.sent + 1;
        let mut subscription = self.kinds.take(kind)?;
        let order = Order::new(&self.kinds, self.role, lookup, self.patience);
        let answer = subscription.answer(nonce, lookup, &order);
        self.keeps_back |= order.kept_back();
        *learned |= order.learned();
        self.kinds.put(kind, subscription);
        let answer = answer?;
        self.sent = nonce;
        if let Some(child) = child_of(kind).and_then(|child| self.kinds.get_mut(child)) {
            child.parents_changed(&answer.fresh, &answer.gone);
        }
        Some(answer.response)
    }

    /// Whether something that is due waits for the ACK of another type. To be asked when there was no answer.
    pub(super) fn keeps_back(&self) -> bool {
        self.keeps_back
    }

    /// Lets all that waits go, because it took too long; until nothing more is due.
    pub(super) fn wait_no_longer(&mut self) {
        self.patience = Patience::None;
    }

    /// What there is to show of each type that was asked for.
    pub(super) fn status(&self) -> impl Iterator<Item = TypeStatus> + '_ {
        self.kinds.all().map(Subscription::status)
    }

    /// The state of each resource of a type, by name.
    pub(super) fn resources(&self, kind: ResourceType) -> Vec<ResourceStatus> {
        self.kinds.get(kind).map(Subscription::resources).unwrap_or_default()
    }

    fn on_foreign(&mut self, url: &str, body: Body) -> Result<(), SessionError> {
        if !self.foreign.contains_key(url) {
            if self.foreign.len() >= MAX_FOREIGN_TYPES {
                return Err(SessionError::TooManyTypes);
            }
            self.foreign.insert(url.into(), Foreign::default());
        }
        if let Some(foreign) = self.foreign.get_mut(url) {
            foreign.apply(body);
        }
        let owed: usize = self.foreign.values().map(Foreign::name_count).sum();
        if owed > self.max_names {
            return Err(SessionError::TooManyNames { limit: self.max_names });
        }
        Ok(())
    }
}

/// The type whose resources of the same name an Envoy awaits anew whenever it gets one of this type: a cluster that is
/// changed stays warming, and is not acknowledged, until its assignment is sent again.
fn child_of(kind: ResourceType) -> Option<ResourceType> {
    match kind {
        ResourceType::Cluster => Some(ResourceType::ClusterLoadAssignment),
        // Of the routes of a changed listener nobody waits for those it already has.
        ResourceType::ClusterLoadAssignment
        | ResourceType::Secret
        | ResourceType::Listener
        | ResourceType::RouteConfiguration => None,
    }
}

#[cfg(test)]
mod tests;
