//! The task of one stream. It carries: what to say and when is the session's to decide.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use futures::FutureExt;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::admission::Newcomer;
use super::codec::RequestMessage;
use super::config::XdsConfig;
use super::metrics::XdsMetrics;
use super::names::NameShare;
use super::node::{NodeError, ProxyNode};
use super::outbox::{Gone, Outbox};
use super::requests::Requests;
use super::secrets::SecretKeeper;
use super::service::Caller;
use super::session::{Dialect, Interest, Request, Session, TypeUrl, Verdict};
use super::shared::Shared;
use super::status::End;
use super::streams::{OpenStream, Stream};
use super::wire;
use crate::cache::Changes;
use crate::identity::{BearerToken, PeerCertificates, Refusal, Shown, SpiffeId};
use crate::lifecycle::random;
use crate::model::{EnvoyVersion, Role, Standpoint};
use crate::resources::{ResourceType, Version, WORKLOAD_SECRET};

/// How many requests may go before an answer that is due: ACKs are cheap and let answers go, but a flood of them must not
/// keep a proxy's endpoints from it.
const REQUESTS_IN_A_ROW: u32 = 16;

/// How long it may take to find out who a client is.
const IDENTIFY: Duration = Duration::from_secs(10);

/// What a stream goes over.
pub(super) struct Line<M> {
    pub(super) requests: Requests<M>,
    pub(super) outbox: Outbox,
    pub(super) caller: Caller,
    /// The token that the client shows.
    pub(super) token: Option<BearerToken>,
}

/// Serves one stream to its end.
pub(super) async fn run<M: RequestMessage>(shared: Arc<Shared>, line: Line<M>) {
    let Line {
        requests,
        mut outbox,
        caller,
        token,
    } = line;
    let peer = caller.info.peer;
    let shown = Shown {
        certificates: caller.info.certificates.clone().map(PeerCertificates),
        token,
    };
    // A mistake of ours ends this stream and not the others of its connection.
    let end = AssertUnwindSafe(serve(&shared, requests, &mut outbox, &caller, shown)).catch_unwind();
    let end = end.await.unwrap_or(End::Failed);
    shared.metrics.ended(&end);
    tracing::debug!(%peer, dialect = %M::DIALECT, "stream ended: {end}");
    if matches!(end, End::Gone(_)) {
        return;
    }
    if timeout(shared.config.farewell, outbox.finish(end.status()))
        .await
        .is_err()
    {
        shared.metrics.stuck();
        tracing::debug!(%peer, dialect = %M::DIALECT, "the client does not read its stream's end");
        caller.hangup.ask();
    }
}

async fn serve<M: RequestMessage>(
    shared: &Arc<Shared>,
    mut requests: Requests<M>,
    outbox: &mut Outbox,
    caller: &Caller,
    shown: Shown,
) -> End {
    let mut leave = pin!(leave(&shared.config, &caller.drain));
    // The first request is large, and must not make the stream so for as long as it lasts.
    let opened = Box::pin(open(shared, &mut requests, outbox, caller, shown));
    let opened = tokio::select! {
        end = &mut leave => return end,
        opened = opened => opened,
    };
    match opened {
        Err(end) => end,
        Ok((stream, first)) => match stream.serve(first, requests, outbox, leave).await {
            Ok(never) => match never {},
            Err(end) => end,
        },
    }
}

