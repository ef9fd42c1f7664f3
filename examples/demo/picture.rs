//! Several Envoys side by side.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

/// One endpoint as an Envoy's own admin endpoint shows it.
pub(crate) struct Host {
    pub(crate) address: String,
    pub(crate) zone: String,
    pub(crate) weight: u32,
}

/// What one Envoy holds.
pub(crate) struct Column {
    pub(crate) member: &'static str,
    pub(crate) network: &'static str,
    pub(crate) hosts: Vec<Host>,
    /// From the change of the manifest until the Envoy held this; nothing for the first picture.
    pub(crate) took: Option<Duration>,
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
pub(crate) fn draw(columns: &[Column]) {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(columns.iter().map(|column| {
        let took = column
            .took
            .map(|took| format!("\nafter {:.0} ms", took.as_secs_f64() * 1000.0));
        format!(
            "Envoy in {}\nnetwork {}{}",
            column.member,
            column.network,
            took.unwrap_or_default()
        )
    }));
    table.add_row(columns.iter().map(|column| {
        let lines = column.hosts.iter().map(|host| {
            let kind = if host.address.ends_with(":15443") {
                "gateway"
            } else {
                "pod"
            };
            format!("{kind:<7} {:<17} weight {} {}", host.address, host.weight, host.zone)
        });
        lines.collect::<Vec<_>>().join("\n")
    }));
    println!("{table}");
}
