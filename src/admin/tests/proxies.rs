//! A proxy on a real stream, as `get proxies`, `explain --as` and CSDS show it.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ConfigStatus};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc::Status;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::commands::ask;
use super::mesh::{Running, connect, soon};
use crate::resources::ResourceType;

const WEB: &str = "outbound|80||web.shop.svc.cluster.local";

/// A sidecar `web-1.shop` in west that asked for all clusters.
struct Proxy {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Proxy {
    async fn connect(running: &Running) -> Self {
        let (requests, outgoing) = mpsc::channel(8);
        let member = Value {
            kind: Some(Kind::StringValue("west".to_owned())),
        };
        let node = Node {
            id: "sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local".to_owned(),
            metadata: Some(Struct {
                fields: [("CLUSTER_ID".to_owned(), member)].into(),
            }),
            ..Node::default()
        };
        let first = DiscoveryRequest {
            node: Some(node),
            type_url: ResourceType::Cluster.url().to_owned(),
            ..DiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(connect(running.xds).await);
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        let responses = soon(client.stream_aggregated_resources(outgoing)).await.unwrap();
        Self {
            requests,
            responses: responses.into_inner(),
        }
    }

    async fn receive(&mut self) -> DiscoveryResponse {
        soon(self.responses.message()).await.unwrap().unwrap()
    }

    /// Accepts a response, or refuses it with these words.
    async fn answer(&self, response: &DiscoveryResponse, names: &[&str], refusal: Option<&str>) {
        let request = DiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            version_info: response.version_info.clone(),
            resource_names: names.iter().map(ToString::to_string).collect(),
            error_detail: refusal.map(|message| Status {
                code: 3,
                message: message.to_owned(),
                details: Vec::new(),
            }),
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn ask_for(&self, name: &str) {
        let request = DiscoveryRequest {
            type_url: ResourceType::ClusterLoadAssignment.url().to_owned(),
            resource_names: vec![name.to_owned()],
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

/// Asks until the answer holds; how many times is left to the deadline.
async fn says(running: &Running, line: &str, what: &str) -> String {
    soon(async {
        loop {
            let said = ask(running, line).await.unwrap();
            if said.contains(what) {
                return said;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
}

async fn csds(running: &Running) -> Vec<GenericXdsConfig> {
    let mut client = ClientStatusDiscoveryServiceClient::new(running.channel().await);
    let answer = soon(client.fetch_client_status(ClientStatusRequest::default())).await;
    let mut clients = answer.unwrap().into_inner().config;
    assert_eq!(clients.len(), 1);
    clients.remove(0).generic_xds_configs
}

#[tokio::test]
async fn what_a_proxy_accepts_and_refuses_is_shown() {
    let running = Running::start().await;
    let mut proxy = Proxy::connect(&running).await;
    let clusters = proxy.receive().await;
    let waiting = says(&running, "get proxies", "behind for").await;
    assert!(waiting.contains("4 behind for"), "{waiting}");
    proxy.answer(&clusters, &[], None).await;
    let synced = says(&running, "get proxies", "SYNCED (4)").await;
    assert!(synced.contains("sotw") && synced.contains("west"), "{synced}");

    proxy.ask_for(WEB).await;
    let assignments = proxy.receive().await;
    proxy.answer(&assignments, &[WEB], Some("no such locality")).await;
    let refused = says(&running, "get proxies", "no such locality").await;
    assert!(refused.contains("NACK"), "{refused}");
    let all = csds(&running).await;
    let of = |kind: ResourceType| all.iter().filter(move |config| config.type_url == kind.url());
    for config in of(ResourceType::Cluster) {
        assert_eq!(config.config_status(), ConfigStatus::Synced, "{}", config.name);
        assert!(config.xds_config.is_some(), "{}", config.name);
    }
    let assignment = of(ResourceType::ClusterLoadAssignment).next().unwrap();
    assert_eq!(
        (&*assignment.name, assignment.config_status()),
        (WEB, ConfigStatus::Error)
    );
    assert_eq!(assignment.error_state.as_ref().unwrap().details, "no such locality");

    // As it stands: in west, whose network is net1, by the pod that the table knows.
    let explained = ask(&running, "explain web.shop --as web-1.shop").await.unwrap();
    assert!(explained.contains("on network net1 (from its"), "{explained}");
    assert!(explained.contains("via 203.0.113.7:15443"), "{explained}");
    let view = ask(&running, "get view web.shop --as sidecar~10.1.0.1").await.unwrap();
    assert!(view.contains("203.0.113.7:15443"), "{view}");
    let failure = ask(&running, "explain web.shop --as other").await.unwrap_err();
    assert!(
        failure.to_string().contains("connected are sidecar~10.1.0.1~web-1"),
        "{failure}"
    );

    drop(proxy);
    says(&running, "get proxies", "No proxy is connected.").await;
}
