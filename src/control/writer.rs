//! Writes statuses while it is this process's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::election::{LOOK, RENEW, WRITE};
use super::lease::LeaseHolder;
use super::metrics::ControlMetrics;
use super::status::{Known, Urgency, status, urgency};
use crate::crd::{self, MemberResourceStatus};
use crate::model::{ClusterId, ObjectName};
use crate::registry::{Attachment, MemberReport, MemberState, Members, member_resource};
use crate::table::EndpointTable;

/// How often it is looked for something to write.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Numbers are written this often at most, and when something was last heard this often.
const NUMBERS: Duration = Duration::from_secs(10);
const EVENTS: Duration = Duration::from_secs(60);
/// A status that can't be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// The name that fields of the status are owned by.
const OWNER: &str = "parallax";
/// So many failures in a row, and the connection is made anew.
const FAILURES: u32 = 8;

/// What was written of one object.
struct Written {
    uid: String,
    status: Option<MemberResourceStatus>,
    at: Instant,
    /// Not before this, after a failure.
    not_before: Instant,
}

/// How many endpoints each member has. Counting them is a walk over all services, so it is done no more often than numbers are
/// written, but for the moments that everybody looks at: when a member is synced, or is not any more.
struct Counted {
    at: Instant,
    synced: BTreeSet<ClusterId>,
    endpoints: BTreeMap<ClusterId, u64>,
}

pub(super) struct Writer {
    client: Client,
    namespace: String,
    members: Members,
    table: Arc<EndpointTable>,
    metrics: ControlMetrics,
    written: BTreeMap<ObjectName, Written>,
    counted: Option<Counted>,
    /// Failures in a row, and the last words on them.
    failures: u32,
    said: String,
}

