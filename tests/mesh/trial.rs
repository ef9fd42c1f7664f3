//! Requests that go on, about a hundred a second, and what came of each of them, from the first to the last.

use std::fmt::Write;

use tokio::time::Instant;

use super::harness::eventually;
use super::load::{Failure, Load, POSTING, Seen};
use super::mesh::DEADLINE;
use super::three::{Three, WEB};

/// How many requests are watched before what fails, and after it.
const BEFORE: u64 = 30;
pub(super) const AFTER: u64 = 150;

/// A world under load.
pub(super) struct Trial {
    pub(super) three: Three,
    pub(super) load: Load,
    count: Count,
}

/// What may become of requests that do something and are under way when whoever has them dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Posts {
    AllAnswered,
    /// Those that began before this moment, of which nobody can know whether they were done, are not repeated.
    UnderWayMayFail(Instant),
}

/// What came of the requests so far.
#[derive(Default)]
struct Count {
    report: String,
    /// How many of them the load sent.
    loaded: u64,
    /// How many were sent to find out who answers.
    looked: usize,
    failed: usize,
    /// POSTs that failed as they may.
    excused: usize,
}

impl Trial {
    /// From the first request on.
    pub(super) async fn of(three: Three) -> Self {
        let mut trial = Self {
            load: three.load("client-1").await,
            three,
            count: Count::default(),
        };
        trial.answered_by(&WEB).await;
        trial
    }

    /// Ends what went on since something was watched last: nothing may have failed there either.
    pub(super) async fn before(&mut self) {
        self.load.goes_on(BEFORE).await;
        self.note(Posts::AllAnswered, "between").await;
    }

    /// Ends to watch.
    pub(super) async fn after(&mut self, fault: &str) {
        self.after_with(Posts::AllAnswered, fault).await;
    }

    pub(super) async fn after_with(&mut self, posts: Posts, fault: &str) {
        self.load.goes_on(AFTER).await;
        self.note(posts, fault).await;
    }

    async fn note(&mut self, posts: Posts, what: &str) {
        let seen = self.load.take();
        self.count.note(&seen, posts, what, &self.three.mesh.log("client-1"));
    }

    /// Waits until just these pods answer; what is asked for that counts too.
    pub(super) async fn answered_by(&mut self, pods: &[&str]) {
        let web = self.three.web("east").await;
        for (answer, count) in self.three.mesh.answered_by("client-1", web, pods).await {
            self.count.looked += count;
            if !WEB.contains(&answer.as_str()) {
                self.count.failed += count;
                self.count.say(&format!("to find {pods:?}: {count} times {answer}"));
            }
        }
    }

    /// Ends it: nothing failed, and no request is missing in the count.
    pub(super) async fn end(self) {
        let Self { three, load, mut count } = self;
        let (seen, sent) = load.end();
        count.note(&seen, Posts::AllAnswered, "at the end", &three.mesh.log("client-1"));
        count.say(&format!(
            "in all: of {} requests and {} to see who answers {} failed, and {} POSTs that were under way",
            count.loaded, count.looked, count.failed, count.excused
        ));
        assert_eq!(count.loaded, sent, "{}", count.report);
        // The sidecar of the client never ended: its log has them all.
        let look = async || {
            let log = three.mesh.log("client-1");
            let logged = log.iter().filter(|line| line.contains("?wait=")).count();
            match u64::try_from(logged) == Ok(sent) {
                true => Ok(()),
                false => Err(format!("{logged} of {sent}")),
            }
        };
        let logged = eventually("every request to be in the log", DEADLINE, look).await;
        logged.unwrap_or_else(|late| panic!("{late:#}\n{}", count.report));
        assert_eq!(count.failed, 0, "{}", count.report);
        three.mesh.nobody_refused_anything();
    }
}

impl Count {
    fn note(&mut self, seen: &Seen, posts: Posts, what: &str, log: &[String]) {
        let may_fail = |failure: &&Failure| match posts {
            Posts::AllAnswered => false,
            Posts::UnderWayMayFail(until) => failure.began < until,
        };
        // Each of those who send them waits for its own.
        let excused = seen.failed_posts.iter().filter(may_fail).count().min(POSTING);
        let (asked, done) = (seen.failures.len(), seen.failed_posts.len());
        self.loaded += seen.requests;
        self.excused += excused;
        self.failed += asked + done - excused;
        self.say(&format!(
            "{what}: of {} requests {asked} that ask and {done} that do failed ({excused} as they may), the slowest took {:.1} s",
            seen.requests,
            seen.slowest.as_secs_f64()
        ));
        for Failure { path, reason, .. } in seen.failures.iter().chain(&seen.failed_posts).take(5) {
            let line = log.iter().find(|line| line.contains(path.as_str()));
            let line = line.map_or("not in the log", String::as_str);
            self.say(&format!("  {path}: {reason}\n    {line}"));
        }
    }

    fn say(&mut self, line: &str) {
        eprintln!("{line}");
        writeln!(self.report, "{line}").expect("it fits");
    }
}
