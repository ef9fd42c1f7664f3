//! What a workload of a member asks of who connects to it: the mesh's mode, unless `PeerAuthentication` objects of its own member say
//! otherwise. They are read as Istio reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{PeerAuthenticationRecord, PeerMode, selects};
use super::member::Member;
use super::record::{Labels, Policies};
use super::settings::TableSettings;
use super::{EndpointTable, lock};
use crate::model::{InboundPolicy, MtlsMode, ObjectName, Role, Viewer};

/// What decides where no policy does.
const SETTINGS_SAY: &str = "settings (traffic.mtls)";
/// The same where nobody knows whether one does.
const NOBODY_SAYS: &str = "nothing: PeerAuthentication objects can't be read, so the strictest counts";

/// What the workloads of one namespace go by.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Where no policy selects a workload.
    mode: MtlsMode,
    /// What says so; the settings where nothing does.
    by: Option<&'a ObjectName>,
    /// Policies that select workloads, in the order in which they count.
    selecting: Vec<&'a PeerAuthenticationRecord>,
}

/// What counts for one workload.
struct Verdict<'a> {
    mode: MtlsMode,
    by: Option<&'a ObjectName>,
    ports: BTreeMap<u16, MtlsMode>,
    ports_by: Option<&'a ObjectName>,
}

impl<'a> Rules<'a> {
    /// Of a namespace: the whole mesh's policy is in the root namespace, the namespace's own comes before it, and one that selects
    /// a workload before both. Of several the oldest counts, even where it says nothing.
    fn of(
        policies: &'a BTreeMap<ObjectName, Arc<PeerAuthenticationRecord>>,
        namespace: &str,
        settings: &TableSettings,
    ) -> Self {
        let mut rules = Self {
            mode: settings.mtls,
            by: None,
            selecting: Vec::new(),
        };
        if policies.is_empty() {
            return rules;
        }
        let root = &*settings.system_namespace;
        let of = |namespace: &str| {
            let from = policies.range(ObjectName::new(namespace, "")..);
            let all = from.map(|(_, policy)| &**policy);
            let mut all: Vec<_> = all.take_while(|policy| *policy.name.namespace == *namespace).collect();
            all.sort_by_key(|policy| (policy.created.unwrap_or(i64::MAX), &policy.name));
            all
        };
        rules.take(&of(root));
        if *namespace != *root {
            let own = of(namespace);
            rules.take(&own);
            // Those of the root namespace select nothing.
            rules.selecting = own.into_iter().filter(|policy| policy.selector.is_some()).collect();
        }
        rules
    }

    /// Takes the word of the policies of one namespace on all of it.
    fn take(&mut self, policies: &[&'a PeerAuthenticationRecord]) {
        let on_all = policies.iter().find(|policy| policy.selector.is_none());
        if let Some(policy) = on_all
            && let Some(mode) = mode(policy.mode)
        {
            (self.mode, self.by) = (mode, Some(&policy.name));
        }
    }

    /// Of a workload that is not known nobody can tell what selects it: then whatever asks for mutual TLS may, and nothing that
    /// asks for less.
    fn strictest(&self) -> Verdict<'a> {
        let all = || self.selecting.iter().copied();
        let is_strict = |(_, of_port): &&(u16, PeerMode)| *of_port == PeerMode::Strict;
        let (mode, by) = match all().find(|policy| policy.mode == PeerMode::Strict) {
            Some(policy) => (MtlsMode::Strict, Some(&policy.name)),
            None => (self.mode, self.by),
        };
        let ports = all().flat_map(|policy| policy.ports.iter().filter(is_strict));
        let of_ports = all().find(|policy| policy.ports.iter().any(|port| is_strict(&port)));
        Verdict {
            mode,
            by,
            ports: ports.map(|(port, _)| (*port, MtlsMode::Strict)).collect(),
            ports_by: of_ports.map(|policy| &policy.name),
        }
    }

