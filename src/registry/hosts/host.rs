//! One host name: what is known of its addresses, and when to ask again. Pure: the time is handed in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::lifecycle::Backoff;
use crate::table::Resolved;

/// No answer counts for less than this, however short its time to live: a server with TTL 0 is not asked all the time.
const SHORTEST: Duration = Duration::from_secs(5);
/// And none for longer: what moved must be found.
const LONGEST: Duration = Duration::from_secs(3600);
/// The same of answers that say that there is nothing.
const LONGEST_NOTHING: Duration = Duration::from_secs(60);
/// A name that had addresses must be said to have none for so long before that is believed: a zone that is being rewritten, or a
/// server that lost it, says the same as one that means it.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// After a failure it is asked again this soon at first, and at least this often.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);
/// What every wait is shortened by at most, so that many names do not come due together: this part of it.
const SPREAD: u32 = 8;
/// More addresses than these are cut off: no load balancer has so many.
const MOST_ADDRESSES: usize = 64;

/// What a question for the addresses of one family led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Addresses, and for how long they hold.
    Found(BTreeSet<IpAddr>, Duration),
    /// The server says that there are none, in which words, and for how long that holds.
    Nothing(&'static str, Option<Duration>),
    /// No answer, and why.
    Failed(String),
}

/// What is known of one name.
#[derive(Debug)]
pub(super) struct Host {
    v4: BTreeSet<IpAddr>,
    v6: BTreeSet<IpAddr>,
    /// Since when servers say that it has none at all.
    gone_since: Option<Instant>,
    /// When its addresses were last confirmed.
    pub(super) resolved_at: Option<SystemTime>,
    /// What is wrong, and since when.
    pub(super) problem: Option<(String, SystemTime)>,
    backoff: Backoff,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            v4: BTreeSet::new(),
            v6: BTreeSet::new(),
            gone_since: None,
            resolved_at: None,
            problem: None,
            backoff: Backoff::new(AGAIN, AGAIN_AT_MOST),
        }
    }

    /// What is known of it from before the start.
    pub(super) fn remembered(addresses: &[IpAddr], resolved_at: Option<SystemTime>) -> Self {
        let (v4, v6) = addresses.iter().partition(|address| address.is_ipv4());
        Self {
            v4,
            v6,
            resolved_at,
            ..Self::new()
        }
    }

    /// Its addresses, IPv4 first.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.v4.iter().chain(&self.v6).copied().take(MOST_ADDRESSES).collect()
    }

    /// What the table is told.
    pub(super) fn resolved(&self) -> Resolved {
        let addresses = self.addresses();
        if !addresses.is_empty() {
            return Resolved::Addresses(addresses);
        }
        let why = self
            .problem
            .as_ref()
            .map_or("it has none", |(problem, _)| problem.as_str());
        Resolved::Nothing(why.into())
    }

    /// Takes in what asking for both families led to; returns how long to wait before asking again.
    pub(super) fn answered(&mut self, v4: Outcome, v6: Outcome, now: Instant, wall: SystemTime) -> Duration {
        use Outcome::{Failed, Found, Nothing};
        let failure = match (&v4, &v6) {
            (Failed(why), _) | (_, Failed(why)) => Some(why.clone()),
            _ => None,
        };
        let ttl = [&v4, &v6].into_iter().filter_map(|outcome| match outcome {
            Found(_, ttl) => Some(*ttl),
            Nothing(_, ttl) => *ttl,
            Failed(_) => None,
        });
        let ttl = ttl.min().unwrap_or(SHORTEST);
        let had_some = !self.v4.is_empty() || !self.v6.is_empty();
        let found = matches!(v4, Found(..)) || matches!(v6, Found(..));
        let mut gone = None;
        if let (Nothing(why, _), Nothing(..)) = (&v4, &v6) {
            let since = *self.gone_since.get_or_insert(now);
            if now.duration_since(since) >= GONE_AFTER {
                (self.v4, self.v6) = (BTreeSet::new(), BTreeSet::new());
            }
            gone = Some(*why);
        } else if found {
            self.gone_since = None;
            // Where one family is answered, the other's "none" is credible too. A failure changes nothing.
            take(&mut self.v4, v4);
            take(&mut self.v6, v6);
            if failure.is_none() {
                self.resolved_at = Some(wall);
            }
        }
        let problem = failure.or_else(|| gone.map(str::to_owned));
        self.problem = problem.map(|problem| {
            let since = self.problem.as_ref().map_or(wall, |(_, since)| *since);
            (problem, since)
        });
        let has_some = !self.v4.is_empty() || !self.v6.is_empty();
        match (&self.problem, gone) {
            (None, _) => {
                self.backoff.reset();
                spread(ttl.clamp(SHORTEST, LONGEST))
            }
            // Whether it is true is to be found out soon.
            (Some(_), Some(_)) if has_some || had_some => spread(SHORTEST),
            (Some(_), Some(_)) => spread(ttl.clamp(SHORTEST, LONGEST_NOTHING)),
            (Some(_), None) => AGAIN / 2 + self.backoff.next_delay(),
        }
    }
}