/// Waits for the first request, which says who the client is.
async fn open<'a, M: RequestMessage>(
    shared: &'a Shared,
    requests: &mut Requests<M>,
    outbox: &mut Outbox,
    caller: &Caller,
    shown: Shown,
) -> Result<(Served<'a>, Request), End> {
    let deadline = shared.config.first_message_deadline;
    let first = tokio::select! {
        Err(Gone) = outbox.ready(false) => return Err(gone()),
        first = timeout(deadline, read(requests, shared)) => first,
    };
    let (node, request) = first.map_err(|_| End::FirstMessageLate(deadline))??;
    let node = ProxyNode::read(node.as_ref(), shared.config.max_node_bytes)?;
    let (node, id) = tokio::select! {
        Err(Gone) = outbox.ready(false) => return Err(gone()),
        identified = identify(shared, &shown, node) => identified?,
    };
    let subscriber = shared.cache.attach(node.viewer.clone());
    let standpoint = subscriber.standpoint();
    check(&node, &standpoint)?;
    tracing::debug!(node = %node.id, peer = %caller.info.peer, dialect = %M::DIALECT, stream = %subscriber.id(), "stream opened");
    let session = Session::new(M::DIALECT, standpoint.key.role, shared.config.max_names);
    let stream = Stream::new(node, id, subscriber, caller.info.peer.address(), session);
    Ok((Served::open(shared, M::DIALECT, stream), request))
}

/// Where proxies get listeners: without its member's ClusterIPs a sidecar has none for them, and lets those connections out.
/// So has one whose member is not known yet, and its workload would take what its policies refuse. It keeps what it has.
///
/// And an Envoy that would refuse its listeners would call itself ready without them.
///
/// To be asked of where the stream stands, which it will keep: a member may go between two looks.
fn check(node: &ProxyNode, standpoint: &Standpoint) -> Result<(), End> {
    let role = standpoint.key.role;
    if role != Role::Endpoints
        && let Some(version) = EnvoyVersion::of_agent(&node.agent)
        && version < EnvoyVersion::OLDEST
    {
        return Err(NodeError::TooOld { version }.into());
    }
    match &node.viewer.member {
        _ if role != Role::Sidecar => Ok(()),
        None => Err(NodeError::NoMember.into()),
        Some(member) if standpoint.inbound.is_none() => {
            let member = member.clone();
            Err(End::MemberNotReady { member })
        }
        Some(_) => Ok(()),
    }
}

/// Finds out who a client is, and whether its node claims no more than that. What is proven and was not said is added to the
/// node.
async fn identify(
    shared: &Shared,
    shown: &Shown,
    mut node: ProxyNode,
) -> Result<(ProxyNode, Option<SpiffeId>), Refusal> {
    let Some((gate, _)) = &shared.identity else {
        return Ok((node, None));
    };
    let identified = timeout(IDENTIFY, gate.identify(shown, &node.claims)).await;
    let identified = identified.map_err(|_| Refusal::Unknown(format!("that took longer than {IDENTIFY:?}")))?;
    let Some(proven) = identified? else {
        return Ok((node, None));
    };
    // A certificate may prove no member. Then the node's own word counts, as far as nothing that is known speaks against it.
    node.viewer.member = proven.member.or(node.viewer.member);
    // What comes to be known later is shown, and ends no stream.
    if let Some(contradiction) = shared.cache.locate(&node.viewer).contradiction {
        let refusal = Refusal::Contradiction(contradiction);
        gate.count(&refusal);
        return Err(refusal);
    }
    Ok((node, Some(proven.id)))
}

fn gone() -> End {
    End::Gone("it reads no more".to_owned())
}

/// The next request.
async fn read<M: RequestMessage>(requests: &mut Requests<M>, shared: &Shared) -> Result<(Option<Node>, Request), End> {
    match requests.message().await {
        Ok(Some(message)) => Ok(message.split()),
        Ok(None) => Err(End::Closed),
        Err(status) => Err(End::of_reading(&status, &shared.config)),
    }
}

/// When a stream has to go although nothing is wrong with it: at its age, or when the server drains. Both are spread, so
/// that not all proxies come back in one moment.
async fn leave(config: &XdsConfig, drain: &CancellationToken) -> End {
    let age = config.max_age.mul_f64(0.8 + 0.4 * random());
    let drain = async {
        drain.cancelled().await;
        sleep(config.drain_spread.mul_f64(random())).await;
    };
    tokio::select! {
        () = sleep(age) => End::MaxAge,
        () = drain => End::Draining,
    }
}

