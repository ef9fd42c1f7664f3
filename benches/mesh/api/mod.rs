//! The API servers of all members, in the rig's own process: list and watch over TLS and HTTP/2, one port each.

mod bare;
mod listener;
mod serve;
mod store;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::objects::{self, KINDS, Kind};
use crate::world::Size;
pub(crate) use bare::read_all;
pub(crate) use store::Store;

/// One member's API server.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<Store>,
    serving: JoinHandle<()>,
}

impl Api {
    /// The API server of a generated member.
    pub(crate) async fn start(size: &Size, member: usize) -> anyhow::Result<Self> {
        Self::start_with(size, member, (0..KINDS.len()).collect()).await
    }

    /// The same with objects of these kinds only.
    pub(crate) async fn start_with(size: &Size, member: usize, kinds: Vec<Kind>) -> anyhow::Result<Self> {
        let size = *size;
        let store = tokio::task::spawn_blocking(move || {
            let store = Store::default();
            for kind in kinds {
                for object in objects::all(&size, member, kind) {
                    store.load(kind, object);
                }
            }
            store
        });
        let store = Arc::new(store.await?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(serve::serve(listener::secure(listener)?, Arc::clone(&store)));
        Ok(Self {
            name: Size::member_name(member),
            address,
            store,
            serving,
        })
    }

    /// Tells an object as it is from now on; returns when that was told.
    pub(crate) fn put(&self, kind: Kind, object: Value) -> u64 {
        self.store.put(kind, object)
    }

    /// The address is gone, as after a crash.
    pub(crate) fn stop(&self) {
        self.serving.abort();
        self.store.cut();
    }

    /// From now on nobody answers there, as where packets are dropped: connections are made and nothing comes. Only before
    /// anybody was told its address.
    pub(crate) async fn fall_silent(&mut self) -> anyhow::Result<()> {
        self.stop();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        self.address = listener.local_addr()?;
        self.serving = tokio::spawn(async move {
            let _listener = listener;
            std::future::pending().await
        });
        Ok(())
    }

    fn kubeconfig(&self, authority: &Path) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\ncontexts:\n- name: it\n  context: {{cluster: it, user: it}}\n\
             clusters:\n- name: it\n  cluster: {{server: \"https://{}\", certificate-authority: {}}}\nusers:\n- name: it\n  user: {{}}\n",
            self.address,
            authority.display()
        )
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the members of a mesh from `from` up to `to`.
pub(crate) async fn start(size: &Size, from: usize, to: usize) -> anyhow::Result<Vec<Api>> {
    let mut members = Vec::new();
    for member in from..to {
        members.push(Api::start(size, member).await?);
    }
    Ok(members)
}

/// Writes a kubeconfig for each member, and returns where.
pub(crate) fn write_kubeconfigs(members: &[Api], folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let authority = folder.join("api-servers.pem");
    std::fs::write(&authority, listener::authority()?)?;
    let write = |member: &Api| {
        let path = folder.join(format!("{}.kubeconfig", member.name));
        std::fs::write(&path, member.kubeconfig(&authority))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok((member.name.clone(), path))
    };
    members.iter().map(write).collect()
}
