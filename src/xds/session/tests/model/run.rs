//! One run: the core, its client, the wire between them, and the ledger that watches.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::mistake::Mistake;
use super::*;

/// All resources that there can be, by type, name and content, and what stands for nothing.
struct Stock {
    resources: BTreeMap<(ResourceType, Name), [Arc<Resource>; CONTENTS]>,
    empty: BTreeMap<Name, Version>,
    claims: BTreeMap<String, Version>,
}

fn stock() -> &'static Stock {
    static STOCK: OnceLock<Stock> = OnceLock::new();
    STOCK.get_or_init(|| {
        let mut resources = BTreeMap::new();
        // Two of these fill an answer.
        let large = bytes::Bytes::from(vec![b'x'; 600 << 10]);
        let mut claims = BTreeMap::new();
        for (kind, name) in ResourceType::ALL
            .into_iter()
            .flat_map(|kind| NAMES.map(|name| (kind, name)))
        {
            let contents = std::array::from_fn(|content| {
                let text = match order::clusters_of(kind, content) {
                    [] => content.to_string(),
                    clusters => format!("to {}", clusters.join(" ")),
                };
                let mut resource = resource(kind, name, &text);
                if content == 0 {
                    resource.any = large.clone();
                }
                Arc::new(resource)
            });
            claims.extend(
                contents
                    .iter()
                    .map(|r: &Arc<Resource>| (r.version.to_string(), r.version)),
            );
            resources.insert((kind, name), contents);
        }
        let empty = NAMES.map(|name| (name, crate::resources::empty_assignment(name.into()).version));
        claims.extend(empty.iter().map(|(_, version)| (version.to_string(), *version)));
        Stock {
            resources,
            empty: empty.into(),
            claims,
        }
    })
}

pub(super) fn empty_version(name: Name) -> Version {
    stock().empty[name]
}

/// The version of a name with this content.
pub(super) fn version_of_content(kind: ResourceType, name: Name, content: usize) -> Version {
    stock().resources[&(kind, name)][content].version
}

/// The version that a client says in text.
pub(super) fn version_of(text: &str) -> Version {
    stock().claims[text]
}

/// What exists, and what of it the session has subscribed to: the cache gives it no more than that.
#[derive(Debug, Default)]
pub(super) struct Cached {
    pub(super) world: BTreeMap<(ResourceType, Name), usize>,
    names: BTreeSet<(ResourceType, Name)>,
    whole: BTreeSet<ResourceType>,
}

impl Cached {
    pub(super) fn now(&self, kind: ResourceType, name: Name) -> Option<&'static Arc<Resource>> {
        let content = self.world.get(&(kind, name))?;
        Some(&stock().resources[&(kind, name)][*content])
    }

    fn has(&self, kind: ResourceType, name: Name) -> bool {
        self.whole.contains(&kind) || self.names.contains(&(kind, name))
    }

    fn follow(&mut self, interest: &Interest) {
        let each = |kind: ResourceType, names: &[Arc<str>]| -> Vec<_> {
            let names = names.iter().filter_map(|name| name_of(name));
            names.map(|name| (kind, name)).collect()
        };
        match interest {
            Interest::Subscribe(kind, names) => self.names.extend(each(*kind, names)),
            Interest::SubscribeAll(kind) => {
                self.whole.insert(*kind);
            }
            Interest::Unsubscribe(kind, names) => {
                for name in each(*kind, names) {
                    self.names.remove(&name);
                }
            }
            Interest::UnsubscribeAll(kind) => {
                self.whole.remove(kind);
            }
        }
    }
}

impl Lookup for Cached {
    fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let name = name_of(name)?;
        self.has(kind, name).then(|| self.now(kind, name).cloned())?
    }

    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        assert!(self.whole.contains(&kind), "{kind:?} was not subscribed to as a whole");
        NAMES
            .into_iter()
            .filter_map(|name| self.now(kind, name).cloned())
            .collect()
    }
}

pub(super) struct Run {
    mode: Mode,
    mistake: Option<Mistake>,
    session: Session,
    pub(super) cached: Cached,
    pub(super) ledger: Ledger,
    pub(super) client: Client,
    /// The client refused something, which may leave others waiting.
    refusals: bool,
    answers: VecDeque<Response>,
    /// Nonces of this stream.
    nonces: BTreeSet<String>,
    pub(super) dialect: Dialect,
    role: Role,
    steps: usize,
}

impl Run {
    /// All steps, and then until nothing is on its way any more; how many steps that took in all.
    pub(super) fn whole(dialect: Dialect, mode: Mode, role: Role, steps: &[Step]) -> Result<usize, String> {
        Self::guarded(dialect, mode, role, steps, None)
    }

