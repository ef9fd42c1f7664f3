//! Members by `Member` objects on real API servers: pending, joined, changed live, rotated, gone dark, gone; what `kubectl get
//! members` shows of each, and what real Envoys hold.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{Kubernetes, Member, eventually};
use super::kubernetes::{create, furnish, run_pod};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";
const HOME: &str = "istio-system";

/// `Member` objects of a home cluster.
pub(crate) struct Objects {
    client: Client,
    pub(crate) api: Api<DynamicObject>,
    pub(crate) secrets: Api<Secret>,
}

impl Objects {
    /// Installs the kind as `kubectl apply` would, and waits until the API server serves it.
    pub(crate) async fn install(client: &Client) -> Self {
        let definition = include_str!("../../config/kubernetes/crds.yaml");
        let definition: Value = serde_saphyr::from_str(definition).expect("it is YAML");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        create(&definitions, definition).await;
        let kind = GroupVersionKind::gvk("parallax.dev", "v1alpha1", "Member");
        let resource = ApiResource::from_gvk_with_plural(&kind, "members");
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), HOME, &resource);
        eventually("the kind to be served", DEADLINE, async || {
            let listed = api.list(&kube::api::ListParams::default()).await;
            listed.map(|_| ()).map_err(|error| error.to_string())
        })
        .await
        .expect("it is");
        Self {
            api,
            client: client.clone(),
            secrets: Api::namespaced(client.clone(), HOME),
        }
    }

    pub(crate) async fn make(&self, name: &str, spec: Value) -> Result<(), String> {
        let object =
            json!({"apiVersion": "parallax.dev/v1alpha1", "kind": "Member", "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).expect("an object");
        let made = self.api.create(&PostParams::default(), &object).await;
        made.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn change(&self, name: &str, spec: Value) {
        let change = Patch::Merge(json!({"spec": spec}));
        let changed = self.api.patch(name, &PatchParams::default(), &change).await;
        changed.expect("it is taken");
    }

    /// Conditions as `Status/Reason: message`, by type, where they are about the present spec.
    pub(crate) async fn conditions(&self, name: &str) -> Result<std::collections::BTreeMap<String, String>, String> {
        let object = self.api.get(name).await.map_err(|error| error.to_string())?;
        let status = &object.data["status"];
        if status["observedGeneration"].as_i64() != object.metadata.generation {
            return Err(format!("not about the present spec: {status:#}"));
        }
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let shown = conditions.map(|condition| {
            let word = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            let shown = format!("{}/{}: {}", word("status"), word("reason"), word("message"));
            (word("type"), shown)
        });
        Ok(shown.collect())
    }

    /// Waits until a condition begins so.
    pub(crate) async fn say(&self, name: &str, condition: &str, begins: &str) -> String {
        let what = format!("{condition} of {name} to be {begins}");
        let look = async || {
            let conditions = self.conditions(name).await?;
            match conditions.get(condition) {
                Some(said) if said.starts_with(begins) => Ok(said.clone()),
                _ => Err(format!("{conditions:#?}")),
            }
        };
        eventually(&what, DEADLINE, look).await.expect("it says so")
    }

    /// The columns that `kubectl get members` shows, by name, with `-o wide`'s.
    async fn columns(&self, name: &str) -> Value {
        let request = http::Request::get(format!("/apis/parallax.dev/v1alpha1/namespaces/{HOME}/members/{name}"))
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .expect("a request");
        let table: Value = self.client.request(request).await.expect("a table");
        let names = table["columnDefinitions"].as_array().expect("columns");
        let cells = table["rows"][0]["cells"].as_array().expect("one row");
        let pairs = names.iter().zip(cells);
        pairs
            .map(|(column, cell)| (column["name"].as_str().expect("a name").to_owned(), cell.clone()))
            .collect()
    }

    pub(crate) async fn secret(&self, name: &str, key: &str, kubeconfig: &str) {
        create(
            &self.secrets,
            json!({"metadata": {"name": name}, "stringData": {key: kubeconfig}}),
        )
        .await;
    }

    async fn rotate(&self, name: &str, key: &str, kubeconfig: &str) {
        let change = Patch::Merge(json!({"stringData": {key: kubeconfig}}));
        let changed = self.secrets.patch(name, &PatchParams::default(), &change).await;
        changed.expect("it is taken");
    }
}

/// Settings of a control plane that reads members from a home cluster.
pub(crate) fn settings(home: &Member) -> String {
    format!("memberSecrets:\n  kubeconfig: {}\n", home.kubeconfig_path().display())
}

#[tokio::test]
async fn members_join_by_objects_and_their_statuses_tell_the_truth() {
    let (_kubernetes, east, mut west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let objects = Objects::install(&east_client).await;
    let good = west.kubeconfig().expect("it can be read");

    objects
        .secret("east", "kubeconfig", &east.kubeconfig().expect("it can be read"))
        .await;
    objects
        .make("east", json!({"secretRef": {"name": "east"}}))
        .await
        .expect("it is taken");
    let mut control_plane = ControlPlane::on_settings(&settings(&east));
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST]).await;
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@net2/z1");

    // Pending without its Secret; it joins when that comes, whether or not it has a label.
    let spec = json!({"secretRef": {"name": "west"}});
    objects.make("west", spec).await.expect("it is taken");
    let said = objects.say("west", "Accepted", "False/SecretNotFound").await;
    assert!(
        said.contains("Secret istio-system/west") && said.contains("picked up as soon"),
        "{said}"
    );
    objects.secret("west", "kubeconfig", &good).await;
    envoys.hold(&[EAST, &gateway(1)]).await;
    for (condition, begins) in [
        ("Accepted", "True/Accepted"),
        ("Connected", "True/Connected"),
        ("Synced", "True/Synced"),
        ("Stale", "False/Fresh"),
        ("CredentialsValid", "True/Valid"),
    ] {
        objects.say("west", condition, begins).await;
    }
    let look = async || {
        let columns = objects.columns("west").await;
        let shown =
            ["Connected", "Synced", "Stale", "Network", "Services", "Endpoints"].map(|name| columns[name].clone());
        let expected = json!(["True", "True", "False", "net2", 3, 1]);
        match json!(shown) == expected
            && columns["Version"]
                .as_str()
                .is_some_and(|version| version.starts_with('v'))
        {
            true => Ok(()),
            false => Err(format!("{columns:#}")),
        }
    };
    eventually("the columns to be right", DEADLINE, look)
        .await
        .expect("they are");

    // What the API server itself refuses, and a name that is taken.
    for (name, spec, why) in [
        ("a", json!({}), "secretRef"),
        ("a", json!({"secretRef": {"name": "x"}, "weight": 1001}), "weight"),
        (
            "a",
            json!({"secretRef": {"name": "x"}, "stale": {"policy": "Drop"}}),
            "Demote and Drop need `after`",
        ),
        (
            &"a".repeat(64),
            json!({"secretRef": {"name": "x"}}),
            "at most 63 characters",
        ),
    ] {
        let said = objects.make(name, spec).await.expect_err("it is refused");
        assert!(said.contains(why), "{said}");
    }

    // Rotations that must not be, each with its reason; the one before goes on.
    objects
        .rotate("west", "kubeconfig", &good.replace(west.token(), "expired-token"))
        .await;
    let said = objects.say("west", "CredentialsValid", "False/RotationFailed").await;
    assert!(said.contains("the one before stays in use"), "{said}");
    objects.say("west", "Synced", "True").await;
    let east_kubeconfig = east.kubeconfig().expect("it can be read");
    objects.rotate("west", "kubeconfig", &east_kubeconfig).await;
    objects.say("west", "CredentialsValid", "False/OtherCluster").await;
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[EAST, &gateway(2)]).await;
    // And one that may.
    objects.rotate("west", "kubeconfig", &(good.clone() + "\n")).await;
    objects.say("west", "CredentialsValid", "True/Valid").await;
    control_plane.logs("going on with the new kubeconfig").await;
    run_pod(&west_client, "web-3", "10.2.0.3", true).await;
    envoys.hold(&[EAST, &gateway(3)]).await;

    // Credentials that may not read everything: told by the API server's own word.
    objects.rotate("west", "kubeconfig", &half(&west).await).await;
    let said = objects.say("west", "CredentialsValid", "False/RotationFailed").await;
    assert!(said.contains("forbids us to read") && said.contains("pods"), "{said}");
    // The Secret is lost: the object still asks for the member, so it goes on; and the Secret comes back.
    let deleted = objects.secrets.delete("west", &DeleteParams::default()).await;
    deleted.expect("it is deleted");
    let said = objects.say("west", "Accepted", "False/SecretNotFound").await;
    assert!(said.contains("it is read as before"), "{said}");
    objects.say("west", "Synced", "True").await;
    envoys.hold(&[EAST, &gateway(3)]).await;
    objects.secret("west", "kubeconfig", &good).await;
    objects.say("west", "CredentialsValid", "True/Valid").await;

    // A spec that changes: live, without reading anew.
    let connections = control_plane
        .metric_where("parallax_registry_events_total", "member=\"west\"")
        .await;
    objects.change("west", json!({"network": "net9"})).await;
    objects.say("west", "Accepted", "True").await;
    let after = control_plane
        .metric_where("parallax_registry_events_total", "member=\"west\"")
        .await;
    assert!(after < connections + 10.0, "{connections} {after}: it was listed again");

    // It is drained and comes back, at once.
    objects.change("west", json!({"weight": 0})).await;
    envoys.hold(&[EAST]).await;
    let said = control_plane.say(&["get", "endpoints", "web.shop"]);
    let why = "member west is drained: its weight is 0 (spec.weight of its Member object)";
    assert!(said.contains(why), "{said}");
    objects.change("west", json!({"weight": null})).await;
    envoys.hold(&[EAST, &gateway(3)]).await;

    // Only some namespaces of it, and all again: what the others have goes, and comes back; what is kept stays all the while.
    let services = async |count: u64| {
        let look = async || {
            let said = control_plane.json(&["get", "members"]);
            let west = said["members"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|member| member["name"] == "west");
            match west {
                Some(west) if west["counts"]["Service"] == count && west["state"] == "Synced" => Ok(()),
                _ => Err(format!("{said:#}")),
            }
        };
        eventually(&format!("{count} Services"), DEADLINE, look)
            .await
            .expect("they are there");
    };
    services(3).await;
    objects
        .change("west", json!({"namespaces": ["istio-system", "shop"]}))
        .await;
    services(2).await;
    envoys.hold(&[EAST, &gateway(3)]).await;
    objects.change("west", json!({"namespaces": null})).await;
    services(3).await;
    envoys.hold(&[EAST, &gateway(3)]).await;

    // While much happens, little is written.
    let writes = control_plane.metric("parallax_control_status_writes_total").await;
    let begun = Instant::now();
    for number in 4..24 {
        run_pod(
            &west_client,
            &format!("web-{number}"),
            &format!("10.2.0.{number}"),
            true,
        )
        .await;
    }
    envoys.hold(&[EAST, &gateway(23)]).await;
    let writes = control_plane.metric("parallax_control_status_writes_total").await - writes;
    // East and west, every ten seconds.
    let most = 2.0 * (2.0 + begun.elapsed().as_secs_f64() / 10.0);
    assert!(writes <= most, "{writes} writes in {:?}", begun.elapsed());

    // While nothing happens, nothing is written: the Lease alone is renewed.
    quiet(&objects, &mut control_plane).await;

    // The API server goes dark, and comes back.
    west.kill_apiserver();
    objects.say("west", "Stale", "True/NotReadable").await;
    objects.say("west", "Connected", "False/ServerUnreachable").await;
    objects.say("west", "Synced", "False").await;
    envoys.hold(&[EAST, &gateway(23)]).await;
    // What its endpoints are worth meanwhile the object says, also while nothing else is heard: kept, dropped, kept, dropped.
    objects
        .change("west", json!({"stale": {"policy": "Drop", "after": "1s"}}))
        .await;
    envoys.hold(&[EAST]).await;
    let said = control_plane.say(&["explain", "web.shop:80", "--network", "net1"]);
    assert!(said.contains("drop after 1s"), "{said}");
    objects
        .change("west", json!({"stale": {"policy": "Keep", "after": null}}))
        .await;
    envoys.hold(&[EAST, &gateway(23)]).await;
    objects
        .change("west", json!({"stale": {"policy": "Drop", "after": "1s"}}))
        .await;
    envoys.hold(&[EAST]).await;
    west.restart_apiserver().await.expect("it starts again");
    envoys.hold(&[EAST, &gateway(23)]).await;
    objects.say("west", "Connected", "True").await;
    objects.say("west", "Synced", "True").await;
    objects.say("west", "Stale", "False").await;

    // It goes, with just what was its own; its Secret may stay.
    objects
        .api
        .delete("west", &DeleteParams::default())
        .await
        .expect("it is deleted");
    envoys.hold(&[EAST]).await;
    let said = control_plane.say(&["get", "members"]);
    assert!(!said.contains("west"), "{said}");
    envoys.are_content().await;
    let log = std::fs::read_to_string(control_plane.process.log()).expect("there is a log");
    for word in [east.token(), "expired-token"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
}

/// A kubeconfig of a service account that may read everything but pods.
async fn half(member: &Member) -> String {
    let client = member.client().await.expect("a client");
    let rules = json!([{
        "apiGroups": ["", "discovery.k8s.io"], "verbs": ["get", "list", "watch"],
        "resources": ["namespaces", "nodes", "services", "endpointslices"],
    }]);
    create(
        &Api::<ClusterRole>::all(client.clone()),
        json!({"metadata": {"name": "half"}, "rules": rules}),
    )
    .await;
    let binding = json!({
        "metadata": {"name": "half"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "half"},
        "subjects": [{"kind": "ServiceAccount", "name": "half", "namespace": "default"}],
    });
    create(&Api::<ClusterRoleBinding>::all(client.clone()), binding).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    create(&accounts, json!({"metadata": {"name": "half"}})).await;
    let request = serde_json::from_value(json!({"spec": {"audiences": []}})).expect("a request");
    let issued = accounts
        .create_token_request("half", &PostParams::default(), &request)
        .await;
    let token = issued.expect("a token").status.expect("it is issued").token;
    member
        .kubeconfig()
        .expect("it can be read")
        .replace(member.token(), &token)
}

/// Waits for two renewals of the Lease, in which no status must be written.
async fn quiet(objects: &Objects, control_plane: &mut ControlPlane) {
    use k8s_openapi::api::coordination::v1::Lease;
    let leases: Api<Lease> = Api::namespaced(objects.client.clone(), HOME);
    let renewed = async || {
        let lease = leases
            .get("parallax-control")
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(lease.spec.and_then(|spec| spec.renew_time))
    };
    // What the last change wrote may still be under way: two renewals without a write have to come some time.
    for _ in 0..6 {
        let writes = control_plane.metric("parallax_control_status_writes_total").await;
        for _ in 0..2 {
            let before = renewed().await;
            eventually(
                "the Lease to be renewed",
                Duration::from_secs(30),
                async || match renewed().await {
                    now if now != before => Ok(()),
                    now => Err(format!("{now:?}")),
                },
            )
            .await
            .expect("it is");
        }
        if control_plane.metric("parallax_control_status_writes_total").await == writes {
            return;
        }
    }
    panic!("statuses are written all the time");
}