/// Waits until a secret was renewed. Safe to drop and call again.
async fn renewed(secrets: Option<&mut SecretKeeper<'_>>) -> Changes {
    match secrets {
        Some(secrets) => Box::pin(secrets.changed(random)).await,
        None => std::future::pending().await,
    }
}

/// Waits until a time is over, if there is one. Safe to drop and call again.
async fn over(time: Option<&mut Pin<Box<Sleep>>>) {
    match time {
        Some(time) => time.await,
        None => std::future::pending().await,
    }
}

/// A stream whose client said who it is.
struct Served<'a> {
    shared: &'a Shared,
    dialect: Dialect,
    stream: OpenStream,
    _counted: Counted<'a>,
}

/// Counts a stream as long as it lives, however it ends.
struct Counted<'a>(&'a XdsMetrics, Dialect);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.closed(self.1);
    }
}

impl<'a> Served<'a> {
    fn open(shared: &'a Shared, dialect: Dialect, stream: Stream) -> Self {
        shared.metrics.opened(dialect);
        Self {
            shared,
            dialect,
            stream: shared.streams.open(stream),
            _counted: Counted(&shared.metrics, dialect),
        }
    }

    async fn serve<M: RequestMessage>(
        &self,
        first: Request,
        mut requests: Requests<M>,
        outbox: &mut Outbox,
        mut leave: Pin<&mut impl Future<Output = End>>,
    ) -> Result<std::convert::Infallible, End> {
        let mut newcomer = Newcomer::new(&self.shared.admission);
        let mut share = NameShare::new(&self.shared.names);
        // Boxed, and not there for whoever gets none.
        let mut secrets = self.secrets().map(Box::new);
        self.take(first, &mut newcomer, &mut share, secrets.as_deref_mut())?;
        // Something may be due. Asking the session is the only way to know.
        let mut due = true;
        let mut in_a_row = 0;
        let mut slow = None;
        // Set when an answer goes out, and looked at when it fires: mostly the ACK came long before.
        let mut late = pin!(sleep(Duration::ZERO));
        let mut awaiting = false;
        // Set while something waits for the ACK of another type.
        let mut in_order = None;
        loop {
            tokio::select! {
                biased;
                end = &mut leave => return Err(end),
                request = read(&mut requests, self.shared), if in_a_row < REQUESTS_IN_A_ROW => {
                    let (node, request) = request?;
                    self.compare(node);
                    if self.take(request, &mut newcomer, &mut share, secrets.as_deref_mut())?.is_some() {
                        slow = None;
                    }
                    in_a_row += 1;
                    due = true;
                }
                ready = outbox.ready(due && newcomer.may_send()) => {
                    in_a_row = 0;
                    ready.map_err(|Gone| gone())?;
                    match self.stream.next() {
                        None => {
                            due = false;
                            newcomer.idle();
                            in_order = self.stream.keeps_back().then(|| {
                                let patience = || Box::pin(sleep(self.shared.config.order_patience));
                                in_order.take().unwrap_or_else(patience)
                            });
                        }
                        Some(response) => {
                            let id = &self.shared.config.control_plane_id;
                            let message = wire::message(self.dialect, id, &response)?;
                            let bytes = message.iter().map(bytes::Bytes::len).sum();
                            if let TypeUrl::Served(kind) = response.type_url {
                                newcomer.sent(kind, bytes);
                            }
                            self.shared.metrics.pushed(&response, bytes);
                            outbox.send(message);
                            if !awaiting {
                                late.as_mut().reset(Instant::now() + self.patience(slow.is_some()));
                                awaiting = true;
                            }
                        }
                    }
                }
                changes = self.stream.subscriber.changed() => {
                    self.stream.on_changes(&changes);
                    due = true;
                }
                changes = renewed(secrets.as_deref_mut()) => {
                    self.stream.on_changes(&changes);
                    due = true;
                }
                () = newcomer.moved() => {}
                () = over(in_order.as_mut()) => {
                    in_order = None;
                    self.shared.metrics.order_given_up();
                    self.stream.wait_no_longer();
                    due = true;
                }
                () = &mut late, if awaiting => match self.stream.waiting_since() {
                    None => awaiting = false,
                    Some(since) => {
                        let limit = since + self.patience(slow.is_some());
                        if limit > Instant::now() {
                            late.as_mut().reset(limit);
                        } else if slow.is_some() {
                            return Err(End::AckLate(self.shared.config.ack_deadline));
                        } else {
                            slow = Some(self.shared.metrics.slow());
                            late.as_mut().reset(since + self.patience(true));
                        }
                    }
                },
                // No answer can go out now, so requests may go on.
                () = std::future::ready(()), if in_a_row >= REQUESTS_IN_A_ROW => in_a_row = 0,
            }
        }
    }

