//! From the Secrets and `Member` objects of a namespace to the members they ask for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Attachment, MemberOptions, Problem, Reason, SecretText, Verdict};
use super::options::options;
use super::record::{MemberRecord, SecretRecord};
use crate::model::{ClusterId, NetworkId, ObjectName};

/// What the home cluster holds at present.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// Secrets with the label: each key is a member.
    pub(super) secrets: BTreeMap<ObjectName, SecretRecord>,
    /// Secrets that `Member` objects name, and that have no label.
    pub(super) named: BTreeMap<ObjectName, SecretRecord>,
    /// `Member` objects.
    pub(super) members: BTreeMap<ObjectName, MemberRecord>,
}

/// Where a member is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of a Secret.
    Secret,
    /// A `Member` object.
    Member(ObjectName),
}

/// A member that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) secret: ObjectName,
    pub(super) kubeconfig: SecretText,
    pub(super) options: MemberOptions,
}

impl Wanted {
    /// What a person has to look at.
    pub(super) fn subject(&self) -> String {
        match &self.place {
            Place::Secret => format!("Secret {}", self.secret),
            Place::Member(object) => format!("Member {object}"),
        }
    }
}

/// What the home cluster asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) members: BTreeMap<ClusterId, Wanted>,
    /// What is wrong with it, sorted.
    pub(super) problems: Vec<Problem>,
    /// Members that objects ask for and say too little of: one that is read already goes on as it was.
    pub(super) pending: BTreeSet<ClusterId>,
    /// What becomes of each `Member` object.
    pub(super) attachments: BTreeMap<ObjectName, Attachment>,
}

/// The members that are asked for. Of two with one name the older one has it; the other is shown, and takes over when the first
/// goes. A key of a Secret that a `Member` object refers to is that member, and no other.
pub(super) fn asked(home: &Home, defaults: &MemberOptions) -> Asked {
    let mut asked = Asked::default();
    let referred: BTreeSet<_> = home
        .members
        .iter()
        .filter_map(|(name, member)| home.key(name, member))
        .collect();
    let mut claims = Vec::new();
    for (name, member) in &home.members {
        claims.push((member.created.unwrap_or(i64::MAX), Claim::Member(name, member)));
    }
    for (name, secret) in &home.secrets {
        let network = asked.network(name, secret);
        for (key, kubeconfig) in &secret.data {
            if !referred.contains(&(name.clone(), key.as_str())) {
                let claim = Claim::Key(name, key, kubeconfig.as_ref(), network.clone());
                claims.push((secret.created.unwrap_or(i64::MAX), claim));
            }
        }
    }
    // Stable: of equal age `Member` objects come first, then all by name.
    claims.sort_by_key(|(created, _)| *created);
    for (_, claim) in claims {
        match claim {
            Claim::Member(name, member) => asked.member(home, name, member, defaults),
            Claim::Key(name, key, kubeconfig, network) => asked.key(name, key, kubeconfig, network, defaults),
        }
    }
    asked.problems.sort();
    asked
}

enum Claim<'a> {
    Member(&'a ObjectName, &'a MemberRecord),
    Key(&'a ObjectName, &'a str, Option<&'a SecretText>, Option<NetworkId>),
}

impl Home {
    /// The Secret that a `Member` object names.
    pub(super) fn secret_of(name: &ObjectName, member: &MemberRecord) -> Option<ObjectName> {
        let spec = member.spec.as_ref().ok()?;
        Some(ObjectName::new(&name.namespace, &spec.secret_ref.name))
    }

    fn secret(&self, name: &ObjectName) -> Option<&SecretRecord> {
        self.secrets.get(name).or_else(|| self.named.get(name))
    }

    /// The key that a `Member` object refers to, where there is one.
    fn key(&self, name: &ObjectName, member: &MemberRecord) -> Option<(ObjectName, &str)> {
        let secret_name = Self::secret_of(name, member)?;
        let data = &self.secret(&secret_name)?.data;
        let asked = member.spec.as_ref().ok()?.secret_ref.key.as_deref();
        let has = |key: &str| data.get_key_value(key).map(|(key, _)| key.as_str());
        let key = match asked {
            Some(key) => has(key),
            None => has(&name.name).or_else(|| has("kubeconfig")).or_else(|| {
                let only = data.keys().next();
                only.filter(|_| data.len() == 1).map(String::as_str)
            }),
        };
        Some((secret_name, key?))
    }
}

impl Asked {
    fn say(&mut self, subject: String, problem: impl Into<String>, remedy: &str) {
        self.problems.push(Problem::new(subject, problem, remedy));
    }

    /// Where a Secret places its members; said once for all of them.
    fn network(&mut self, name: &ObjectName, secret: &SecretRecord) -> Option<NetworkId> {
        if secret.data.is_empty() {
            self.say(
                format!("Secret {name}"),
                "it has no data",
                "add a key for each member, with the member's kubeconfig as value",
            );
        }
        let network = secret.network.as_deref().map(NetworkId::new).transpose();
        network.unwrap_or_else(|error| {
            self.say(
                format!("Secret {name}"),
                format!("{error}; its members are placed by their own labels"),
                "correct topology.istio.io/network",
            );
            None
        })
    }

