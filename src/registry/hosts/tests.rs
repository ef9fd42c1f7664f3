//! Which names are looked up, and when.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let look_up = move |host: HostName| {
        counting.fetch_add(1, Ordering::Relaxed);
        let ttl = if host.as_str() == "a.test" { 60 } else { 600 };
        async move { found("192.0.2.1", ttl) }
    };
    let all = wanted.clone();
    assert!(futures::poll!(std::pin::pin!(hosts.looked_up(&all))).is_pending());
    let running = tokio::spawn(run(wanted, look_up, Arc::clone(&told) as _, hosts.clone()));
    hosts.looked_up(&all).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((asked.load(Ordering::Relaxed), told.0.lock().unwrap().len()), (2, 2));
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3, "the shorter one");
    // One that nobody wants any more is forgotten, a new one is asked for at once.
    want.send_replace(names(&["b.test", "c.test"]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    assert_eq!(
        hosts.list().into_keys().collect::<BTreeSet<_>>(),
        *names(&["b.test", "c.test"])
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 4, "both hold for ten minutes");
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
    let look_up = move |_| {
        let (counting, highest) = (Arc::clone(&counting), Arc::clone(&highest));
        async move {
            highest.fetch_max(counting.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            counting.fetch_sub(1, Ordering::Relaxed);
            found("192.0.2.1", 3600)
        }
    };
    let running = tokio::spawn(run(wanted, look_up, Arc::clone(&told) as _, hosts));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(most.load(Ordering::Relaxed), AT_ONCE);
    let told = told.0.lock().unwrap();
    let resolved = |resolved: &&Resolved| matches!(resolved, Resolved::Addresses(_));
    assert_eq!(
        (told.len(), told.values().filter(resolved).count()),
        (MOST_HOSTS + 5, MOST_HOSTS)
    );
    running.abort();
}