impl Writer {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        members: Members,
        table: Arc<EndpointTable>,
        metrics: ControlMetrics,
    ) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            members,
            table,
            metrics,
            written: BTreeMap::new(),
            counted: None,
            failures: 0,
            said: String::new(),
        }
    }

    /// Holds the Lease and writes, until cancelled or until a new connection is needed.
    pub(super) async fn run(mut self, mut holder: LeaseHolder, cancel: &CancellationToken) -> ControlFlow<()> {
        let mut attended: Option<Instant> = None;
        let mut held = false;
        while self.failures < FAILURES {
            let due = if holder.may_write() { RENEW } else { LOOK };
            if attended.is_none_or(|attended| attended.elapsed() >= due) {
                attended = Some(Instant::now());
                match holder.attend().await {
                    Ok(()) => self.succeeded(),
                    Err(error) => self.failed("the Lease", &error),
                }
            }
            let may_write = holder.may_write();
            self.metrics.holding.set(i64::from(may_write));
            if may_write {
                // Somebody else may have written meanwhile.
                held = (held || self.read().await) && self.write(&holder).await;
            } else {
                held = false;
            }
            if cancel.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
                holder.release().await;
                self.metrics.holding.set(0);
                return ControlFlow::Break(());
            }
        }
        self.metrics.holding.set(0);
        ControlFlow::Continue(())
    }

    /// Reads what statuses there are.
    async fn read(&mut self) -> bool {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &member_resource());
        let objects = match within(api.list(&ListParams::default())).await {
            Ok(objects) => objects,
            Err(error) => {
                self.failed("the list of Members", &error);
                return false;
            }
        };
        let now = Instant::now();
        self.written = objects
            .into_iter()
            .filter_map(|object| {
                let name = ObjectName::new(
                    object.metadata.namespace.as_deref().unwrap_or_default(),
                    object.metadata.name.as_deref()?,
                );
                let status = object.data.get("status").cloned();
                let written = Written {
                    uid: object.metadata.uid.unwrap_or_default(),
                    status: status.and_then(|status| serde_json::from_value(status).ok()),
                    at: now,
                    not_before: now,
                };
                Some((name, written))
            })
            .collect();
        true
    }

    /// Writes what is due; false once it is not our turn any more.
    async fn write(&mut self, holder: &LeaseHolder) -> bool {
        let attachments = self.members.attachments();
        self.written
            .retain(|name, _| attachments.iter().any(|attachment| attachment.object == *name));
        let read = attachments.iter().filter_map(|attachment| attachment.member.as_ref());
        let reports: BTreeMap<_, _> = read
            .filter_map(|member| Some((member.clone(), self.members.get(member)?)))
            .collect();
        self.count(&reports);
        let summaries: BTreeMap<_, _> = self
            .table
            .members()
            .into_iter()
            .map(|summary| (summary.name, summary.network))
            .collect();
        for attachment in &attachments {
            let member = attachment.member.as_ref();
            let endpoints = self.counted.as_ref().map(|counted| &counted.endpoints);
            let known = Known {
                attachment,
                report: member.and_then(|member| reports.get(member)),
                network: member.and_then(|member| summaries.get(member)),
                endpoints: member.and_then(|member| endpoints?.get(member)).copied().unwrap_or(0),
            };
            if let Some(status) = self.due(known) {
                if !holder.may_write() {
                    return false;
                }
                self.put(attachment, status).await;
            }
        }
        true
    }

    fn count(&mut self, reports: &BTreeMap<ClusterId, MemberReport>) {
        let synced = reports.iter().filter(|(_, report)| report.state == MemberState::Synced);
        let synced: BTreeSet<_> = synced.map(|(name, _)| name.clone()).collect();
        let holds = |counted: &Counted| counted.at.elapsed() < NUMBERS && counted.synced == synced;
        if !self.counted.as_ref().is_some_and(holds) {
            self.counted = Some(Counted {
                at: Instant::now(),
                synced,
                endpoints: endpoints_by_member(&self.table),
            });
        }
    }

    /// The status to write now, if any.
    fn due(&self, known: Known<'_>) -> Option<MemberResourceStatus> {
        let written = self.written.get(&known.attachment.object);
        let written = written.filter(|written| written.uid == known.attachment.uid);
        let before = written.and_then(|written| written.status.as_ref());
        let status = status(known, before, SystemTime::now());
        let rest = match before.map_or(Urgency::Conditions, |before| urgency(before, &status)) {
            Urgency::None => return None,
            Urgency::Events => EVENTS,
            Urgency::Counts => NUMBERS,
            Urgency::Conditions => Duration::ZERO,
        };
        let due = written.is_none_or(|written| written.at.elapsed() >= rest && written.not_before <= Instant::now());
        due.then_some(status)
    }

    async fn put(&mut self, attachment: &Attachment, status: MemberResourceStatus) {
        let name = &attachment.object;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &name.namespace, &member_resource());
        let patch = json!({
            "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION), "kind": crd::MEMBER_KIND,
            // Another object of this name is another member's.
            "metadata": {"name": &*name.name, "uid": attachment.uid},
            "status": status,
        });
        let params = PatchParams::apply(OWNER).force();
        let result = within(api.patch_status(&name.name, &params, &Patch::Apply(&patch))).await;
        let now = Instant::now();
        let mut written = Written {
            uid: attachment.uid.clone(),
            status: None,
            at: now,
            not_before: now,
        };
        match result {
            Ok(_) => {
                self.succeeded();
                self.metrics.writes.inc();
                written.status = Some(status);
            }
            // It is gone, or another one, which is told here soon.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => written.not_before = now + AGAIN,
            Err(error) => {
                self.failed(&format!("the status of Member {name}"), &error);
                written.not_before = now + AGAIN;
            }
        }
        self.written.insert(name.clone(), written);
    }

    fn succeeded(&mut self) {
        self.failures = 0;
    }

    fn failed(&mut self, what: &str, error: &kube::Error) {
        self.metrics.failures.inc();
        self.failures += 1;
        let said = format!("{what} can't be read or written: {error}");
        if said != self.said {
            tracing::warn!("{said}; allow this account get, create and update of leases, and patch of members/status");
            self.said = said;
        }
    }
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match timeout(WRITE, request).await {
        Ok(answer) => answer,
        Err(late) => Err(kube::Error::Service(Box::new(late))),
    }
}

fn endpoints_by_member(table: &EndpointTable) -> BTreeMap<ClusterId, u64> {
    let mut counts = BTreeMap::new();
    for service in table.services() {
        for (key, group) in service.ports.iter().flat_map(|port| port.groups()) {
            let held = u64::try_from(group.endpoints().len()).unwrap_or(u64::MAX);
            *counts.entry(key.member.clone()).or_default() += held;
        }
    }
    counts
}
