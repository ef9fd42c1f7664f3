//! The debug service: finds what is asked for and hands it to the pure conversions beside this file.

mod explain;
pub(super) mod lint;
mod members;
mod networks;
mod proxies;
mod reasons;
#[cfg(test)]
pub(super) mod samples;
mod services;
mod target;
mod unanswerable;
mod viewer;
mod watch;
pub(super) mod words;

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{AdminState, proto as v1};
use crate::lint::Lookups;
use crate::model::{NetworkId, ServiceEndpoints};
use crate::xds::{Detail, StreamInfo};
use reasons::Said;
use target::Target;
use unanswerable::Unanswerable;

/// Answers from the state as it is at each call.
#[derive(Debug, Clone)]
pub(super) struct DebugService {
    state: AdminState,
    /// Ends the streams that would otherwise never end.
    cancel: CancellationToken,
}

impl DebugService {
    pub(super) fn new(state: AdminState, cancel: CancellationToken) -> Self {
        Self { state, cancel }
    }

    fn find(&self, target: &Target) -> Result<Arc<ServiceEndpoints>, Unanswerable> {
        self.state.table.service(&target.service).ok_or_else(|| {
            let similar = target::similar(&target.service, &self.state.table.services());
            Unanswerable::NoSuchService {
                service: target.service.clone(),
                similar,
            }
        })
    }

    /// The open streams, by node id and age.
    fn streams(&self) -> Vec<StreamInfo> {
        let mut streams = self.state.streams.list(Detail::Summary);
        streams.sort_by(|a, b| a.node.id.cmp(&b.node.id).then(a.connected_at.cmp(&b.connected_at)));
        streams
    }

    /// The services that a filter chooses, and the port where it names one.
    fn chosen(&self, filter: &str) -> Result<(Vec<Arc<ServiceEndpoints>>, Option<u16>), Unanswerable> {
        if filter.is_empty() {
            return Ok((self.state.table.services(), None));
        }
        let target = Target::parse(filter, &self.state.domain)?;
        let service = self.find(&target)?;
        if target.port.is_some() {
            target.port_of(&service)?;
        }
        Ok((vec![service], target.port))
    }
}

/// What the generated trait wants of a stream.
type Changes = Pin<Box<dyn Stream<Item = Result<v1::WatchChangesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl v1::debug_server::Debug for DebugService {
    async fn list_members(
        &self,
        _: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        let table = &self.state.table;
        let members = members::members(&table.members(), &self.state.members.list(), &table.services());
        let problems = self.state.members.problems().iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::ListMembersResponse { members, problems }))
    }

    async fn list_services(
        &self,
        request: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let namespace = request.into_inner().namespace;
        let mut held = self.state.table.services();
        held.retain(|service| namespace.is_empty() || *service.key.namespace == *namespace);
        let services = held.iter().map(|service| services::service(service)).collect();
        Ok(Response::new(v1::ListServicesResponse { services }))
    }

    async fn list_endpoints(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let request = request.into_inner();
        let network = match &*request.network {
            "" => None,
            name => Some(NetworkId::new(name).map_err(Unanswerable::from)?),
        };
        let (chosen, port) = self.chosen(&request.service)?;
        let said = Said {
            gateways: &self.state.table.gateways(),
            members: &self.state.members.list(),
        };
        let endpoints = chosen
            .iter()
            .flat_map(|service| services::endpoints(service, port, network.as_ref(), &said));
        let endpoints: Vec<_> = endpoints.collect();
        let networks = endpoints.iter().map(|endpoint| NetworkId::new(&endpoint.network));
        Ok(Response::new(v1::ListEndpointsResponse {
            notes: said.cut_off(&networks.flatten().collect()),
            endpoints,
        }))
    }

    async fn list_networks(
        &self,
        _: Request<v1::ListNetworksRequest>,
    ) -> Result<Response<v1::ListNetworksResponse>, Status> {
        let table = &self.state.table;
        let members = table.members();
        let homes = members.iter().map(|member| (&member.name, &member.network));
        Ok(Response::new(networks::networks(
            homes,
            &table.services(),
            &table.gateways(),
            &self.state.hosts.list(),
        )))
    }

    async fn get_settings(
        &self,
        _: Request<v1::GetSettingsRequest>,
    ) -> Result<Response<v1::GetSettingsResponse>, Status> {
        let report = self.state.settings.report();
        Ok(Response::new(v1::GetSettingsResponse {
            file: report.file.map(|file| file.display().to_string()).unwrap_or_default(),
            generation: report.generation,
            since: words::time(report.since),
            mistakes: report.refused,
            waiting_for_restart: report.waiting,
        }))
    }

    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        let now = SystemTime::now();
        let proxies = self.streams().into_iter().map(|stream| {
            // Resource by resource only where that tells more, and for one stream at a time: thousands may be connected.
            let detailed =
                proxies::needs_detail(&stream).then(|| self.state.streams.get(&stream.node.id, Detail::Resources));
            let detailed = detailed.and_then(|found| found.into_iter().find(|each| each.id == stream.id));
            proxies::proxy(detailed.as_ref().unwrap_or(&stream), &self.state.table, now)
        });
        let proxies = proxies.collect();
        Ok(Response::new(v1::ListProxiesResponse { proxies }))
    }

    async fn lint(&self, _: Request<v1::LintRequest>) -> Result<Response<v1::LintResponse>, Status> {
        let members = &self.state.members;
        let of_mesh = crate::lint::lint(&self.state.table, &self.state.domain, Lookups::Made);
        Ok(Response::new(lint::lint_response(
            &members.list(),
            &members.problems(),
            of_mesh,
        )))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let request = request.into_inner();
        let table = &self.state.table;
        let target = Target::parse(&request.service, &self.state.domain)?;
        let service = self.find(&target)?;
        let port = target.port_of(&service)?;
        let (key, viewer) = viewer::resolve(request.viewer.as_ref(), table, &self.streams())?;
        let said = Said {
            gateways: &table.gateways(),
            members: &self.state.members.list(),
        };
        let mut answer = explain::explain(viewer, &key, &service, port, &said);
        answer.notes = members::notes(&service, said.members);
        Ok(Response::new(answer))
    }

    async fn get_view(&self, request: Request<v1::GetViewRequest>) -> Result<Response<v1::GetViewResponse>, Status> {
        let request = request.into_inner();
        let table = &self.state.table;
        let (chosen, only) = self.chosen(&request.service)?;
        let (key, viewer) = viewer::resolve(request.viewer.as_ref(), table, &self.streams())?;
        let gateways = table.gateways();
        let mut assignments = Vec::new();
        for service in &chosen {
            for port in service
                .ports
                .iter()
                .filter(|port| only.is_none_or(|number| number == port.port.number))
            {
                assignments.push(explain::assignment(&key, service, port, &gateways, &self.state.domain));
            }
        }
        Ok(Response::new(v1::GetViewResponse {
            viewer: Some(viewer),
            assignments,
        }))
    }

    type WatchChangesStream = Changes;

    async fn watch_changes(
        &self,
        _: Request<v1::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let changes = watch::changes(self.state.pusher.watch(), self.cancel.clone());
        Ok(Response::new(Box::pin(changes)))
    }
}