    /// Of a workload with these labels; none where it is not known.
    fn on(&self, labels: Option<&Labels>) -> Verdict<'a> {
        let Some(labels) = labels else {
            return self.strictest();
        };
        let selected = self.selecting.iter().copied().find(|policy| {
            let selector = policy.selector.as_ref();
            selector.is_some_and(|selector| selects(selector, labels))
        });
        let mut verdict = Verdict {
            mode: self.mode,
            by: self.by,
            ports: BTreeMap::new(),
            ports_by: None,
        };
        let Some(policy) = selected else { return verdict };
        if let Some(mode) = mode(policy.mode) {
            (verdict.mode, verdict.by) = (mode, Some(&policy.name));
        }
        let ports = policy.ports.iter();
        verdict.ports = ports
            .map(|(port, of_port)| (*port, mode(*of_port).unwrap_or(verdict.mode)))
            .collect();
        if !verdict.ports.is_empty() {
            verdict.ports_by = Some(&policy.name);
        }
        verdict
    }

    /// Whether a port of a workload speaks mutual TLS, if its sidecar can.
    pub(super) fn speaks_mtls(&self, labels: Option<&Labels>, port: u16) -> bool {
        if self.selecting.is_empty() {
            return self.mode != MtlsMode::Disable;
        }
        let verdict = self.on(labels);
        *verdict.ports.get(&port).unwrap_or(&verdict.mode) != MtlsMode::Disable
    }
}

fn mode(said: PeerMode) -> Option<MtlsMode> {
    match said {
        PeerMode::Unset => None,
        PeerMode::Disable => Some(MtlsMode::Disable),
        PeerMode::Permissive => Some(MtlsMode::Permissive),
        PeerMode::Strict => Some(MtlsMode::Strict),
    }
}

impl Member {
    /// What workloads of a namespace go by.
    pub(super) fn rules(&self, namespace: &str, settings: &TableSettings) -> Rules<'_> {
        let mut rules = Rules::of(&self.entries.policies, namespace, settings);
        if self.is_guessed(settings) {
            rules.mode = MtlsMode::Strict;
        }
        rules
    }

    /// Whether it is not known what policies ask, and that may be more than the settings do. A mesh whose settings are without
    /// mutual TLS has nobody who could show a certificate.
    fn is_guessed(&self, settings: &TableSettings) -> bool {
        self.policies() != Policies::Known && settings.mtls == MtlsMode::Permissive
    }

    /// Whether it can be told what its workloads ask of who connects.
    pub(super) fn tells_inbound(&self) -> bool {
        self.is_complete() && self.policies() != Policies::Awaited
    }

    /// What the workload of a viewer in this member asks, known or not, and what says so.
    pub(super) fn inbound(&self, viewer: &Viewer, settings: &TableSettings) -> (InboundPolicy, String) {
        let name = viewer.workload().map(|workload| workload.pod);
        let pod = name.as_ref().and_then(|name| self.pods.pod(&name.into()));
        let entry = || Some(&self.entries.workloads.get(name.as_ref()?)?.workload.labels);
        let labels = pod.map(|pod| &pod.traits.labels).or_else(entry);
        let rules = self.rules(&viewer.namespace, settings);
        let verdict = rules.on(labels);
        let mut says = match verdict.by {
            Some(policy) => format!("PeerAuthentication {policy}"),
            None if self.is_guessed(settings) => NOBODY_SAYS.to_owned(),
            None => SETTINGS_SAY.to_owned(),
        };
        if let Some(policy) = verdict.ports_by
            && verdict.by != verdict.ports_by
        {
            says += &format!(", of ports PeerAuthentication {policy}");
        }
        let probes = pod.into_iter().flat_map(|pod| &pod.traits.probes);
        (InboundPolicy::new(verdict.mode, verdict.ports, probes), says)
    }
}

impl EndpointTable {
    /// What the workload of a viewer asks of who connects, and what says so; of sidecars in members that are known.
    #[must_use]
    pub fn inbound(&self, viewer: &Viewer) -> Option<(InboundPolicy, String)> {
        let settings = self.settings.load();
        let member = Arc::clone(self.members.get(viewer.member.as_ref()?)?.value());
        (viewer.role == Role::Sidecar).then(|| lock(&member).inbound(viewer, &settings))
    }
}
