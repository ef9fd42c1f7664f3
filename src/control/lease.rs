//! The Lease in the API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use super::election::{Held, LASTS, Step, WRITE, may_write, step};

/// The name of the Lease.
const NAME: &str = "parallax-control";

/// Takes, renews and gives back the Lease for one process.
pub(super) struct LeaseHolder {
    api: Api<Lease>,
    me: String,
    /// What was seen last, and since when it is so.
    seen: Option<(Lease, Instant)>,
    /// When the last renewal began that succeeded; `None` while it is not ours.
    renewed: Option<Instant>,
}

impl LeaseHolder {
    pub(super) fn new(client: Client, namespace: &str, me: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            me: me.to_owned(),
            seen: None,
            renewed: None,
        }
    }

    /// Whether this process may write now.
    pub(super) fn may_write(&self) -> bool {
        self.renewed.is_some_and(|renewed| may_write(renewed.elapsed()))
    }

    /// Looks at the Lease and does what is due: takes, renews, or leaves it to others.
    pub(super) async fn attend(&mut self) -> Result<(), kube::Error> {
        let lease = self.within(self.api.get_opt(NAME)).await?;
        let unchanged = self.see(lease.as_ref());
        let began = Instant::now();
        let held = lease.as_ref().map(held);
        let written = match step(&self.me, held.as_ref(), unchanged) {
            Step::Wait => {
                self.renewed = None;
                return Ok(());
            }
            Step::Make => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(NAME.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(self.spec(0, None)),
                };
                self.within(self.api.create(&PostParams::default(), &lease)).await
            }
            Step::Renew => self.replace(lease, None).await,
            Step::Take { transitions } => self.replace(lease, Some(transitions)).await,
        };
        match written {
            Ok(lease) => {
                if self.renewed.is_none() {
                    tracing::info!(lease = NAME, "holding the Lease: this replica writes statuses");
                }
                self.see(Some(&lease));
                self.renewed = Some(began);
                Ok(())
            }
            // Another one was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.renewed = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, if it is ours: the next one need not wait until it runs out.
    pub(super) async fn release(&mut self) {
        if self.renewed.take().is_none() {
            return;
        }
        let Some((mut lease, _)) = self.seen.take() else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(now());
        // The version makes it fail where somebody else has taken it meanwhile.
        match self
            .within(self.api.replace(NAME, &PostParams::default(), &lease))
            .await
        {
            Ok(_) => tracing::info!(lease = NAME, "gave the Lease back"),
            Err(error) => tracing::warn!(lease = NAME, %error, "the Lease can't be given back; it runs out by itself"),
        }
    }

    /// Notes what is seen, and tells for how long it has been so.
    fn see(&mut self, lease: Option<&Lease>) -> Duration {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match (lease, &self.seen) {
            (Some(lease), Some((seen, since))) if version(seen) == version(lease) => since.elapsed(),
            (Some(lease), _) => {
                self.seen = Some((lease.clone(), Instant::now()));
                Duration::ZERO
            }
            (None, _) => {
                self.seen = None;
                Duration::ZERO
            }
        }
    }

    async fn replace(&self, lease: Option<Lease>, taken: Option<i32>) -> Result<Lease, kube::Error> {
        let mut lease = lease.unwrap_or_default();
        let before = lease.spec.take().unwrap_or_default();
        let transitions = taken.or(before.lease_transitions).unwrap_or(0);
        let acquired = before.acquire_time.filter(|_| taken.is_none());
        lease.spec = Some(self.spec(transitions, acquired));
        // The version of what was seen is in it: of two who try at once one fails.
        self.within(self.api.replace(NAME, &PostParams::default(), &lease))
            .await
    }

    fn spec(&self, transitions: i32, acquired: Option<MicroTime>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            lease_transitions: Some(transitions),
            acquire_time: Some(acquired.unwrap_or_else(now)),
            renew_time: Some(now()),
            ..LeaseSpec::default()
        }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
        match timeout(WRITE, request).await {
            Ok(answer) => answer,
            Err(late) => Err(kube::Error::Service(Box::new(late))),
        }
    }
}

fn now() -> MicroTime {
    MicroTime(k8s_openapi::jiff::Timestamp::now())
}

fn held(lease: &Lease) -> Held {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Held {
        holder: spec.holder_identity.unwrap_or_default(),
        lasts: seconds.map_or(LASTS, Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}
