//! The Secrets at home that tell the control plane of its members.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};

use super::super::Failure;
use super::cluster::Cluster;
use super::manifests::{self, CLUSTER_UID, MANAGED_BY, NETWORK, TOKEN};

/// A Secret that tells of members.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    /// Its name.
    pub(super) secret: String,
    /// The members, each with its kubeconfig.
    kubeconfigs: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    is_ours: bool,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl Attachment {
    /// The kubeconfig of a member.
    pub(super) fn kubeconfig(&self, member: &str) -> Option<&str> {
        self.kubeconfigs.get(member).map(String::as_str)
    }

    /// The token in the kubeconfig of a member.
    pub(super) fn bearer(&self, member: &str) -> Option<String> {
        let text = self.kubeconfig(member)?;
        let parsed: serde_json::Value = serde_saphyr::from_str(text).ok()?;
        parsed["users"][0]["user"]["token"].as_str().map(str::to_owned)
    }

    /// The Secret in the member that stands for the token.
    pub(super) fn token(&self) -> Option<&str> {
        self.annotations.get(TOKEN).map(String::as_str)
    }

    /// Which cluster the member is.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.annotations.get(CLUSTER_UID).map(String::as_str)
    }

    pub(super) fn network(&self) -> Option<&str> {
        self.annotations.get(NETWORK).map(String::as_str)
    }
}

/// All of them.
pub(super) async fn list(home: &Cluster, namespace: &str) -> Result<Vec<Attachment>, Failure> {
    let secrets: Api<Secret> = Api::namespaced(home.client.clone(), namespace);
    let params = ListParams::default().labels(manifests::MEMBERS_SELECTOR);
    let found = secrets.list(&params).await;
    let found = found.map_err(|error| home.failure(&format!("list Secrets in {namespace}"), &error))?;
    Ok(found.items.into_iter().map(attachment).collect())
}

fn attachment(secret: Secret) -> Attachment {
    let is_ours = secret.labels().get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1);
    let name = secret.name_any();
    let annotations = secret.metadata.annotations.unwrap_or_default();
    let data = secret.data.unwrap_or_default().into_iter();
    let data = data.filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?)));
    Attachment {
        secret: name,
        kubeconfigs: data.collect(),
        annotations,
        is_ours,
    }
}

/// The Secret of a member that these commands made; none where the member is not there.
///
/// # Errors
/// Where the member is in a Secret that somebody else made, or is this cluster under another name.
pub(super) fn ours<'a>(
    attachments: &'a [Attachment],
    member: &str,
    cluster: Option<&str>,
) -> Result<Option<&'a Attachment>, Failure> {
    let own = manifests::secret_name(member);
    for other in attachments.iter().filter(|other| other.secret != own) {
        if other.kubeconfigs.contains_key(member) {
            return Err(Failure::Refused(format!(
                "there is a member {member} already, in the Secret {}; choose another name, or delete that Secret first",
                other.secret
            )));
        }
        if let (Some(cluster), Some(known)) = (cluster, other.cluster())
            && cluster == known
        {
            let names = Vec::from_iter(other.kubeconfigs.keys().map(String::as_str)).join(", ");
            return Err(Failure::Refused(format!(
                "this cluster is a member already, under the name {names}; detach that one first, for its endpoints \
                 would count twice"
            )));
        }
    }
    let Some(found) = attachments.iter().find(|attachment| attachment.secret == own) else {
        return Ok(None);
    };
    if !found.is_ours {
        return Err(Failure::Refused(format!(
            "the Secret {own} was not made by this command: the member {member} is attached by other means. Keep it so, \
             or delete that Secret and attach again"
        )));
    }
    if let (Some(cluster), Some(known)) = (cluster, found.cluster())
        && cluster != known
    {
        return Err(Failure::Refused(format!(
            "the member {member} is another cluster: the UID of its namespace kube-system is {known}, that of this context's \
             {cluster}; correct --context, choose another name, or detach {member} first"
        )));
    }
    Ok(Some(found))
}

/// Deletes the Secret of a member; one that is gone is fine.
pub(super) async fn delete(home: &Cluster, namespace: &str, secret: &str) -> Result<(), Failure> {
    let secrets: Api<Secret> = Api::namespaced(home.client.clone(), namespace);
    match secrets.delete(secret, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(home.failure(&format!("delete the Secret {namespace}/{secret}"), &error)),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, member: &str, cluster: Option<&str>, is_ours: bool) -> Attachment {
        let kubeconfig = "users: [{name: u, user: {token: s3cret}}]".to_owned();
        let annotations = cluster.map(|cluster| (CLUSTER_UID.to_owned(), cluster.to_owned()));
        Attachment {
            secret: name.to_owned(),
            kubeconfigs: [(member.to_owned(), kubeconfig)].into(),
            annotations: annotations.into_iter().collect(),
            is_ours,
        }
    }

    #[test]
    fn one_member_is_one_secret_and_one_cluster() {
        let west = secret("istio-remote-secret-west", "west", Some("uid-w"), true);
        let by_istioctl = secret("istio-remote-secret-north", "north", None, false);
        let by_hand = secret("mine", "east", Some("uid-e"), false);
        let all = [west.clone(), by_istioctl, by_hand];
        let found = |name, cluster| match ours(&all, name, Some(cluster)) {
            Ok(found) => Ok(found.map(|found| found.secret.clone())),
            Err(failure) => Err(failure.to_string()),
        };
        assert_eq!(found("west", "uid-w"), Ok(Some("istio-remote-secret-west".to_owned())));
        assert_eq!(found("south", "uid-s"), Ok(None));
        for (name, cluster, says) in [
            ("east", "uid-x", "already, in the Secret mine; choose another name"),
            ("north", "uid-n", "was not made by this command"),
            ("south", "uid-w", "a member already, under the name west"),
            ("west", "uid-x", "is another cluster"),
        ] {
            let said = found(name, cluster).unwrap_err();
            assert!(said.contains(says), "{name}: {said}");
        }
    }

    #[test]
    fn the_token_in_use_is_found_and_never_shown() {
        let west = secret("istio-remote-secret-west", "west", None, true);
        assert_eq!(west.bearer("west").as_deref(), Some("s3cret"));
        assert_eq!(west.bearer("east"), None);
        assert!(!format!("{west:?}").contains("s3cret"));
    }
}
