//! An address for every service, for those who are in no member that gives it one. Pure.
//!
//! Which one follows from the names and ages of the services alone, so replicas agree without a word, and so does one that
//! starts again from its store. Each service has an endless row of choices, made from its name; of two that want one address
//! the older has it, and the younger takes its next choice. So a new service never moves one that is there.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use xxhash_rust::xxh3::Xxh3;

use crate::model::ServiceKey;

/// 240.0.0.0/4 is reserved and routed nowhere, so that no pod, Node or Service has an address in it.
const FIRST: u32 = 0xF000_0001;
/// Without the first, which names the range, and the last, which is the address of all.
const COUNT: u64 = (1 << 28) - 2;

/// What makes a service older than another: when it was made, then its name.
type Age = (i64, ServiceKey);

/// Who has which address.
#[derive(Debug, Default)]
pub(super) struct VirtualIps {
    holders: HashMap<Ipv4Addr, Age>,
    /// Those that do not have their first choice: hardly any.
    displaced: BTreeMap<ServiceKey, Ipv4Addr>,
}

/// The choices of a service, in order. Never changed, or addresses would move with a release.
pub(super) fn choice(key: &ServiceKey, attempt: u64) -> Ipv4Addr {
    let mut hasher = Xxh3::with_seed(attempt);
    hasher.update(key.namespace.as_bytes());
    hasher.update(b"/");
    hasher.update(key.name.as_bytes());
    let offset = u32::try_from(hasher.digest() % COUNT).expect("it is below 2^28");
    Ipv4Addr::from_bits(FIRST + offset)
}

impl VirtualIps {
    /// The address of a service that claimed one.
    pub(super) fn get(&self, key: &ServiceKey) -> Option<Ipv4Addr> {
        let address = self.displaced.get(key).copied().unwrap_or_else(|| choice(key, 0));
        (self.holders.get(&address)?.1 == *key).then_some(address)
    }

    /// Gives a service of this age an address; returns the others whose address is another one now.
    pub(super) fn claim(&mut self, key: &ServiceKey, created: i64) -> Vec<ServiceKey> {
        let held = self.get(key);
        if held.is_some_and(|address| self.holders[&address].0 == created) {
            return Vec::new();
        }
        let mut moved = if held.is_some() { self.release(key) } else { Vec::new() };
        self.put((created, key.clone()), &mut moved);
        moved.retain(|other| other != key);
        moved
    }

    /// Takes a service's address away; returns the others whose address is another one now.
    pub(super) fn release(&mut self, key: &ServiceKey) -> Vec<ServiceKey> {
        let Some(address) = self.get(key) else {
            return Vec::new();
        };
        self.holders.remove(&address);
        self.displaced.remove(key);
        // Whoever wanted it may have it now: all others have their first choice anyway.
        let before = std::mem::take(&mut self.displaced);
        let again: Vec<Age> = before
            .values()
            .filter_map(|address| self.holders.remove(address))
            .collect();
        for age in again {
            self.put(age, &mut Vec::new());
        }
        let differs = |(key, address): &(ServiceKey, Ipv4Addr)| self.get(key) != Some(*address);
        let moved = before.into_iter().filter(differs);
        moved.map(|(key, _)| key).collect()
    }

    /// Seats a service, and whoever had to make room, each at its first choice that nobody older has. Whatever the order in
    /// which services come, the end is the same.
    fn put(&mut self, mut age: Age, moved: &mut Vec<ServiceKey>) {
        let mut attempt = 0;
        loop {
            let address = choice(&age.1, attempt);
            match self.holders.get(&address) {
                Some(holder) if *holder < age => attempt += 1,
                _ => {
                    self.sit(&age.1, address, attempt);
                    let Some(younger) = self.holders.insert(address, age) else {
                        return;
                    };
                    moved.push(younger.1.clone());
                    // Older ones have all that it wanted before.
                    attempt = 0;
                    age = younger;
                }
            }
        }
    }

    fn sit(&mut self, key: &ServiceKey, address: Ipv4Addr, attempt: u64) {
        if attempt == 0 {
            self.displaced.remove(key);
        } else {
            self.displaced.insert(key.clone(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::testing::rivals;

    fn table(ages: &[(&ServiceKey, i64)]) -> VirtualIps {
        let mut ips = VirtualIps::default();
        for (key, created) in ages {
            ips.claim(key, *created);
        }
        ips
    }

    #[test]
    fn addresses_are_the_same_in_every_release() {
        let key = ServiceKey::new("shop", "web");
        let ips = table(&[(&key, 7)]);
        assert_eq!(ips.get(&key), Some("240.212.4.208".parse().unwrap()));
        assert_eq!(ips.get(&ServiceKey::new("shop", "other")), None);
    }

    #[test]
    fn of_two_that_want_one_address_the_older_has_it_whoever_came_first() {
        let pair = rivals();
        let [old, young] = [&pair[0], &pair[1]];
        let first = choice(old, 0);
        for ips in [table(&[(old, 1), (young, 2)]), table(&[(young, 2), (old, 1)])] {
            assert_eq!(ips.get(old), Some(first));
            assert_eq!(ips.get(young), Some(choice(young, 1)));
        }
        // Of the same age the name decides.
        let smaller = old.min(young);
        for ips in [table(&[(old, 1), (young, 1)]), table(&[(young, 1), (old, 1)])] {
            assert_eq!(ips.get(smaller), Some(first));
        }
        // Who had to go elsewhere says so, and comes back when there is room.
        let mut ips = table(&[(young, 2)]);
        assert_eq!(ips.claim(old, 1), *std::slice::from_ref(young));
        assert!(ips.claim(old, 1).is_empty(), "it has it already");
        assert_eq!(ips.release(old), *std::slice::from_ref(young));
        assert_eq!((ips.get(young), ips.get(old)), (Some(first), None));
        // An age that changes is a new claim.
        ips.claim(old, 3);
        assert_eq!(ips.get(young), Some(first));
        assert_eq!(ips.claim(old, 1), *std::slice::from_ref(young));
        assert_eq!(ips.get(old), Some(first));
    }

    #[test]
    fn no_order_of_coming_and_going_matters() {
        let pair = rivals();
        let others: Vec<_> = (0..50)
            .map(|number| ServiceKey::new("other", &format!("o{number}")))
            .collect();
        let all: Vec<&ServiceKey> = pair.iter().chain(&others).collect();
        let expected = table(&all.iter().map(|key| (*key, 1)).collect::<Vec<_>>());
        let mut ips = VirtualIps::default();
        for round in 0..all.len() {
            for at in 0..all.len() {
                let key = all[(at * 7 + round) % all.len()];
                ips.release(key);
                ips.claim(key, if at % 3 == 0 { 5 } else { 1 });
            }
            for key in &all {
                ips.claim(key, 1);
            }
            assert!(all.iter().all(|key| ips.get(key) == expected.get(key)), "round {round}");
        }
    }
}
