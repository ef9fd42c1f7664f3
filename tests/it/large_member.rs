//! A large member on a real API server joins and leaves while fifty clients watch: those that watch its services have all of it,
//! the others are told nothing, and what goes is what was its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client as KubeClient};
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::WEB;
use super::harness::{Dialect, Kubernetes, remote_secret};
use super::kubernetes::{create, furnish, run_pod};
use super::member_objects::Objects;
use super::xds::{Answer, CDS, Client, EDS, hosts};

/// The member that comes and goes.
const SERVICES: usize = 300;
const ENDPOINTS: usize = 4_000;
/// Clients of each kind.
const WATCHERS: usize = 25;
const OTHERS: usize = 25;
/// So many objects are written at a time.
const AT_ONCE: usize = 32;
/// Nothing comes for so long: it is not on its way.
const PATIENCE: Duration = Duration::from_secs(20);
/// What must not be exceeded by an order of magnitude: a debug build on a busy machine.
const FAR_TOO_LONG: Duration = Duration::from_secs(20);

/// `address:port*weight` by cluster.
type Held = BTreeMap<String, Vec<String>>;

fn cluster(name: &str) -> String {
    format!("outbound|80||{name}.shop.svc.cluster.local")
}

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

fn slice(service: &str, addresses: &[String]) -> Value {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}, "nodeName": "node-1"}))
        .collect();
    json!({
        "metadata": {"name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}],
    })
}

/// What the large member has, by service.
fn large() -> BTreeMap<String, Vec<String>> {
    let mut addresses = (0..ENDPOINTS).map(|at| format!("10.2.{}.{}", at / 250, at % 250 + 1));
    let services = (0..SERVICES).map(|at| {
        let share = ENDPOINTS / SERVICES + usize::from(at < ENDPOINTS % SERVICES);
        (format!("big-{at:03}"), addresses.by_ref().take(share).collect())
    });
    services.collect()
}

/// The service that only the client of this number watches besides `web`.
fn other(number: usize) -> String {
    format!("other-{number:02}")
}

async fn create_all<K>(api: &Api<K>, objects: impl Iterator<Item = Value>)
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let params = PostParams::default();
    let writes = objects.map(|object| {
        let object: K = serde_json::from_value(object).expect("a valid object");
        let params = &params;
        async move { api.create(params, &object).await }
    });
    let written: Result<Vec<_>, _> = stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await;
    written.expect("the API server takes them");
}

/// Makes services with a slice of their own each.
async fn populate(client: &KubeClient, services: &BTreeMap<String, Vec<String>>) {
    let api: Api<Service> = Api::namespaced(client.clone(), "shop");
    create_all(&api, services.keys().map(|name| service(name))).await;
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), "shop");
    create_all(&api, services.iter().map(|(name, addresses)| slice(name, addresses))).await;
}

/// A client, what it holds, and how many answers it got.
struct Watcher {
    client: Client,
    asks_clusters: bool,
    clusters: BTreeSet<String>,
    held: Held,
    answers: usize,
}

impl Watcher {
    /// One that watches everything there is and these assignments.
    async fn of_all(control_plane: &ControlPlane, names: &[String]) -> Self {
        let mut watcher = Self::connect(control_plane).await;
        watcher.client.ask(CDS, &[]).await;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        watcher.client.ask(EDS, &names).await;
        watcher
    }

    /// One that watches these assignments and no clusters.
    async fn of_assignments(control_plane: &ControlPlane, names: &[String]) -> Self {
        let mut watcher = Self::connect(control_plane).await;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        watcher.client.ask(EDS, &names).await;
        watcher.asks_clusters = false;
        watcher
    }

    /// One that watches these clusters and their assignments by name, and no more.
    async fn of(control_plane: &ControlPlane, names: &[String]) -> Self {
        let mut watcher = Self::connect(control_plane).await;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        watcher.client.ask(CDS, &names).await;
        watcher.client.ask(EDS, &names).await;
        watcher
    }

    async fn connect(control_plane: &ControlPlane) -> Self {
        Self {
            client: Client::connect(control_plane.xds, Dialect::Delta, "east").await,
            asks_clusters: true,
            clusters: BTreeSet::new(),
            held: Held::new(),
            answers: 0,
        }
    }

