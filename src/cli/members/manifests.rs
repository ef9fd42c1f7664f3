//! What `members attach` applies, in the member and at home. Pure.

use k8s_openapi::ByteString;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::crd::{GROUP, MEMBER_KIND, VERSION};

/// The account of the reader, as the file says that a person may apply too.
const READER: &str = include_str!("../../../config/kubernetes/reader.yaml");
/// The namespace in that file.
const READER_NAMESPACE: &str = "istio-system";

/// The name of the account and of its role.
pub(super) const READER_NAME: &str = "parallax-reader";
/// Whose tokens and bindings are ours, as a label selector.
pub(super) const READER_SELECTOR: &str = "app.kubernetes.io/name=parallax,app.kubernetes.io/component=reader";
/// Which Secrets tell of members, as a label selector.
pub(super) const MEMBERS_SELECTOR: &str = "istio/multiCluster=true";
/// The annotation, and label, that places a member.
pub(super) const NETWORK: &str = "topology.istio.io/network";
/// Who made a Secret.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "parallax");
/// An annotation of the Secret at home: which cluster the member is, as the UID of its namespace `kube-system`.
pub(super) const CLUSTER_UID: &str = "parallax.dev/cluster-uid";
/// An annotation of the Secret at home: which Secret in the member stands for the token in use.
pub(super) const TOKEN: &str = "parallax.dev/token";
/// A label of the Secret in the member: for which home its token was taken, as that cluster's UID.
pub(super) const HOME: &str = "parallax.dev/home";

/// What a token is in what `--dry-run` prints.
const PLACEHOLDER: &str = "TOKEN";
/// The Secret of the token in what `--dry-run` prints; else the API server finds a name.
pub(super) const DRY_RUN_TOKEN: &str = "parallax-reader-token";

/// How the control plane reaches a member's API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `https://HOST:PORT`.
    pub(super) server: String,
    /// PEM in base64; none where a public authority signed.
    pub(super) authority: Option<String>,
    /// The name in its certificate, where that is not its host.
    pub(super) tls_server_name: Option<String>,
}

/// The Secret at home that tells of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberSecret<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) network: Option<&'a str>,
    /// Which cluster it is, where that was asked.
    pub(super) cluster: Option<&'a str>,
    /// The Secret of its token, in the member.
    pub(super) token: &'a str,
}

/// The name of the Secret that tells of a member.
pub(super) fn secret_name(member: &str) -> String {
    format!("istio-remote-secret-{member}")
}

/// The name of the binding of a reader's account.
pub(super) fn binding_name(namespace: &str) -> String {
    format!("{READER_NAME}-{namespace}")
}

/// The account of the reader: ServiceAccount, ClusterRole and ClusterRoleBinding, in this order.
pub(super) fn reader(namespace: &str) -> Vec<DynamicObject> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(READER).expect("reader.yaml is valid, a test reads it");
    for object in &mut objects {
        place(object, namespace);
    }
    let objects = objects.into_iter().map(serde_json::from_value);
    objects
        .collect::<Result<_, _>>()
        .expect("reader.yaml holds objects, a test reads it")
}

/// Puts an object of the file into another namespace.
fn place(object: &mut Value, namespace: &str) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let metadata = &mut object["metadata"];
    if kind == "ClusterRoleBinding" {
        metadata["name"] = binding_name(namespace).into();
    }
    if metadata["namespace"] == READER_NAMESPACE {
        metadata["namespace"] = namespace.into();
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        subject["namespace"] = namespace.into();
    }
}

/// The Secret that stands for a token in the member. The token ends with it. With an end of its own the token is asked for
/// and bound to this Secret; without one the member's controllers write it into the Secret. `home` is the UID of the cluster
/// that it is for, where that is known.
pub(super) fn token_secret(namespace: &str, home: Option<&str>, lasting: Lasting) -> Value {
    let mut labels = json!({
        "app.kubernetes.io/name": "parallax",
        "app.kubernetes.io/component": "reader",
    });
    if let Some(home) = home {
        labels[HOME] = home.into();
    }
    let kind = match lasting {
        Lasting::UntilRevoked => "kubernetes.io/service-account-token",
        Lasting::Bound => "Opaque",
    };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "generateName": format!("{READER_NAME}-"),
            "namespace": namespace,
            "labels": labels,
            "annotations": {"kubernetes.io/service-account.name": READER_NAME},
        },
        "type": kind,
    })
}

/// How the control plane reaches a member, as its kubeconfig says.
pub(super) fn address_in(kubeconfig: &str) -> Option<Address> {
    let read: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    let cluster = &read["clusters"][0]["cluster"];
    let text = |key: &str| cluster[key].as_str().map(str::to_owned);
    Some(Address {
        server: text("server")?,
        authority: text("certificate-authority-data"),
        tls_server_name: text("tls-server-name"),
    })
}

