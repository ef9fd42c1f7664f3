//! The four topologies of `config/topologies`, as their files have them: what is applied, each control plane's settings, and
//! what real Envoys in both clusters hold in the end.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{self, Kubernetes, Member, envoy_versions, eventually};
use super::kubernetes::{create, run_pod};
use super::members::{kubeconfig_of, said};

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn documents(file: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What `kubectl apply --server-side -f` does.
async fn apply(client: &Client, file: &Path) {
    harness::apply_file(client, file).await.expect("it is taken");
}

/// The same with `-f -`.
pub(crate) async fn apply_text(client: &Client, text: &str) {
    harness::apply_text(client, text).await.expect("it is taken");
}

/// A cluster with a Service `web`, one pod of it, and a pod that could be a gateway.
async fn furnish(member: &Member, address: &str) -> Client {
    let client = member.client().await.expect("a client");
    let name = member.name();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in ["shop", "istio-system"] {
        create(&namespaces, json!({"metadata": {"name": namespace}})).await;
    }
    let place = json!({"topology.kubernetes.io/region": name, "topology.kubernetes.io/zone": "z1"});
    create(
        &Api::<Node>::all(client.clone()),
        json!({"metadata": {"name": "node-1", "labels": place}}),
    )
    .await;
    let services: Api<Service> = Api::namespaced(client.clone(), "shop");
    let spec = json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    create(&services, json!({"metadata": {"name": "web"}, "spec": spec})).await;
    run_pod(&client, "web-1", address, true).await;

    let pods: Api<Pod> = Api::namespaced(client.clone(), "istio-system");
    let gateway = json!({
        "metadata": {"name": "gateway", "labels": {"istio": "eastwestgateway"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "proxy", "image": "proxy"}]},
    });
    create(&pods, gateway).await;
    let report = json!({"status": {
        "phase": "Running", "podIP": "10.9.0.9", "podIPs": [{"ip": "10.9.0.9"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    pods.patch_status("gateway", &PatchParams::default(), &Patch::Merge(report))
        .await
        .expect("the report is taken");
    client
}

/// A kubeconfig with the account that `control-plane.yaml` makes: what `inCluster` finds in a pod.
pub(crate) async fn account(member: &Member, client: &Client, folder: &Path) -> PathBuf {
    harness::account(member, client, folder).await.expect("an account")
}

/// The settings of a control plane with what a pod has replaced by what this machine has: addresses, certificates, a disk, and
/// the account of the pod.
fn settings(file: &Path, account: &Path) -> String {
    let mut settings = documents(file).remove(0);
    let object = settings.as_object_mut().expect("settings are an object");
    for of_the_pod in ["listen", "admin", "tls", "store"] {
        assert!(object.remove(of_the_pod).is_some(), "{}: {of_the_pod}", file.display());
    }
    let text = serde_saphyr::to_string(&settings).expect("YAML");
    let here = format!("kubeconfig: {}", account.display());
    assert_eq!(text.matches("inCluster: true").count(), 2, "{text}");
    text.replace("inCluster: true", &here)
}

struct Site {
    name: &'static str,
    other: &'static str,
    client: Client,
    /// Where proxies of it are.
    proxy: &'static str,
    pod: &'static str,
    /// The address that its load balancer gives.
    gateway: &'static str,
}

/// Applies what a topology has for a cluster, and plays the cloud that gives a load balancer its address.
async fn prepare(site: &Site, folder: &Path) {
    for file in ["namespace.yaml", "gateway.yaml", "remote.yaml"] {
        let file = folder.join(file);
        if file.exists() {
            apply(&site.client, &file).await;
        }
    }
    if folder.join("gateway.yaml").exists() {
        let services: Api<Service> = Api::namespaced(site.client.clone(), "istio-system");
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": site.gateway}]}}});
        services
            .patch_status("eastwest-gateway", &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the address is taken");
    }
}

#[tokio::test]
async fn envoys_of_both_clusters_see_what_each_topology_says() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let sites = [
        Site {
            name: "east",
            other: "west",
            client: furnish(&east, "10.1.0.1").await,
            proxy: "10.1.0.50",
            pod: "10.1.0.1:8080*1@east/z1",
            gateway: "192.0.2.1",
        },
        Site {
            name: "west",
            other: "east",
            client: furnish(&west, "10.2.0.1").await,
            proxy: "10.2.0.50",
            pod: "10.2.0.1:8080*1@west/z1",
            gateway: "192.0.2.2",
        },
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let people = kubeconfig_of(folder.path(), &[&east, &west]);
    let accounts = [
        account(&east, &sites[0].client, folder.path()).await,
        account(&west, &sites[1].client, folder.path()).await,
    ];
    // Those of one network first: they need nothing applied that the others would have to take back.
    for networks in ["one-network", "two-networks"] {
        for kind in ["primary-remote", "multi-primary"] {
            let topology = config(&format!("topologies/{kind}-{networks}"));
            eprintln!("==> {kind} on {networks}");
            run(&topology, &sites, &accounts, &people).await;
        }
    }
}

async fn run(topology: &Path, sites: &[Site; 2], accounts: &[PathBuf; 2], people: &Path) {
    let mut control_planes = Vec::new();
    for (site, account) in sites.iter().zip(accounts) {
        let folder = topology.join(site.name);
        prepare(site, &folder).await;
        let file = folder.join("parallax.yaml");
        if file.exists() {
            let mut control_plane = ControlPlane::on_settings(&settings(&file, account));
            control_plane.ready().await;
            control_planes.push((site, control_plane));
        }
    }
    let people = people.display().to_string();
    let members = |control_plane: &ControlPlane, site: &Site, what: &str| {
        let output = control_plane.run(&[
            "members",
            what,
            site.other,
            "--context",
            site.other,
            "--home-context",
            site.name,
            "--kubeconfig",
            &people,
        ]);
        assert!(output.status.success(), "{what} {}: {}", site.other, said(&output));
    };
    for (site, control_plane) in &control_planes {
        members(control_plane, site, "attach");
    }

    let two_networks = topology.join("east/gateway.yaml").exists();
    let mut all = Vec::new();
    for (index, site) in sites.iter().enumerate() {
        // Where there is one control plane, it serves both.
        let (_, control_plane) = control_planes.get(index).unwrap_or(&control_planes[0]);
        let newest = &envoy_versions()[..1];
        let mut envoys = Envoys::start_versions(control_plane, newest, site.name, site.proxy).await;
        let other = &sites[1 - index];
        let there = match two_networks {
            true => format!("{}:15443*1@{}/z1", other.gateway, other.name),
            false => other.pod.to_owned(),
        };
        envoys.hold(&[site.pod, &there]).await;
        envoys.are_content().await;
        all.push(envoys);
    }

    for (site, control_plane) in &control_planes {
        members(control_plane, site, "detach");
    }
    for (envoys, (site, _)) in all.iter_mut().zip(&control_planes) {
        envoys.hold(&[site.pod]).await;
    }
}

#[test]
fn every_settings_file_is_right_and_every_file_is_used() {
    let topologies = std::fs::read_dir(config("topologies")).expect("a folder");
    let mut count = 0;
    for topology in topologies {
        let topology = topology.expect("an entry").path();
        for cluster in ["east", "west"] {
            let folder = topology.join(cluster);
            let Ok(files) = std::fs::read_dir(&folder) else {
                // A remote cluster on the one network needs nothing.
                continue;
            };
            let kustomization = std::fs::read_to_string(folder.join("kustomization.yaml")).expect("a kustomization");
            for file in files {
                let file = file.expect("an entry").path();
                let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
                assert!(
                    name == "kustomization.yaml" || kustomization.contains(name),
                    "{} is in no kustomization",
                    file.display()
                );
                if name == "parallax.yaml" {
                    check(&file);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 6, "two with two control planes, two with one");
}

fn check(file: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_parallax"))
        .arg("check-config")
        .arg(file)
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}: {}", file.display(), said(&output));
}

#[tokio::test]
async fn the_control_planes_manifests_are_taken_and_allow_what_is_needed() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let home = kubernetes.start_member("home").await.expect("the API server starts");
    let client = home.client().await.expect("a client");
    let kustomization = documents(&config("kubernetes/kustomization.yaml")).remove(0);
    for file in kustomization["resources"].as_array().expect("it lists files") {
        let file = config("kubernetes").join(file.as_str().expect("a name"));
        // Twice: what was applied can be applied again.
        apply(&client, &file).await;
        apply(&client, &file).await;
    }
    apply(&client, &config("kubernetes/reader.yaml")).await;

    // The settings in the ConfigMap are right.
    let folder = tempfile::tempdir().expect("a folder");
    let map = documents(&config("kubernetes/control-plane.yaml"));
    let map = map
        .iter()
        .find(|object| object["kind"] == "ConfigMap")
        .expect("a ConfigMap");
    let file = folder.path().join("parallax.yaml");
    std::fs::write(&file, map["data"]["parallax.yaml"].as_str().expect("settings")).expect("it can be written");
    check(&file);

    // With the account of the pod, on the settings of the pod, the home cluster is a member, and may be looked in.
    let account = account(&home, &client, folder.path()).await;
    let mut control_plane = ControlPlane::on_settings(&settings(&file, &account));
    control_plane.ready().await;
    let look = async || {
        let said = control_plane.run(&["members", "status", "home"]);
        match said.status.success() {
            true => Ok(()),
            false => Err(super::members::said(&said)),
        }
    };
    eventually("the home cluster to be synced", DEADLINE, look)
        .await
        .expect("it is");
    let said = control_plane.say(&["members", "status"]);
    assert!(!said.contains("Problems"), "{said}");

    // And no more than that.
    let config = Kubeconfig::read_from(&account).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let pod = Client::try_from(config.expect("it can be used")).expect("a client");
    let everywhere = Api::<Secret>::all(pod.clone()).list(&ListParams::default()).await;
    assert!(is_forbidden(everywhere), "it reads Secrets of all namespaces");
    let here: Api<Secret> = Api::namespaced(pod.clone(), "istio-system");
    here.list(&ListParams::default())
        .await
        .expect("it reads those of its own");
    assert!(
        is_forbidden(here.delete("any", &Default::default()).await),
        "it deletes Secrets"
    );
    let pods: Api<Pod> = Api::namespaced(pod, "istio-system");
    assert!(
        is_forbidden(pods.delete("any", &Default::default()).await),
        "it deletes pods"
    );
}

fn is_forbidden<T>(answer: Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
}
