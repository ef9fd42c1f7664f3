//! Proxies that attach with the tokens of a real API server: certificates for who they are, and nothing for who they say to be.

use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::super::control_plane::ControlPlane;
use super::super::envoys::DEADLINE;
use super::super::harness::{Envoy, Kubernetes, Member, apply_text, envoy_versions, token as harness_token};
use super::super::kubernetes::{create, furnish};
use super::proxies::{Authority, Load, Pair, bootstrap, parallax, start, text};
use super::thieves::{Asker, ROLES};

/// The oldest Envoy whose bootstrap can say where a token is.
const OLDEST: &str = "1.37.0";

const UNAVAILABLE: i32 = 14;

/// Who may read a member and have tokens looked at, and nothing else.
const REVIEWER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reviewer, namespace: istio-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reviewer}
rules:
  - apiGroups: ['']
    resources: [namespaces, nodes, services, pods]
    verbs: [get, list, watch]
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reviewer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reviewer}
subjects: [{kind: ServiceAccount, name: reviewer, namespace: istio-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reviewer-of-tokens}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:auth-delegator'}
subjects: [{kind: ServiceAccount, name: reviewer, namespace: istio-system}]
";

/// A pod with a service account of the same name as its application, and a token for it in a file.
async fn pod_with_token(client: &Client, account: &str, audience: &str, folder: &Path) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "shop");
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    create(&accounts, json!({ "metadata": { "name": account } })).await;
    let name = format!("{account}-1");
    let spec = json!({ "serviceAccountName": account, "containers": [{ "name": "a", "image": "a" }] });
    create(&pods, json!({ "metadata": { "name": name }, "spec": spec })).await;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name),
                uid: None,
            }),
            expiration_seconds: Some(3600),
        },
        ..TokenRequest::default()
    };
    let issued = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    let token = issued.expect("a token").status.expect("it is issued").token;
    let file = folder.join("token");
    std::fs::write(&file, token).expect("it is written");
    file
}

struct World {
    control_plane: ControlPlane,
    authority: Authority,
    client: Client,
    member: Member,
    _kubernetes: Kubernetes,
}

impl World {
    async fn start(lifetime: &str) -> Self {
        let kubernetes = Kubernetes::start().await.expect("etcd starts");
        let member = kubernetes.start_member("west").await.expect("the API server starts");
        let client = furnish(&member, "net1", "192.0.2.1").await;
        let authority = Authority::new();
        let kubeconfig = member.kubeconfig_path();
        let settings = format!(
            "members:\n  - name: west\n    kubeconfig: {}\n{}",
            kubeconfig.display(),
            authority.settings(lifetime, "token")
        );
        let mut control_plane = ControlPlane::on_settings(&settings);
        control_plane.ready().await;
        Self {
            control_plane,
            authority,
            client,
            member,
            _kubernetes: kubernetes,
        }
    }

    /// A new pod's folder and bootstrap.
    async fn pod(&self, account: &str) -> (PathBuf, Value) {
        let folder = self.control_plane.folder(account);
        let token = pod_with_token(&self.client, account, "istio-ca", &folder).await;
        let pod = format!("shop/{account}-1");
        let bootstrap = self.bootstrap(&folder, &token, &["--pod", &pod, "--service-account", account]);
        (folder, bootstrap)
    }

    /// Puts another key beside the certificate of the authority, and waits until that is noticed.
    async fn somebody_elses_key(&self) {
        let root = self.authority.root();
        parallax(&["ca", "issue-intermediate", "--dir", text(&root), "--member", "other"]);
        std::fs::copy(root.join("west/ca-key.pem"), root.join("right-key.pem")).expect("it is copied");
        self.put_key("other/ca-key.pem");
        self.control_plane
            .says_metric("parallax_identity_authority_refused", |refused| refused > 0.5)
            .await;
        self.control_plane.logs("the last good one stays").await;
        self.control_plane.logs("does not belong").await;
    }

