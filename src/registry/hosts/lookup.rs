//! Asking DNS servers.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::host::Outcome;
use crate::model::HostName;

/// How long one server may take to answer, and how often each is asked.
const ONE_ANSWER: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// How long all of them may take together.
const ALL_ANSWERS: Duration = Duration::from_secs(10);

/// Asks for both families at once. The servers of the system are read anew each time, so that a changed `/etc/resolv.conf` counts;
/// what they answered before is not kept: whoever asks knows when to.
pub(super) async fn look_up(host: &HostName, servers: &[SocketAddr]) -> (Outcome, Outcome) {
    let resolver = match resolver(servers) {
        Ok(resolver) => resolver,
        Err(error) => {
            let failed = Outcome::Failed(format!("the DNS servers of the system can't be read: {error}"));
            return (failed.clone(), failed);
        }
    };
    // The dot keeps search domains out.
    let name = format!("{host}.");
    let ask = async |family| match tokio::time::timeout(ALL_ANSWERS, resolver.lookup(name.as_str(), family)).await {
        Ok(answer) => outcome(answer),
        Err(_) => Outcome::Failed(format!("no answer within {ALL_ANSWERS:?}")),
    };
    tokio::join!(ask(RecordType::A), ask(RecordType::AAAA))
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = ONE_ANSWER;
    options.attempts = ATTEMPTS;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}

fn outcome(answer: Result<Lookup, NetError>) -> Outcome {
    match answer {
        Ok(lookup) => {
            let records = lookup.answers();
            let addresses = records.iter().filter_map(|record| match &record.data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(address.0.to_canonical()),
                _ => None,
            });
            let usable = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
            let addresses: BTreeSet<_> = addresses.filter(usable).collect();
            // Aliases on the way hold for as long as they say, too.
            let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
            let ttl = Duration::from_secs(ttl.into());
            match addresses.is_empty() {
                true => Outcome::Nothing("it has no usable address", Some(ttl)),
                false => Outcome::Found(addresses, ttl),
            }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let ttl = nothing.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
            match nothing.response_code {
                ResponseCode::NXDomain => Outcome::Nothing("there is no such name (NXDOMAIN)", ttl),
                ResponseCode::NoError => Outcome::Nothing("the name has no address", ttl),
                other => Outcome::Failed(format!("the DNS server says: {other}")),
            }
        }
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Outcome::Failed(format!("the DNS server says: {code}")),
        Err(NetError::Timeout) => Outcome::Failed("the DNS servers don't answer".to_owned()),
        Err(error) => Outcome::Failed(format!("asking the DNS servers failed: {error}")),
    }
}
