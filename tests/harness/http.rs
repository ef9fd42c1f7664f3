//! Requests to the plain HTTP endpoints of Envoy's admin interface and our own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// No answer on this machine takes longer, unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, read as UTF-8 with replacement characters.
    pub body: String,
}

impl Response {
    /// The body of an answer that says 200.
    ///
    /// # Errors
    /// If the status is another one, with the body.
    pub fn ok(self) -> anyhow::Result<String> {
        ensure!(self.status == 200, "answer {}: {}", self.status, self.body.trim());
        Ok(self.body)
    }
}

/// Gets `path` (with its query) from `server` over a connection of its own.
///
/// # Errors
/// If there is no connection, no whole answer within 10 s, or `path` is no valid path.
pub async fn get(server: SocketAddr, path: &str) -> anyhow::Result<Response> {
    exchange(server, Request::get(path), Bytes::new())
        .await
        .with_context(|| format!("GET http://{server}{path}"))
}

/// Posts JSON to `path`.
///
/// # Errors
/// As [`get`].
pub(super) async fn post(server: SocketAddr, path: &str, json: String) -> anyhow::Result<Response> {
    exchange(server, Request::post(path), json.into())
        .await
        .with_context(|| format!("POST http://{server}{path}"))
}

async fn exchange(server: SocketAddr, request: Builder, body: Bytes) -> anyhow::Result<Response> {
    let exchange = async {
        let connection = TcpStream::connect(server).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(connection)).await?;
        // Ends with the answer: `sender` is dropped then, and with it the connection.
        tokio::spawn(connection);
        let request = request.header("host", server.to_string()).body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok(Response {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {TIMEOUT:?}")))
}
