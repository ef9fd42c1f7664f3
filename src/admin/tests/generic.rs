//! The debug service through reflection alone, as grpcurl and other generic clients use it.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic_reflection::pb::{v1, v1alpha};

use super::mesh::{Running, soon};

const SERVICE: &str = "parallax.debug.v1.Debug";

/// Encodes and decodes messages that are known only by their description.
#[derive(Clone)]
struct DynamicCodec(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Asks one question of the reflection service.
async fn reflect(
    channel: &Channel,
    question: v1::server_reflection_request::MessageRequest,
) -> v1::server_reflection_response::MessageResponse {
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(tokio_stream::once(request));
    let mut answers = soon(answers).await.unwrap().into_inner();
    soon(answers.message())
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap()
}

/// What the server says about the service that has this name.
async fn described(channel: &Channel, symbol: &str) -> DescriptorPool {
    use v1::server_reflection_request::MessageRequest::FileContainingSymbol;
    use v1::server_reflection_response::MessageResponse::FileDescriptorResponse;
    let answer = reflect(channel, FileContainingSymbol(symbol.to_owned())).await;
    let FileDescriptorResponse(files) = answer else {
        panic!("{answer:?}")
    };
    let mut pool = DescriptorPool::new();
    for file in files.file_descriptor_proto {
        pool.decode_file_descriptor_proto(&*file).unwrap();
    }
    pool
}

/// Calls a method of the debug service with fields given by name.
async fn call(channel: &Channel, method: &str, fields: &[(&str, Value)]) -> Result<DynamicMessage, Status> {
    let pool = described(channel, SERVICE).await;
    let service = pool.get_service_by_name(SERVICE).unwrap();
    let method = service.methods().find(|known| known.name() == method).unwrap();
    let mut request = DynamicMessage::new(method.input());
    for (name, value) in fields {
        request.set_field_by_name(name, value.clone());
    }
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/{SERVICE}/{}", method.name()).parse().unwrap();
    let answer = client.unary(tonic::Request::new(request), path, DynamicCodec(method.output()));
    soon(answer).await.map(tonic::Response::into_inner)
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field).unwrap();
    let items = value.as_list().unwrap().iter();
    items.map(|item| item.as_message().unwrap().clone()).collect()
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let running = Running::start().await;
    let channel = running.channel().await;
    use v1::server_reflection_request::MessageRequest::ListServices;
    use v1::server_reflection_response::MessageResponse::ListServicesResponse;
    let answer = reflect(&channel, ListServices(String::new())).await;
    let ListServicesResponse(services) = answer else {
        panic!("{answer:?}")
    };
    let names: BTreeSet<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = old
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    assert!(soon(answers.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_client_that_knows_nothing_can_ask_everything() {
    let running = Running::start().await;
    let channel = running.channel().await;
    let pool = described(&channel, SERVICE).await;
    let viewer = pool.get_message_by_name("parallax.debug.v1.ViewerRef").unwrap();
    let mut on_net1 = DynamicMessage::new(viewer);
    on_net1.set_field_by_name("network", Value::String("net1".to_owned()));
    let on_net1 = Value::Message(on_net1);

    let members = call(&channel, "ListMembers", &[]).await.unwrap();
    let names: Vec<_> = list(&members, "members")
        .iter()
        .map(|each| text(each, "name"))
        .collect();
    assert_eq!(names, ["east", "north", "west"]);
    let networks = call(&channel, "ListNetworks", &[]).await.unwrap();
    assert_eq!(list(&networks, "networks").len(), 3);
    let services = call(&channel, "ListServices", &[]).await.unwrap();
    assert_eq!(text(&list(&services, "services")[0], "service"), "cart.shop");
    let proxies = call(&channel, "ListProxies", &[]).await.unwrap();
    assert_eq!(list(&proxies, "proxies").len(), 0);

    let web = ("service", Value::String("web.shop".to_owned()));
    let endpoints = call(&channel, "ListEndpoints", std::slice::from_ref(&web))
        .await
        .unwrap();
    assert_eq!(list(&endpoints, "endpoints").len(), 4);
    let explained = call(&channel, "Explain", &[web.clone(), ("viewer", on_net1.clone())])
        .await
        .unwrap();
    let addresses: Vec<_> = list(&explained, "assignment")
        .iter()
        .map(|each| text(each, "address"))
        .collect();
    assert_eq!(addresses, ["10.1.0.1:8080", "203.0.113.7:15443"]);
    let view = call(&channel, "GetView", &[("viewer", on_net1)]).await.unwrap();
    let clusters: Vec<_> = list(&view, "assignments")
        .iter()
        .map(|each| text(each, "cluster"))
        .collect();
    assert!(
        clusters.contains(&"outbound|80||web.shop.svc.cluster.local".to_owned()),
        "{clusters:?}"
    );

    let wrong = ("service", Value::String("wbe.shop".to_owned()));
    let error = call(&channel, "ListEndpoints", &[wrong]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::NotFound);
    assert!(error.message().contains("did you mean web.shop"), "{error}");
}
