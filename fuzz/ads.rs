//! Bytes as a client sends them, through the whole ADS service: frames, decoder, node, session, cache, encoder.
//!
//! The first bit chooses the dialect. What follows are messages, each with two bytes of length before it; they are framed
//! here, so that inputs are not spent on frames.

#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use parallax::cache::{Cache, Source};
use parallax::model::{AddressFamilies, NetworkId, NetworkOrigin, Standpoint, ViewKey, Viewer};
use parallax::resources::{ClusterSpec, Resource, ResourceType, empty_assignment};
use parallax::xds::{AdsServer, XdsConfig, XdsMetrics};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::Service;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Four clusters and their assignments.
#[derive(Debug)]
struct World;

impl Source for World {
    fn locate(&self, viewer: &Viewer) -> Standpoint {
        let default = NetworkId::new("default").expect("a good name");
        Standpoint {
            key: ViewKey::endpoints(viewer.network.clone().unwrap_or(default), AddressFamilies::Dual),
            origin: NetworkOrigin::Default,
            contradiction: None,
        }
    }

    fn names(&self, _: &ViewKey, _: ResourceType) -> Vec<Arc<str>> {
        NAMES.map(Arc::from).into()
    }

    fn covers(&self, _: ResourceType, _: &str) -> bool {
        true
    }

    fn build(&self, _: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let name: Arc<str> = NAMES.contains(&name).then(|| name.into())?;
        match kind {
            ResourceType::Cluster => Some(Arc::new(ClusterSpec { name }.encode())),
            ResourceType::ClusterLoadAssignment => Some(Arc::new(empty_assignment(name))),
            _ => None,
        }
    }
}

fn framed(mut input: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    while let [high, low, rest @ ..] = input {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        body.put_u8(0);
        body.put_u32(length as u32);
        body.put_slice(&rest[..length]);
        input = &rest[length..];
    }
    body.freeze()
}

static SERVER: LazyLock<(Runtime, Arc<Cache>, AdsServer)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().expect("a runtime");
    let cache = Cache::new(Arc::new(World));
    let config = XdsConfig {
        max_names: 1000,
        ..XdsConfig::default()
    };
    let drain = CancellationToken::new();
    let server = AdsServer::new(Arc::clone(&cache), config, XdsMetrics::new(), || true, drain);
    (runtime, cache, server)
});

fuzz_target!(|input: &[u8]| {
    let [dialect, input @ ..] = input else { return };
    let method = match dialect & 1 {
        0 => "StreamAggregatedResources",
        _ => "DeltaAggregatedResources",
    };
    let (runtime, cache, server) = &*SERVER;
    let request = http::Request::post(format!(
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}"
    ))
    .header("content-type", "application/grpc")
    .body(tonic::body::Body::new(Full::new(framed(input))))
    .expect("a good request");
    runtime.block_on(async {
        let answer = server.clone().call(request).await.expect("it always answers");
        let end = answer.into_body().collect().await.expect("it always ends");
        let trailers = end.trailers().expect("with a status");
        assert_ne!(trailers["grpc-status"], "13", "the task of the stream failed");
        tokio::task::yield_now().await;
    });
    assert!(
        server.streams().is_empty() && cache.live_views().is_empty(),
        "something is left behind"
    );
});
