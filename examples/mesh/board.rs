//! Who answers, and which way: what the client got, joined with what its sidecar logged of the same requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::parts::cluster::PodSpec;
use super::parts::load::Load;
use super::parts::three::PODS;
use super::screen::Screen;

/// What counts as now.
pub(crate) const NOW: Duration = Duration::from_secs(1);

/// One answer.
#[derive(Debug)]
struct Answer {
    at: Instant,
    pod: String,
    /// Where the sidecar sent it.
    way: String,
}

/// The client's requests, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Of GET.
    pub(crate) failed: usize,
    /// Of POST.
    pub(crate) posts_failed: usize,
}

/// All of it, and the screen.
#[derive(Debug)]
pub(crate) struct Board {
    load: Load,
    log: BufReader<File>,
    /// What is written of its last line so far.
    line: String,
    /// What was answered and is not in the log yet, by path; and the other way round.
    answered: BTreeMap<String, String>,
    logged: BTreeMap<String, String>,
    recent: VecDeque<Answer>,
    totals: BTreeMap<String, u64>,
    pub(crate) counts: Counts,
    began: Instant,
    screen: Screen,
    /// Pods that came later.
    pub(crate) more: Vec<PodSpec>,
}

impl Board {
    pub(crate) fn new(load: Load, log: &Path, began: Instant, screen: Screen) -> Self {
        Self {
            load,
            log: BufReader::new(File::open(log).expect("the sidecar has a log")),
            line: String::new(),
            answered: BTreeMap::new(),
            logged: BTreeMap::new(),
            recent: VecDeque::new(),
            totals: BTreeMap::new(),
            counts: Counts::default(),
            began,
            screen,
            more: Vec::new(),
        }
    }

    /// Takes in what happened since the last look.
    pub(crate) fn look(&mut self) {
        let seen = self.load.take();
        self.counts.requests += seen.requests;
        self.counts.failed += seen.failures.len();
        self.counts.posts_failed += seen.failed_posts.len();
        for failure in seen.failures.iter().chain(&seen.failed_posts).take(3) {
            self.say(&format!("     {}: {}", failure.path, failure.reason));
        }
        for (path, pod) in seen.answers {
            *self.totals.entry(pod.clone()).or_default() += 1;
            self.answered.insert(path, pod);
        }
        while self.log.read_line(&mut self.line).is_ok_and(|length| length > 0) {
            if self.line.ends_with('\n') {
                self.logged.extend(path_and_way(&self.line));
                self.line.clear();
            }
        }
        let at = Instant::now();
        for (path, pod) in std::mem::take(&mut self.answered) {
            match self.logged.remove(&path) {
                Some(way) => self.recent.push_back(Answer { at, pod, way }),
                None => {
                    self.answered.insert(path, pod);
                }
            }
        }
        while self.recent.front().is_some_and(|answer| at - answer.at > NOW) {
            self.recent.pop_front();
        }
    }

    /// Who answered within the last second, each with the ways that were gone.
    pub(crate) fn now(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut now: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for answer in &self.recent {
            now.entry(&answer.pod).or_default().insert(&answer.way);
        }
        now
    }

    /// Forgets what was just now, so that what is seen next is new.
    pub(crate) fn forget(&mut self) {
        self.look();
        self.recent.clear();
    }

    pub(crate) fn say(&mut self, line: &str) {
        let line = match line {
            "" => String::new(),
            line => format!("{:6.1} s  {line}", self.began.elapsed().as_secs_f64()),
        };
        self.screen.say(&line);
    }

    pub(crate) fn draw(&mut self) {
        let table = self.table();
        self.screen.draw(&table);
    }

    /// The table, where it isn't drawn all the time.
    pub(crate) fn print(&mut self) {
        let table = self.table();
        self.screen.keep(&table);
    }

    fn table(&self) -> Vec<String> {
        let now = self.now();
        let mut lines = vec![format!(
            "  {:8}{:8}{:9}{:>9}{:>9}   way",
            "pod", "member", "network", "now", "all"
        )];
        let pods = PODS.iter().chain(&self.more).filter(|pod| pod.account() == "web");
        for pod in pods {
            let count = self.recent.iter().filter(|answer| answer.pod == pod.name).count();
            let ways = now.get(pod.name).map_or_else(|| "-".to_owned(), described);
            let (name, member, network) = (pod.name, pod.member, pod.network);
            let all = self.totals.get(pod.name).copied().unwrap_or(0);
            lines.push(format!("  {name:8}{member:8}{network:9}{count:>7}/s{all:>9}   {ways}"));
        }
        let Counts {
            requests,
            failed,
            posts_failed,
        } = self.counts;
        lines.push(format!(
            "  {requests} requests of client-1 in east, {failed} GET and {posts_failed} POST failed"
        ));
        lines
    }
}

/// From a line of the access log: the request's path, and where it was sent.
fn path_and_way(line: &str) -> Option<(String, String)> {
    let (_, request) = line.split_once(" web/")?;
    let (path, rest) = request.split_once('"')?;
    let (_, way) = rest.split_once(" upstream=")?;
    let (way, _) = way.split_once(' ')?;
    Some((format!("/{path}"), way.to_owned()))
}

/// The gateway of an address, or nothing where it is a pod's own.
pub(crate) fn gateway_at(way: &str) -> Option<&'static str> {
    let (address, _) = way.split_once(':')?;
    PODS.iter().find(|pod| pod.outside == Some(address)).map(|pod| pod.name)
}

/// In few words: lines must not be longer than a terminal is wide.
fn described(ways: &BTreeSet<&str>) -> String {
    let gateways: Vec<_> = ways.iter().filter_map(|way| gateway_at(way)).collect();
    if gateways.is_empty() {
        "direct".to_owned()
    } else {
        format!("through {}", gateways.join(", "))
    }
}
