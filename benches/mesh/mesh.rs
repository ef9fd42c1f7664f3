//! A mesh that runs: its API servers and the control plane that watches them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::api::{self, Api};
use crate::certs::Certificates;
use crate::clock;
use crate::floor::Floor;
use crate::manifests::Manifests;
use crate::objects::{self, Backend, SLICES};
use crate::options::Options;
use crate::swarm::{Plan, Swarm};
use crate::target::Target;
use crate::world::Size;

/// How long a control plane may take to read a mesh.
const READY: Duration = Duration::from_secs(300);
/// How long proxies may take to be in sync.
pub(crate) const SYNC: Duration = Duration::from_secs(300);

/// A running mesh.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) size: Size,
    pub(crate) members: Vec<Api>,
    pub(crate) target: Target,
    pub(crate) tls: Option<Certificates>,
    pub(crate) folder: PathBuf,
    /// Members that are folders: none at first.
    pub(crate) manifests: Manifests,
    /// How long the control plane took to be ready, in milliseconds.
    pub(crate) ready_after: f64,
    options: Options,
    /// What makes each change differ from all before.
    count: u32,
    /// Whether the last endpoint of a member's service is ready; it is where nothing is said.
    ready: HashMap<(usize, usize), bool>,
    _temporary: Option<tempfile::TempDir>,
}

impl Mesh {
    /// The floor for a swarm, and as many proxies that hold the same of it.
    pub(crate) async fn floor(&self, swarm: &Swarm, clients: usize, tls: bool) -> anyhow::Result<(Floor, Swarm)> {
        let mut floor = Floor::start(tls.then_some(&*self.folder), &self.folder.join("floor.log"))?;
        floor.begin_with(&swarm.captured())?;
        let mut plan = self.plan(clients)?;
        plan.address = floor.address;
        plan.strict = false;
        let bare = Swarm::start(plan);
        bare.in_sync(SYNC).await?;
        bare.capture(false);
        Ok((floor, bare))
    }

    /// Starts the API servers and the control plane, and waits until that is ready.
    pub(crate) async fn start(options: &Options, size: Size, tls: bool) -> anyhow::Result<Self> {
        let members = api::start(&size, 0, size.members).await?;
        Self::with(options, size, tls, members).await
    }

    /// The same with API servers that run already.
    pub(crate) async fn with(options: &Options, size: Size, tls: bool, members: Vec<Api>) -> anyhow::Result<Self> {
        let temporary = match &options.state {
            Some(_) => None,
            None => Some(tempfile::tempdir()?),
        };
        let folder = match (&options.state, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => anyhow::bail!("no folder"),
        };
        let tls = match tls {
            true => Some(Certificates::generate(&folder)?),
            false => None,
        };
        let kubeconfigs = api::write_kubeconfigs(&members, &folder)?;
        let manifests = Manifests::in_folder(&folder)?;
        let target = match (options.foreign, &options.start) {
            (Some((address, pid)), None) => Target::foreign(address, pid, options.ready.clone()).await?,
            (Some((address, pid)), Some(command)) => {
                Target::by_command(address, pid, options.ready.clone(), command, &folder).await?
            }
            (None, _) => Target::start(&options.binary, &folder, &kubeconfigs, &manifests, tls.as_ref())?,
        };
        let begun = clock::now();
        let ready = target.ready(READY).await?;
        let ready_after = ready.map_or(f64::NAN, |at| clock::ms(begun, at));
        Ok(Self {
            size,
            members,
            target,
            tls,
            folder,
            manifests,
            options: options.clone(),
            ready_after,
            count: 0,
            ready: HashMap::new(),
            _temporary: temporary,
        })
    }

    /// Ends the control plane and gives the API servers back.
    pub(crate) fn into_members(self) -> Vec<Api> {
        self.members
    }

    /// A plan for proxies of this mesh's control plane.
    pub(crate) fn plan(&self, clients: usize) -> anyhow::Result<Plan> {
        let mut plan = Plan::new(self.target.address, &self.size, clients);
        plan.dialect = self.options.dialect;
        // Another server may refuse streams until it has read everything, and nothing else tells when that is.
        plan.reconnect |= self.options.foreign.is_some();
        plan.tls = self.tls.as_ref().map(Certificates::client).transpose()?;
        Ok(plan)
    }

    /// Starts proxies and waits until they are in sync.
    pub(crate) async fn swarm(&self, plan: Plan) -> anyhow::Result<Swarm> {
        let swarm = Swarm::start(plan);
        swarm.in_sync(SYNC).await.context("the swarm")?;
        swarm.settle().await?;
        swarm.agree()?;
        Ok(swarm)
    }

    /// The count of the next change; in the address that it gives the pod.
    pub(crate) fn next_count(&self) -> u32 {
        self.count + 1
    }

    /// Replaces a pod of a service of a member, and takes the last one out of or back into the service, so that every
    /// viewer's weights change. Returns when the API server told it.
    pub(crate) fn change(&mut self, member: usize, at: usize) -> u64 {
        self.count += 1;
        let ready = self.ready.entry((member, at)).or_insert(true);
        *ready = !*ready;
        let (count, ready) = (self.count, *ready);
        let object = self.changed(member, at, count, ready);
        self.members[member].put(SLICES, object)
    }

    /// Replaces a pod of a service of a member and nothing else, so that no weight changes.
    pub(crate) fn replace(&mut self, member: usize, at: usize) -> u64 {
        self.count += 1;
        let ready = self.ready.get(&(member, at)).copied().unwrap_or(true);
        let object = self.changed(member, at, self.count, ready);
        self.members[member].put(SLICES, object)
    }

    /// The slice of a service of a member whose first pod has a fresh address, with its last endpoint ready or not.
    pub(crate) fn changed(&self, member: usize, at: usize, count: u32, ready: bool) -> Value {
        let mut backends: Vec<Backend> = objects::backends(&self.size, member, at);
        if let Some(first) = backends.first_mut() {
            first.address = Size::fresh_address(count).to_string();
        }
        if let Some(last) = backends.last_mut() {
            last.ready = ready;
        }
        objects::slice(&self.size, member, at, &backends)
    }
}
