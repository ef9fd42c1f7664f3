//! The plain HTTP pages.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::mesh::{Running, soon};

/// The whole response to a GET over HTTP/1.1.
async fn get(running: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn probes_tell_life_from_readiness() {
    let running = Running::start().await;
    assert!(get(&running, "/healthz").await.starts_with("HTTP/1.1 200"));
    let waiting = get(&running, "/readyz").await;
    assert!(waiting.starts_with("HTTP/1.1 503"), "{waiting}");
    assert!(waiting.contains("member north"), "{waiting}");
    running.become_ready();
    assert!(get(&running, "/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let running = Running::start().await;
    let response = get(&running, "/metrics").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(
        response.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{response}"
    );
    assert!(response.contains("parallax_build_info"), "{response}");
    assert!(response.contains("# EOF"), "{response}");
}

#[tokio::test]
async fn an_unknown_page_lists_those_there_are() {
    let running = Running::start().await;
    let response = get(&running, "/nothing").await;
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    assert!(response.contains("/readyz"), "{response}");
    assert!(get(&running, "/").await.contains("/metrics"));
}
