//! One member changes hands: the reader with the new credentials lists everything while the old one goes on; then, in one step,
//! the new one speaks and the old one is heard no more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::super::kubernetes::is_doubtful;
use super::super::status::Voice;
use crate::table::{EventSink, Kind, RegistryChange, RegistryEvent};

/// How many objects of each kind a list has.
pub(super) type Sizes = BTreeMap<Kind, usize>;

/// Who of a member's readers is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Reader(u64),
    /// The member left.
    Nobody,
}

/// Which of the readers of one member is heard. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Turn(Arc<Mutex<Speaker>>);

impl Turn {
    /// The reader of this number is heard.
    pub(super) fn new(reader: u64) -> Self {
        Self(Arc::new(Mutex::new(Speaker::Reader(reader))))
    }

    /// From now on nobody is heard, whoever tries.
    pub(super) fn close(&self) {
        *self.lock() = Speaker::Nobody;
    }

    fn lock(&self) -> MutexGuard<'_, Speaker> {
        // Each change below is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what a reader says while it is its turn.
pub(super) struct Gate {
    pub(super) inner: Arc<dyn EventSink>,
    pub(super) turn: Turn,
    pub(super) reader: u64,
}

impl EventSink for Gate {
    fn apply(&self, event: RegistryEvent) {
        let speaker = self.turn.lock();
        if *speaker == Speaker::Reader(self.reader) {
            self.inner.apply(event);
        }
    }
}

/// What became of a new reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has not listed everything yet.
    Listing,
    /// Its lists lack so much of what is known that somebody should wonder: these are their sizes. It is not heard.
    Doubtful(Sizes),
    /// It is heard, and the one before is not.
    TookOver,
    /// It came too late and is not heard.
    GaveUp,
}

/// Whose words are shown in the status of a member.
#[derive(Debug, Clone)]
pub(super) struct Voices {
    pub(super) before: Voice,
    pub(super) after: Voice,
}

/// The last words of each sort that a new reader said before its lists, in the order in which the table is told of them: it says
/// them once, so they must not get lost.
#[derive(Debug, Default)]
struct Said {
    joined: Option<RegistryEvent>,
    stands: Option<RegistryEvent>,
    policies: Option<RegistryEvent>,
}

impl Said {
    fn note(&mut self, event: RegistryEvent) {
        let place = match &event.change {
            RegistryChange::Joined { .. } => &mut self.joined,
            RegistryChange::Stands(_) => &mut self.stands,
            RegistryChange::Policies(_) => &mut self.policies,
            // Of objects the lists will tell.
            _ => return,
        };
        *place = Some(event);
    }

    fn take(&mut self) -> impl Iterator<Item = RegistryEvent> + use<> {
        let said = std::mem::take(self);
        [said.joined, said.stands, said.policies].into_iter().flatten()
    }
}

/// Listens to a new reader. It takes its turn with its first complete lists.
pub(super) struct Candidate {
    gate: Gate,
    /// Whose words are shown before, and after.
    voices: Voices,
    /// How many objects are known, and how many were listed the last time, where that was doubted: lists that say about the same
    /// again are believed.
    known: Sizes,
    doubted: Option<Sizes>,
    /// Held while it is decided what becomes of it.
    deciding: Mutex<Said>,
    progress: watch::Sender<Progress>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("reader", &self.gate.reader)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    pub(super) fn new(gate: Gate, voices: Voices, known: Sizes, doubted: Option<Sizes>) -> Self {
        Self {
            gate,
            voices,
            known,
            doubted,
            deciding: Mutex::default(),
            progress: watch::Sender::new(Progress::Listing),
        }
    }

    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Ends its chance, unless it took over already; tells which of both.
    pub(super) fn give_up(&self) -> Progress {
        let _deciding = self.deciding();
        self.progress.send_if_modified(|progress| {
            let waits = *progress == Progress::Listing;
            if waits {
                *progress = Progress::GaveUp;
            }
            waits
        });
        self.progress.borrow().clone()
    }