    async fn the_right_key(&self) {
        self.put_key("right-key.pem");
        self.control_plane
            .says_metric("parallax_identity_authority_refused", |refused| refused < 0.5)
            .await;
    }

    fn put_key(&self, from: &str) {
        let root = self.authority.root();
        std::fs::copy(root.join(from), root.join("new-key.pem")).expect("it is copied");
        std::fs::rename(root.join("new-key.pem"), root.join("west/ca-key.pem")).expect("it is moved");
    }

    fn bootstrap(&self, folder: &Path, token: &Path, more: &[&str]) -> Value {
        let xds = self.control_plane.xds.to_string();
        let (ca, token) = (
            self.authority.issued("parallax").join("ca.crt"),
            token.display().to_string(),
        );
        let ca = ca.display().to_string();
        let mut arguments = vec!["--xds", &xds, "--ca", &ca, "--token", &token];
        arguments.extend(more);
        bootstrap(folder, &arguments)
    }
}

/// Waits until an Envoy was served: merely connected is also who is refused a moment later.
async fn is_connected(envoy: &mut Envoy) {
    let served = envoy.wait_for_stat("cluster_manager.cds.update_success", DEADLINE, |updates| updates > 0);
    served.await.expect("it is served");
}

#[tokio::test]
async fn r110_workloads_get_certificates_for_who_they_are_and_renewals_are_pushed() {
    // Renewed after about ten seconds, by push.
    let mut world = World::start("20s").await;
    let mut shown = String::new();
    for version in [envoy_versions()[0], OLDEST] {
        let name = |role: &str| format!("{role}-{}", version.replace('.', "-"));
        let mut server = world.pod("web").await;
        let client_name = name("client");
        let mut client = world.pod(&client_name).await;
        server.0 = world.control_plane.folder(&name("web"));
        // All requests on one connection: it lives through the renewals.
        let mut bootstraps = [&mut server.1, &mut client.1];
        if version == OLDEST {
            // State of the world, too.
            for bootstrap in &mut bootstraps {
                bootstrap["dynamic_resources"]["ads_config"]["api_type"] = json!("GRPC");
            }
        }
        let mut pair = Pair::start((&server.0, server.1), (&client.0, client.1), version, 0).await;
        let (id, _) = pair.waits_for_answer().await;
        assert_eq!(id, format!("spiffe://cluster.local/ns/shop/sa/{client_name}"));
        let load = Load::on(pair.address);
        let first = pair.wait(1, &[]).await;
        // What can't be used doesn't take the place of what can, which goes on renewing.
        let bad = version != OLDEST;
        if bad {
            world.somebody_elses_key().await;
        }
        let second = pair.wait(1, &first).await;
        pair.wait(1, &[first, second].concat()).await;
        if bad {
            world.the_right_key().await;
        }
        load.none_failed().await;
        pair.are_content().await;
        let connections = pair
            .client
            .stat("cluster.web.upstream_cx_total")
            .await
            .expect("it answers");
        assert_eq!(connections, Some(1), "no connection broke");
        let proxies = world.control_plane.say(&["get", "proxies", "-o", "yaml"]);
        assert!(proxies.contains("SDS"), "{proxies}");
        shown += &proxies;
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "shop");
        let pods: Api<Pod> = Api::namespaced(world.client.clone(), "shop");
        let at_once = kube::api::DeleteParams::default().grace_period(0);
        pods.delete("web-1", &at_once).await.expect("it is deleted");
        accounts.delete("web", &at_once).await.expect("it is deleted");
    }
    // Nowhere but in the proxies themselves is there a key or a token.
    shown += &world.control_plane.answers("/metrics", 200).await;
    shown += &std::fs::read_to_string(world.control_plane.process.log()).expect("the log");
    assert!(!shown.contains("PRIVATE KEY") && !shown.contains("eyJ"), "{shown}");
}

