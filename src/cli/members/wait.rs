//! Waiting for the control plane to do what was asked of it. What is awaited is judged by pure functions.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Failure;
use super::super::client::Server;
use super::manifests::secret_name;
use super::progress::Progress;
use crate::admin::proto as v1;

const INTERVAL: Duration = Duration::from_millis(200);

/// What an answer means to whoever waits.
#[derive(Debug, PartialEq)]
pub(super) enum Look<T> {
    /// It is as it should be.
    Done(T),
    /// Not yet, and why.
    Not(String),
}

/// Asks for the members until `judge` is content, and tells what it waits for whenever that changes.
pub(super) async fn members<T>(
    server: &Server,
    timeout: Duration,
    progress: &Progress,
    judge: impl Fn(&v1::ListMembersResponse) -> Look<T>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + timeout;
    let mut told = String::new();
    loop {
        let answer = server
            .answer(server.debug.clone().list_members(v1::ListMembersRequest {}))
            .await?;
        match judge(&answer) {
            Look::Done(value) => return Ok(value),
            Look::Not(why) => {
                if Instant::now() >= deadline {
                    return Err(Failure::NotInTime(why));
                }
                if why != told {
                    progress.begin(format!("  … {why}"));
                    told = why;
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// How often all proxies have to be seen in order: between a change and its becoming due for a proxy is a moment.
const SEEN: u32 = 3;

/// Asks for the proxies until each has accepted all that it was sent.
pub(super) async fn proxies(server: &Server, timeout: Duration, progress: &Progress) -> Result<usize, Failure> {
    let deadline = Instant::now() + timeout;
    let (mut seen, mut told) = (0, String::new());
    loop {
        let answer = server
            .answer(server.debug.clone().list_proxies(v1::ListProxiesRequest {}))
            .await?;
        match accepted(&answer) {
            Look::Done(count) => {
                seen += 1;
                if seen >= SEEN {
                    return Ok(count);
                }
            }
            Look::Not(why) => {
                seen = 0;
                if Instant::now() >= deadline {
                    return Err(Failure::NotInTime(why));
                }
                if why != told {
                    progress.begin(format!("  … {why}"));
                    told = why;
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// How many proxies there are, once none is behind or has refused anything.
fn accepted(answer: &v1::ListProxiesResponse) -> Look<usize> {
    let behind = |proxy: &&v1::Proxy| proxy.types.iter().any(|of_type| of_type.state != "Synced");
    let behind: Vec<_> = answer
        .proxies
        .iter()
        .filter(behind)
        .map(|proxy| proxy.id.as_str())
        .collect();
    match behind.as_slice() {
        [] => Look::Done(answer.proxies.len()),
        [one] => Look::Not(format!("1 proxy has not accepted its latest: {one}")),
        [first, more @ ..] => Look::Not(format!(
            "{} proxies have not accepted their latest: {first} and {} more",
            behind.len(),
            more.len()
        )),
    }
}

/// Nothing, once the member's endpoints count nothing.
pub(super) fn drained(answer: &v1::ListMembersResponse, name: &str) -> Look<()> {
    match answer.members.iter().find(|member| member.name == name) {
        Some(member) if member.weight > 0 => Look::Not(format!("{name} still counts {} %", member.weight)),
        // One that is gone has no traffic.
        _ => Look::Done(()),
    }
}

/// The member, once all of it is known, read with these credentials.
pub(super) fn synced(
    answer: &v1::ListMembersResponse,
    name: &str,
    credential: &str,
    place: &Place,
) -> Look<v1::Member> {
    if let Some(problem) = answer.problems.iter().find(|problem| place.has(problem)) {
        return Look::Not(problem.clone());
    }
    let Some(member) = answer.members.iter().find(|member| member.name == name) else {
        return Look::Not(format!("the control plane does not know {name} yet"));
    };
    if member.credential != credential {
        return Look::Not(format!("{name} is still read with other credentials"));
    }
    match (&*member.state, member.complete) {
        ("Synced", true) => Look::Done(member.clone()),
        (state, _) => Look::Not(format!("{name} is {}: {}", state.to_lowercase(), member.reason)),
    }
}

/// Nothing, once the member is not there any more.
pub(super) fn gone(answer: &v1::ListMembersResponse, name: &str) -> Look<()> {
    match answer.members.iter().any(|member| member.name == name) {
        true => Look::Not(format!("the control plane still has {name}")),
        false => Look::Done(()),
    }
}

/// Where a member is listed at home.
#[derive(Debug)]
pub(super) struct Place {
    subjects: [String; 2],
}

impl Place {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        let secret = secret_name(name);
        Self {
            subjects: [
                format!("Secret {namespace}/{secret}:"),
                format!("Member {namespace}/{name}:"),
            ],
        }
    }

    /// Whether a problem is about it.
    fn has(&self, problem: &str) -> bool {
        self.subjects.iter().any(|subject| problem.starts_with(subject))
    }
}

/// How the debug service tells credentials apart without showing them: the 64-bit XXH3 of the kubeconfig, in hexadecimal.
pub(super) fn credential(kubeconfig: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(kubeconfig.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(state: &str, complete: bool, credential: &str, problems: &[&str]) -> v1::ListMembersResponse {
        v1::ListMembersResponse {
            members: vec![v1::Member {
                name: "west".to_owned(),
                state: state.to_owned(),
                complete,
                credential: credential.to_owned(),
                reason: "refused".to_owned(),
                ..v1::Member::default()
            }],
            problems: problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn synced_is_with_the_new_credentials_only() {
        let look = |answer: &v1::ListMembersResponse, name| match synced(answer, name, "new", &Place::new("ns", "west"))
        {
            Look::Done(member) => format!("done: {}", member.name),
            Look::Not(why) => why,
        };
        assert_eq!(
            look(
                &answer("Synced", true, "new", &["Secret ns/istio-remote-secret-east: bad"]),
                "west"
            ),
            "done: west"
        );
        for (answer, name, says) in [
            (answer("Synced", true, "new", &[]), "east", "does not know east"),
            (answer("Synced", true, "old", &[]), "west", "other credentials"),
            (answer("Synced", false, "new", &[]), "west", "is synced"),
            (
                answer("Connecting", false, "new", &[]),
                "west",
                "west is connecting: refused",
            ),
            (
                answer(
                    "Synced",
                    true,
                    "old",
                    &["Secret ns/istio-remote-secret-west: stays in use"],
                ),
                "west",
                "stays in use",
            ),
        ] {
            assert!(look(&answer, name).contains(says), "{says}");
        }
        assert_eq!(gone(&answer("Stale", true, "", &[]), "east"), Look::Done(()));
        assert_ne!(gone(&answer("Stale", true, "", &[]), "west"), Look::Done(()));
    }

    #[test]
    fn a_member_is_drained_when_it_counts_nothing_and_every_proxy_has_accepted_that() {
        let mut members = answer("Synced", true, "", &[]);
        assert_eq!(drained(&members, "west"), Look::Done(()));
        members.members[0].weight = 100;
        assert_eq!(
            drained(&members, "west"),
            Look::Not("west still counts 100 %".to_owned())
        );
        assert_eq!(drained(&members, "east"), Look::Done(()));

        let proxy = |id: &str, states: &[&str]| v1::Proxy {
            id: id.to_owned(),
            types: Vec::from_iter(states.iter().map(|state| v1::ProxyType {
                state: (*state).to_owned(),
                ..v1::ProxyType::default()
            })),
            ..v1::Proxy::default()
        };
        let look = |proxies: &[v1::Proxy]| {
            accepted(&v1::ListProxiesResponse {
                proxies: proxies.to_vec(),
            })
        };
        let (good, late) = (proxy("a", &["Synced", "Synced"]), proxy("b", &["Synced", "Behind"]));
        assert_eq!(look(&[good.clone(), proxy("n", &[])]), Look::Done(2));
        assert_eq!(
            look(&[good, late.clone()]),
            Look::Not("1 proxy has not accepted its latest: b".to_owned())
        );
        assert!(matches!(look(&[late, proxy("c", &["Nack"])]), Look::Not(why) if why.contains("b and 1 more")));
    }

    #[test]
    fn credentials_are_told_apart_and_not_shown() {
        assert_eq!(credential("a").len(), 16);
        assert_ne!(credential("a"), credential("b"));
    }
}
