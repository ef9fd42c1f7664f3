//! A scripted client of either dialect.

use std::collections::HashMap;
use std::pin::Pin;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::*;

/// An answer of either dialect.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) nonce: String,
    pub(super) control_plane: String,
    /// Name, and for an assignment what tells it from others.
    pub(super) resources: Vec<(String, Option<u32>)>,
    pub(super) removed: Vec<String>,
}

enum Requests {
    Sotw(mpsc::Sender<DiscoveryRequest>),
    Delta(mpsc::Sender<DeltaDiscoveryRequest>),
}

pub(super) struct Client {
    requests: Requests,
    answers: Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>,
    /// Sent with the next request.
    pub(super) node: Option<Node>,
    /// What was asked for last, by type; a state-of-the-world ACK has to say it again.
    names: HashMap<String, Vec<String>>,
}

pub(super) fn node(id: &str, network: &str) -> Node {
    node_with(id, &[("NETWORK", network)])
}

pub(super) fn node_in(id: &str, network: &str, member: &str) -> Node {
    node_with(id, &[("NETWORK", network), ("CLUSTER_ID", member)])
}

fn node_with(id: &str, metadata: &[(&str, &str)]) -> Node {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let fields = metadata.iter().map(|(key, value)| ((*key).to_owned(), text(value)));
    Node {
        id: id.to_owned(),
        metadata: Some(Struct {
            fields: fields.collect(),
        }),
        ..Node::default()
    }
}

impl Client {
    pub(super) async fn open(channel: Channel, dialect: Dialect) -> Result<Self, Status> {
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let (requests, answers): (_, Pin<Box<dyn Stream<Item = _> + Send>>) = match dialect {
            Dialect::StateOfTheWorld => {
                let (send, receive) = mpsc::channel(64);
                let answers = client.stream_aggregated_resources(ReceiverStream::new(receive));
                let answers = answers.await?.into_inner();
                let answers = answers.map(|answer| answer.map(Answer::from));
                (Requests::Sotw(send), Box::pin(answers))
            }
            Dialect::Delta => {
                let (send, receive) = mpsc::channel(64);
                let answers = client.delta_aggregated_resources(ReceiverStream::new(receive));
                let answers = answers.await?.into_inner();
                let answers = answers.map(|answer| answer.map(Answer::from));
                (Requests::Delta(send), Box::pin(answers))
            }
        };
        Ok(Self {
            requests,
            answers,
            node: Some(node("sidecar~10.0.0.1~web.shop~shop.svc.cluster.local", "n1")),
            names: HashMap::new(),
        })
    }

    /// Sends a request: in state of the world `names` is all that is wanted, in delta what is added.
    async fn send(&mut self, url: &str, nonce: &str, names: &[&str], error: Option<&str>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let node = self.node.take();
        let error_detail = error.map(|message| rpc::Status {
            code: 3,
            message: message.to_owned(),
            ..rpc::Status::default()
        });
        // A stream that has ended is seen when its answers are read.
        match &self.requests {
            Requests::Sotw(send) => drop(
                send.send(DiscoveryRequest {
                    node,
                    type_url: url.to_owned(),
                    response_nonce: nonce.to_owned(),
                    resource_names: names,
                    error_detail,
                    ..DiscoveryRequest::default()
                })
                .await,
            ),
            Requests::Delta(send) => drop(
                send.send(DeltaDiscoveryRequest {
                    node,
                    type_url: url.to_owned(),
                    response_nonce: nonce.to_owned(),
                    resource_names_subscribe: names,
                    error_detail,
                    ..DeltaDiscoveryRequest::default()
                })
                .await,
            ),
        }
    }

    pub(super) async fn ask_url(&mut self, url: &str, names: &[&str]) {
        let list = names.iter().map(|name| (*name).to_owned()).collect();
        self.names.insert(url.to_owned(), list);
        self.send(url, "", names, None).await;
    }

    pub(super) async fn ask(&mut self, kind: ResourceType, names: &[&str]) {
        self.ask_url(kind.url(), names).await;
    }

    /// A delta client that says to hold all it asks for, in this version.
    pub(super) async fn resume(&mut self, kind: ResourceType, names: &[&str], version: &str) {
        let Requests::Delta(send) = &self.requests else {
            panic!("only delta clients say what they hold");
        };
        let held = names.iter().map(|name| ((*name).to_owned(), version.to_owned()));
        let request = DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.url().to_owned(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            initial_resource_versions: held.collect(),
            ..DeltaDiscoveryRequest::default()
        };
        send.send(request).await.unwrap();
    }

    /// ACK, or NACK with a reason.
    pub(super) async fn reply(&mut self, answer: &Answer, error: Option<&str>) {
        let names = match self.requests {
            Requests::Sotw(_) => self.names.get(&answer.url).cloned().unwrap_or_default(),
            Requests::Delta(_) => Vec::new(),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.send(&answer.url, &answer.nonce, &names, error).await;
    }

    pub(super) async fn next(&mut self) -> Result<Answer, Status> {
        let next = tokio::time::timeout(PATIENCE, self.answers.next()).await;
        let next = next.expect("an answer or an end comes");
        next.unwrap_or_else(|| Err(Status::ok("")))
    }

    /// The next answer, which must be of this type; acknowledged.
    pub(super) async fn take(&mut self, kind: ResourceType) -> Answer {
        let answer = self.next().await.unwrap();
        assert_eq!(answer.url, kind.url(), "{answer:?}");
        self.reply(&answer, None).await;
        answer
    }

    /// How the stream ends; answers before are let go.
    pub(super) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    /// Ends the client's side only.
    pub(super) fn half_close(&mut self) {
        match &mut self.requests {
            Requests::Sotw(send) => *send = mpsc::channel(1).0,
            Requests::Delta(send) => *send = mpsc::channel(1).0,
        }
    }
}

fn read(any: &Any) -> (String, Option<u32>) {
    if any.type_url == CDS.url() {
        return (Cluster::decode(&*any.value).unwrap().name, None);
    }
    let message = ClusterLoadAssignment::decode(&*any.value).unwrap();
    let content = message.endpoints.first().map(|group| group.priority);
    (message.cluster_name, content)
}

impl From<DiscoveryResponse> for Answer {
    fn from(message: DiscoveryResponse) -> Self {
        Self {
            url: message.type_url,
            nonce: message.nonce,
            control_plane: message.control_plane.unwrap_or_default().identifier,
            resources: message.resources.iter().map(read).collect(),
            removed: Vec::new(),
        }
    }
}

impl From<DeltaDiscoveryResponse> for Answer {
    fn from(message: DeltaDiscoveryResponse) -> Self {
        let any = message.resources.iter().map(|r| r.resource.as_ref().unwrap());
        Self {
            resources: any.map(read).collect(),
            url: message.type_url,
            nonce: message.nonce,
            control_plane: message.control_plane.unwrap_or_default().identifier,
            removed: message.removed_resources,
        }
    }
}