/// A control plane whose account may read the member and have tokens reviewed, and is shown no keys.
async fn tokens_are_reviewed_where_no_keys_are_shown(world: &World, token: &Path, other: &Path) -> ControlPlane {
    let client = &world.client;
    // What Kubernetes shows to all service accounts, whoever they are.
    let role = "system:service-account-issuer-discovery";
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    bindings
        .delete(role, &kube::api::DeleteParams::default())
        .await
        .expect("it is there");
    let folder = world.control_plane.folder("reviewer");
    apply_text(client, REVIEWER).await.expect("it is taken");
    let account = harness_token(client, "istio-system", "reviewer", None, None).await;
    let kubeconfig = world.member.kubeconfig().expect("it is there");
    let kubeconfig = kubeconfig.replace(world.member.token(), &account.expect("a token"));
    std::fs::write(folder.join("kubeconfig"), kubeconfig).expect("it is written");
    let settings = format!(
        "members:\n  - name: west\n    kubeconfig: {}/kubeconfig\n{}",
        folder.display(),
        world.authority.settings("12h", "token")
    );
    let mut reviewer = ControlPlane::on_settings(&settings);
    reviewer.ready().await;
    reviewer.logs("no keys of service account tokens").await;

    let ca = world.authority.issued("parallax").join("ca.crt");
    let [shown, foreign] = [token, other].map(|file| std::fs::read_to_string(file).expect("the token"));
    let asker = |token| Asker {
        xds: reviewer.xds,
        ca: &ca,
        certificate: None,
        token: Some(token),
    };
    let id = |pod: &str| format!("sidecar~10.1.0.1~{pod}.shop~shop.svc.cluster.local");
    let west = ("CLUSTER_ID", "west");
    for (token, pod, more, end) in [
        (&shown, "client-1", west, None),
        // Somebody else's account, or pod: 7. A token for another audience, or of nobody: 16.
        (&shown, "client-1", ("SERVICE_ACCOUNT", "web"), Some(7)),
        (&shown, "web-1", west, Some(7)),
        (&foreign, "other-1", west, Some(16)),
        (&format!("{}x", shown.trim()), "client-1", west, Some(16)),
    ] {
        let claims = [west, more];
        assert_eq!(asker(token).asks(&id(pod), &claims).await, end, "{pod} {more:?}");
    }
    // And a real Envoy.
    let mut claims = vec!["--pod", "shop/client-1", "--service-account", "client"];
    let (xds, ca, token) = (
        reviewer.xds.to_string(),
        ca.display().to_string(),
        token.display().to_string(),
    );
    claims.extend(["--xds", &xds, "--ca", &ca, "--token", &token]);
    let folder = reviewer.folder("client");
    let mut envoy = start(&folder, bootstrap(&folder, &claims), envoy_versions()[0]).await;
    is_connected(&mut envoy).await;
    let identified = reviewer.metric_where("parallax_identity_proxies_identified_total", "means=\"token\"");
    assert!(identified.await >= 2.0);
    reviewer
}

