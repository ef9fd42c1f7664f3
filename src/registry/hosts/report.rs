//! How each host name fares: what admin and metrics show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

use super::host::Host;
use crate::model::HostName;

/// One host name, as a person asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostReport {
    /// Its addresses as they are used.
    pub addresses: Vec<IpAddr>,
    /// When servers last confirmed all of them.
    pub resolved_at: Option<SystemTime>,
    /// What is wrong at present, and since when; the addresses are those of before.
    pub problem: Option<(String, SystemTime)>,
    /// When it is looked up again; nothing before the first answer, unless it is known from before the start.
    pub again_at: Option<SystemTime>,
}

/// All host names of gateways. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    inner: Arc<Mutex<BTreeMap<HostName, HostReport>>>,
    /// Told whenever a report was written.
    noted: watch::Sender<()>,
}

impl Hosts {
    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> BTreeMap<HostName, HostReport> {
        self.reports().clone()
    }

    /// Told whenever something of them changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.noted.subscribe()
    }

    /// Only these are known now.
    pub(super) fn keep(&self, known: &BTreeMap<HostName, Host>) {
        let mut reports = self.reports();
        reports.retain(|name, _| known.contains_key(name));
        for name in known.keys() {
            reports.entry(name.clone()).or_default();
        }
        drop(reports);
        self.noted.send_replace(());
    }

    pub(super) fn note(&self, name: &HostName, host: &Host, again_at: SystemTime) {
        let report = HostReport {
            addresses: host.addresses(),
            resolved_at: host.resolved_at,
            problem: host.problem.clone(),
            again_at: Some(again_at),
        };
        self.reports().insert(name.clone(), report);
        self.noted.send_replace(());
    }

    /// Waits, without a limit of its own, until each of the names that are wanted at the time was looked up, in vain or not, or is
    /// known from before the start.
    pub async fn looked_up(&self, wanted: &watch::Receiver<Arc<BTreeSet<HostName>>>) {
        let mut noted = self.noted.subscribe();
        let done = |hosts: &Self| {
            let reports = hosts.reports();
            let answered = |name| {
                reports
                    .get(name)
                    .is_some_and(|report: &HostReport| report.again_at.is_some())
            };
            wanted.borrow().iter().all(answered)
        };
        while !done(self) {
            // The sender lives in `self`.
            let _ = noted.changed().await;
        }
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<HostName, HostReport>> {
        // A panic elsewhere leaves it whole: each change is one insertion.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Metrics of host names, read when somebody scrapes.
pub struct HostsCollector(Hosts);

impl HostsCollector {
    /// Shows these.
    #[must_use]
    pub fn new(hosts: Hosts) -> Self {
        Self(hosts)
    }
}

impl Collector for HostsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reports = self.0.list();
        let mut gauge = |name: &str, help: &str, of: &dyn Fn(&HostReport) -> i64| {
            let kind = ConstGauge::<i64>::new(0);
            let mut family = encoder.encode_descriptor(name, help, None, kind.metric_type())?;
            for (host, report) in &reports {
                let labels = [("host", host.as_str())];
                ConstGauge::new(of(report)).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        gauge(
            "gateway_host_addresses",
            "Addresses in use of each host name of a gateway",
            &|report| i64::try_from(report.addresses.len()).unwrap_or(i64::MAX),
        )?;
        gauge(
            "gateway_host_failing",
            "1 while a gateway's host name can't be looked up, and what was known of it is used",
            &|report| report.problem.is_some().into(),
        )?;
        gauge(
            "gateway_host_resolved_timestamp_seconds",
            "When the addresses of a gateway's host name were last confirmed; 0: never",
            &|report| {
                let since = report.resolved_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
            },
        )
    }
}

impl fmt::Debug for HostsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostsCollector").finish_non_exhaustive()
    }
}
