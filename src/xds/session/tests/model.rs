//! Any interleaving of changes, requests, ACKs, NACKs and reconnects: when nothing is on its way any more, the client holds
//! just what it asked for, no cluster of it is left warming, and it took a bounded number of answers.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What the client subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Names of assignments, at will.
    Assignments,
    /// Names of clusters and `*`, at will.
    Clusters,
    /// Clusters at will, and the assignment of each, as an Envoy does.
    Envoy,
}

#[derive(Debug, Clone)]
enum Step {
    Put(ResourceType, usize, u8),
    Delete(ResourceType, usize),
    /// One request reaches the server.
    Deliver,
    /// The server gives one answer.
    Serve,
    /// One answer reaches the client, which takes it or refuses it.
    Receive {
        refuse: bool,
    },
    Subscribe(usize),
    Unsubscribe(usize),
    Star,
    Unstar,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop_oneof![Just(CDS), Just(EDS)];
    let name = || 0..NAMES.len();
    prop_oneof![
        6 => (kind(), name(), 0..3_u8).prop_map(|(kind, n, content)| Step::Put(kind, n, content)),
        3 => (kind(), name()).prop_map(|(kind, n)| Step::Delete(kind, n)),
        8 => Just(Step::Deliver),
        8 => Just(Step::Serve),
        6 => Just(Step::Receive { refuse: false }),
        1 => Just(Step::Receive { refuse: true }),
        3 => name().prop_map(Step::Subscribe),
        2 => name().prop_map(Step::Unsubscribe),
        1 => Just(Step::Star),
        1 => Just(Step::Unstar),
        1 => Just(Step::Reconnect),
    ]
}

/// What the client has of one type.
#[derive(Debug, Default)]
struct Side {
    names: BTreeSet<String>,
    star: bool,
    held: BTreeMap<String, Version>,
    /// The nonce of the answer it took or refused last.
    nonce: String,
}

impl Side {
    fn wants(&self, name: &str) -> bool {
        self.star || self.names.contains(name)
    }
}

struct Model {
    mode: Mode,
    dialect: Dialect,
    bench: Bench,
    sides: BTreeMap<ResourceType, Side>,
    /// Clusters that wait for their assignment.
    warming: BTreeSet<String>,
    requests: VecDeque<Request>,
    answers: VecDeque<Response>,
    sent_requests: usize,
    served: usize,
    changes: usize,
    refused: bool,
}

impl Model {
    fn new(dialect: Dialect, mode: Mode) -> Self {
        let mut model = Self {
            mode,
            dialect,
            bench: Bench::new(dialect),
            sides: BTreeMap::from([(CDS, Side::default()), (EDS, Side::default())]),
            warming: BTreeSet::new(),
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            sent_requests: 0,
            served: 0,
            changes: 0,
            refused: false,
        };
        model.side(CDS).star = mode == Mode::Envoy;
        model.open();
        model
    }

    fn side(&mut self, kind: ResourceType) -> &mut Side {
        self.sides.get_mut(&kind).unwrap()
    }

    /// What the client chooses names of.
    fn chosen(&self) -> ResourceType {
        match self.mode {
            Mode::Assignments => EDS,
            Mode::Clusters | Mode::Envoy => CDS,
        }
    }

    /// The first requests of a stream: assignments first, as real Envoys do it.
    fn open(&mut self) {
        let kinds: &[ResourceType] = match self.mode {
            Mode::Assignments => &[EDS],
            Mode::Clusters => &[CDS],
            Mode::Envoy => &[EDS, CDS],
        };
        for kind in kinds {
            let side = self.side(*kind);
            side.nonce = String::new();
            let claims = side.held.iter();
            let initial = claims.map(|(n, v)| (n.clone(), v.to_string())).collect();
            let mut add: Vec<String> = side.names.iter().cloned().collect();
            // Not to be taken for a client that wants everything without saying so.
            add.push(if side.star { "*" } else { "" }.to_owned());
            self.request(*kind, add, vec![], initial, None);
        }
    }

