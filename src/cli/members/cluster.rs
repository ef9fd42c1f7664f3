//! An API server that a command writes to, and what its errors mean to a person.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::config::{self, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Config};
use serde_json::Value;

use super::super::Failure;
use super::manifests::Address;

/// Limits of a connection; none of these commands asks for anything that takes long.
const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(20);

/// What errors call the kubeconfig that kubectl takes by default.
const DEFAULT_FILE: &str = "of KUBECONFIG or ~/.kube/config";

/// Whose fields these are, in server-side apply.
const FIELD_MANAGER: &str = "parallax";

/// An API server, as a context of a kubeconfig tells of it.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    /// What errors call it: `context west-admin`.
    pub(super) shown: String,
    /// Its entry in the kubeconfig.
    entry: config::Cluster,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// What applying an object did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Made,
    Changed,
    Unchanged,
}

impl Change {
    /// What this and another did together.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::Unchanged => other,
            changed => changed,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Unchanged => "there already",
        })
    }
}

impl Cluster {
    /// Reads the kubeconfig; nothing is asked yet.
    pub(super) async fn open(file: Option<&Path>, context: Option<&str>) -> Result<Self, Failure> {
        let found = Found::read(file, context)?;
        let options = KubeConfigOptions {
            context: Some(found.context.clone()),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(found.kubeconfig, &options).await;
        let config = config.map_err(|error| unusable(&found.shown, &error))?;
        Self::connect(config, found.shown, found.entry)
    }

    fn connect(mut config: Config, shown: String, entry: config::Cluster) -> Result<Self, Failure> {
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(READ);
        // A retry inside the client would hide for minutes that something is wrong.
        config.default_retry = false;
        let client = Client::try_from(config)
            .map_err(|error| Failure::Refused(format!("{shown} can't be used: {}", words(&error))))?;
        Ok(Self { client, shown, entry })
    }

    /// The same API server with a token instead of the person's credentials.
    pub(super) async fn with_token(&self, token: &str) -> Result<Self, Failure> {
        let user = serde_json::json!({"token": token});
        let user = serde_json::from_value(user).expect("a token is all that a user needs");
        let named = |name: &str| name.to_owned();
        let kubeconfig = Kubeconfig {
            clusters: vec![config::NamedCluster {
                name: named("member"),
                cluster: Some(self.entry.clone()),
                ..config::NamedCluster::default()
            }],
            auth_infos: vec![config::NamedAuthInfo {
                name: named("reader"),
                auth_info: Some(user),
                ..config::NamedAuthInfo::default()
            }],
            contexts: vec![config::NamedContext {
                name: named("reader"),
                context: Some(config::Context {
                    cluster: named("member"),
                    user: Some(named("reader")),
                    ..config::Context::default()
                }),
                ..config::NamedContext::default()
            }],
            current_context: Some(named("reader")),
            ..Kubeconfig::default()
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let config = config.map_err(|error| unusable(&self.shown, &error))?;
        Self::connect(config, self.shown.clone(), self.entry.clone())
    }

    /// Which cluster it is: the UID of its namespace `kube-system`, as is the custom.
    pub(super) async fn identity(&self) -> Result<String, Failure> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.get("kube-system").await;
        let found = found.map_err(|error| self.failure("get the namespace kube-system", &error))?;
        Ok(found.metadata.uid.unwrap_or_default())
    }

    /// The version of the API server.
    pub(super) async fn version(&self) -> Result<String, Failure> {
        let version = self.client.apiserver_version().await;
        let version = version.map_err(|error| self.failure("ask for the version", &error))?;
        Ok(version.git_version)
    }

    /// How a control plane reaches it, `server` instead of the address in the kubeconfig.
    pub(super) fn address(&self, server: Option<&str>) -> Result<Address, Failure> {
        address(&self.shown, &self.entry, server)
    }

    /// Makes an object as it should be. Of an object that is there, only what it says is changed.
    pub(super) async fn apply(&self, object: &Value) -> Result<Change, Failure> {
        let (api, name, shown) = self.place(object);
        let doing = || format!("write the {shown}");
        let before = api.get_metadata_opt(&name).await;
        let before = before.map_err(|error| self.failure(&format!("read the {shown}"), &error))?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let after = api.patch(&name, &params, &Patch::Apply(object)).await;
        let after = after.map_err(|error| self.failure(&doing(), &error))?;
        Ok(match before {
            None => Change::Made,
            Some(before) if before.metadata.resource_version == after.metadata.resource_version => Change::Unchanged,
            Some(_) => Change::Changed,
        })
    }

    /// Makes an object where there is none; one that is there is somebody else's.
    pub(super) async fn ensure(&self, object: &Value) -> Result<Change, Failure> {
        let (api, name, shown) = self.place(object);
        let there = api.get_metadata_opt(&name).await;
        match there.map_err(|error| self.failure(&format!("read the {shown}"), &error))? {
            Some(_) => Ok(Change::Unchanged),
            None => self.apply(object).await,
        }
    }

    /// Deletes an object; one that is gone is fine.
    pub(super) async fn delete(&self, object: &Value) -> Result<(), Failure> {
        let (api, name, shown) = self.place(object);
        match api.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.failure(&format!("delete the {shown}"), &error)),
            Ok(_) => Ok(()),
        }
    }

    fn place(&self, object: &Value) -> (Api<DynamicObject>, String, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let metadata = &object["metadata"];
        let name = text(&metadata["name"]);
        let client = self.client.clone();
        match metadata["namespace"].as_str() {
            Some(namespace) => {
                let shown = format!("{kind} {namespace}/{name}");
                (Api::namespaced_with(client, namespace, &resource), name, shown)
            }
            None => {
                let shown = format!("{kind} {name}");
                (Api::all_with(client, &resource), name, shown)
            }
        }
    }

    /// What an error means; `doing` goes on from "not allowed to".
    pub(super) fn failure(&self, doing: &str, error: &kube::Error) -> Failure {
        let shown = &self.shown;
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Failure::Forbidden(format!(
                    "the API server of {shown} does not take its credentials: {}; log in again, or name another context",
                    status.message
                )),
                403 => Failure::Forbidden(format!(
                    "{shown} is not allowed to {doing}: {}; use a context that is (an administrator's), or let somebody \
                     apply what --dry-run prints",
                    status.message
                )),
                code => Failure::Refused(format!(
                    "the API server of {shown} can't {doing}: {} (code {code})",
                    status.message
                )),
            },
            error => {
                let server = self.entry.server.as_deref().unwrap_or_default();
                let cause = words(error);
                let remedy = if cause.contains("invalid peer certificate") {
                    "correct certificate-authority and server in the kubeconfig"
                } else {
                    "check that it runs and that this machine reaches it"
                };
                Failure::ClusterUnreachable(format!(
                    "the API server of {shown} at {server} can't be reached: {cause}; {remedy}"
                ))
            }
        }
    }
}

