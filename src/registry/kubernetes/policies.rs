//! Policies of a member that are there and can't be read yet. Its sidecars wait: nobody can tell what their workloads let in, and
//! those that run keep what they have. Whatever else the member says is told to everybody meanwhile.

use std::time::Duration;

use super::super::Problem;
use super::super::status::Topic;
use super::fold::Heard;
use super::listener::Listener;
use crate::table::{Kind, Policies, RegistryChange};

/// How long sidecars wait, once all else of their member is told. Then the strictest counts: what talks by mutual TLS goes on,
/// and whoever is new is served.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

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
        if *self.policies() != Some(Policies::Awaited) {
            return;
        }
        self.policies_are(Policies::Unread);
        if self.policies_settled().1 {
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
    pub(super) fn policies_are_forbidden(&self) {
        if !self.policies_settled().0 && self.policies().is_none() {
            // Before the lists, so that no sidecar is served in between.
            self.policies_are(Policies::Awaited);
        }
    }

    /// A kind was listed, or is known to be missing.
    pub(super) fn settled(&self, kind: Kind) {
        if kind == Kind::PeerAuthentication && self.policies_settle() {
            self.policies_are_known();
        }
    }

    /// Said once by each reader, whatever the one before it said; after its lists, since without them nothing is known yet.
    pub(super) fn policies_are_known(&self) {
        if *self.policies() != Some(Policies::Known) {
            self.policies_are(Policies::Known);
        }
    }

    fn policies_are(&self, policies: Policies) {
        let mut told = self.policies();
        *told = Some(policies);
        self.say(RegistryChange::Policies(policies));
    }
}
