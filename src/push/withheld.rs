//! A metric of what is withheld from live views, counted when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::Builder;
use crate::cache::Cache;
use crate::resources::ResourceType;
use crate::table::EndpointTable;
use crate::view;

/// Counts, for each network with live proxies and each reason, the endpoints of services they asked for and don't get.
pub struct WithheldCollector {
    table: Arc<EndpointTable>,
    builder: Arc<Builder>,
    cache: Arc<Cache>,
}

impl WithheldCollector {
    /// Counts over the live views of this cache.
    #[must_use]
    pub fn new(table: Arc<EndpointTable>, builder: Arc<Builder>, cache: Arc<Cache>) -> Self {
        Self { table, builder, cache }
    }

    /// By the viewers' network and the reason's code. Views that differ in families only add up.
    fn count(&self) -> BTreeMap<(String, &'static str), i64> {
        let mut counts = BTreeMap::new();
        let gateways = self.table.gateways();
        for live in self.cache.live_views() {
            for name in live.names(ResourceType::ClusterLoadAssignment) {
                let Some(name) = self.builder.parse_name(&name) else {
                    continue;
                };
                let Some(service) = self.table.service(&name.service) else {
                    continue;
                };
                let Some(port) = service.port(name.port) else { continue };
                let withheld = view::withheld(live.key(), port, &gateways).into_iter();
                // What is kept back because somebody wants it so depends on more than the view, and is nothing to look after.
                for (reason, count) in withheld.filter(|(reason, _)| !reason.is_meant()) {
                    let label = (live.key().network.to_string(), reason.code());
                    *counts.entry(label).or_default() += i64::from(count);
                }
            }
        }
        counts
    }
}

impl Collector for WithheldCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::<i64>::new(0);
        let help =
            "Endpoints withheld from proxies that asked for their service, by the proxies' network and the reason";
        let mut family = encoder.encode_descriptor("withheld_endpoints", help, None, gauge.metric_type())?;
        for ((network, reason), count) in self.count() {
            let labels = [("network", network.as_str()), ("reason", reason)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for WithheldCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithheldCollector").finish_non_exhaustive()
    }
}