    /// In state of the world all that is wanted goes along, whatever the change.
    fn request(
        &mut self,
        kind: ResourceType,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        initial: BTreeMap<String, String>,
        error: Option<Rejection>,
    ) {
        let dialect = self.dialect;
        let side = self.side(kind);
        let body = match dialect {
            Dialect::StateOfTheWorld => {
                let mut names: Vec<String> = side.names.iter().cloned().collect();
                names.extend(side.star.then(|| "*".to_owned()));
                Body::Names(names)
            }
            Dialect::Delta => Body::Delta {
                subscribe,
                unsubscribe,
                initial,
            },
        };
        let nonce = side.nonce.clone();
        self.sent_requests += 1;
        self.requests.push_back(Request {
            type_url: kind.url().to_owned(),
            nonce,
            error,
            body,
        });
    }

    fn change_names(&mut self, kind: ResourceType, add: Vec<String>, drop: Vec<String>) {
        let side = self.side(kind);
        side.names.extend(add.iter().filter(|n| *n != "*").cloned());
        side.star |= add.iter().any(|name| name == "*");
        for name in &drop {
            side.names.remove(name);
            side.star &= name != "*";
        }
        // Under `*` a client can't tell whether a name that it gives back is covered; delta servers say so.
        let lost: Vec<String> = side.held.keys().cloned().collect();
        for name in lost {
            if !self.sides[&kind].wants(&name) {
                self.lose(kind, &name);
            }
        }
        // A nonce in here would make it an ACK.
        let nonce = match self.dialect {
            Dialect::StateOfTheWorld => self.side(kind).nonce.clone(),
            Dialect::Delta => String::new(),
        };
        let before = std::mem::replace(&mut self.side(kind).nonce, nonce);
        self.request(kind, add, drop, BTreeMap::new(), None);
        self.side(kind).nonce = before;
    }

    fn gain(&mut self, kind: ResourceType, resource: &Resource) {
        let name = resource.name.to_string();
        if !self.sides[&kind].wants(&name) {
            return;
        }
        let before = self.side(kind).held.insert(name.clone(), resource.version);
        if kind == EDS {
            self.warming.remove(&name);
        } else if self.mode == Mode::Envoy && before != Some(resource.version) {
            self.warming.insert(name.clone());
            if before.is_none() {
                self.change_names(EDS, vec![name], vec![]);
            } else if self.dialect == Dialect::StateOfTheWorld {
                // The request that looks like a second ACK.
                self.change_names(EDS, vec![], vec![]);
            }
        }
    }

    fn lose(&mut self, kind: ResourceType, name: &str) {
        if self.side(kind).held.remove(name).is_some() && kind == CDS && self.mode == Mode::Envoy {
            self.warming.remove(name);
            self.change_names(EDS, vec![], vec![name.to_owned()]);
        }
    }

    fn receive(&mut self, refuse: bool) {
        let Some(answer) = self.answers.pop_front() else {
            return;
        };
        let kind = ResourceType::from_url(answer.type_url.as_str()).unwrap();
        let full = self.dialect == Dialect::StateOfTheWorld && kind == CDS;
        let refuse = refuse && !answer.resources.is_empty();
        self.refused |= refuse;
        if !refuse {
            for resource in &answer.resources {
                self.gain(kind, resource);
            }
            if full {
                let kept: BTreeSet<&str> = answer.resources.iter().map(|r| &*r.name).collect();
                let all: Vec<String> = self.sides[&kind].held.keys().cloned().collect();
                for name in all.iter().filter(|name| !kept.contains(name.as_str())) {
                    self.lose(kind, name);
                }
            }
        }
        for name in &answer.removed {
            assert_eq!(self.dialect, Dialect::Delta);
            if kind == EDS {
                self.warming.remove(&**name);
            }
            self.lose(kind, name);
        }
        self.side(kind).nonce = answer.nonce;
        let error = refuse.then(|| Rejection {
            code: 3,
            message: "no".to_owned(),
        });
        self.request(kind, vec![], vec![], BTreeMap::new(), error);
    }