/// How long a token is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Until its Secret is deleted.
    UntilRevoked,
    /// That, and an end of its own.
    Bound,
}

/// The kubeconfig that the control plane reads a member with. The same words for the same content.
pub(super) fn kubeconfig(name: &str, address: &Address, token: &str) -> String {
    let mut cluster = json!({"server": address.server});
    if let Some(authority) = &address.authority {
        cluster["certificate-authority-data"] = authority.as_str().into();
    }
    if let Some(name) = &address.tls_server_name {
        cluster["tls-server-name"] = name.as_str().into();
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    });
    yaml(&config)
}

/// The Secret at home.
pub(super) fn member_secret(secret: &MemberSecret<'_>, kubeconfig: &str) -> Value {
    let mut annotations = json!({
        "networking.istio.io/cluster": secret.name,
        TOKEN: secret.token,
    });
    let optional = [(NETWORK, secret.network), (CLUSTER_UID, secret.cluster)];
    for (key, value) in optional {
        if let Some(value) = value {
            annotations[key] = value.into();
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(secret.name),
            "namespace": secret.namespace,
            "labels": {"istio/multiCluster": "true", MANAGED_BY.0: MANAGED_BY.1},
            "annotations": annotations,
        },
        "type": "Opaque",
        "data": {secret.name: ByteString(kubeconfig.as_bytes().to_vec())},
    })
}

/// The `Member` object at home, for where its kind is installed.
pub(super) fn member_object(name: &str, namespace: &str, network: Option<&str>) -> Value {
    let mut spec = json!({"secretRef": {"name": secret_name(name), "key": name}});
    if let Some(network) = network {
        spec["network"] = network.into();
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": MEMBER_KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY.0: MANAGED_BY.1},
        },
        "spec": spec,
    })
}

/// A namespace, for where there is none.
pub(super) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// What names an object, and no more.
pub(super) fn reference(version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": version, "kind": kind, "metadata": metadata})
}

/// Objects one after another, each a document of its own.
pub(super) fn listed(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{}", yaml(object))).collect()
}

/// What is printed instead of being applied in the member.
pub(super) fn dry_run_member(name: &str, namespace: &str) -> String {
    let mut objects: Vec<_> = reader(namespace).iter().map(|object| json!(object)).collect();
    objects.push(named_token(namespace, None, DRY_RUN_TOKEN));
    let head =
        format!("# In the member {name}: the account that Parallax reads it with, and the token of that account.\n");
    head + &listed(&objects)
}

/// What is printed of a new token in place of making it in the member.
pub(super) fn dry_run_token(name: &str, namespace: &str, token: &str, home: &str) -> String {
    let object = named_token(namespace, Some(home), token);
    format!("# In the member {name}: a new token of the account that Parallax reads it with.\n") + &listed(&[object])
}

/// The Secret of a token under a name that is known before.
fn named_token(namespace: &str, home: Option<&str>, name: &str) -> Value {
    let mut token = token_secret(namespace, home, Lasting::UntilRevoked);
    let metadata = token["metadata"].as_object_mut().expect("an object has metadata");
    metadata.remove("generateName");
    metadata.insert("name".to_owned(), name.into());
    token
}

/// What is printed instead of being applied at home.
pub(super) fn dry_run_home(secret: &MemberSecret<'_>, address: &Address) -> String {
    let MemberSecret {
        name, namespace, token, ..
    } = secret;
    let kubeconfig = kubeconfig(name, address, PLACEHOLDER);
    let mut object = member_secret(secret, &kubeconfig);
    // As text, so that the token can be put in.
    let fields = object.as_object_mut().expect("a Secret is an object");
    fields.remove("data");
    fields.insert("stringData".to_owned(), json!({*name: kubeconfig}));
    format!(
        "# At home, where the control plane looks for members. Put what this prints in the place of {PLACEHOLDER}:\n\
         #   kubectl --context CONTEXT-OF-{} -n {namespace} get secret {token} -o jsonpath='{{.data.token}}' | base64 -d\n{}",
        name.to_uppercase(),
        listed(&[object])
    )
}

