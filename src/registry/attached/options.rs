//! From the spec of a `Member` object to how the member is treated. Pure.

use super::super::{MemberOptions, StalePolicy};
use crate::crd::{MemberSpec, StalePolicySpec, StaleSpec, parse_duration};
use crate::model::{MemberWeight, NetworkId};

/// What a spec asks for, on top of how members are treated that say nothing. Servers check specs by the definition of the kind,
/// but it may be an older one, or none.
pub(super) fn options(spec: &MemberSpec, defaults: &MemberOptions) -> Result<MemberOptions, String> {
    let mut options = defaults.clone();
    if let Some(network) = &spec.network {
        options.network = Some(NetworkId::new(network).map_err(|error| format!("spec.network: {error}"))?);
    }
    if let Some(stale) = &spec.stale {
        options.stale = policy(stale)?;
    }
    if let Some(weight) = spec.weight {
        let percent = u16::try_from(weight).ok().and_then(MemberWeight::new);
        options.weight = percent.ok_or_else(|| format!("spec.weight is {weight}, more than 1000 percent"))?;
    }
    if !spec.namespaces.is_empty() {
        options.namespaces = spec.namespaces.iter().map(|name| name.as_str().into()).collect();
        options.namespaces.sort();
        options.namespaces.dedup();
    }
    if let Some(budget) = &spec.budget {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        options.budget.objects = budget.objects.map_or(options.budget.objects, whole);
        options.budget.bytes = budget.bytes.map_or(options.budget.bytes, whole);
        let events = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        options.budget.events_per_second = budget
            .events_per_second
            .map_or(options.budget.events_per_second, events);
    }
    Ok(options)
}

fn policy(stale: &StaleSpec) -> Result<StalePolicy, String> {
    let after = || {
        let text = stale.after.as_deref();
        let text = text.ok_or("spec.stale needs `after`, such as 10m")?;
        parse_duration(text).map_err(|error| format!("spec.stale.after: {error}"))
    };
    Ok(match stale.policy {
        StalePolicySpec::Keep => StalePolicy::Keep,
        StalePolicySpec::Demote => StalePolicy::Demote { after: after()? },
        StalePolicySpec::Drop => StalePolicy::Drop { after: after()? },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn of(more: &Value) -> Result<MemberOptions, String> {
        let mut spec = json!({"secretRef": {"name": "west"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options(&serde_json::from_value(spec).unwrap(), &MemberOptions::default())
    }

    #[test]
    fn what_is_said_counts_and_the_rest_is_as_for_all() {
        let defaults = MemberOptions::default();
        assert_eq!(of(&json!({})), Ok(defaults.clone()));
        let said = of(&json!({
            "network": "net2", "weight": 50, "namespaces": ["b", "a", "b"], "budget": {"objects": 7},
            "stale": {"policy": "Demote", "after": "10m"},
        }));
        let said = said.unwrap();
        assert_eq!(said.network, Some(NetworkId::new("net2").unwrap()));
        assert_eq!(said.weight.percent(), 50);
        assert_eq!(said.namespaces, ["a".into(), "b".into()]);
        assert_eq!((said.budget.objects, said.budget.bytes), (7, defaults.budget.bytes));
        let after = Duration::from_secs(600);
        assert_eq!(said.stale, StalePolicy::Demote { after });
    }

    #[test]
    fn what_can_not_be_is_named() {
        for (spec, said) in [
            (json!({"network": "not a label"}), "spec.network"),
            (json!({"weight": 1001}), "spec.weight is 1001"),
            (json!({"stale": {"policy": "Drop"}}), "spec.stale needs `after`"),
            (
                json!({"stale": {"policy": "Drop", "after": "soon"}}),
                "spec.stale.after",
            ),
        ] {
            let error = of(&spec).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