    async fn take(&mut self) -> Answer {
        let answer = self.client.accept().await;
        self.answers += 1;
        if answer.url == CDS {
            // Gateways and the API servers' own are Services too.
            let of_shop = answer.versions.keys().filter(|name| name.contains(".shop."));
            self.clusters.extend(of_shop.cloned());
            self.clusters.retain(|name| !answer.removed.contains(name));
            // As Envoys do: what a cluster was at goes with it.
            self.held.retain(|name, _| !answer.removed.contains(name));
            return answer;
        }
        assert_eq!(answer.url, EDS);
        for any in &answer.resources {
            let assignment = ClusterLoadAssignment::decode(&*any.value).expect("an assignment");
            let hosts = hosts(&assignment);
            // Whoever comes or goes, east's own pod stays.
            assert!(
                assignment.cluster_name != WEB || hosts.contains(&"10.1.0.1:8080*1".to_owned()),
                "{hosts:?}"
            );
            self.held.insert(assignment.cluster_name, hosts);
        }
        // To whoever asks for no clusters that is said of what is gone.
        self.held.retain(|_, hosts| !hosts.is_empty());
        self.held.retain(|name, _| !answer.removed.contains(name));
        answer
    }

    /// Reads on until it holds just this; when that was.
    async fn until(&mut self, clusters: &BTreeSet<String>, held: &Held) -> SystemTime {
        while (self.asks_clusters && self.clusters != *clusters) || self.held != *held {
            let more = tokio::time::timeout(PATIENCE, self.take()).await;
            assert!(more.is_ok(), "{}", self.missing(clusters, held));
        }
        SystemTime::now()
    }

    /// What keeps it from holding just this.
    fn missing(&self, clusters: &BTreeSet<String>, held: &Held) -> String {
        let differs = |name: &&String| self.held.get(*name) != held.get(*name);
        let names: BTreeSet<_> = self.held.keys().chain(held.keys()).collect();
        let others: Vec<_> = names.iter().filter(|name| differs(name)).take(3).collect();
        let others: Vec<_> = others
            .iter()
            .map(|name| (name, self.held.get(**name), held.get(**name)))
            .collect();
        format!(
            "{} clusters instead of {}, {} assignments instead of {}, such as {others:?}",
            self.clusters.len(),
            clusters.len(),
            self.held.len(),
            held.len()
        )
    }
}

/// All who watch the large member's services, and all who don't.
struct Audience {
    watchers: Vec<Watcher>,
    others: Vec<Watcher>,
    /// What each of the others should have got by now.
    expected: usize,
    /// East's services, which no other member has.
    own: BTreeMap<String, Vec<String>>,
}

impl Audience {
    async fn watchers_hold(&mut self, held: &Held) -> SystemTime {
        let own = self.own.keys().map(|name| cluster(name));
        let clusters: BTreeSet<String> = held.keys().cloned().chain(own).collect();
        let all = join_all(self.watchers.iter_mut().map(|watcher| watcher.until(&clusters, held))).await;
        all.into_iter().max().expect("there are watchers")
    }

    /// Has a pod of each of the others' services change: the very next word to each is about that, so that none was told
    /// anything else since the last time.
    async fn others_were_told_nothing(&mut self, client: &KubeClient, round: usize) {
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), "shop");
        let writes = self.own.iter_mut().map(|(name, addresses)| {
            addresses[0] = format!(
                "10.1.{}.{}",
                100 + round,
                addresses[0].rsplit('.').next().unwrap_or_default()
            );
            let change = json!({"endpoints": slice(name, addresses)["endpoints"]});
            let api = &api;
            let slice = format!("{name}-1");
            async move {
                let change = kube::api::Patch::Merge(change);
                api.patch(&slice, &Default::default(), &change).await
            }
        });
        let written: Result<Vec<_>, _> = stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await;
        written.expect("the API server takes them");
        self.expected += 1;
        for (number, watcher) in self.others.iter_mut().enumerate() {
            let answer = watcher.take().await;
            assert_eq!(
                (answer.url.as_str(), &answer.removed[..]),
                (EDS, &[][..]),
                "client {number}"
            );
            let name = other(number);
            let told: Vec<_> = answer.versions.keys().cloned().collect();
            assert_eq!(told, [cluster(&name)], "client {number}");
            assert_eq!(answer.hosts(), [format!("{}:8080*1", self.own[&name][0])]);
            assert_eq!(watcher.answers, self.expected, "client {number}");
        }
    }
}

