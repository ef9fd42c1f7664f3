//! CSDS over the wire.

use envoy_types::pb::envoy::service::status::v3::ClientStatusRequest;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StructMatcher};

use super::mesh::{Running, soon};

#[tokio::test]
async fn fetching_and_streaming_answer_alike() {
    let running = Running::start().await;
    let mut client = ClientStatusDiscoveryServiceClient::new(running.channel().await);
    let fetched = soon(client.fetch_client_status(ClientStatusRequest::default()));
    let fetched = fetched.await.unwrap().into_inner();
    assert_eq!(fetched.config, []);

    let refused = ClientStatusRequest {
        node_matchers: vec![NodeMatcher {
            node_id: None,
            node_metadatas: vec![StructMatcher::default()],
        }],
        ..ClientStatusRequest::default()
    };
    let requests = tokio_stream::iter([ClientStatusRequest::default(), refused]);
    let streamed = soon(client.stream_client_status(requests)).await.unwrap();
    let mut streamed = streamed.into_inner();
    let first = soon(streamed.message()).await.unwrap().unwrap();
    assert_eq!(first, fetched);
    let error = soon(streamed.message()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
}
