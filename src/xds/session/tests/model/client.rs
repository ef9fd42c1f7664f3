//! A client that does with answers what real ones do.

use std::collections::VecDeque;

use super::*;

/// A reply: the nonce, and why the answer was refused.
type Said = (String, Option<Rejection>);

/// What the client has of one type.
#[derive(Debug, Default)]
pub(super) struct Side {
    names: BTreeSet<Name>,
    star: bool,
    /// Something was said on this stream, and a name among it.
    spoken: bool,
    named: bool,
    pub(super) held: BTreeMap<Name, Version>,
    /// The version of each that was refused last.
    pub(super) refused: BTreeMap<Name, Version>,
    /// Of the last reply.
    nonce: String,
    /// Lost with their parents, which the server took away; nobody waits for these.
    pub(super) lost: BTreeSet<Name>,
    /// Whose parents the client gave back. The server may be taking these parents away at that moment, and what belongs to
    /// them with them, so nothing is certain of them on this stream.
    pub(super) orphans: BTreeSet<Name>,
    /// What it will say later.
    late: Option<Said>,
}

impl Side {
    pub(super) fn wants(&self, name: Name) -> bool {
        self.star || self.names.contains(name)
    }
}

#[derive(Debug)]
pub(super) struct Client {
    mode: Mode,
    role: Role,
    dialect: Dialect,
    silently: bool,
    pub(super) sides: BTreeMap<ResourceType, Side>,
    /// Parents that wait for their child.
    pub(super) warming: BTreeSet<Name>,
    /// On their way to the server.
    pub(super) requests: VecDeque<Request>,
}

impl Client {
    pub(super) fn new(dialect: Dialect, mode: Mode, role: Role) -> Self {
        let sides = ResourceType::ALL.map(|kind| {
            let star = mode == Mode::Envoy && kind.is_wildcard_capable() && asks(role, kind);
            let side = Side {
                star,
                ..Side::default()
            };
            (kind, side)
        });
        let mut client = Self {
            mode,
            role,
            dialect,
            silently: true,
            sides: sides.into(),
            warming: BTreeSet::new(),
            requests: VecDeque::new(),
        };
        client.open(true, true);
        client
    }

    fn side(&mut self, kind: ResourceType) -> &mut Side {
        self.sides.get_mut(&kind).unwrap()
    }

    /// The first requests of a stream.
    fn open(&mut self, in_order: bool, silently: bool) {
        self.silently = silently;
        self.requests.clear();
        for side in self.sides.values_mut() {
            side.spoken = false;
            side.named = false;
            side.late = None;
            side.refused.clear();
            side.lost.clear();
            side.orphans.clear();
        }
        let mut kinds = ResourceType::ALL.to_vec();
        kinds.retain(|kind| asks(self.role, *kind));
        if !in_order {
            kinds.reverse();
        }
        for kind in kinds {
            // A nonce of the stream before is noise in here, and old Envoys make it.
            let noise = std::mem::take(&mut self.side(kind).nonce);
            self.say(kind, &[], &[], Some((noise, None)));
            self.side(kind).nonce.clear();
        }
    }

    pub(super) fn reconnect(&mut self, keeps: bool, in_order: bool, silently: bool) {
        if !keeps {
            for (kind, side) in &mut self.sides {
                side.held.clear();
                if self.mode == Mode::Envoy && !kind.is_wildcard_capable() {
                    side.names.clear();
                }
            }
        }
        // What waits when a stream breaks goes on by the client's own timeout: nothing that it says tells that it waits.
        self.warming.clear();
        self.open(in_order, silently);
    }

    /// Sends a request. In state of the world all that is wanted goes along, whatever the change.
    fn say(&mut self, kind: ResourceType, add: &[&str], drop: &[&str], reply: Option<Said>) {
        let (dialect, silently) = (self.dialect, self.silently);
        let side = self.side(kind);
        let first = !std::mem::replace(&mut side.spoken, true);
        let mut list: Vec<String> = match (dialect, first) {
            (Dialect::Delta, false) => owned(add),
            _ => side.names.iter().map(|name| (*name).to_owned()).collect(),
        };
        if dialect == Dialect::StateOfTheWorld || first {
            let capable = kind.is_wildcard_capable();
            let unsaid = silently && list.is_empty() && !side.named;
            if side.star && !unsaid {
                list.push("*".to_owned());
            } else if capable && !side.star && list.is_empty() && !side.named {
                // Or nothing would mean everything.
                list.push(String::new());
            }
        }
        side.named |= !list.is_empty();
        let body = match dialect {
            Dialect::StateOfTheWorld => Body::Names(list),
            Dialect::Delta => Body::Delta {
                subscribe: list,
                unsubscribe: owned(drop),
                initial: match first {
                    true => side
                        .held
                        .iter()
                        .map(|(n, v)| ((*n).to_owned(), v.to_string()))
                        .collect(),
                    false => BTreeMap::new(),
                },
            },
        };
        if let Some((nonce, _)) = &reply {
            side.nonce.clone_from(nonce);
        }
        let nonce = match (&reply, dialect) {
            // In delta a nonce makes it an ACK.
            (None, Dialect::Delta) => String::new(),
            _ => side.nonce.clone(),
        };
        self.requests.push_back(Request {
            type_url: kind.url().to_owned(),
            nonce,
            error: reply.and_then(|(_, error)| error),
            body,
        });
    }

    /// Whether it chooses names of this type itself.
    fn chooses(&self, kind: ResourceType) -> bool {
        asks(self.role, kind) && (self.mode == Mode::Free || kind.is_wildcard_capable())
    }

    pub(super) fn change(&mut self, kind: ResourceType, add: &[&'static str], drop: &[&'static str]) {
        if self.chooses(kind) {
            self.change_names(kind, add, drop, None);
        }
    }

