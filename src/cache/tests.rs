//! Views by their outside, with a source whose content the test sets.

use std::collections::BTreeSet;

use futures::FutureExt;

use super::*;
use crate::model::{AddressFamilies, NetworkId, NetworkOrigin, Vantage};
use crate::resources::Version;

const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
const CDS: ResourceType = ResourceType::Cluster;

/// Content by name, and the network where everybody stands; both can be changed.
#[derive(Debug, Default)]
struct Shelf {
    content: Mutex<BTreeMap<String, u32>>,
    network: Mutex<String>,
    builds: AtomicU64,
}

impl Shelf {
    fn set(&self, name: &str, content: u32) {
        lock(&self.content).insert(name.to_owned(), content);
    }
}

impl Source for Shelf {
    fn locate(&self, _viewer: &Viewer) -> Standpoint {
        let network = NetworkId::new(&lock(&self.network)).unwrap();
        let key = ViewKey::endpoints(network, AddressFamilies::V4);
        Standpoint {
            key,
            inbound: None,
            origin: NetworkOrigin::Default,
            contradiction: None,
            vantage: Vantage::default(),
        }
    }

    fn names(&self, _key: &ViewKey, _kind: ResourceType) -> Vec<Arc<str>> {
        let content = lock(&self.content);
        let covered = content.keys().filter(|name| !name.starts_with("own "));
        covered.map(|name| name.as_str().into()).collect()
    }

    fn covers(&self, _kind: ResourceType, name: &str) -> bool {
        !name.starts_with("own ")
    }

    fn build(&self, key: &ViewKey, _kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        let content = *lock(&self.content).get(name)?;
        let version = Version::of(&(content, &key.network));
        Some(Arc::new(Resource {
            name: name.into(),
            version,
            any: bytes::Bytes::new(),
            clusters: Arc::default(),
            asks_for_routes: false,
        }))
    }
}

fn shelf() -> (Arc<Shelf>, Arc<Cache>) {
    let shelf = Arc::new(Shelf::default());
    *lock(&shelf.network) = "net1".to_owned();
    for name in ["a", "b", "c"] {
        shelf.set(name, 1);
    }
    let cache = Cache::new(Arc::clone(&shelf) as Arc<dyn Source>);
    (shelf, cache)
}

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| (*name).into()).collect()
}

fn refresh(cache: &Cache, kind: ResourceType, list: &[&str]) -> usize {
    cache
        .live_views()
        .iter()
        .map(|view| view.refresh(kind, &names(list)))
        .sum()
}

