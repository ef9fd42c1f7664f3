//! The composition root: the only place that knows every part.
//!
//! Everything is bound first, so that a port in use is an error at the start and not a surprise later; then the parts are
//! wired, in the order data flows; then tasks run until a signal, and end in order: streams first, the admin endpoint last.

mod hosts;
mod identity;
mod lint;
mod members;
mod networks;
mod reload;
mod serve;
mod store;
mod traffic;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use prometheus_client::collector::Collector;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminState, SettingsCollector};
use crate::cache::{Cache, Source};
use crate::config::{Config, Listen, LogFormat, SettingsFile, SettingsStanding};
use crate::control::ControlMetrics;
use crate::identity::IdentityMetrics;
use crate::lifecycle::{BlockReady, DrainWatcher, Drained, Readiness, Signals, Tasks, drain};
use crate::push::{Builder, GatewaysCollector, PushMetrics, Pusher, WithheldCollector};
use crate::registry::{Hosts, HostsCollector, Members, RegistryMetrics, Settled};
use crate::store::StoreMetrics;
use crate::table::{EndpointTable, EventSink};
use crate::telemetry::{self, Metrics};
use crate::tls::{self, AcceptorMetrics};
use crate::xds::{self, AdsServer, ConnectionMetrics, XdsConfig, XdsMetrics};
use identity::Identity;

pub use lint::lint;

/// Runs the control plane until a signal, or until one of its parts fails. `file`: where the settings came from, to follow it.
///
/// # Errors
/// When it can't start (a port in use, certificates that can't be read), when a part fails for good, and when streams were
/// still open at the deadline of the drain.
pub async fn run(config: Config, file: Option<SettingsFile>) -> anyhow::Result<()> {
    let format = match config.log.format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    telemetry::init(format, &config.log.level)?;
    tls::install_provider();
    let signals = Signals::catch().context("can't catch signals")?;
    let acceptor_metrics = AcceptorMetrics::default();
    let xds = serve::bind_xds(&config, &acceptor_metrics)?;
    let admin = serve::bind_admin(&config)?;
    tracing::info!(xds = %shown(&xds, &config.listen), admin = %shown(&admin, &config.admin.listen), version = env!("CARGO_PKG_VERSION"), "listening");

    let (trigger, watcher) = drain();
    let mut tasks = Tasks::new(&watcher);
    let readiness = Readiness::new();
    // Held until every member has a block of its own, so that "ready" can't be said in between.
    let starting = readiness.block("the start");
    let parts = Parts::wire(&config, file.as_ref(), &readiness, &watcher, &acceptor_metrics)?;
    let control = watcher.clone();
    parts.spawn(&mut tasks, xds, admin, watcher);
    let recalled = store::recall(&mut tasks, &config, &parts).await?;
    hosts::spawn(&mut tasks, &parts, &recalled, &readiness);
    let (wanted_members, wanted) = watch::channel(members::named(&config)?);
    members::spawn(&mut tasks, &config, &parts, &readiness, &recalled, control, wanted).await?;
    let live = reload::Live {
        pusher: Arc::clone(&parts.pusher),
        members: wanted_members,
        standing: parts.admin.settings.clone(),
    };
    tasks.spawn(
        "settings",
        reload::follow(file, config.clone(), live, parts.drain.clone()),
    );
    hosts::hold_ready(&parts, &readiness);
    drop(starting);
    let announce = readiness.clone();
    let announce = async move {
        announce.ready().await;
        tracing::info!("ready");
        std::future::pending::<Infallible>().await
    };

    tokio::select! {
        ended = tasks.join_or_fail() => ended.context("a part of the control plane ended")?,
        signal = signals.first() => {
            tracing::info!(%signal, deadline = ?config.drain.deadline, "draining; a second signal ends the process at once");
        }
        never = announce => match never {},
    }
    // Whoever asks is told that this replica is going, while its streams are.
    let _draining = readiness.block("the drain");
    let drained = trigger.finish(config.drain.deadline).await;
    parts.drained.cancel();
    anyhow::ensure!(
        drained == Drained::Completely,
        "streams were still open after {:?}",
        config.drain.deadline
    );
    tracing::info!("drained");
    Ok(())
}

/// The address as it is: port 0 in the settings means that the system chose one.
fn shown(bound: &tls::Incoming, settings: &Listen) -> Listen {
    bound.local_addr().map_or_else(|| settings.clone(), Listen::Tcp)
}

/// Everything that lives as long as the process.
struct Parts {
    members: Members,
    /// The host names of gateways.
    hosts: Hosts,
    /// Who is asked for their addresses.
    dns_servers: Vec<SocketAddr>,
    control_metrics: ControlMetrics,
    store_metrics: StoreMetrics,
    pusher: Arc<Pusher>,
    ads: AdsServer,
    identity: Option<Identity>,
    connections: ConnectionMetrics,
    /// How many connections there may be: none is of use without a stream.
    max_connections: usize,
    admin: AdminState,
    /// Cancelled when the drain begins.
    drain: CancellationToken,
    /// Cancelled when the drain is done: the admin endpoint answers until then.
    drained: CancellationToken,
}