#[tokio::test]
async fn r9_a_stolen_name_is_refused_and_an_api_server_that_is_away_keeps_nobody_out() {
    let mut world = World::start("12h").await;
    let honest = world.pod("client").await;
    let token = honest.0.join("token");
    let mut thieves = Vec::new();
    for (name, claims) in [
        ("pod", ["--pod", "shop/web-1", "--service-account", "client"]),
        ("account", ["--pod", "shop/client-1", "--service-account", "web"]),
        ("namespace", ["--pod", "bank/client-1", "--service-account", "client"]),
    ] {
        let folder = world.control_plane.folder(name);
        let bootstrap = world.bootstrap(&folder, &token, &claims);
        thieves.push(start(&folder, bootstrap, envoy_versions()[0]).await);
    }
    let wrong = world.control_plane.folder("wrong");
    let other = pod_with_token(&world.client, "other", "somebody-else", &wrong).await;
    let claims = ["--pod", "shop/other-1", "--service-account", "other"];
    let stranger = world.bootstrap(&wrong, &other, &claims);
    let stranger = start(&wrong, stranger, envoy_versions()[0]).await;
    for (thief, code) in thieves.iter_mut().zip([7; 3]).chain([(&mut { stranger }, 16)]) {
        let failed = thief.wait_for_stat("cluster_manager.cds.update_failure", DEADLINE, |failures| failures > 0);
        failed.await.expect("it is refused");
        let log = std::fs::read_to_string(thief.process().log()).expect("its log");
        assert!(log.contains(&format!("closed: {code},")), "{log}");
        let got = thief.stat("cluster_manager.cds.update_success").await;
        assert_eq!(got.expect("it answers"), Some(0));
    }
    let refused = world
        .control_plane
        .metric_where("parallax_identity_refusals_total", "reason=\"claims_another\"");
    assert!(refused.await >= 3.0);
    assert_eq!(
        world.control_plane.json(&["get", "proxies"])["proxies"]
            .as_array()
            .map_or(0, Vec::len),
        0
    );

    let mut first = start(&honest.0, honest.1.clone(), envoy_versions()[0]).await;
    is_connected(&mut first).await;
    // A token that is no good (any more) is replaced by a rename, as the kubelet does it, and the next attempt shows the new one.
    let folder = world.control_plane.folder("late");
    let late_token = folder.join("late-token");
    std::fs::write(&late_token, "no.good.token").expect("it is written");
    let claims = ["--pod", "shop/client-1", "--service-account", "client"];
    let late = world.bootstrap(&folder, &late_token, &claims);
    let mut late = start(&folder, late, envoy_versions()[0]).await;
    let failed = late.wait_for_stat("cluster_manager.cds.update_failure", DEADLINE, |failures| failures > 0);
    failed.await.expect("it is refused");
    std::fs::copy(&token, folder.join("new")).expect("it is copied");
    std::fs::rename(folder.join("new"), &late_token).expect("it is moved");
    is_connected(&mut late).await;
    drop(late);

    // The same of a gateway as of a sidecar, whatever the metadata says.
    let shown = std::fs::read_to_string(&token).expect("the token");
    let ca = world.authority.issued("parallax").join("ca.crt");
    let asker = Asker {
        xds: world.control_plane.xds,
        ca: &ca,
        certificate: None,
        token: Some(&shown),
    };
    for role in ROLES {
        let id = |pod: &str| format!("{role}~10.1.0.1~{pod}~shop.svc.cluster.local");
        let mine = id("client-1.shop");
        assert_eq!(asker.asks(&mine, &[("CLUSTER_ID", "west")]).await, None, "{role}");
        for (id, claim) in [
            (id("web-1.shop"), ("CLUSTER_ID", "west")),
            (id("client-1.bank"), ("CLUSTER_ID", "west")),
            (mine.clone(), ("SERVICE_ACCOUNT", "web")),
            (mine.clone(), ("NAMESPACE", "bank")),
            (mine.clone(), ("CLUSTER_ID", "east")),
            (mine.clone(), ("NETWORK", "net2")),
        ] {
            assert_eq!(asker.asks(&id, &[claim]).await, Some(7), "{id} {claim:?}");
        }
    }

    let mut reviewer = tokens_are_reviewed_where_no_keys_are_shown(&world, &token, &other).await;

    world.member.kill_apiserver();
    world.control_plane.says(&["get", "members"], "Stale").await;
    // Who has no keys can't tell now, and says so.
    let mine = "sidecar~10.1.0.1~client-1.shop~shop.svc.cluster.local";
    let asker = Asker {
        xds: reviewer.xds,
        ..asker
    };
    assert_eq!(asker.asks(mine, &[("CLUSTER_ID", "west")]).await, Some(UNAVAILABLE));
    let unknown = reviewer.metric_where("parallax_identity_refusals_total", "reason=\"cannot_check\"");
    assert!(unknown.await >= 1.0);
    drop(reviewer);
    drop(first);
    let again = world.control_plane.folder("again");
    let mut second = start(&again, honest.1, envoy_versions()[0]).await;
    is_connected(&mut second).await;
    assert_eq!(
        world.control_plane.json(&["get", "proxies"])["proxies"]
            .as_array()
            .map_or(0, Vec::len),
        1
    );
}