    fn deliver(&mut self) {
        if let Some(request) = self.requests.pop_front() {
            self.bench.session.on_request(request).unwrap();
        }
    }

    fn serve(&mut self) -> bool {
        let Some(answer) = self.bench.session.next(&self.bench.world) else {
            return false;
        };
        let names = answer.resources.iter().map(|r| &r.name);
        let unique: BTreeSet<_> = names.chain(&answer.removed).collect();
        assert_eq!(unique.len(), answer.resources.len() + answer.removed.len());
        self.served += 1;
        self.answers.push_back(answer);
        true
    }

    fn step(&mut self, step: &Step) {
        let kind = self.chosen();
        match *step {
            Step::Put(kind, n, content) => {
                self.changes += 1;
                self.bench.put(kind, NAMES[n], &content.to_string());
            }
            Step::Delete(kind, n) => {
                self.changes += 1;
                self.bench.delete(kind, NAMES[n]);
            }
            Step::Deliver => self.deliver(),
            Step::Serve => drop(self.serve()),
            Step::Receive { refuse } => self.receive(refuse),
            Step::Subscribe(n) => self.change_names(kind, owned(&[NAMES[n]]), vec![]),
            Step::Unsubscribe(n) if self.side(kind).names.contains(NAMES[n]) => {
                self.change_names(kind, vec![], owned(&[NAMES[n]]));
            }
            Step::Star if kind == CDS => self.change_names(kind, owned(&["*"]), vec![]),
            Step::Unstar if kind == CDS => self.change_names(kind, vec![], owned(&["*"])),
            Step::Unsubscribe(_) | Step::Star | Step::Unstar => {}
            Step::Reconnect => {
                self.bench.session = Session::new(self.dialect, 1000);
                self.requests.clear();
                self.answers.clear();
                self.open();
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let mut busy = !self.requests.is_empty() || !self.answers.is_empty();
            while !self.requests.is_empty() {
                self.deliver();
            }
            while self.serve() {
                busy = true;
            }
            while !self.answers.is_empty() {
                self.receive(false);
            }
            if !busy {
                return;
            }
        }
        panic!("answers and requests never end");
    }

    fn check(&self) {
        for (kind, side) in &self.sides {
            for name in NAMES {
                let empty = Version::of(&crate::resources::AssignmentSpec {
                    name: name.into(),
                    assignment: Default::default(),
                });
                let there = self.bench.world.get(*kind, name);
                let there = there.map(|r| r.version).filter(|_| side.wants(name));
                // An assignment without endpoints is how a client is told that there is none.
                let held = side.held.get(name).copied().filter(|held| *held != empty);
                assert_eq!(held, there, "{kind:?} {name}");
            }
        }
        assert_eq!(self.warming, BTreeSet::new(), "clusters left warming");
        // Each answer has a cause: a change, a request, or an answer about clusters.
        let bound = 2 * (self.changes + self.sent_requests) + 2;
        assert!(self.served <= bound, "{} answers", self.served);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_rest_the_client_holds_what_it_asked_for(
        delta in any::<bool>(),
        mode in prop_oneof![Just(Mode::Assignments), Just(Mode::Clusters), Just(Mode::Envoy)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let dialect = if delta { Dialect::Delta } else { Dialect::StateOfTheWorld };
        let mut model = Model::new(dialect, mode);
        for step in &steps {
            model.step(step);
        }
        model.settle();
        if model.refused {
            // What was refused is sent again when it changes, and not before.
            for (kind, name) in [CDS, EDS].into_iter().flat_map(|k| NAMES.map(|n| (k, n))) {
                model.bench.put(kind, name, "last");
                model.changes += 1;
            }
            model.settle();
        }
        model.check();
        assert!(!model.serve(), "R27: silence at rest");
    }
}