    /// Takes over with the first lists, if nothing speaks against it.
    fn hear(&self, event: RegistryEvent, said: &mut Said) -> Progress {
        let (RegistryChange::Replace(lists) | RegistryChange::ReplaceExcept { lists, .. }) = &event.change else {
            said.note(event);
            return Progress::Listing;
        };
        // A reader tells all kinds at once that every member has, and nothing before.
        if !Kind::CORE.iter().all(|kind| lists.contains_key(kind)) {
            return Progress::Listing;
        }
        let sizes: Sizes = lists.iter().map(|(kind, list)| (*kind, list.len())).collect();
        if lacks_much(self.doubted.as_ref().unwrap_or(&self.known), &sizes) {
            return Progress::Doubtful(sizes);
        }
        let mut speaker = self.gate.turn.lock();
        if *speaker == Speaker::Nobody {
            return Progress::GaveUp;
        }
        *speaker = Speaker::Reader(self.gate.reader);
        self.voices.after.take_over(&self.voices.before);
        for earlier in said.take() {
            self.gate.inner.apply(earlier);
        }
        self.gate.inner.apply(event);
        Progress::TookOver
    }

    fn deciding(&self) -> MutexGuard<'_, Said> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Candidate {
    fn apply(&self, event: RegistryEvent) {
        let mut deciding = self.deciding();
        let progress = self.progress.borrow().clone();
        match progress {
            Progress::Listing => {
                let progress = self.hear(event, &mut deciding);
                if progress != Progress::Listing {
                    self.progress.send_replace(progress);
                }
            }
            Progress::TookOver => {
                drop(deciding);
                self.gate.apply(event);
            }
            Progress::Doubtful(_) | Progress::GaveUp => {}
        }
    }
}