fn yaml(value: &Value) -> String {
    // Long values on their line, as people and other tools expect tokens and certificates.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 1 << 30 };
    serde_saphyr::to_string_with_options(value, options).expect("JSON is written as YAML")
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;

    fn address() -> Address {
        Address {
            server: "https://192.0.2.1:6443".to_owned(),
            authority: Some("Q0E=".to_owned()),
            tls_server_name: None,
        }
    }

    #[test]
    fn the_account_is_that_of_the_file_in_any_namespace() {
        let shown = |namespace| {
            let objects = reader(namespace).into_iter().map(|object| {
                let name = object.metadata.name.unwrap_or_default();
                let kind = object.types.unwrap_or_default().kind;
                format!("{kind} {}/{name}", object.metadata.namespace.unwrap_or_default())
            });
            objects.collect::<Vec<_>>()
        };
        assert_eq!(
            shown("mesh"),
            [
                "ServiceAccount mesh/parallax-reader",
                "ClusterRole /parallax-reader",
                "ClusterRoleBinding /parallax-reader-mesh"
            ]
        );
        let binding = reader("mesh").pop().unwrap();
        assert_eq!(binding.data["subjects"][0]["namespace"], "mesh");
        let file: Vec<Value> = serde_saphyr::from_multiple(READER).unwrap();
        let ours: Vec<Value> = reader("istio-system").iter().map(|object| json!(object)).collect();
        assert_eq!(file, ours, "where nothing has to change, nothing does");
    }

    #[test]
    fn the_account_reads_what_is_used_and_nothing_else() {
        let role = &reader("istio-system")[1];
        let mut resources = Vec::new();
        for rule in role.data["rules"].as_array().unwrap() {
            assert_eq!(rule["verbs"], json!(["get", "list", "watch"]));
            resources.extend(rule["resources"].as_array().unwrap().iter().cloned());
        }
        assert_eq!(
            json!(resources),
            json!([
                "namespaces",
                "nodes",
                "services",
                "pods",
                "endpointslices",
                "serviceentries",
                "workloadentries",
                "peerauthentications"
            ])
        );
    }

    #[test]
    fn a_kubeconfig_is_one_that_the_control_plane_takes() {
        let long = "x".repeat(1000);
        let text = kubeconfig("west", &address(), &long);
        assert!(text.ends_with(&format!("    token: {long}\n")), "{text}");
        let text = kubeconfig("west", &address(), "s3cret");
        assert_eq!(text, kubeconfig("west", &address(), "s3cret"));
        let read = Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("west"));
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://192.0.2.1:6443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
        assert!(cluster.tls_server_name.is_none());
        assert_eq!(address_in(&text), Some(address()));
        assert_eq!(address_in("kind: Config"), None);
    }

    #[test]
    fn the_secret_has_the_shape_of_istios() {
        let secret = MemberSecret {
            name: "west",
            namespace: "istio-system",
            network: Some("net2"),
            cluster: Some("uid"),
            token: "parallax-reader-x",
        };
        let object = member_secret(&secret, "kubeconfig");
        let metadata = &object["metadata"];
        assert_eq!(metadata["name"], "istio-remote-secret-west");
        assert_eq!(metadata["labels"]["istio/multiCluster"], "true");
        assert_eq!(metadata["annotations"]["topology.istio.io/network"], "net2");
        assert_eq!(metadata["annotations"]["networking.istio.io/cluster"], "west");
        assert_eq!(metadata["annotations"][TOKEN], "parallax-reader-x");
        assert_eq!(object["data"]["west"], "a3ViZWNvbmZpZw==");
    }

    #[test]
    fn a_member_object_is_one_of_the_kind() {
        let object = member_object("west", "mesh", Some("net2"));
        let spec: crate::crd::MemberSpec = serde_json::from_value(object["spec"].clone()).unwrap();
        assert_eq!(spec.secret_ref.name, secret_name("west"));
        assert_eq!(spec.secret_ref.key.as_deref(), Some("west"));
        assert_eq!(spec.network.as_deref(), Some("net2"));
        assert_eq!(object["apiVersion"], "parallax.dev/v1alpha1");
    }

    #[test]
    fn a_dry_run_is_yaml_for_kubectl_and_holds_no_token() {
        let member: Vec<Value> = serde_saphyr::from_multiple(&dry_run_member("west", "mesh")).unwrap();
        let kinds: Vec<_> = member.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret"]);
        let secret = MemberSecret {
            name: "west",
            namespace: "mesh",
            network: Some("net2"),
            cluster: None,
            token: DRY_RUN_TOKEN,
        };
        let text = dry_run_home(&secret, &address());
        assert!(text.contains("token: TOKEN\n"), "{text}");
        assert!(text.contains("-n mesh get secret parallax-reader-token "), "{text}");
        let home: Value = serde_saphyr::from_str(&text).unwrap();
        let kubeconfig = home["stringData"]["west"].as_str().unwrap();
        assert!(Kubeconfig::from_yaml(kubeconfig).is_ok(), "{kubeconfig}");
    }
}
