//! CSDS: what each connected proxy has, in the form that Envoy's own tools read.

mod convert;
mod matcher;

use std::pin::Pin;

use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryService;
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ClientStatusResponse};
use futures::stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::AdminState;
use crate::xds::{Detail, StreamInfo};
use convert::Contents;
use matcher::NodeFilter;

/// Answers from the open streams as they are at each request.
#[derive(Debug, Clone)]
pub(super) struct ClientStatus {
    state: AdminState,
    /// Ends the streams that would otherwise never end.
    cancel: CancellationToken,
}

impl ClientStatus {
    pub(super) fn new(state: AdminState, cancel: CancellationToken) -> Self {
        Self { state, cancel }
    }

    fn answer(&self, request: &ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
        let filter = NodeFilter::read(&request.node_matchers)?;
        let contents = Contents {
            table: &self.state.table,
            domain: &self.state.domain,
        };
        let contents = (!request.exclude_resource_contents).then_some(contents);
        let all = &self.state.streams;
        let mut streams: Vec<StreamInfo> = match filter.exact_ids() {
            Some(ids) => ids.iter().flat_map(|id| all.get(id, Detail::Resources)).collect(),
            None => all.list(Detail::Resources),
        };
        streams.retain(|stream| filter.takes(&stream.node.id));
        streams.sort_by(|a, b| a.node.id.cmp(&b.node.id).then(a.connected_at.cmp(&b.connected_at)));
        let config = streams.iter().map(|stream| convert::client(stream, contents.as_ref()));
        Ok(ClientStatusResponse {
            config: config.collect(),
        })
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let service = self.clone();
        let requests = request.into_inner().take_until(self.cancel.clone().cancelled_owned());
        // One answer to each request; an error ends the stream.
        let answers = requests.map(move |request| service.answer(&request?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        self.answer(&request.into_inner()).map(Response::new)
    }
}
