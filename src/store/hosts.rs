//! What host names of gateways led to, on disk: a row for each name. It belongs to no member, since several may use one name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use crate::model::HostName;

/// Host name, to its addresses as text with spaces between, and when they were last confirmed: seconds since the epoch.
pub(super) const HOSTS: TableDefinition<&str, (&str, u64)> = TableDefinition::new("hosts");

/// Addresses that are confirmed again are written only this much later: the age on disk may be too high by so much, and a name
/// with a short time to live costs no write each time.
const AGE_STEP: Duration = Duration::from_secs(600);

/// What a host name led to when that was last known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedHost {
    /// Its addresses; never none.
    pub addresses: Vec<IpAddr>,
    /// When DNS servers last confirmed them.
    pub at: SystemTime,
}

/// Words on names: what one leads to, or that nobody wants it any more.
pub(super) type HostWords = BTreeMap<HostName, Option<RememberedHost>>;

/// What has to be written so that the file knows `now` in place of `written`, which becomes what it will know.
pub(super) fn differences(
    written: &mut BTreeMap<HostName, RememberedHost>,
    now: &BTreeMap<HostName, RememberedHost>,
) -> HostWords {
    let gone = written.keys().filter(|name| !now.contains_key(*name));
    let mut words: HostWords = gone.map(|name| (name.clone(), None)).collect();
    for (name, host) in now {
        let is_known = written.get(name).is_some_and(|known| {
            let later = host.at.duration_since(known.at).unwrap_or_default();
            known.addresses == host.addresses && later < AGE_STEP
        });
        if !is_known {
            words.insert(name.clone(), Some(host.clone()));
        }
    }
    for (name, word) in &words {
        match word {
            Some(host) => written.insert(name.clone(), host.clone()),
            None => written.remove(name),
        };
    }
    words
}

/// All names of the file. One whose row makes no sense is left out: it is looked up anew.
pub(super) fn read(read: &ReadTransaction) -> Result<BTreeMap<HostName, RememberedHost>, redb::Error> {
    let mut hosts = BTreeMap::new();
    for entry in read.open_table(HOSTS)?.iter()? {
        let (name, row) = entry?;
        let (addresses, seconds) = row.value();
        let addresses: Vec<IpAddr> = addresses
            .split_whitespace()
            .filter_map(|address| address.parse().ok())
            .collect();
        if let (Ok(name), false) = (HostName::new(name.value()), addresses.is_empty()) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            hosts.insert(name, RememberedHost { addresses, at });
        }
    }
    Ok(hosts)
}

/// Writes words as a part of a batch.
pub(super) fn write(write: &WriteTransaction, words: &HostWords) -> Result<(), redb::Error> {
    let mut hosts = write.open_table(HOSTS)?;
    for (name, word) in words {
        let Some(host) = word else {
            hosts.remove(name.as_str())?;
            continue;
        };
        let addresses: Vec<_> = host.addresses.iter().map(ToString::to_string).collect();
        let since = host.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        hosts.insert(name.as_str(), (&*addresses.join(" "), since.as_secs()))?;
    }
    Ok(())
}