impl Parts {
    fn wire(
        config: &Config,
        file: Option<&SettingsFile>,
        readiness: &Readiness,
        watcher: &DrainWatcher,
        acceptor: &AcceptorMetrics,
    ) -> anyhow::Result<Self> {
        let mut metrics = Metrics::new();
        let members = Members::new(RegistryMetrics::register(metrics.registry()));
        let store_metrics = StoreMetrics::default();
        store_metrics.register(metrics.registry());
        let push_metrics = PushMetrics::default();
        push_metrics.register(metrics.registry());
        let xds_metrics = XdsMetrics::new();
        xds_metrics.register(metrics.registry());
        acceptor.register(metrics.registry());
        let connections = ConnectionMetrics::default();
        connections.register(metrics.registry());

        let identity = match &config.identity {
            Some(identity) => {
                let identity_metrics = IdentityMetrics::default();
                identity_metrics.register(metrics.registry());
                Some(Identity::open(identity, &members, identity_metrics).context("identity.ca")?)
            }
            None => None,
        };
        let control_metrics = ControlMetrics::default();
        control_metrics.register(metrics.registry());
        let settings = SettingsStanding::new(file.map(|file| file.path.as_path()));
        let hosts = Hosts::default();
        let table = Arc::new(EndpointTable::new(networks::table_settings(config)?));
        let collected: [Box<dyn Collector>; 3] = [
            Box::new(SettingsCollector::new(settings.clone())),
            Box::new(HostsCollector::new(hosts.clone())),
            Box::new(GatewaysCollector::new(Arc::clone(&table))),
        ];
        for collector in collected {
            metrics.registry().register_collector(collector);
        }
        let builder = Builder::with_traffic(
            Arc::clone(&table),
            &config.mesh.domain,
            traffic::settings(config),
            push_metrics.clone(),
        );
        let cache = Cache::new(Arc::clone(&builder) as Arc<dyn Source>);
        let withheld = WithheldCollector::new(Arc::clone(&table), Arc::clone(&builder), Arc::clone(&cache));
        metrics.registry().register_collector(Box::new(withheld));
        let pusher = Arc::new(Pusher::new(
            Arc::clone(&table),
            builder,
            Arc::clone(&cache),
            push_metrics,
        ));

        let ready = readiness.clone();
        let xds_config = XdsConfig {
            control_plane_id: serve::control_plane_id(),
            max_request_bytes: config.xds.max_request_bytes,
            max_node_bytes: config.xds.max_node_bytes,
            max_streams: config.xds.max_streams,
            max_total_names: config.xds.max_names,
            max_initial_bytes_in_flight: config.xds.max_initial_bytes_in_flight,
            // Leaves room to close connections before the deadline.
            drain_spread: config.drain.deadline / 2,
            farewell: XdsConfig::default().farewell.min(config.drain.deadline / 4),
            ..XdsConfig::default()
        };
        let mut ads = AdsServer::new(
            cache,
            xds_config,
            xds_metrics,
            move || ready.is_ready(),
            watcher.token(),
        );
        if let Some(identity) = &identity {
            ads = ads.with_identity(Arc::clone(&identity.gate), Arc::clone(&identity.issuer));
        }
        let admin = AdminState {
            table,
            members: members.clone(),
            hosts: hosts.clone(),
            settings,
            streams: ads.streams(),
            pusher: Arc::clone(&pusher),
            readiness: readiness.clone(),
            metrics: Arc::new(metrics),
            domain: config.mesh.domain.as_str().into(),
        };
        Ok(Self {
            members,
            hosts,
            dns_servers: config.dns_servers.clone(),
            control_metrics,
            store_metrics,
            pusher,
            ads,
            identity,
            connections,
            max_connections: config.xds.max_streams,
            admin,
            drain: watcher.token(),
            drained: CancellationToken::new(),
        })
    }

    /// Starts the push task and both endpoints. The watcher goes to the xDS endpoint: the drain is done when its streams
    /// are, and the admin endpoint answers until then.
    fn spawn(&self, tasks: &mut Tasks, incoming: tls::Incoming, admin: tls::Incoming, watcher: DrainWatcher) {
        if let Some(identity) = &self.identity {
            identity.spawn(tasks, &self.drain);
        }
        let (pusher, drain) = (Arc::clone(&self.pusher), self.drain.clone());
        tasks.spawn("push", async move {
            drain.run_until_cancelled(pusher.run()).await.map_or((), |never| never)
        });
        let (ads, metrics, limit) = (self.ads.clone(), self.connections.clone(), self.max_connections);
        tasks.spawn("xds", async move {
            xds::serve(incoming, ads, metrics, limit, &watcher).await;
        });
        tasks.spawn(
            "admin",
            serve::serve_admin(admin, self.admin.clone(), self.drained.clone()),
        );
    }

    fn sink(&self) -> Arc<dyn EventSink> {
        Arc::clone(&self.pusher) as Arc<dyn EventSink>
    }
}

/// Blocks readiness for a member until it was listed completely, turned out to be out of reach, or its deadline passed.
async fn hold_ready(block: BlockReady, members: Members, name: crate::model::ClusterId, deadline: std::time::Duration) {
    match tokio::time::timeout(deadline, members.wait_settled(&name)).await {
        Ok(Settled::Synced) => {}
        Ok(Settled::Unreached) => {
            tracing::warn!(member = %name, "it can't be reached, which is no reason to wait; the others are served without it");
        }
        Err(_) => {
            tracing::warn!(member = %name, ?deadline, "not synced within its deadline; the others are served without it");
        }
    }
    drop(block);
}
