//! Whatever way a world came about, the table is the same.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;

/// A world as the records of two members, and some more words that undo themselves.
fn any_records() -> impl Strategy<Value = Vec<(u8, Record)>> {
    let one = (0u8..2, 0u8..6, 0u8..3, 0u8..3).prop_map(|(of, what, name, detail)| {
        let address = format!("10.{of}.{name}.{detail}");
        let record = match what {
            0 => {
                let mut service = service_record(&format!("s{name}"), vec![port(80 + u16::from(detail), "http")]);
                service.created = Some(i64::from(detail));
                Record::Service(service)
            }
            1 => slice(
                &format!("slice-{detail}"),
                &format!("s{name}"),
                "http",
                vec![backend(&address, Some("p1"))],
            ),
            2 => pod(&format!("p{name}"), &address),
            3 => node("node-1", &format!("z{detail}")),
            4 => gateway(&format!("gw{name}"), &format!("net{detail}"), &["192.0.2.1"]),
            _ => namespace("istio-system", (detail > 0).then_some("net5")),
        };
        (of, record)
    });
    proptest::collection::vec(one, 0..24)
}

proptest! {
    /// However a world came about, the table is the same: a function of what is there and not of how it was told.
    #[test]
    fn the_order_of_events_never_matters(records in any_records(), seed in any::<u64>()) {
        // The last word on an object counts, so of each only the last is kept and then told in two orders.
        let mut last: Vec<(u8, Record)> = Vec::new();
        for (of, record) in records {
            let same = |known: &(u8, Record)| (known.0, known.1.kind(), known.1.name()) == (of, record.kind(), record.name());
            last.retain(|known| !same(known));
            last.push((of, record));
        }
        let names = ["east", "west"];
        let build = |order: &[(u8, Record)], churn: bool| {
            let table = table();
            for name in names {
                table.apply(joined(name, "net1"));
                table.apply(listed(name, []));
            }
            for (of, record) in order {
                table.apply(upsert(names[usize::from(*of)], record.clone()));
                if churn {
                    table.apply(remove(names[usize::from(*of)], record));
                    table.apply(upsert(names[usize::from(*of)], record.clone()));
                }
            }
            table
        };
        let mut shuffled = last.clone();
        shuffled.sort_by_key(|(of, record)| {
            let mut hasher = std::hash::DefaultHasher::new();
            std::hash::Hash::hash(&(seed, of, record.kind(), record.name()), &mut hasher);
            std::hash::Hasher::finish(&hasher)
        });
        let (one, other) = (build(&last, false), build(&shuffled, true));
        let relisted = table();
        for (at, name) in names.iter().enumerate() {
            relisted.apply(listed(name, last.iter().filter(|(of, _)| usize::from(*of) == at).map(|(_, r)| r.clone())));
            relisted.apply(joined(name, "net1"));
        }
        prop_assert_eq!(one.services(), other.services());
        prop_assert_eq!(&one.gateways(), &other.gateways());
        prop_assert_eq!(one.services(), relisted.services());
        prop_assert_eq!(&one.gateways(), &relisted.gateways());
    }
}