    fn key(
        &mut self,
        name: &ObjectName,
        key: &str,
        kubeconfig: Option<&SecretText>,
        network: Option<NetworkId>,
        defaults: &MemberOptions,
    ) {
        let subject = format!("Secret {name}");
        let member = match ClusterId::new(key) {
            Ok(member) => member,
            Err(error) => {
                return self.say(
                    subject,
                    format!("{error}; the key is passed over"),
                    "name the key as the member",
                );
            }
        };
        let Some(kubeconfig) = kubeconfig else {
            return self.say(
                subject,
                format!("the value of {key} is no text"),
                "put the member's kubeconfig there",
            );
        };
        if let Some(first) = self.members.get(&member).map(Wanted::subject) {
            self.mark_conflict(&member, &subject);
            return self.say(
                subject,
                format!("member {member} is already in the older {first}, which counts"),
                "remove one of both",
            );
        }
        let wanted = Wanted {
            place: Place::Secret,
            secret: name.clone(),
            kubeconfig: kubeconfig.clone(),
            options: MemberOptions {
                network: network.or_else(|| defaults.network.clone()),
                ..defaults.clone()
            },
        };
        self.members.insert(member, wanted);
    }

    fn member(&mut self, home: &Home, name: &ObjectName, record: &MemberRecord, defaults: &MemberOptions) {
        let wanted = self.wanted_by(home, name, record, defaults);
        let (member, accepted) = match wanted {
            Ok((member, wanted)) => {
                self.members.insert(member.clone(), wanted);
                (Some(member), Verdict::yes(Reason::Accepted, "it is read as it says"))
            }
            Err((reason, problem, remedy)) => {
                self.say(format!("Member {name}"), problem.clone(), remedy);
                if reason != Reason::NameConflict {
                    self.pending.extend(ClusterId::new(&name.name));
                }
                (None, Verdict::no(reason, format!("{problem}; {remedy}")))
            }
        };
        let credentials = match accepted.reason {
            Reason::SecretNotFound | Reason::SecretKeyNotFound | Reason::SecretNotText => accepted.clone(),
            _ if member.is_none() => Verdict::unknown(Reason::NotRead, "this object is not read"),
            _ => Verdict::unknown(Reason::NotTried, "they are not tried yet"),
        };
        let attachment = Attachment {
            object: name.clone(),
            uid: record.uid.clone(),
            generation: record.generation,
            member,
            accepted,
            credentials,
        };
        self.attachments.insert(name.clone(), attachment);
    }

    /// The member that an object asks for, or the reason, problem and remedy where it can't be had.
    fn wanted_by(
        &mut self,
        home: &Home,
        name: &ObjectName,
        record: &MemberRecord,
        defaults: &MemberOptions,
    ) -> Result<(ClusterId, Wanted), (Reason, String, &'static str)> {
        let member = ClusterId::new(&name.name).map_err(|error| {
            let remedy = "give the object a name that proxies can say as their cluster id";
            (Reason::InvalidName, error.to_string(), remedy)
        })?;
        let spec = record.spec.as_ref().map_err(|error| {
            let problem = format!("its spec can't be read: {error}");
            (Reason::InvalidSpec, problem, "correct the spec")
        })?;
        if let Some(first) = self.members.get(&member).map(Wanted::subject) {
            self.mark_conflict(&member, &format!("Member {name}"));
            let problem = format!("member {member} is already in the older {first}, which counts");
            return Err((Reason::NameConflict, problem, "remove one of both"));
        }
        let mut options = options(spec, defaults).map_err(|error| (Reason::InvalidSpec, error, "correct the spec"))?;
        let secret_name = ObjectName::new(&name.namespace, &spec.secret_ref.name);
        let Some(secret) = home.secret(&secret_name) else {
            let problem = format!("the Secret {secret_name} that it names does not exist");
            let remedy = "make it, or name another; it is picked up as soon as it is there";
            return Err((Reason::SecretNotFound, problem, remedy));
        };
        let Some((_, key)) = home.key(name, record) else {
            let problem = match &spec.secret_ref.key {
                Some(key) => format!("the Secret {secret_name} has no key {key}"),
                None => format!("the Secret {secret_name} has neither a key {member} nor kubeconfig nor just one"),
            };
            let remedy = "say in spec.secretRef.key which key holds the kubeconfig";
            return Err((Reason::SecretKeyNotFound, problem, remedy));
        };
        let Some(kubeconfig) = secret.data.get(key).cloned().flatten() else {
            let problem = format!("the value of {key} in the Secret {secret_name} is no text");
            return Err((Reason::SecretNotText, problem, "put the member's kubeconfig there"));
        };
        if spec.network.is_none() {
            let network = secret
                .network
                .as_deref()
                .and_then(|network| NetworkId::new(network).ok());
            options.network = network.or(options.network);
        }
        let wanted = Wanted {
            place: Place::Member(name.clone()),
            secret: secret_name,
            kubeconfig,
            options,
        };
        Ok((member, wanted))
    }

    /// A conflict is shown at both.
    fn mark_conflict(&mut self, member: &ClusterId, other: &str) {
        let first = self.members.get(member).map(|wanted| wanted.place.clone());
        if let Some(Place::Member(object)) = first
            && let Some(attachment) = self.attachments.get_mut(&object)
        {
            attachment.accepted = Verdict::yes(
                Reason::AcceptedBeforeOthers,
                format!(
                    "it is read as it says; the younger {other} has the same member and is not read; remove one of both"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;