    pub(super) fn with_mistake(
        dialect: Dialect,
        mode: Mode,
        role: Role,
        steps: &[Step],
        mistake: Mistake,
    ) -> Result<usize, String> {
        Self::guarded(dialect, mode, role, steps, Some(mistake))
    }

    fn guarded(
        dialect: Dialect,
        mode: Mode,
        role: Role,
        steps: &[Step],
        mistake: Option<Mistake>,
    ) -> Result<usize, String> {
        let run = || {
            let mut run = Self {
                mode,
                mistake,
                session: Session::new(dialect, role, 1000),
                cached: Cached::default(),
                ledger: Ledger::new(dialect, role),
                client: Client::new(dialect, mode, role),
                refusals: false,
                answers: VecDeque::new(),
                nonces: BTreeSet::new(),
                dialect,
                role,
                steps: 0,
            };
            for step in steps {
                run.step(*step)?;
            }
            run.settle()?;
            run.at_rest()?;
            Ok(run.steps)
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.unwrap_or_else(|| "a panic".to_owned()))
        })
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        self.steps += 1;
        let client = &mut self.client;
        match step {
            Step::Put(kind, n, content) => {
                self.cached.world.insert((kind, NAMES[n]), content);
                self.tell(kind, NAMES[n]);
            }
            Step::Delete(kind, n) => {
                self.cached.world.remove(&(kind, NAMES[n]));
                self.tell(kind, NAMES[n]);
            }
            Step::Deliver => self.deliver()?,
            Step::Serve => {
                self.serve()?;
            }
            Step::Receive(reply) => self.receive(reply),
            Step::Release => client.release_all(),
            Step::GiveUp => self.give_up(),
            Step::Subscribe(kind, n) => client.change(kind, &[NAMES[n]], &[]),
            Step::Unsubscribe(kind, n) => client.change(kind, &[], &[NAMES[n]]),
            Step::Swap(kind, n, m) => client.swap(kind, NAMES[n], NAMES[m]),
            Step::Star(kind) => client.change(kind, &["*"], &[]),
            Step::Unstar(kind) => client.change(kind, &[], &["*"]),
            Step::Repeat(kind) => client.repeat(kind, None),
            Step::Junk(kind) => client.repeat(kind, Some("junk")),
            Step::Reconnect {
                keeps,
                in_order,
                silently,
            } => {
                client.reconnect(keeps, in_order, silently);
                self.session = Session::new(self.dialect, self.role, 1000);
                self.ledger = Ledger::new(self.dialect, self.role);
                self.cached.names.clear();
                self.cached.whole.clear();
                self.answers.clear();
                self.nonces.clear();
            }
        }
        self.keeps_little()
    }

    /// Tells whoever subscribed, as the cache does.
    fn tell(&mut self, kind: ResourceType, name: Name) {
        self.ledger.changed(kind, name);
        if self.cached.has(kind, name) && self.mistake != Some(Mistake::LosesAChange) {
            let names = BTreeSet::from([Arc::from(name)]);
            self.session.on_changes(&BTreeMap::from([(kind, names)]));
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        let Some(mut request) = self.client.requests.pop_front() else {
            return Ok(());
        };
        let kind = ResourceType::from_url(&request.type_url).unwrap();
        let in_flight = self.ledger.in_flight(kind);
        let settles = self.ledger.received(&request);
        match self.mistake {
            Some(Mistake::DropsStale) if in_flight && !settles && !request.nonce.is_empty() => return Ok(()),
            Some(Mistake::ForgetsNoName) => {
                if let Body::Delta { unsubscribe, .. } = &mut request.body {
                    unsubscribe.clear();
                }
            }
            _ => {}
        }
        let refused = request.error.is_some();
        let effect = self.session.on_request(request).map_err(|error| error.to_string())?;
        let expected = settles.then_some(if refused {
            Verdict::Nacked(kind)
        } else {
            Verdict::Acked(kind)
        });
        if effect.verdict != expected {
            return Err(format!("R15, R16: {:?} instead of {expected:?}", effect.verdict));
        }
        for interest in &effect.interests {
            self.cached.follow(interest);
        }
        match self.mistake {
            Some(Mistake::SendsRefusedAgain) if refused => {
                let held = self.session.kinds.get_mut(kind).map(|s| std::mem::take(&mut s.held));
                let all = held.into_iter().flatten().map(|(name, _)| name).collect();
                self.session.on_changes(&BTreeMap::from([(kind, all)]));
            }
            Some(Mistake::DoesNotWait) => {
                for subscription in self.session.kinds.all_mut() {
                    subscription.in_flight = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One answer must go out just when the ledger says so, and be just that one.
    fn serve(&mut self) -> Result<bool, String> {
        let cached = &self.cached;
        let impatient = self.ledger.impatient;
        let due = self.ledger.next(&|kind, name| {
            let resource = cached.now(kind, name)?;
            Some(ledger::There {
                version: resource.version,
                size: resource.any.len(),
                clusters: order::clusters_of(kind, cached.world[&(kind, name)]),
            })
        });
        if self.mistake == Some(Mistake::WaitsForNothing) {
            self.session.wait_no_longer();
        }
        let given = self.session.next(&self.cached);
        let (kind, due, mut given) = match (due, given) {
            (None, None) => return Ok(false),
            (Some((kind, due)), Some(given)) => (kind, due, given),
            (due, given) => return Err(format!("due: {due:?}\ngiven: {given:?}")),
        };
        match self.mistake {
            Some(Mistake::LeavesOneOut) => {
                given.resources.pop();
            }
            Some(Mistake::TellsNoRemoval) => given.removed.clear(),
            _ => {}
        }
        let resources: Vec<_> = given.resources.iter().map(|r| (&*r.name, r.version)).collect();
        let removed: Vec<_> = given.removed.iter().map(|name| &**name).collect();
        let same = given.type_url == TypeUrl::Served(kind)
            && resources == due.resources.iter().map(|(n, v)| (*n, *v)).collect::<Vec<_>>()
            && removed == due.removed.iter().copied().collect::<Vec<_>>();
        if !same {
            return Err(format!("due: {kind:?} {due:?}\ngiven: {given:?}"));
        }
        if given.nonce.is_empty() || !self.nonces.insert(given.nonce.clone()) {
            return Err(format!("R13: the nonce {:?} was given before", given.nonce));
        }
        self.check_order(kind, &given, &due.gone, impatient)?;
        self.ledger.sent(kind, &given.nonce, &due);
        self.answers.push_back(given);
        Ok(true)
    }

    fn give_up(&mut self) {
        self.session.wait_no_longer();
        self.ledger.impatient = true;
    }

    fn receive(&mut self, reply: Reply) {
        if let Some(answer) = self.answers.pop_front() {
            self.refusals |= matches!(reply, Reply::Refuse | Reply::RefusePart);
            self.client.receive(&answer, reply);
        }
    }

    /// Nothing is kept of names that nobody wants.
    fn keeps_little(&self) -> Result<(), String> {
        for subscription in self.session.kinds.all() {
            let kind = &subscription.kind;
            if subscription.uses.len() > NAMES.len() || subscription.content.len() > subscription.held.len() {
                return Err(format!("R99: of {kind:?} more is kept than there is"));
            }
            let sets = [&subscription.changed, &subscription.owed, &subscription.names];
            let kept = sets.into_iter().flatten().chain(subscription.held.keys());
            for name in kept {
                if !self.ledger.wants(*kind, name) {
                    return Err(format!("R99: {kind:?} {name} is kept for nobody"));
                }
            }
        }
        Ok(())
    }

    /// Until nothing is on its way: everything is delivered, served and taken.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            let mut busy = false;
            while !self.client.requests.is_empty() {
                busy = true;
                self.step(Step::Deliver)?;
            }
            while self.serve()? {
                busy = true;
                self.steps += 1;
            }
            while !self.answers.is_empty() {
                busy = true;
                self.step(Step::Receive(Reply::Take))?;
            }
            self.client.release_all();
            if busy || !self.client.requests.is_empty() {
                continue;
            }
            if !self.session.keeps_back() {
                return Ok(());
            }
            if !self.refusals && !self.names_what_is_not() {
                return Err("something waits for nothing".to_owned());
            }
            self.give_up();
        }
        Err("requests and answers never end".to_owned())
    }

    fn at_rest(&self) -> Result<(), String> {
        if !self.client.warming.is_empty() {
            return Err(format!("left warming: {:?}", self.client.warming));
        }
        for (kind, side) in &self.client.sides {
            // State of the world can't take such a resource away; what it belongs to does.
            let lasting = self.dialect == Dialect::StateOfTheWorld && !kind.is_wildcard_capable() && *kind != EDS;
            for name in NAMES {
                let empty = *kind == EDS;
                let no_empty = |version: &Version| !empty || *version != empty_version(name);
                let there = self.cached.now(*kind, name).filter(|_| side.wants(name));
                let there = there.map(|resource| resource.version);
                let held = side.held.get(name).copied().filter(no_empty);
                let refused = side.refused.get(name).copied().filter(no_empty);
                let as_it_should = held == there
                    || (side.refused.contains_key(name) && refused == there)
                    || (lasting && there.is_none())
                    || (held.is_none() && side.lost.contains(name))
                    || (self.mode == Mode::Free && side.orphans.contains(name));
                if !as_it_should {
                    return Err(format!("at rest {kind:?} {name} is {held:?} instead of {there:?}"));
                }
            }
        }
        Ok(())
    }
}