#[tokio::test]
async fn a_large_member_comes_and_goes_and_nobody_else_is_told_anything() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net1", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.9.0.1", true).await;
    let own: BTreeMap<_, _> = (0..OTHERS)
        .map(|number| (other(number), vec![format!("10.1.1.{}", number + 1)]))
        .collect();
    let large = large();
    tokio::join!(populate(&east_client, &own), populate(&west_client, &large));
    let objects = Objects::install(&east_client).await;
    let file = east.kubeconfig_path();
    let file = file.display();
    let settings = format!("members:\n  - name: east\n    kubeconfig: {file}\nmemberSecrets:\n  kubeconfig: {file}\n");
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;

    // What watchers hold with the large member and without it.
    let here = || vec!["10.1.0.1:8080*1".to_owned()];
    let without = Held::from([(WEB.to_owned(), here())]);
    let mut with: Held = large
        .iter()
        .map(|(name, addresses)| {
            let mut hosts: Vec<_> = addresses.iter().map(|address| format!("{address}:8080*1")).collect();
            hosts.sort();
            (cluster(name), hosts)
        })
        .collect();
    assert_eq!(with.values().map(Vec::len).sum::<usize>(), ENDPOINTS);
    with.insert(WEB.to_owned(), [here(), vec!["10.9.0.1:8080*1".to_owned()]].concat());

    let names: Vec<String> = with.keys().cloned().collect();
    let mut audience = Audience {
        watchers: Vec::new(),
        others: Vec::new(),
        expected: 2,
        own,
    };
    for number in 0..WATCHERS {
        audience.watchers.push(match number % 5 {
            0 => Watcher::of_assignments(&control_plane, &names).await,
            _ => Watcher::of_all(&control_plane, &names).await,
        });
    }
    for number in 0..OTHERS {
        let mut client = Watcher::of(&control_plane, &[cluster(&other(number))]).await;
        client.take().await;
        client.take().await;
        assert_eq!((client.clusters.len(), client.held.len()), (1, 1));
        audience.others.push(client);
    }
    audience.watchers_hold(&without).await;
    audience.others_were_told_nothing(&east_client, 0).await;

    let kubeconfig = west.kubeconfig().expect("it can be read");
    for (round, way) in ["a Secret as Istio's", "a Member object"].into_iter().enumerate() {
        if round == 0 {
            create(&objects.secrets, remote_secret("west", "west", &kubeconfig)).await;
        } else {
            objects.secret("west", "kubeconfig", &kubeconfig).await;
            let spec = json!({"secretRef": {"name": "west"}});
            objects.make("west", spec).await.expect("it is taken");
        }
        let last = audience.watchers_hold(&with).await;
        control_plane.logs_times("member is synced", 2 + round).await;
        let took = last.duration_since(control_plane.synced_at("west")).unwrap_or_default();
        println!("joined by {way}: the last of {WATCHERS} had all of it {took:?} after its list");
        assert!(took < FAR_TOO_LONG, "{took:?}");
        audience.others_were_told_nothing(&east_client, 2 * round + 1).await;
        let said = control_plane.say(&["get", "networks"]);
        assert!(said.contains("192.0.2.1") && said.contains("192.0.2.2"), "{said}");

        let asked = SystemTime::now();
        if round == 1 {
            let deleted = objects.api.delete("west", &DeleteParams::default()).await;
            deleted.expect("it is deleted");
        }
        let deleted = objects.secrets.delete("west", &DeleteParams::default()).await;
        deleted.expect("it is deleted");
        let last = audience.watchers_hold(&without).await;
        let took = last.duration_since(asked).unwrap_or_default();
        println!("left by {way}: the last of {WATCHERS} held nothing of it {took:?} after that was asked");
        audience.others_were_told_nothing(&east_client, 2 * round + 2).await;
        let said = control_plane.say(&["get", "networks"]);
        assert!(said.contains("192.0.2.1") && !said.contains("192.0.2.2"), "{said}");
    }
}
