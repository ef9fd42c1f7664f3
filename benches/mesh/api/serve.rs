//! The HTTP side of an API server: the requests that a reader of lists and watches makes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::listener::Secure;
use super::store::{Line, Store, Watch};
use crate::objects::KINDS;

/// Lists go out in pieces of about this size.
const PIECE: usize = 64 << 10;

pub(super) async fn serve(listener: Secure, store: Arc<Store>) {
    let app = axum::Router::new().fallback(answer).with_state(store);
    let _ = axum::serve(listener, app).await;
}

fn json(code: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(code).expect("one of the codes below");
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

async fn answer(
    State(store): State<Arc<Store>>,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    store.count_request();
    let resource = request.uri().path().rsplit('/').next().unwrap_or_default();
    if resource == "version" {
        return json(
            200,
            r#"{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#,
        );
    }
    // Istio is not installed, so nothing of its groups is asked for.
    if resource == "apis" {
        return json(200, r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#);
    }
    let Some(kind) = KINDS.iter().position(|kind| *kind == resource) else {
        return json(
            404,
            r#"{"kind":"Status","status":"Failure","code":404,"reason":"NotFound"}"#,
        );
    };
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    if !query.contains_key("watch") {
        let at = |name| number(name).and_then(|number| usize::try_from(number).ok());
        let (version, page, next) = store.page(
            kind,
            at("continue").unwrap_or_default(),
            at("limit").unwrap_or(usize::MAX),
        );
        return json(200, list(version, &page, next));
    }
    let from = match query.contains_key("sendInitialEvents") {
        true => None,
        false => Some(number("resourceVersion").unwrap_or_default()),
    };
    let Some(Watch { first, then }) = store.watch(kind, from) else {
        return json(
            200,
            r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#,
        );
    };
    let ends = tokio::time::sleep(Duration::from_secs(number("timeoutSeconds").unwrap_or(300)));
    let pieces = pieces(first);
    let end = pieces.len();
    let first = futures::stream::iter(pieces.into_iter().enumerate()).map(move |(at, piece)| {
        if from.is_none() && at + 1 == end {
            store.list_ended();
        }
        piece
    });
    let lines = first.chain(UnboundedReceiverStream::new(then)).take_until(ends);
    json(200, Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>)))
}

fn list(version: u64, page: &[Bytes], next: Option<usize>) -> Bytes {
    let next = next.map(|next| next.to_string()).unwrap_or_default();
    let mut body = BytesMut::new();
    let head = format!(
        "{{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{version}\",\"continue\":\"{next}\"}},\"items\":["
    );
    body.extend_from_slice(head.as_bytes());
    for (at, object) in page.iter().enumerate() {
        if at > 0 {
            body.extend_from_slice(b",");
        }
        body.extend_from_slice(object);
    }
    body.extend_from_slice(b"]}");
    body.freeze()
}

fn pieces(lines: Vec<Line>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut open = BytesMut::new();
    for line in lines {
        open.extend_from_slice(&line);
        if open.len() >= PIECE {
            pieces.push(open.split().freeze());
        }
    }
    if !open.is_empty() {
        pieces.push(open.freeze());
    }
    pieces
}