    /// Who keeps the secrets of this stream; nobody where it is not known who gets them.
    fn secrets(&self) -> Option<SecretKeeper<'_>> {
        let (_, issuer) = self.shared.identity.as_ref()?;
        let id = self.stream.id.clone()?;
        Some(SecretKeeper::new(&self.stream.shelf, Arc::clone(issuer), id))
    }

    /// Gives a request to the session, and what follows from it to the cache, before anything is answered.
    fn take(
        &self,
        request: Request,
        newcomer: &mut Newcomer,
        share: &mut NameShare,
        mut secrets: Option<&mut SecretKeeper<'_>>,
    ) -> Result<Option<Verdict>, End> {
        if let Some(kind) = ResourceType::from_url(&request.type_url) {
            newcomer.asked(kind);
        }
        let claim = match &secrets {
            Some(_) => request
                .held(ResourceType::Secret, WORKLOAD_SECRET)
                .and_then(Version::parse),
            None => None,
        };
        let (effect, after) = self.stream.on_request(request)?;
        if let Some(verdict) = effect.verdict {
            let (Verdict::Acked(kind) | Verdict::Nacked(kind)) = verdict;
            newcomer.heard(kind);
            self.shared.metrics.settled(verdict, after);
            self.log(verdict);
        }
        let subscriber = &self.stream.subscriber;
        for interest in effect.interests {
            match interest {
                Interest::Subscribe(kind, names) => {
                    share.add(names.len())?;
                    match (kind, &mut secrets) {
                        (ResourceType::Secret, None) => {}
                        (ResourceType::Secret, Some(secrets)) => secrets.want(&names, claim),
                        _ => subscriber.subscribe(kind, &names),
                    }
                }
                Interest::SubscribeAll(kind) => subscriber.subscribe_all(kind),
                Interest::Unsubscribe(kind, names) => {
                    share.remove(names.len());
                    match (kind, &mut secrets) {
                        (ResourceType::Secret, None) => {}
                        (ResourceType::Secret, Some(secrets)) => secrets.give_back(&names),
                        _ => subscriber.unsubscribe(kind, &names),
                    }
                }
                Interest::UnsubscribeAll(kind) => subscriber.unsubscribe_all(kind),
            }
        }
        Ok(effect.verdict)
    }

    fn log(&self, verdict: Verdict) {
        if let Verdict::Nacked(kind) = verdict
            && let Some(nack) = self.stream.last_nack(kind)
        {
            tracing::warn!(
                node = %self.stream.node.id,
                r#type = kind.short(),
                version = %nack.version,
                "a proxy refused an answer: {}", nack.message
            );
        }
    }

    /// The first node counts for the whole stream; another one is a client's mistake that others can still be spared of.
    fn compare(&self, node: Option<Node>) {
        if let Some(node) = node
            && !node.id.is_empty()
            && *node.id != *self.stream.node.id
        {
            self.shared.metrics.node_changed();
        }
    }

    /// How long the oldest answer in flight may wait before its client counts as slow, or as gone where it is slow already.
    fn patience(&self, already_slow: bool) -> Duration {
        let XdsConfig {
            ack_deadline,
            slow_after,
            ..
        } = self.shared.config;
        if already_slow {
            ack_deadline
        } else {
            slow_after.min(ack_deadline)
        }
    }
}
