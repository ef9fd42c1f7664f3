//! Which names are looked up, and when.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;

#[derive(Debug, Default)]
struct Told(Mutex<BTreeMap<HostName, Resolved>>);

impl HostSink for Told {
    fn resolved(&self, hosts: BTreeMap<HostName, Resolved>) {
        self.0.lock().unwrap().extend(hosts);
    }
}

fn names(names: &[&str]) -> Arc<BTreeSet<HostName>> {
    Arc::new(names.iter().map(|name| HostName::new(name).unwrap()).collect())
}

fn found(address: &str, ttl: u64) -> (Outcome, Outcome) {
    let found = Outcome::Found([address.parse().unwrap()].into(), Duration::from_secs(ttl));
    (found, Outcome::Nothing("the name has no address", None))
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_again_when_its_answer_has_run_out_and_no_sooner() {
    let (want, wanted) = watch::channel(names(&["a.test", "b.test"]));
    let (told, hosts) = (Arc::new(Told::default()), Hosts::default());
    let (ask, mut asked) = mpsc::unbounded_channel();
    let look_up = move |host: HostName| {
        let ttl = if host.as_str() == "a.test" { 60 } else { 600 };
        ask.send((host, Instant::now())).unwrap();
        async move { found("192.0.2.1", ttl) }
    };
    let all = wanted.clone();
    assert!(futures::poll!(std::pin::pin!(hosts.looked_up(&all))).is_pending());
    let begun = Instant::now();
    let running = tokio::spawn(run(
        wanted,
        BTreeMap::new(),
        look_up,
        Arc::clone(&told) as _,
        hosts.clone(),
    ));
    // The next one that is asked for, and how long after the start.
    let mut next = async || {
        let (host, at) = asked.recv().await.unwrap();
        (host.as_str().to_owned(), (at - begun).as_secs())
    };
    hosts.looked_up(&all).await;
    assert_eq!(next().await, ("a.test".to_owned(), 0));
    assert_eq!(next().await, ("b.test".to_owned(), 0));
    assert_eq!(told.0.lock().unwrap().len(), 2);
    let (host, after) = next().await;
    assert_eq!(host, "a.test", "the shorter one");
    assert!((52..=60).contains(&after), "{after}");
    // One that nobody wants any more is forgotten, a new one is asked for at once.
    want.send_replace(names(&["b.test", "c.test"]));
    assert_eq!(next().await, ("c.test".to_owned(), after));
    hosts.looked_up(&all).await;
    assert_eq!(
        hosts.list().into_keys().collect::<BTreeSet<_>>(),
        *names(&["b.test", "c.test"])
    );
    let (_, after) = next().await;
    assert!((525..=660).contains(&after), "both hold for ten minutes: {after}");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_breaks_off_is_a_failure_and_is_made_again() {
    let (_want, wanted) = watch::channel(names(&["a.test"]));
    let (told, hosts) = (Arc::new(Told::default()), Hosts::default());
    let (ask, mut asked) = mpsc::unbounded_channel();
    let look_up = move |_| {
        ask.send(()).unwrap();
        async { panic!("a bug") }
    };
    let running = tokio::spawn(run(wanted, BTreeMap::new(), look_up, Arc::clone(&told) as _, hosts));
    asked.recv().await.unwrap();
    asked.recv().await.unwrap();
    let told = told.0.lock().unwrap().clone();
    assert!(matches!(&told[&HostName::new("a.test").unwrap()], Resolved::Nothing(why) if why.contains("broke off")));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_up_no_other_name_and_no_more_than_a_few_are_asked_at_once() {
    let many: Vec<_> = (0..MOST_HOSTS + 5).map(|at| format!("h{at}.test")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let (_want, wanted) = watch::channel(names(&many));
    let (told, hosts) = (Arc::new(Told::default()), Hosts::default());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counting, highest) = (Arc::clone(&now), Arc::clone(&most));
    // One of them never answers; the others do once there was room for more.
    let look_up = move |host: HostName| {
        let (counting, highest) = (Arc::clone(&counting), Arc::clone(&highest));
        highest.fetch_max(counting.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            if host.as_str() == "h0.test" {
                std::future::pending::<()>().await;
            }
            counting.fetch_sub(1, Ordering::Relaxed);
            found("192.0.2.1", 3600)
        }
    };
    let running = tokio::spawn(run(
        wanted,
        BTreeMap::new(),
        look_up,
        Arc::clone(&told) as _,
        hosts.clone(),
    ));
    let mut those: BTreeSet<_> = names(&many).iter().take(MOST_HOSTS).cloned().collect();
    those.remove(&HostName::new("h0.test").unwrap());
    hosts.looked_up(&watch::channel(Arc::new(those)).1).await;
    assert_eq!(most.load(Ordering::Relaxed), AT_ONCE);
    let told = told.0.lock().unwrap();
    let resolved = |resolved: &&Resolved| matches!(resolved, Resolved::Addresses(_));
    assert_eq!(
        (told.len(), told.values().filter(resolved).count()),
        (MOST_HOSTS + 5 - 1, MOST_HOSTS - 1)
    );
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_known_from_before_counts_at_once_and_only_what_is_wanted_of_it() {
    let (want, wanted) = watch::channel(names(&["a.test"]));
    let (told, hosts) = (Arc::new(Told::default()), Hosts::default());
    let remembered = |address: &str, at| HostReport {
        addresses: vec![address.parse().unwrap()],
        resolved_at: Some(at),
        ..HostReport::default()
    };
    let name = |text| HostName::new(text).unwrap();
    let at = SystemTime::now() - Duration::from_secs(3600);
    let before = [
        (name("a.test"), remembered("192.0.2.1", at)),
        (name("b.test"), remembered("192.0.2.2", at)),
    ];
    // DNS servers are silent.
    let (ask, mut asked) = mpsc::unbounded_channel();
    let look_up = move |host: HostName| {
        ask.send(host).unwrap();
        std::future::pending()
    };
    let running = tokio::spawn(run(
        wanted.clone(),
        before.into(),
        look_up,
        Arc::clone(&told) as _,
        hosts.clone(),
    ));
    hosts.looked_up(&wanted).await;
    assert_eq!(
        asked.recv().await.unwrap(),
        name("a.test"),
        "it is looked up all the same"
    );
    let leads_to = |address: &str| Resolved::Addresses(vec![address.parse().unwrap()]);
    assert_eq!(
        *told.0.lock().unwrap(),
        [(name("a.test"), leads_to("192.0.2.1"))].into()
    );
    assert_eq!(hosts.list()[&name("a.test")].resolved_at, Some(at), "its age is shown");
    // One that is wanted later.
    want.send_replace(names(&["a.test", "b.test"]));
    assert_eq!(asked.recv().await.unwrap(), name("b.test"));
    assert_eq!(told.0.lock().unwrap()[&name("b.test")], leads_to("192.0.2.2"));
    running.abort();
}
