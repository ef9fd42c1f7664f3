//! Answers as text for people. Pure: a message, the present time and whether to colour in, text out.

mod attached;
mod explain;
mod lint;
mod lists;
mod members;
mod proxies;
mod settings;
mod table;

use crate::admin::proto as v1;

pub(super) use attached::{member_list, member_status};
pub(super) use explain::{explain, view};
pub(super) use lint::lint;
pub(super) use lists::{endpoints, networks, services};
pub(super) use members::members;
pub(super) use proxies::proxies;
pub(super) use settings::settings;

/// One step of pushing in one line.
pub(super) fn change(change: &v1::WatchChangesResponse) -> String {
    if change.missed > 0 {
        return format!(
            "… {} changes were missed: they came faster than they were read",
            change.missed
        );
    }
    let mut what = Vec::new();
    if !change.services.is_empty() {
        what.push(format!("services {}", table::some_of(&change.services, 8)));
    }
    if !change.networks.is_empty() {
        what.push(format!("gateways of {}", change.networks.join(", ")));
    }
    if what.is_empty() {
        what.push("where viewers stand".to_owned());
    }
    format!(
        "{}  {}: {} resources differ in {} views, {}",
        change.at,
        what.join("; "),
        change.resources_changed,
        change.views,
        took(change.took_micros),
    )
}

fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_line() {
        let message = v1::WatchChangesResponse {
            at: "2023-11-14T22:13:20.250Z".to_owned(),
            services: vec!["web.shop".to_owned(), "cart.shop".to_owned()],
            networks: vec!["net2".to_owned()],
            views: 2,
            resources_changed: 3,
            took_micros: 1_250,
            missed: 0,
        };
        assert_eq!(
            change(&message),
            "2023-11-14T22:13:20.250Z  services web.shop, cart.shop; gateways of net2: 3 resources differ in 2 views, 1.2 ms"
        );
        let missed = v1::WatchChangesResponse {
            missed: 7,
            ..Default::default()
        };
        assert!(change(&missed).contains("7 changes were missed"));
    }
}