/// Whether lists lack so much of what is known of a kind that they have to be confirmed. Of which objects is not known: that is
/// the least that is missing.
fn lacks_much(known: &Sizes, listed: &Sizes) -> bool {
    known.iter().any(|(kind, known)| {
        // Of a kind that is not listed nothing is said.
        let listed = listed
            .get(kind)
            .copied()
            .unwrap_or(if kind.is_optional() { *known } else { 0 });
        is_doubtful(*known, known.saturating_sub(listed), listed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterId;
    use crate::model::Locality;
    use crate::registry::status::MemberStatus;
    use crate::registry::testing::Recorder;
    use crate::registry::{MemberOptions, MemberSource, Members};
    use crate::table::{NodeRecord, Record};

    struct Scene {
        sink: Arc<Recorder>,
        turn: Turn,
        old: Gate,
        status: MemberStatus,
        members: Members,
    }

    fn scene() -> Scene {
        let sink = Arc::new(Recorder::default());
        let turn = Turn::new(1);
        let old = Gate {
            inner: Arc::clone(&sink) as Arc<dyn EventSink>,
            turn: turn.clone(),
            reader: 1,
        };
        let members = Members::default();
        let options = MemberOptions::default();
        Scene {
            sink,
            turn,
            old,
            status: members.join(&name(), &MemberSource::InCluster, options).unwrap(),
            members,
        }
    }

    fn name() -> ClusterId {
        ClusterId::new("west").unwrap()
    }

    impl Scene {
        fn voices(&self) -> Voices {
            let second = MemberStatus::of_second(&name(), &self.members, &Members::default());
            Voices {
                before: self.status.voice(),
                after: second.voice(),
            }
        }

        fn candidate(&self, known: usize, doubted: Option<Sizes>) -> Candidate {
            let gate = Gate {
                inner: Arc::clone(&self.sink) as Arc<dyn EventSink>,
                turn: self.turn.clone(),
                reader: 2,
            };
            let known = Sizes::from([(Kind::Node, known)]);
            Candidate::new(gate, self.voices(), known, doubted)
        }
    }

    fn says(change: RegistryChange) -> RegistryEvent {
        RegistryEvent { member: name(), change }
    }

    fn lists(nodes: usize) -> RegistryEvent {
        let mut lists: BTreeMap<_, Vec<Record>> = Kind::ALL.map(|kind| (kind, Vec::new())).into();
        lists.insert(Kind::Node, (0..nodes).map(node).collect());
        says(RegistryChange::Replace(lists))
    }

    fn node(number: usize) -> Record {
        Record::Node(NodeRecord {
            name: format!("n{number}").as_str().into(),
            locality: Locality::new("eu", "z", ""),
            labels: Vec::new(),
            external: Vec::new(),
            internal: Vec::new(),
            ready: true,
        })
    }

    fn changed() -> RegistryEvent {
        says(RegistryChange::Upsert(node(0)))
    }

    #[test]
    fn the_old_reader_is_heard_until_the_new_one_has_listed_everything_and_then_no_more() {
        let scene = scene();
        let new = scene.candidate(3, None);
        scene.old.apply(changed());
        new.apply(changed());
        assert_eq!(scene.sink.changes().len(), 1, "the new one is not heard yet");
        new.apply(lists(3));
        assert_eq!(scene.sink.changes().len(), 2);
        assert_eq!(*new.progress().borrow(), Progress::TookOver);
        scene.old.apply(changed());
        assert_eq!(scene.sink.changes().len(), 2, "the old one is heard no more");
        new.apply(changed());
        assert_eq!(scene.sink.changes().len(), 3);
        scene.status.synced();
        assert!(
            scene.members.get(&name()).unwrap().state.is_reading(),
            "nor in the status"
        );
        assert_eq!(new.give_up(), Progress::TookOver, "too late to give up");
    }

    #[test]
    fn lists_that_lack_much_are_doubted_once() {
        let scene = scene();
        let new = scene.candidate(90, None);
        new.apply(lists(40));
        let Progress::Doubtful(sizes) = new.progress().borrow().clone() else {
            panic!("believed");
        };
        new.apply(lists(90));
        scene.old.apply(changed());
        assert_eq!(scene.sink.changes().len(), 1, "the old one goes on");
        // A member at work never lists the same twice; much less again is another doubt.
        for (listed, took_over) in [(41, true), (40, true), (39, true), (90, true), (19, false), (0, false)] {
            let again = scene.candidate(90, Some(sizes.clone()));
            again.apply(lists(listed));
            assert_eq!(*again.progress().borrow() == Progress::TookOver, took_over, "{listed}");
        }
        // Few are no reason to wonder, nor is half; that there is nothing is one.
        for (known, listed, took_over) in [(9, 1, true), (20, 10, true), (1, 0, false), (9, 0, false)] {
            let few = scene.candidate(known, None);
            few.apply(lists(listed));
            assert_eq!(
                *few.progress().borrow() == Progress::TookOver,
                took_over,
                "{listed} of {known}"
            );
        }
    }

    #[test]
    fn what_the_new_reader_said_before_its_lists_is_told_before_them() {
        let scene = scene();
        let new = scene.candidate(0, None);
        let joined = |network: &str| RegistryChange::Joined {
            network: Some(crate::model::NetworkId::new(network).unwrap()),
        };
        let stands = RegistryChange::Stands(crate::model::MemberStanding {
            rank: crate::model::Rank::Last,
            ..Default::default()
        });
        let policies = RegistryChange::Policies(crate::table::Policies::Known);
        for change in [policies.clone(), joined("net1"), stands.clone(), joined("net2")] {
            new.apply(says(change));
        }
        assert!(scene.sink.changes().is_empty());
        new.apply(lists(1));
        let told = scene.sink.changes();
        assert_eq!(
            format!("{:?}", &told[..3]),
            format!("{:?}", [joined("net2"), stands, policies])
        );
        assert_eq!(told.len(), 4);
    }

    #[test]
    fn nobody_is_heard_of_a_member_that_left() {
        let scene = scene();
        let new = scene.candidate(0, None);
        scene.turn.close();
        scene.old.apply(changed());
        new.apply(lists(3));
        assert_eq!(*new.progress().borrow(), Progress::GaveUp);
        assert_eq!(scene.sink.changes().len(), 0);
    }

    #[test]
    fn who_gave_up_is_not_heard() {
        let scene = scene();
        let new = scene.candidate(0, None);
        assert_eq!(new.give_up(), Progress::GaveUp);
        new.apply(lists(3));
        assert_eq!(scene.sink.changes().len(), 0);
        scene.old.apply(changed());
        assert_eq!(scene.sink.changes().len(), 1);
    }
}
