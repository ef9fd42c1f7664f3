//! What kube's client reads: one object, already converted. Nothing else of it is kept.

use std::borrow::Cow;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::convert::{Converted, convert};
use crate::table::Kind;

/// A kind that is watched; implemented by the full types, of which only names are used.
pub(super) trait WatchedKind: Resource<DynamicType = ()> + Send + Sync + 'static {
    /// Our name for it.
    const KIND: Kind;
}

impl WatchedKind for Namespace {
    const KIND: Kind = Kind::Namespace;
}
impl WatchedKind for Node {
    const KIND: Kind = Kind::Node;
}
impl WatchedKind for Service {
    const KIND: Kind = Kind::Service;
}
impl WatchedKind for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlice;
}
impl WatchedKind for Pod {
    const KIND: Kind = Kind::Pod;
}

/// One object of kind `W`. Reading it never fails on what an object says, so that one bad object stops no watch.
pub(super) struct Item<W> {
    /// The name and version only.
    metadata: ObjectMeta,
    pub(super) converted: Converted,
    kind: PhantomData<fn() -> W>,
}

impl<W> Clone for Item<W> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            converted: self.converted.clone(),
            kind: PhantomData,
        }
    }
}

impl<W> std::fmt::Debug for Item<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Item").field(&self.converted).finish()
    }
}

impl<'de, W: WatchedKind> Deserialize<'de> for Item<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let version = object
            .get("metadata")
            .and_then(|metadata| metadata.get("resourceVersion"))
            .and_then(Value::as_str);
        let converted = convert(W::KIND, &object);
        let name = converted.name.as_ref();
        Ok(Self {
            metadata: ObjectMeta {
                name: name.map(|name| name.name.to_string()),
                resource_version: version.map(str::to_owned),
                ..ObjectMeta::default()
            },
            converted,
            kind: PhantomData,
        })
    }
}

impl<W: WatchedKind> Resource for Item<W> {
    type DynamicType = ();
    type Scope = W::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        W::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        W::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        W::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        W::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
