//! The `Member` object at home, where its kind is installed: it shows how the member fares, and says how it is treated.

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::super::Failure;
use super::cluster::Cluster;
use super::manifests::MANAGED_BY;
use crate::crd::{GROUP, MEMBER_KIND, MEMBER_PLURAL, VERSION};

/// A `Member` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberObject {
    /// `spec.network`.
    pub(super) network: Option<String>,
    /// `spec.weight`.
    pub(super) weight: Option<u64>,
}

/// The `Member` objects of a namespace, where there are such.
#[derive(Debug)]
pub(super) struct MemberObjects<'a> {
    home: &'a Cluster,
    namespace: &'a str,
    api: Api<DynamicObject>,
}

impl<'a> MemberObjects<'a> {
    /// `None` where the kind is not installed.
    pub(super) async fn of(home: &'a Cluster, namespace: &'a str) -> Result<Option<Self>, Failure> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, MEMBER_KIND);
        let resource = ApiResource::from_gvk_with_plural(&kind, MEMBER_PLURAL);
        match home
            .client
            .list_api_group_resources(&format!("{GROUP}/{VERSION}"))
            .await
        {
            Ok(kinds) if kinds.resources.iter().any(|kind| kind.name == MEMBER_PLURAL) => Ok(Some(Self {
                home,
                namespace,
                api: Api::namespaced_with(home.client.clone(), namespace, &resource),
            })),
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(home.failure(&format!("ask for the kinds of {GROUP}"), &error)),
        }
    }

    /// The object of a member that these commands made.
    ///
    /// # Errors
    /// Where somebody else made it.
    pub(super) async fn ours(&self, name: &str) -> Result<Option<MemberObject>, Failure> {
        let found = self.api.get_opt(name).await;
        let found = found.map_err(|error| self.home.failure(&format!("read the {}", self.shown(name)), &error))?;
        let Some(object) = found else { return Ok(None) };
        if object.labels().get(MANAGED_BY.0).is_none_or(|by| by != MANAGED_BY.1) {
            return Err(Failure::Refused(format!(
                "the {} was not made by this command: the member {name} is attached by other means. Keep it so, or delete \
                 that object and attach again",
                self.shown(name)
            )));
        }
        let spec = &object.data["spec"];
        Ok(Some(MemberObject {
            network: spec["network"].as_str().map(str::to_owned),
            weight: spec["weight"].as_u64(),
        }))
    }

    /// Takes a member's traffic off it.
    pub(super) async fn drain(&self, name: &str) -> Result<(), Failure> {
        let weight = json!({"spec": {"weight": 0}});
        let patched = self
            .api
            .patch(name, &PatchParams::default(), &Patch::Merge(weight))
            .await;
        patched.map_err(|error| self.home.failure(&format!("change the {}", self.shown(name)), &error))?;
        Ok(())
    }

    /// Deletes the object of a member; one that is gone is fine. Tells whether there was one.
    pub(super) async fn delete(&self, name: &str) -> Result<bool, Failure> {
        match self.api.delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(self.home.failure(&format!("delete the {}", self.shown(name)), &error)),
            Ok(_) => Ok(true),
        }
    }

    fn shown(&self, name: &str) -> String {
        format!("{MEMBER_KIND} {}/{name}", self.namespace)
    }
}
