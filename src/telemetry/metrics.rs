//! The registry of metrics: each module registers its own at start, the admin endpoint shows them.

use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::Process;

/// All metrics of the process. Fill it through [`Metrics::registry`] while starting, then share it.
#[derive(Debug)]
pub struct Metrics {
    root: Registry,
}

impl Metrics {
    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The prefix of our own metrics, without the underscore that follows it.
    pub const PREFIX: &'static str = "parallax";

    /// A registry with `parallax_build_info` and what the system says about this process.
    #[must_use]
    pub fn new() -> Self {
        let mut root = Registry::default();
        // Dashboards know these names without a prefix, from every Prometheus client.
        root.register_collector(Box::new(Process::started_now()));
        let mut metrics = Self { root };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        metrics
            .registry()
            .register("build", "The version that is running", build);
        metrics
    }

    /// Where modules register their metrics; each name gets the prefix `parallax_`.
    pub fn registry(&mut self) -> &mut Registry {
        self.root.sub_registry_with_prefix(Self::PREFIX)
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.root).expect("writing to a string does not fail");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn our_metrics_are_prefixed_and_those_of_the_process_are_not() {
        let mut metrics = Metrics::new();
        let pushes = Counter::<u64>::default();
        metrics.registry().register("pushes", "Pushes", pushes.clone());
        pushes.inc_by(3);
        let text = metrics.encode();
        assert_eq!(value(&text, "parallax_pushes_total"), 3.0);
        let build = format!("parallax_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().any(|line| line == build), "{text}");
        assert!(value(&text, "process_resident_memory_bytes") > 100_000.0);
        assert!(value(&text, "process_open_fds") >= 3.0);
        assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
        // 2020: the clock of a machine that builds this is not before.
        assert!(value(&text, "process_start_time_seconds") > 1.577e9);
        assert!(text.ends_with("# EOF\n"));
    }
}
