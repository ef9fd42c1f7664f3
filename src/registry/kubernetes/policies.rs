//! Policies of a member that are there and can't be read yet. Its sidecars wait: nobody can tell what their workloads let in, and
//! those that run keep what they have. Whatever else the member says is told to everybody meanwhile.

use std::time::Duration;

use futures::FutureExt;

use super::super::Problem;
use super::super::status::Topic;
use super::fold::Heard;
use super::listener::Listener;
use crate::table::{Kind, Policies, RegistryChange};

/// How long sidecars wait, once all else of their member is told. Then the strictest counts: what talks by mutual TLS goes on,
/// and whoever is new is served.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What one reader knows of policies, and said.
#[derive(Debug, Default)]
pub(super) struct Told {
    said: Option<Policies>,
    /// They were listed, or there are none.
    is_settled: bool,
    is_forbidden: bool,
}

impl Listener<'_> {
    /// The table is told of everything, whatever is not there yet of kinds that a member may lack.
    pub(super) fn begin_without_optional(&self) {
        if !self.is_settled(Kind::PeerAuthentication) {
            // Before all else, so that no sidecar is served in between.
            self.policies_are(Policies::Awaited);
        }
        for kind in Kind::OPTIONAL {
            self.hear(kind, Heard::Missing);
        }
        self.note_doubts();
    }

    /// Nobody waits for policies any longer.
    pub(super) fn wait_no_longer(&self) {
        if self.policies().said != Some(Policies::Awaited) {
            return;
        }
        self.policies_are(Policies::Unread);
        if self.policies().is_forbidden {
            // That is told already, with what helps.
            return;
        }
        let problem = Problem::new(
            format!("member {}", self.name()),
            "PeerAuthentication objects are there and can't be read. What was known of them counts; where nothing was, workloads ask \
             for mutual TLS (STRICT)",
            "see to that, or remove the kind",
        );
        self.status()
            .problems(Topic::Kind(Kind::PeerAuthentication), vec![problem]);
    }

    /// They may not be read. Who forbids it does not say that there are no policies, and an API server that has just begun
    /// forbids what it lets us read a moment later: it is as with those that can't be read for another reason.
    pub(super) fn forbidden(&self, kind: Kind) {
        if kind != Kind::PeerAuthentication {
            return;
        }
        let is_first = {
            let mut policies = self.policies();
            policies.is_forbidden = true;
            policies.said.is_none() && !policies.is_settled
        };
        if is_first {
            // Before the lists, so that no sidecar is served in between.
            self.policies_are(Policies::Awaited);
        }
    }

    /// A kind was listed, or is known to be missing.
    pub(super) fn settled(&self, kind: Kind) {
        if kind == Kind::PeerAuthentication {
            self.policies().is_settled = true;
            self.tell_policies();
        }
    }

    /// Said once by each reader, whatever the one before it said; after its lists, since without them nothing is known yet.
    pub(super) fn tell_policies(&self) {
        let is_news = {
            let policies = self.policies();
            policies.is_settled && policies.said != Some(Policies::Known)
        };
        if is_news && self.started().now_or_never().is_some() {
            self.policies_are(Policies::Known);
        }
    }

    fn policies_are(&self, policies: Policies) {
        self.policies().said = Some(policies);
        self.say(RegistryChange::Policies(policies));
    }
}
