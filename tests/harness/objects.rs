//! What a person with kubectl does in a cluster, and what a kubelet and a cloud report.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::member::Member;

/// What `kubectl apply --server-side -f -` does.
///
/// # Errors
/// If the text is no list of objects, or one is refused, also for a field that no version of the API has.
pub async fn apply_text(client: &Client, text: &str) -> anyhow::Result<()> {
    let objects = serde_saphyr::from_multiple::<Value>(text).with_context(|| format!("no objects: {text}"))?;
    for object in objects {
        apply(client, &object).await?;
    }
    Ok(())
}

/// The same with a file.
///
/// # Errors
/// As [`apply_text`], and if the file can't be read.
pub async fn apply_file(client: &Client, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    apply_text(client, &text)
        .await
        .with_context(|| file.display().to_string())
}

/// Makes an object, or makes it what is said here.
///
/// # Errors
/// If it is refused.
pub async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, name) = api_of(client, object);
    // Strict, so that a field which no version of the API has is an error.
    let params = PatchParams::apply("person").force().validation_strict();
    let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
    applied.with_context(|| format!("{} {name}", object["kind"]))?;
    Ok(())
}

/// Writes the `status` of an object, as whoever runs it would.
///
/// # Errors
/// If it is refused.
pub async fn report(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, name) = api_of(client, object);
    let status = json!({ "status": object["status"] });
    let reported = api
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await;
    reported.with_context(|| format!("the status of {} {name}", object["kind"]))?;
    Ok(())
}

/// Deletes an object, which need not be there, at once.
///
/// # Errors
/// If that is refused.
pub async fn delete(client: &Client, object: &Value) -> anyhow::Result<()> {
    let (api, name) = api_of(client, object);
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    match api.delete(&name, &at_once).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => bail!("{} {name} is not deleted: {error}", object["kind"]),
    }
}

fn api_of(client: &Client, object: &Value) -> (Api<DynamicObject>, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, text(&object["metadata"]["name"]))
}

/// A token of a service account, for an audience or for the API server itself, bound to a pod if one is named.
///
/// # Errors
/// If the API server issues none.
pub async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audience: Option<&str>,
    pod: Option<&str>,
) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audience.map(str::to_owned).into_iter().collect(),
            bound_object_ref: pod.map(|name| BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name.to_owned()),
                uid: None,
            }),
            expiration_seconds: Some(3600),
        },
        ..TokenRequest::default()
    };
    let issued = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await;
    let issued = issued.with_context(|| format!("a token of {namespace}/{account}"))?;
    Ok(issued.status.context("the token was not issued")?.token)
}

/// One kubeconfig with a context for each member, as people have.
///
/// # Errors
/// If the kubeconfigs of the members can't be read, or this one not written.
pub fn kubeconfig_of(folder: &Path, members: &[&Member]) -> anyhow::Result<PathBuf> {
    let mut merged = json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []});
    for member in members {
        let mut one: Value = serde_json::from_str(&member.kubeconfig()?)?;
        let name = member.name();
        one["users"][0]["name"] = name.into();
        one["contexts"][0]["context"]["user"] = name.into();
        for part in ["clusters", "users", "contexts"] {
            let list = merged[part].as_array_mut().expect("a list");
            list.push(one[part][0].clone());
        }
    }
    let file = folder.join("people.kubeconfig");
    std::fs::write(&file, merged.to_string())?;
    Ok(file)
}

/// Installs what a cluster with a control plane has (`config/kubernetes`), and writes a kubeconfig with the account that it
/// runs under: what `inCluster` finds in a pod.
///
/// # Errors
/// If the API server refuses something.
pub async fn account(member: &Member, client: &Client, folder: &Path) -> anyhow::Result<PathBuf> {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes");
    for file in ["crds.yaml", "control-plane.yaml"] {
        apply_file(client, &manifests.join(file)).await?;
    }
    let token = token(client, "istio-system", "parallax", None, None).await?;
    let text = member.kubeconfig()?.replace(member.token(), &token);
    let file = folder.join(format!("{}.kubeconfig", member.name()));
    std::fs::write(&file, text)?;
    Ok(file)
}