/// What was found in a kubeconfig.
struct Found {
    kubeconfig: Kubeconfig,
    context: String,
    shown: String,
    entry: config::Cluster,
}

impl Found {
    fn read(file: Option<&Path>, context: Option<&str>) -> Result<Self, Failure> {
        let place = file.map_or_else(|| DEFAULT_FILE.to_owned(), |file| file.display().to_string());
        let read = match file {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = read.map_err(|error| unusable(&format!("the kubeconfig {place}"), &error))?;
        let contexts: Vec<_> = kubeconfig.contexts.iter().map(|named| named.name.as_str()).collect();
        let contexts = match contexts.as_slice() {
            [] => "it has none".to_owned(),
            names => format!("it has {}", names.join(", ")),
        };
        let context = context
            .or(kubeconfig.current_context.as_deref())
            .filter(|name| !name.is_empty());
        let Some(context) = context.map(str::to_owned) else {
            return Err(Failure::Missing(format!(
                "the kubeconfig {place} has no current context; name one with --home-context: {contexts}"
            )));
        };
        let named = kubeconfig.contexts.iter().find(|named| named.name == context);
        let Some(named) = named else {
            return Err(Failure::Missing(format!(
                "there is no context {context} in the kubeconfig {place}; {contexts}"
            )));
        };
        let cluster = named
            .context
            .as_ref()
            .map(|context| context.cluster.as_str())
            .unwrap_or_default();
        let entry = kubeconfig.clusters.iter().find(|named| named.name == cluster);
        let Some(entry) = entry.and_then(|named| named.cluster.clone()) else {
            return Err(Failure::Missing(format!(
                "the context {context} of the kubeconfig {place} names a cluster {cluster} that is not in it"
            )));
        };
        Ok(Self {
            shown: format!("context {context}"),
            context,
            entry,
            kubeconfig,
        })
    }
}

/// How a control plane reaches the API server of a context, without asking it anything.
pub(super) fn address_of(file: Option<&Path>, context: &str, server: Option<&str>) -> Result<Address, Failure> {
    let found = Found::read(file, Some(context))?;
    address(&found.shown, &found.entry, server)
}

fn address(shown: &str, entry: &config::Cluster, server: Option<&str>) -> Result<Address, Failure> {
    if entry.insecure_skip_tls_verify == Some(true) {
        return Err(Failure::Refused(format!(
            "{shown} skips the check of its API server's certificate, which Parallax does not; put \
             certificate-authority-data into the kubeconfig instead"
        )));
    }
    let authority = match (&entry.certificate_authority_data, &entry.certificate_authority) {
        (Some(data), _) => Some(data.clone()),
        (None, Some(file)) => Some(encoded(shown, file)?),
        (None, None) => None,
    };
    let server = server.or(entry.server.as_deref()).unwrap_or_default();
    Ok(Address {
        server: server.to_owned(),
        authority,
        tls_server_name: entry.tls_server_name.clone(),
    })
}

fn encoded(shown: &str, file: &str) -> Result<String, Failure> {
    let pem = std::fs::read(file).map_err(|error| {
        Failure::Refused(format!(
            "{shown}: its certificate authority {file} can't be read: {error}"
        ))
    })?;
    let encoded = serde_json::to_value(ByteString(pem)).ok();
    Ok(encoded
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default())
}

/// What is wrong with a kubeconfig. The parser's message shows the lines around the mistake, and these may hold a token.
fn unusable(shown: &str, error: &KubeconfigError) -> Failure {
    match error {
        KubeconfigError::Parse(error) => Failure::Refused(match error.location() {
            Some(location) => format!("{shown} is not valid at line {}", location.line()),
            None => format!("{shown} is not valid"),
        }),
        KubeconfigError::ReadConfig(error, _) => Failure::Missing(format!("{shown} can't be read: {error}")),
        error => Failure::Refused(format!("{shown} can't be used: {}", words(error))),
    }
}

/// The innermost cause, which is the one that tells; those around it only say that something is wrong. What a program for
/// credentials printed is left out: it may be the credentials.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    loop {
        if let Some(kube::client::AuthError::AuthExecRun { out, .. }) = innermost.downcast_ref() {
            return format!(
                "its program for credentials ended with {}; run it by hand to see why",
                out.status
            );
        }
        if innermost.is::<kube::client::AuthError>() {
            return "its credentials can't be had; try kubectl with the same context to see why".to_owned();
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => break innermost.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
contexts:
  - {name: west, context: {cluster: w, user: u}}
  - {name: lost, context: {cluster: nowhere, user: u}}
  - {name: careless, context: {cluster: c, user: u}}
clusters:
  - {name: w, cluster: {server: 'https://192.0.2.1:6443', certificate-authority-data: Q0E=, tls-server-name: w}}
  - {name: c, cluster: {server: 'https://192.0.2.1:6443', insecure-skip-tls-verify: true}}
users:
  - {name: u, user: {token: s3cret}}
";

    #[test]
    fn an_address_is_that_of_the_context_or_the_one_that_was_given() {
        let file = file(KUBECONFIG);
        let found = address_of(Some(file.path()), "west", None).unwrap();
        assert_eq!(found.server, "https://192.0.2.1:6443");
        assert_eq!(found.authority.as_deref(), Some("Q0E="));
        assert_eq!(found.tls_server_name.as_deref(), Some("w"));
        let other = address_of(Some(file.path()), "west", Some("https://api.west:443")).unwrap();
        assert_eq!(other.server, "https://api.west:443");
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        let file = file(KUBECONFIG);
        for (context, code, says) in [
            ("east", 66, "it has west, lost, careless"),
            ("lost", 66, "cluster nowhere"),
            ("careless", 1, "certificate-authority-data"),
        ] {
            let failure = address_of(Some(file.path()), context, None).unwrap_err();
            assert_eq!(failure.code(), code, "{failure}");
            assert!(failure.to_string().contains(says), "{failure}");
        }
        let failure = address_of(Some(Path::new("/no/such/file")), "west", None).unwrap_err();
        assert_eq!(failure.code(), 66, "{failure}");
    }

    #[test]
    fn a_kubeconfig_that_is_none_is_not_shown() {
        let file = file("users: [{name: u, user: {token: s3cret");
        let failure = address_of(Some(file.path()), "west", None).unwrap_err().to_string();
        assert!(
            failure.contains("not valid") && !failure.contains("s3cret"),
            "{failure}"
        );
    }
}
