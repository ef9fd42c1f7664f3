//! An Envoy that starts with what `parallax bootstrap` writes: how soon it leaves a control plane that fell silent, how soon it is back
//! at one that was away, and what it tells of itself.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::control_plane::{ControlPlane, PARALLAX};
use super::envoys::{DEADLINE, WEB};
use super::harness::{Envoy, EnvoyOptions, free_port, get};
use super::manifests::{Members, Pod};

/// The bootstrap's own: asked every 30 s, which Envoy stretches by up to 15 %, and given 10 s to answer; then connected to anew
/// after at most 5 s.
const SILENT: Duration = Duration::from_millis(34_500 + 10_000 + 5_000);
/// What a busy machine adds.
const LAG: Duration = Duration::from_secs(5);

/// An address that leads to one control plane or another, as that of a Service does.
struct Way {
    at: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    silent: watch::Sender<()>,
}

impl Way {
    async fn to(control_plane: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("it has one");
        let (silent, heard) = watch::channel(());
        let to = Arc::new(Mutex::new(control_plane));
        let leads = Arc::clone(&to);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut silence) = (*leads.lock().expect("nobody panics with it"), heard.clone());
                silence.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // Both stay open, and neither hears of the other any more.
                        _ = silence.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { at, to, silent }
    }

    /// New connections lead there, and those that are open nowhere.
    fn turn(&self, to: SocketAddr) {
        *self.to.lock().expect("nobody panics with it") = to;
        self.silent.send(()).expect("somebody listens");
    }
}

/// Waits until the Envoy has these pods of `web`, and for how long that took.
async fn holds(envoy: &mut Envoy, pods: &[&str]) -> Duration {
    let began = Instant::now();
    let what = format!("web at {pods:?}");
    let held = envoy.wait_for(&what, 2 * DEADLINE, |held| {
        let hosts = held.get(WEB).into_iter().flatten();
        let mut hosts: Vec<_> = hosts.map(|host| host.address.as_str()).collect();
        hosts.sort_unstable();
        hosts == pods
    });
    held.await.unwrap_or_else(|error| panic!("{error:#}"));
    began.elapsed()
}

#[tokio::test]
async fn a_silent_control_plane_is_left_and_one_that_was_away_is_found_again() {
    let members = Members::new();
    members.place("west", "net1");
    members.web("west", &[Pod::new("a", "10.1.0.1")]);
    let one = ControlPlane::on_members(members.path()).await;
    let two = ControlPlane::on_members(members.path()).await;
    let way = Way::to(one.xds).await;
    let (admin, stats) = (free_port(), free_port());
    let [xds, admin_port, stats_port] = [way.at.to_string(), admin.to_string(), stats.to_string()];
    let more = ["--xds", &xds, "--admin-port", &admin_port, "--stats-port", &stats_port];
    let output = Command::new(PARALLAX)
        .args(["bootstrap", "--pod", "shop/web-1", "--member", "west", "-o", "json"])
        .args(more)
        .output()
        .expect("the binary starts");
    let mut options = EnvoyOptions::new("", way.at, one.folder("envoy"));
    options.bootstrap = Some(serde_json::from_slice(&output.stdout).expect("it is JSON"));
    let mut envoy = Envoy::start(options).await.expect("Envoy starts");
    holds(&mut envoy, &["10.1.0.1"]).await;

    // Its metrics are there for whoever collects them, and nothing else of its admin interface is.
    let stats = SocketAddr::from(([127, 0, 0, 1], stats));
    let metrics = get(stats, "/stats/prometheus").await.expect("it answers");
    assert_eq!(metrics.status, 200);
    for line in [
        "envoy_control_plane_connected_state{} 1",
        "envoy_cluster_manager_cds_update_rejected{} 0",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in {}", metrics.body);
    }
    for other in ["/", "/stats", "/config_dump", "/quitquitquit", "/stats/prometheus/x"] {
        assert_eq!(get(stats, other).await.expect("it answers").status, 404, "{other}");
    }

    way.turn(two.xds);
    members.web("west", &[Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]);
    let took = holds(&mut envoy, &["10.1.0.1", "10.1.0.2"]).await;
    eprintln!("a silent control plane was left after {took:?}");
    assert!(took < SILENT + LAG, "{took:?}");
    let proxies = two.json(&["get", "proxies"]);
    assert_eq!(proxies["proxies"].as_array().map(Vec::len), Some(1), "{proxies}");

    // Away for so long that whoever waits longer each time, and without a bound, waits for half a minute.
    let mut two = two;
    two.process.end();
    let tried = "cluster.xds.upstream_cx_total";
    let before = envoy.stat(tried).await.expect("it answers").unwrap_or_default();
    let many = envoy
        .wait_for_stat(tried, 2 * DEADLINE, |tried| tried >= before + 8)
        .await;
    many.unwrap_or_else(|error| panic!("{error:#}"));
    members.web("west", &[Pod::new("b", "10.1.0.2")]);
    let mut two = two.again();
    two.ready().await;
    let took = holds(&mut envoy, &["10.1.0.2"]).await;
    eprintln!("one that was away was found again after {took:?}");
    assert!(took < Duration::from_secs(5) + LAG, "{took:?}");
}