    /// Changes names in the message that says what was kept back.
    pub(super) fn swap(&mut self, kind: ResourceType, add: Name, drop: Name) {
        if self.chooses(kind) {
            let late = self.side(kind).late.take();
            self.change_names(kind, &[add], &[drop], late);
        }
    }

    fn change_names(&mut self, kind: ResourceType, add: &[&'static str], drop: &[&'static str], reply: Option<Said>) {
        let capable = kind.is_wildcard_capable();
        let side = self.side(kind);
        for name in add {
            match name_of(name) {
                Some(name) => {
                    side.names.insert(name);
                }
                None => side.star |= capable,
            }
        }
        for name in drop {
            match name_of(name) {
                Some(name) => {
                    side.names.remove(name);
                }
                None => side.star = false,
            }
        }
        let unwanted: Vec<Name> = side.held.keys().copied().filter(|name| !side.wants(name)).collect();
        self.say(kind, add, drop, reply);
        for name in unwanted {
            self.lose(kind, name);
            if let Some(child) = child_of(kind) {
                self.side(child).orphans.insert(name);
            }
        }
    }

    pub(super) fn repeat(&mut self, kind: ResourceType, nonce: Option<&str>) {
        if !asks(self.role, kind) {
            return;
        }
        let side = self.side(kind);
        let before = side.nonce.clone();
        let nonce = nonce.map_or_else(|| before.clone(), ToOwned::to_owned);
        self.say(kind, &[], &[], Some((nonce, None)));
        self.side(kind).nonce = before;
    }

    /// Takes an answer, or refuses it.
    pub(super) fn receive(&mut self, answer: &Response, reply: Reply) {
        let kind = ResourceType::from_url(answer.type_url.as_str()).unwrap();
        let full = self.dialect == Dialect::StateOfTheWorld && kind.is_wildcard_capable();
        let refuses = matches!(reply, Reply::Refuse | Reply::RefusePart) && !answer.resources.is_empty();
        for (n, resource) in answer.resources.iter().enumerate() {
            let name = name_of(&resource.name).unwrap();
            let this_one = reply == Reply::Refuse || n % 2 == 0;
            if refuses && this_one {
                self.side(kind).refused.insert(name, resource.version);
                // An assignment that is refused ends the wait for it too.
                self.awaited_no_more(kind, name);
            } else {
                self.side(kind).refused.remove(name);
                self.gain(kind, name, resource.version);
            }
        }
        if full {
            // Also in a set that is refused, as was seen at Envoys.
            let listed: BTreeSet<&str> = answer.resources.iter().map(|r| &*r.name).collect();
            let side = &self.sides[&kind];
            let had: BTreeSet<Name> = side.held.keys().chain(side.refused.keys()).copied().collect();
            for name in had.into_iter().filter(|name| !listed.contains(name)) {
                self.side(kind).refused.remove(name);
                self.lose_to_server(kind, name);
            }
        }
        for name in &answer.removed {
            let name = name_of(name).unwrap();
            self.awaited_no_more(kind, name);
            self.lose_to_server(kind, name);
        }
        let error = refuses.then(|| Rejection {
            code: 3,
            message: "no".to_owned(),
        });
        let waits = self.mode == Mode::Envoy && child_of(kind).is_some() && !self.warming.is_empty();
        self.side(kind).late = Some((answer.nonce.clone(), error));
        if reply != Reply::TakeLater && !waits {
            self.release(kind);
        }
    }

    /// Says what it kept back.
    pub(super) fn release(&mut self, kind: ResourceType) {
        if let Some(reply) = self.side(kind).late.take() {
            self.say(kind, &[], &[], Some(reply));
        }
    }

    /// Says everything, but for what waits for children: a server that waits for that word itself must be found.
    pub(super) fn release_all(&mut self) {
        for kind in ResourceType::ALL {
            let waits = self.mode == Mode::Envoy && child_of(kind).is_some() && !self.warming.is_empty();
            if !waits {
                self.release(kind);
            }
        }
    }

    fn awaited_no_more(&mut self, kind: ResourceType, name: Name) {
        if self.mode == Mode::Envoy && is_child(kind) {
            self.warming.remove(name);
        }
    }

    fn gain(&mut self, kind: ResourceType, name: Name, version: Version) {
        if !self.sides[&kind].wants(name) {
            return;
        }
        self.side(kind).lost.remove(name);
        let before = self.side(kind).held.insert(name, version);
        self.awaited_no_more(kind, name);
        let (Mode::Envoy, Some(child)) = (self.mode, child_of(kind)) else {
            return;
        };
        if before == Some(version) {
            return;
        }
        self.warming.insert(name);
        if !self.sides[&child].names.contains(name) {
            self.change_names(child, &[name], &[], None);
        } else if self.dialect == Dialect::StateOfTheWorld {
            // The request that looks like a second ACK.
            self.repeat(child, None);
        }
    }

    /// What the server takes away takes along what belongs to it, also at a client that goes on asking for that.
    fn lose_to_server(&mut self, kind: ResourceType, name: Name) {
        self.lose(kind, name);
        if let (Mode::Free, Some(child)) = (self.mode, child_of(kind)) {
            let child = self.side(child);
            child.held.remove(name);
            child.lost.insert(name);
        }
    }

    fn lose(&mut self, kind: ResourceType, name: Name) {
        if self.side(kind).held.remove(name).is_none() {
            return;
        }
        if let (Mode::Envoy, Some(child)) = (self.mode, child_of(kind)) {
            self.warming.remove(name);
            self.change_names(child, &[], &[name], None);
        }
    }
}

fn is_child(kind: ResourceType) -> bool {
    ResourceType::ALL
        .into_iter()
        .any(|parent| child_of(parent) == Some(kind))
}