fn take(family: &mut BTreeSet<IpAddr>, outcome: Outcome) {
    match outcome {
        Outcome::Found(addresses, _) => *family = addresses,
        Outcome::Nothing(..) => family.clear(),
        Outcome::Failed(_) => {}
    }
}

/// A little less than this, at random.
fn spread(wait: Duration) -> Duration {
    let most = wait / SPREAD;
    wait - Backoff::new(most, most).next_delay()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str], ttl: u64) -> Outcome {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        Outcome::Found(addresses.collect(), Duration::from_secs(ttl))
    }

    fn nothing() -> Outcome {
        Outcome::Nothing("there is no such name", None)
    }

    fn failed() -> Outcome {
        Outcome::Failed("no answer".to_owned())
    }

    fn shown(host: &Host) -> Vec<String> {
        host.addresses().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_answer_holds_for_its_time_to_live_within_bounds() {
        for (ttl, least, most) in [(0, 4, 5), (5, 4, 5), (60, 52, 60), (86_400, 3150, 3600)] {
            let mut host = Host::new();
            for _ in 0..50 {
                let wait = host.answered(found(&["192.0.2.1"], ttl), nothing(), Instant::now(), SystemTime::now());
                let within = Duration::from_secs(least)..=Duration::from_secs(most);
                assert!(within.contains(&wait), "{ttl}: {wait:?}");
            }
        }
    }

    #[test]
    fn the_last_good_answer_stays_while_servers_fail_and_shows_since_when() {
        let mut host = Host::new();
        let (now, wall) = (Instant::now(), SystemTime::now());
        host.answered(found(&["192.0.2.1"], 60), found(&["2001:db8::1"], 60), now, wall);
        assert_eq!(
            (shown(&host), host.problem.clone()),
            (vec!["192.0.2.1".into(), "2001:db8::1".into()], None)
        );
        let mut longest = Duration::ZERO;
        for round in 1..100 {
            let later = wall + Duration::from_secs(round * 60);
            longest = longest.max(host.answered(failed(), failed(), now, later));
            assert_eq!(shown(&host).len(), 2);
        }
        assert!(longest <= AGAIN_AT_MOST + AGAIN, "{longest:?}");
        assert_eq!(host.resolved_at, Some(wall));
        assert_eq!(
            host.problem,
            Some(("no answer".to_owned(), wall + Duration::from_secs(60)))
        );
        // One family answers: only that one changes.
        host.answered(found(&["192.0.2.9"], 60), failed(), now, wall);
        assert_eq!(shown(&host), ["192.0.2.9", "2001:db8::1"]);
        assert!(host.problem.is_some());
        host.answered(found(&["192.0.2.9"], 60), nothing(), now, wall);
        assert_eq!(shown(&host), ["192.0.2.9"]);
        assert_eq!(host.problem, None);
    }

    #[test]
    fn that_a_name_is_gone_is_believed_once_it_was_said_for_a_while() {
        let mut host = Host::new();
        let (now, wall) = (Instant::now(), SystemTime::now());
        host.answered(found(&["192.0.2.1"], 60), nothing(), now, wall);
        let at = |seconds| now + Duration::from_secs(seconds);
        let wait = host.answered(nothing(), nothing(), at(60), wall);
        assert!(wait <= SHORTEST, "asked again soon: {wait:?}");
        host.answered(failed(), nothing(), at(70), wall);
        host.answered(nothing(), nothing(), at(89), wall);
        assert_eq!(shown(&host), ["192.0.2.1"]);
        host.answered(nothing(), nothing(), at(90), wall);
        assert_eq!(host.resolved(), Resolved::Nothing("there is no such name".into()));
        // And it counts from anew after an answer.
        host.answered(found(&["192.0.2.2"], 60), nothing(), at(100), wall);
        host.answered(nothing(), nothing(), at(129), wall);
        assert_eq!(shown(&host), ["192.0.2.2"]);
    }

    #[test]
    fn what_is_known_from_before_stays_as_an_answer_would() {
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut host = Host::remembered(&addresses, Some(wall));
        assert_eq!(host.resolved(), Resolved::Addresses(addresses.to_vec()));
        host.answered(failed(), failed(), now, wall + Duration::from_secs(1));
        assert_eq!((host.addresses(), host.resolved_at), (addresses.to_vec(), Some(wall)));
        let wait = host.answered(nothing(), nothing(), now, wall);
        assert!(
            wait <= SHORTEST && shown(&host).len() == 2,
            "not believed at once: {wait:?}"
        );
        host.answered(found(&["192.0.2.7"], 60), nothing(), now, wall);
        assert_eq!(shown(&host), ["192.0.2.7"]);
    }

    #[test]
    fn a_name_never_resolved_says_why() {
        let mut host = Host::new();
        assert_eq!(host.resolved(), Resolved::Nothing("it has none".into()));
        host.answered(failed(), failed(), Instant::now(), SystemTime::now());
        assert_eq!(host.resolved(), Resolved::Nothing("no answer".into()));
        let many: Vec<_> = (0..200).map(|at| format!("10.0.0.{at}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        host.answered(found(&many, 1), nothing(), Instant::now(), SystemTime::now());
        assert_eq!(host.addresses().len(), MOST_ADDRESSES);
    }
}
