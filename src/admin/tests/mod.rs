//! A server on loopback over a small mesh, asked as people and programs ask it.

mod commands;
mod csds;
mod generic;
mod http;
mod mesh;
mod proxies;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use mesh::Running;

#[tokio::test]
async fn health_serves_once_nothing_is_waited_for() {
    let running = Running::start().await;
    let mut client = HealthClient::new(running.channel().await);
    let request = || HealthCheckRequest { service: String::new() };
    let mut watched = client.watch(request()).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::NotServing);
    running.become_ready();
    let second = mesh::soon(watched.message()).await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::Serving);
    let of_debug = HealthCheckRequest {
        service: "parallax.debug.v1.Debug".to_owned(),
    };
    let answer = client.check(of_debug).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn the_end_comes_though_clients_watch() {
    let running = Running::start().await;
    let mut client = HealthClient::new(running.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    let mut watched = client.watch(request).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    mesh::soon(running.stop()).await.unwrap();
}
