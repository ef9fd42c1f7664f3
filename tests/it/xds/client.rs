//! A scripted ADS client of either dialect, against the binary.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::{Any, Struct, Value, value::Kind};
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::super::harness::Dialect;

pub(crate) const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
pub(crate) const BOTH: [Dialect; 2] = [Dialect::Sotw, Dialect::Delta];

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer of either dialect.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) nonce: String,
    pub(crate) control_plane: String,
    pub(crate) resources: Vec<Any>,
    /// Delta only: by name.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) removed: Vec<String>,
}

impl Answer {
    /// The assignments in it.
    pub(crate) fn assignments(&self) -> Vec<ClusterLoadAssignment> {
        assert_eq!(self.url, EDS);
        let read = |any: &Any| ClusterLoadAssignment::decode(&*any.value).expect("an assignment");
        self.resources.iter().map(read).collect()
    }

    /// `address:port*weight` of the one assignment in it, sorted.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let [one] = &self.assignments()[..] else {
            panic!("one assignment: {self:?}")
        };
        hosts(one)
    }
}

/// `address:port*weight` of all endpoints, sorted.
pub(crate) fn hosts(assignment: &ClusterLoadAssignment) -> Vec<String> {
    use envoy_types::pb::envoy::config::core::v3::address::Address;
    use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
    use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
    let endpoints = assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints);
    let mut hosts: Vec<String> = endpoints
        .map(|endpoint| {
            let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
                panic!("an endpoint")
            };
            let Some(Address::SocketAddress(socket)) = host.address.as_ref().and_then(|a| a.address.as_ref()) else {
                panic!("a socket address")
            };
            let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
                panic!("a port")
            };
            // Unsaid is 1.
            let weight = endpoint.load_balancing_weight.as_ref().map_or(1, |weight| weight.value);
            format!("{}:{port}*{weight}", socket.address)
        })
        .collect();
    hosts.sort();
    hosts
}

enum Requests {
    Sotw(mpsc::Sender<DiscoveryRequest>),
    Delta(mpsc::Sender<DeltaDiscoveryRequest>),
}

pub(crate) struct Client {
    requests: Requests,
    answers: Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>,
    /// Headers of the answer.
    pub(crate) headers: tonic::metadata::MetadataMap,
    node: Option<Node>,
    names: BTreeMap<String, Vec<String>>,
}

/// A connection in plaintext.
pub(crate) async fn channel(address: std::net::SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("it listens")
}

impl Client {
    /// A stream of a proxy in a member, with a connection of its own.
    pub(crate) async fn connect(address: std::net::SocketAddr, dialect: Dialect, member: &str) -> Self {
        let opened = Self::open(channel(address).await, dialect, member).await;
        opened.expect("the stream is taken")
    }

    pub(crate) async fn open(channel: Channel, dialect: Dialect, member: &str) -> Result<Self, Status> {
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let (requests, headers, answers): (_, _, Pin<Box<dyn Stream<Item = _> + Send>>) = match dialect {
            Dialect::Sotw => {
                let (send, receive) = mpsc::channel(16);
                let answer = client.stream_aggregated_resources(unpacked(ReceiverStream::new(receive)));
                let (headers, answers, _) = answer.await?.into_parts();
                let answers = answers.map(|answer| answer.map(Answer::from));
                (Requests::Sotw(send), headers, Box::pin(answers))
            }
            Dialect::Delta => {
                let (send, receive) = mpsc::channel(16);
                let answer = client.delta_aggregated_resources(unpacked(ReceiverStream::new(receive)));
                let (headers, answers, _) = answer.await?.into_parts();
                let answers = answers.map(|answer| answer.map(Answer::from));
                (Requests::Delta(send), headers, Box::pin(answers))
            }
        };
        let text = |text: &str| Value {
            kind: Some(Kind::StringValue(text.to_owned())),
        };
        let node = Node {
            id: format!("sidecar~10.9.9.9~probe-{member}.shop~shop.svc.cluster.local"),
            metadata: Some(Struct {
                fields: [("CLUSTER_ID".to_owned(), text(member))].into(),
            }),
            ..Node::default()
        };
        Ok(Self {
            requests,
            answers,
            headers,
            node: Some(node),
            names: BTreeMap::new(),
        })
    }

    async fn send(&mut self, url: &str, nonce: &str, names: Vec<String>, held: BTreeMap<String, String>) {
        let node = self.node.take();
        // A stream that has ended is seen when its answers are read.
        match &self.requests {
            Requests::Sotw(send) => {
                let request = DiscoveryRequest {
                    node,
                    type_url: url.to_owned(),
                    response_nonce: nonce.to_owned(),
                    resource_names: names,
                    ..DiscoveryRequest::default()
                };
                send.send(request).await.ok();
            }
            Requests::Delta(send) => {
                let request = DeltaDiscoveryRequest {
                    node,
                    type_url: url.to_owned(),
                    response_nonce: nonce.to_owned(),
                    resource_names_subscribe: names,
                    initial_resource_versions: held.into_iter().collect(),
                    ..DeltaDiscoveryRequest::default()
                };
                send.send(request).await.ok();
            }
        }
    }

    /// Asks for names: all that are wanted, or in delta those to add.
    pub(crate) async fn ask(&mut self, url: &str, names: &[&str]) {
        self.resume(url, names, BTreeMap::new()).await;
    }

    /// The same from a delta client that holds these versions.
    pub(crate) async fn resume(&mut self, url: &str, names: &[&str], held: BTreeMap<String, String>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.names.insert(url.to_owned(), names.clone());
        self.send(url, "", names, held).await;
    }

    pub(crate) async fn next(&mut self) -> Result<Answer, Status> {
        let next = tokio::time::timeout(PATIENCE, self.answers.next()).await;
        let next = next.expect("an answer or an end comes");
        next.unwrap_or_else(|| Err(Status::ok("")))
    }

    /// The next answer, which must be of this type; acknowledged.
    pub(crate) async fn take(&mut self, url: &str) -> Answer {
        let answer = self.accept().await;
        assert_eq!(answer.url, url, "{answer:?}");
        answer
    }

    /// The next answer of whatever type; acknowledged.
    pub(crate) async fn accept(&mut self) -> Answer {
        let answer = self.next().await.expect("an answer");
        let names = match self.requests {
            Requests::Sotw(_) => self.names.get(&answer.url).cloned().unwrap_or_default(),
            Requests::Delta(_) => Vec::new(),
        };
        self.send(&answer.url, &answer.nonce, names, BTreeMap::new()).await;
        answer
    }
}

/// A client that could read gzip.
fn unpacked<T>(stream: T) -> Request<T> {
    let mut request = Request::new(stream);
    let gzip = tonic::metadata::MetadataValue::from_static("gzip,identity");
    request.metadata_mut().insert("grpc-accept-encoding", gzip);
    request
}

impl From<DiscoveryResponse> for Answer {
    fn from(message: DiscoveryResponse) -> Self {
        Self {
            url: message.type_url,
            nonce: message.nonce,
            control_plane: message.control_plane.unwrap_or_default().identifier,
            resources: message.resources,
            ..Self::default()
        }
    }
}

impl From<DeltaDiscoveryResponse> for Answer {
    fn from(message: DeltaDiscoveryResponse) -> Self {
        let versions = message.resources.iter().map(|r| (r.name.clone(), r.version.clone()));
        Self {
            url: message.type_url,
            nonce: message.nonce,
            control_plane: message.control_plane.unwrap_or_default().identifier,
            versions: versions.collect(),
            resources: message.resources.into_iter().filter_map(|r| r.resource).collect(),
            removed: message.removed_resources,
        }
    }
}
