//! The connection to a server's admin endpoint.

use std::future::Future;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::Failure;
use super::failure::root_cause;
use crate::admin::proto::debug_client::DebugClient;

/// How long connecting may take, and then each question.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that questions can be put to.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    pub(super) debug: DebugClient<Channel>,
}

impl Server {
    /// Connects to `HOST:PORT`, `http://HOST:PORT` or `unix:PATH`.
    pub(super) async fn connect(name: &str) -> Result<Self, Failure> {
        let unreachable = |cause: String| Failure::Unreachable {
            server: name.to_owned(),
            cause,
        };
        let uri = if name.contains("://") || name.starts_with("unix:") {
            name.to_owned()
        } else {
            format!("http://{name}")
        };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|_| unreachable("that is no address; write HOST:PORT or unix:PATH".to_owned()))?
            .connect_timeout(PATIENCE);
        let channel = tokio::time::timeout(PATIENCE, endpoint.connect())
            .await
            .map_err(|_| unreachable(slow()))?
            .map_err(|error| unreachable(root_cause(&error)))?;
        // A large mesh has large answers, and whoever asks wants all of it.
        let debug = DebugClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Self {
            name: name.to_owned(),
            debug,
        })
    }

    /// Waits for an answer.
    pub(super) async fn answer<T>(
        &self,
        question: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, question).await {
            Err(_) => Err(Failure::Unreachable {
                server: self.name.clone(),
                cause: slow(),
            }),
            Ok(Err(status)) => Err(self.failure(&status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// What this server's error means.
    pub(super) fn failure(&self, status: &Status) -> Failure {
        Failure::of_status(&self.name, status)
    }

    /// That the server ended a stream that has no end.
    pub(super) fn gone(&self) -> Failure {
        Failure::Unreachable {
            server: self.name.clone(),
            cause: "it has stopped".to_owned(),
        }
    }
}

fn slow() -> String {
    format!("nothing came within {} s", PATIENCE.as_secs())
}
