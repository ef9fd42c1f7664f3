//! A metric of the gateways of each network, counted when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::table::EndpointTable;

/// Counts gateways by network: the addresses that are used, and what should be a gateway and is none.
pub struct GatewaysCollector {
    table: Arc<EndpointTable>,
}

impl GatewaysCollector {
    /// Counts those of this table.
    #[must_use]
    pub fn new(table: Arc<EndpointTable>) -> Self {
        Self { table }
    }

    fn count(&self) -> BTreeMap<(String, &'static str), i64> {
        let gateways = self.table.gateways();
        let mut counts = BTreeMap::new();
        for network in gateways.networks() {
            let usable = i64::try_from(gateways.of(network).len()).unwrap_or(i64::MAX);
            counts.insert((network.to_string(), "usable"), usable);
        }
        for unusable in gateways.unusable() {
            *counts
                .entry((unusable.source.network.to_string(), "unusable"))
                .or_default() += 1;
        }
        counts
    }
}

impl Collector for GatewaysCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::<i64>::new(0);
        let help = "Gateways by the network they lead to: addresses in use, and Services or settings that lead to none";
        let mut family = encoder.encode_descriptor("gateways", help, None, gauge.metric_type())?;
        for ((network, state), count) in self.count() {
            let labels = [("network", network.as_str()), ("state", state)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for GatewaysCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewaysCollector").finish_non_exhaustive()
    }
}