/// What a subscriber is told now, without waiting.
fn told(subscriber: &Subscriber, kind: ResourceType) -> Vec<String> {
    let changes = subscriber.changed().now_or_never().unwrap_or_default();
    changes
        .get(&kind)
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn only_what_was_asked_for_is_built_and_told() {
    let (shelf, cache) = shelf();
    let one = cache.attach(Viewer::default());
    one.subscribe(EDS, &names(&["a", "absent"]));
    assert_eq!(shelf.builds.load(Ordering::Relaxed), 2);
    assert!(one.get(EDS, "a").is_some() && one.get(EDS, "absent").is_none() && one.get(EDS, "b").is_none());
    shelf.set("a", 2);
    shelf.set("b", 2);
    assert_eq!(refresh(&cache, EDS, &["a", "b", "c"]), 1);
    assert_eq!(shelf.builds.load(Ordering::Relaxed), 3, "nobody wants b or c");
    assert_eq!(told(&one, EDS), ["a"]);
    assert_eq!(refresh(&cache, EDS, &["a"]), 0, "nothing differs");
    assert_eq!(told(&one, EDS), Vec::<String>::new());
    shelf.set("absent", 1);
    refresh(&cache, EDS, &["absent"]);
    assert_eq!(told(&one, EDS), ["absent"], "what was waited for has come");
}

#[test]
fn streams_of_one_view_share_what_is_built() {
    let (shelf, cache) = shelf();
    let streams: Vec<_> = (0..50).map(|_| cache.attach(Viewer::default())).collect();
    for stream in &streams {
        stream.subscribe(EDS, &names(&["a"]));
    }
    assert_eq!(shelf.builds.load(Ordering::Relaxed), 1);
    shelf.set("a", 2);
    refresh(&cache, EDS, &["a"]);
    assert_eq!(shelf.builds.load(Ordering::Relaxed), 2);
    assert!(streams.iter().all(|stream| told(stream, EDS) == ["a"]));
}

#[test]
fn changes_merge_until_they_are_taken() {
    let (shelf, cache) = shelf();
    let one = cache.attach(Viewer::default());
    one.subscribe(EDS, &names(&["a", "b"]));
    for content in 2..100 {
        shelf.set("a", content);
        refresh(&cache, EDS, &["a"]);
    }
    shelf.set("b", 2);
    refresh(&cache, EDS, &["b"]);
    assert_eq!(told(&one, EDS), ["a", "b"], "a hundred changes are two names");
    assert_eq!(
        one.get(EDS, "a").unwrap().version,
        Version::of(&(99u32, NetworkId::new("net1").unwrap()))
    );
}

#[test]
fn a_whole_type_sees_what_comes_and_goes() {
    let (shelf, cache) = shelf();
    let one = cache.attach(Viewer::default());
    one.subscribe_all(CDS);
    let held = |one: &Subscriber| -> Vec<String> { one.all(CDS).iter().map(|r| r.name.to_string()).collect() };
    assert_eq!(held(&one), ["a", "b", "c"]);
    shelf.set("d", 1);
    lock(&shelf.content).remove("b");
    refresh(&cache, CDS, &["b", "d"]);
    assert_eq!(told(&one, CDS), ["b", "d"]);
    assert_eq!(held(&one), ["a", "c", "d"]);
    one.unsubscribe_all(CDS);
    assert_eq!(held(&one), Vec::<String>::new());
    assert_eq!(
        cache.live_views()[0].names(CDS),
        names(&[]),
        "nothing is held for nobody"
    );
}

#[test]
fn what_nobody_wants_any_more_is_let_go() {
    let (_, cache) = shelf();
    let (one, other) = (cache.attach(Viewer::default()), cache.attach(Viewer::default()));
    one.subscribe(EDS, &names(&["a", "b"]));
    other.subscribe(EDS, &names(&["b"]));
    one.unsubscribe(EDS, &names(&["a", "b", "never asked for"]));
    assert_eq!(cache.live_views()[0].names(EDS), names(&["b"]));
    drop(other);
    assert_eq!(cache.live_views()[0].names(EDS), names(&[]));
    drop(one);
    assert!(cache.live_views().is_empty());
    assert!(lock(&cache.subscribers).is_empty());
}

#[test]
fn a_viewer_whose_network_changed_moves_with_its_subscriptions() {
    let (shelf, cache) = shelf();
    let one = cache.attach(Viewer::default());
    one.subscribe(EDS, &names(&["a"]));
    one.subscribe_all(CDS);
    let before = one.get(EDS, "a").unwrap().version;
    cache.relocate();
    assert_eq!(told(&one, EDS), Vec::<String>::new(), "it stands where it stood");
    *lock(&shelf.network) = "net2".to_owned();
    cache.relocate();
    assert_eq!(one.standpoint().key.network.as_str(), "net2");
    let changes = one.changed().now_or_never().unwrap();
    assert_eq!(changes[&EDS], names(&["a"]).into_iter().collect::<BTreeSet<_>>());
    assert_eq!(changes[&CDS].len(), 3);
    assert_ne!(one.get(EDS, "a").unwrap().version, before);
    assert_eq!(cache.live_views().len(), 1, "the old view went with its last stream");
    shelf.set("a", 2);
    refresh(&cache, EDS, &["a"]);
    assert_eq!(told(&one, EDS), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_look_and_the_wait_is_not_missed() {
    let (shelf, cache) = shelf();
    let one = cache.attach(Viewer::default());
    one.subscribe(EDS, &names(&["a"]));
    let waiting = tokio::spawn({
        let one = Arc::clone(&one);
        async move { one.changed().await }
    });
    tokio::task::yield_now().await;
    shelf.set("a", 2);
    refresh(&cache, EDS, &["a"]);
    let changes = tokio::time::timeout(std::time::Duration::from_secs(5), waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(changes.contains_key(&EDS));
}

#[test]
fn what_a_whole_type_does_not_cover_is_seen_by_who_asks_for_it_by_name_only() {
    let (shelf, cache) = shelf();
    shelf.set("own x", 1);
    let whole = cache.attach(Viewer::default());
    whole.subscribe_all(CDS);
    let by_name = cache.attach(Viewer::default());
    by_name.subscribe(CDS, &names(&["own x", "own y"]));
    assert!(by_name.get(CDS, "own x").is_some());
    let covered: Vec<_> = whole
        .all(CDS)
        .iter()
        .map(|resource| resource.name.to_string())
        .collect();
    assert_eq!(covered, ["a", "b", "c"]);
    assert!(whole.get(CDS, "own x").is_none());

    // Changes, arrivals and departures are told to who asked.
    shelf.set("own x", 2);
    shelf.set("own y", 1);
    shelf.set("own z", 1);
    assert_eq!(refresh(&cache, CDS, &["own x", "own y", "own z"]), 2);
    assert_eq!(told(&by_name, CDS), ["own x", "own y"]);
    assert_eq!(told(&whole, CDS), Vec::<String>::new());

    // Nothing of it stays behind while the whole type is wanted.
    drop(by_name);
    let view = &cache.live_views()[0];
    assert_eq!(view.names(CDS), names(&["a", "b", "c"]));
}

#[test]
fn whoever_asked_by_name_is_told_of_a_change_that_another_stream_found_first() {
    let (shelf, cache) = shelf();
    let [by_name, whole] = [cache.attach(Viewer::default()), cache.attach(Viewer::default())];
    by_name.subscribe(CDS, &names(&["a", "b"]));
    shelf.set("a", 2);
    whole.subscribe_all(CDS);
    let told = by_name.changed().now_or_never().expect("it is told at once");
    assert_eq!(told[&CDS], BTreeSet::from(["a".into()]));
    assert!(whole.changed().now_or_never().is_none(), "it finds all of it anyway");
    assert_eq!(refresh(&cache, CDS, &["a"]), 0);
}
