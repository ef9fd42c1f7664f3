//! From the Secrets of a namespace to the members they ask for. Pure.

use std::collections::BTreeMap;

use super::super::{Problem, SecretText};
use crate::model::{ClusterId, NetworkId, ObjectName};

/// What is kept of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretRecord {
    /// Seconds since the epoch.
    pub(super) created: Option<i64>,
    /// Its annotation or label `topology.istio.io/network`.
    pub(super) network: Option<String>,
    /// Each key names a member; the value is its kubeconfig, `None` where it is no text.
    pub(super) data: BTreeMap<String, Option<SecretText>>,
}

/// A member that a Secret asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) secret: ObjectName,
    pub(super) kubeconfig: SecretText,
    pub(super) network: Option<NetworkId>,
}

/// The members that Secrets ask for, and what is wrong with them. Of two Secrets with one key the older one has the member; the
/// other is shown, and takes over when the first goes.
pub(super) fn wanted(secrets: &BTreeMap<ObjectName, SecretRecord>) -> (BTreeMap<ClusterId, Wanted>, Vec<Problem>) {
    let mut in_order: Vec<_> = secrets.iter().collect();
    in_order.sort_by_key(|(name, secret)| (secret.created.unwrap_or(i64::MAX), *name));
    let mut members: BTreeMap<ClusterId, Wanted> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, secret) in in_order {
        let mut say =
            |problem: String, remedy: &str| problems.push(Problem::new(format!("Secret {name}"), problem, remedy));
        if secret.data.is_empty() {
            say(
                "it has no data".to_owned(),
                "add a key for each member, with the member's kubeconfig as value",
            );
        }
        let network = secret.network.as_deref().map(NetworkId::new).transpose();
        let network = network.unwrap_or_else(|error| {
            say(
                format!("{error}; its members are placed by their own labels"),
                "correct topology.istio.io/network",
            );
            None
        });
        for (key, kubeconfig) in &secret.data {
            let member = match ClusterId::new(key) {
                Ok(member) => member,
                Err(error) => {
                    say(format!("{error}; the key is passed over"), "name the key as the member");
                    continue;
                }
            };
            let Some(kubeconfig) = kubeconfig else {
                say(
                    format!("the value of {key} is no text"),
                    "put the member's kubeconfig there",
                );
                continue;
            };
            if let Some(first) = members.get(&member) {
                let first = &first.secret;
                say(
                    format!("member {member} is already in the older Secret {first}, which counts"),
                    "remove one of both",
                );
                continue;
            }
            let wanted = Wanted {
                secret: name.clone(),
                kubeconfig: kubeconfig.clone(),
                network: network.clone(),
            };
            members.insert(member, wanted);
        }
    }
    problems.sort();
    (members, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(created: i64, keys: &[&str]) -> SecretRecord {
        let data = keys
            .iter()
            .map(|key| ((*key).to_owned(), Some(SecretText::new("kubeconfig"))));
        SecretRecord {
            created: Some(created),
            network: None,
            data: data.collect(),
        }
    }

    fn shown(secrets: &[(&str, SecretRecord)]) -> (Vec<String>, Vec<String>) {
        let secrets = secrets
            .iter()
            .map(|(name, secret)| (ObjectName::new("istio-system", name), secret.clone()));
        let (members, problems) = wanted(&secrets.collect());
        let members = members
            .iter()
            .map(|(name, wanted)| format!("{name} from {}", wanted.secret.name));
        (members.collect(), problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_key_is_a_member_and_the_older_secret_wins() {
        let (members, problems) = shown(&[
            ("a", secret(9, &["east", "west"])),
            ("b", secret(1, &["east", "north"])),
        ]);
        assert_eq!(members, ["east from b", "north from b", "west from a"]);
        assert_eq!(
            problems,
            [
                "Secret istio-system/a: member east is already in the older Secret istio-system/b, which counts; \
              remove one of both"
            ]
        );
        let (members, problems) = shown(&[("a", secret(9, &["east", "west"]))]);
        assert_eq!(
            (members.len(), problems.len()),
            (2, 0),
            "the other takes over when the first goes"
        );
    }

    #[test]
    fn what_is_wrong_is_said_and_hurts_only_itself() {
        let mut bad = secret(1, &["east", "no/label"]);
        bad.data.insert("binary".to_owned(), None);
        bad.network = Some("not a label".to_owned());
        let (members, problems) = shown(&[("bad", bad), ("empty", secret(2, &[])), ("good", secret(3, &["west"]))]);
        assert_eq!(members, ["east from bad", "west from good"]);
        for (problem, said) in problems
            .iter()
            .zip(["no/label", "not a label", "binary is no text", "no data"])
        {
            assert!(problem.contains(said), "{problems:#?}");
        }
        assert_eq!(problems.len(), 4);
    }
}
