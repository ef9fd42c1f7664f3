//! The connection to an API server.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::super::MemberSource;
use super::credentials;
use super::failure::{Failure, chain};

const CONNECT: Duration = Duration::from_secs(10);
/// A watch is closed by the server after a minute and shows life until then, so a connection that is silent for longer
/// is dead.
const READ: Duration = Duration::from_secs(90);
const WRITE: Duration = Duration::from_secs(30);

/// Makes a client from a kubeconfig or from what a pod finds. Files are read, and a program for credentials may run, on
/// a thread that may block.
pub(super) async fn connect(source: &MemberSource) -> Result<Client, Failure> {
    let source = source.clone();
    let runtime = tokio::runtime::Handle::current();
    let made = tokio::task::spawn_blocking(move || {
        let mut config = runtime.block_on(config(source))?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(READ);
        config.reset_reader_on_write = true;
        config.write_timeout = Some(WRITE);
        // A retry inside the client would hide for minutes that something is wrong.
        config.default_retry = false;
        Client::try_from(config).map_err(|error| Failure::Config(chain(&error)))
    });
    made.await
        .unwrap_or_else(|error| Err(Failure::Config(error.to_string())))
}

/// What a source says of its API server.
pub(super) async fn config(source: MemberSource) -> Result<Config, Failure> {
    let (kubeconfig, context) = match source {
        MemberSource::Kubernetes { kubeconfig, context } => (kubeconfig, context),
        MemberSource::InCluster => {
            return Config::incluster().map_err(|error| Failure::Config(chain(&error)));
        }
        MemberSource::Secret {
            kubeconfig, allowed, ..
        } => {
            let kubeconfig = credentials::checked(kubeconfig.reveal(), &allowed)?;
            let options = KubeConfigOptions::default();
            return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
        }
        MemberSource::Folder { path } => {
            return Err(Failure::Config(format!("{} is a folder of manifests", path.display())));
        }
    };
    let kubeconfig = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path)?,
        None => Kubeconfig::read()?,
    };
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?)
}
