//! Metrics of the settings in force.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::config::SettingsStanding;

/// Shows which settings are in force when somebody scrapes.
#[derive(Debug)]
pub struct SettingsCollector(SettingsStanding);

impl SettingsCollector {
    /// Shows these.
    #[must_use]
    pub fn new(standing: SettingsStanding) -> Self {
        Self(standing)
    }
}

impl Collector for SettingsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let report = self.0.report();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let gauges = [
            (
                "settings_generation",
                "How many different settings were in force since the start, the present ones among them",
                i64::try_from(report.generation).unwrap_or(i64::MAX),
            ),
            (
                "settings_mistakes",
                "Mistakes that keep the settings file as it is now from being in force",
                number(report.refused.len()),
            ),
            (
                "settings_waiting_for_restart",
                "Keys of the settings file that take effect with a restart",
                number(report.waiting.len()),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
