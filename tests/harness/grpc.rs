//! A gRPC client with xDS built in, and servers for it to call: the programs of `tests/tools/grpc`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http;
use super::ports::free_port;
use super::process::{Process, Stop};
use super::tools;
use super::wait::eventually;

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Servers of the health service, each telling its own address. Dropping it ends them.
#[derive(Debug)]
pub struct GrpcBackends {
    process: Process,
}

impl GrpcBackends {
    /// Starts one server for each address, and waits until they listen.
    ///
    /// # Errors
    /// If the program is missing or does not listen, with the end of its log.
    pub async fn start(addresses: &[SocketAddr], dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(tools::grpc_binary("backend")?);
        command.args(addresses.iter().map(SocketAddr::to_string));
        let mut process = Process::start("gRPC backends", command, &dir.join("backends.log"), Stop::Kill)?;
        let log = process.log().to_owned();
        let listening = process.until("the gRPC backends to listen", START_DEADLINE, async || {
            let log = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            if log.contains("listening") { Ok(()) } else { Err(log) }
        });
        listening.await?;
        Ok(Self { process })
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Who answered a number of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Answers {
    /// Calls by the address of the backend that answered.
    pub backends: BTreeMap<String, u32>,
    /// Calls that failed, by error.
    pub errors: BTreeMap<String, u32>,
}

/// A gRPC client whose targets `xds:///…` are resolved by a control plane. Dropping it ends the process.
#[derive(Debug)]
pub struct GrpcClient {
    process: Process,
    address: SocketAddr,
}

impl GrpcClient {
    /// Starts a client that gets its configuration from `xds`, as a node with this id and metadata.
    ///
    /// # Errors
    /// If the program is missing or does not answer, with the end of its log.
    pub async fn start(
        xds: SocketAddr,
        node_id: &str,
        metadata: &BTreeMap<&str, &str>,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let bootstrap = dir.join("grpc-bootstrap.json");
        std::fs::write(&bootstrap, self::bootstrap(xds, node_id, metadata).to_string())
            .with_context(|| format!("cannot write {}", bootstrap.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(tools::grpc_binary("client")?);
        command
            .arg(address.to_string())
            .env("GRPC_XDS_BOOTSTRAP", &bootstrap)
            .env("GRPC_GO_LOG_SEVERITY_LEVEL", "warning");
        let name = format!("gRPC client {node_id}");
        let mut process = Process::start(&name, command, &dir.join("grpc-client.log"), Stop::Kill)?;
        let answers = process.until("the gRPC client to answer", START_DEADLINE, async || {
            // Any path answers, this one with 404.
            let answer = http::get(address, "/").await;
            answer.map(|_| ()).map_err(|error| format!("{error:#}"))
        });
        answers.await?;
        Ok(Self { process, address })
    }

    /// Calls `target` so many times one after the other, up to the first error.
    ///
    /// # Errors
    /// If the client itself does not answer.
    pub async fn call(&self, target: &str, count: u32) -> anyhow::Result<Answers> {
        let path = format!("/call?target={target}&count={count}");
        let answer = http::get(self.address, &path).await.and_then(http::Response::ok);
        let answer = answer.map_err(|error| self.process.failure(&format!("{error:#}")))?;
        serde_json::from_str(&answer).context("the client's answer is no JSON")
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn bootstrap(xds: SocketAddr, node_id: &str, metadata: &BTreeMap<&str, &str>) -> Value {
    json!({
        "xds_servers": [{
            "server_uri": xds.to_string(),
            "channel_creds": [{ "type": "insecure" }],
            "server_features": ["xds_v3"],
        }],
        "node": { "id": node_id, "metadata": metadata },
    })
}
