//! One proxy: its connection, its stream, and how it comes back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::Request;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::session::Session;
use super::{Shared, Slot, node};
use crate::clock;

/// Envoy's windows.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 24 << 20;

/// Runs a proxy until the swarm ends, or until its stream does where it does not come back.
pub(super) async fn run(shared: Arc<Shared>, index: usize) {
    let slot = &shared.slots[index];
    let mut session = Session::default();
    let mut attempt = 0;
    loop {
        let error = match connect(&shared, index, slot, &mut session).await {
            Ok(()) => anyhow::anyhow!("the stream ended"),
            Err(error) => error,
        };
        let was_in_sync = slot.in_sync.swap(0, Ordering::Relaxed) != 0;
        if shared.note(index, &error, was_in_sync) {
            return;
        }
        attempt = if was_in_sync { 0 } else { attempt + 1 };
        // Envoy's: fully jittered, from half a second to thirty.
        let most = Duration::from_millis(500 << attempt.min(6)).min(Duration::from_secs(30));
        tokio::time::sleep(most.mul_f64(random(index, attempt))).await;
    }
}

/// From 0 to 1, and not the same for all.
fn random(index: usize, attempt: u32) -> f64 {
    let seed = [index as u64, u64::from(attempt), clock::now()];
    let bytes: Vec<u8> = seed.iter().flat_map(|number| number.to_le_bytes()).collect();
    (xxhash_rust::xxh3::xxh3_64(&bytes) >> 11) as f64 / (1u64 << 53) as f64
}

async fn connect(shared: &Shared, index: usize, slot: &Slot, session: &mut Session) -> anyhow::Result<()> {
    let permit = shared.at_once.acquire().await?;
    let _ = slot
        .started
        .compare_exchange(0, clock::now(), Ordering::Relaxed, Ordering::Relaxed);
    let tcp = TcpStream::connect(shared.plan.address).await?;
    tcp.set_nodelay(true)?;
    match &shared.plan.tls {
        None => {
            drop(permit);
            serve(tcp, shared, index, slot, session).await
        }
        Some(config) => {
            let name = ServerName::try_from("localhost")?;
            let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
            drop(permit);
            serve(stream, shared, index, slot, session).await
        }
    }
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared,
    index: usize,
    slot: &Slot,
    session: &mut Session,
) -> anyhow::Result<()> {
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, Bytes>(io)
        .await?;
    let mut connection = pin!(connection);
    let exchange = async {
        let mut client = client.ready().await?;
        let group = shared.group_of(index);
        let request = Request::post(format!("http://localhost{}", shared.plan.dialect.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("mesh-group", group.to_string())
            .body(())?;
        let (response, mut send) = client.send_request(request, false)?;
        let node = node::encode(index, &shared.plan.groups[group], &shared.extensions);
        for request in session.begin(shared, index, &node) {
            send.send_data(request, false)?;
        }
        drop(node);
        let mut body = response.await?.into_body();
        read(&mut body, &mut send, shared, index, slot, session).await
    };
    tokio::select! {
        closed = &mut connection => return closed.context("the connection ended"),
        done = exchange => done?,
    }
    // A dead proxy: its connection is there, and nobody looks at it.
    std::future::pending().await
}

async fn read(
    body: &mut RecvStream,
    send: &mut SendStream<Bytes>,
    shared: &Shared,
    index: usize,
    slot: &Slot,
    session: &mut Session,
) -> anyhow::Result<()> {
    let mut rest = BytesMut::new();
    loop {
        let Some(data) = poll_fn(|context| body.poll_data(context)).await else {
            let trailers = body.trailers().await?.unwrap_or_default();
            let said = |name| trailers.get(name).and_then(|value| value.to_str().ok());
            bail!("status {:?} {:?}", said("grpc-status"), said("grpc-message"));
        };
        let mut data = data?;
        body.flow_control().release_capacity(data.len())?;
        // A message in one piece needs no copy.
        while rest.is_empty() && length(&data).is_some_and(|length| data.len() >= length) {
            let message = data.split_to(length(&data).unwrap_or_default());
            answer(&message, send, shared, index, slot, session)?;
        }
        rest.extend_from_slice(&data);
        while length(&rest).is_some_and(|length| rest.len() >= length) {
            let message = rest.split_to(length(&rest).unwrap_or_default()).freeze();
            answer(&message, send, shared, index, slot, session)?;
        }
        if rest.is_empty() {
            rest = BytesMut::new();
        }
        if shared.dies(index) {
            return Ok(());
        }
    }
}

/// The length of a message with its header.
fn length(data: &[u8]) -> Option<usize> {
    let mut length = data.get(1..5)?;
    Some(5 + usize::try_from(length.get_u32()).ok()?)
}

fn answer(
    message: &Bytes,
    send: &mut SendStream<Bytes>,
    shared: &Shared,
    index: usize,
    slot: &Slot,
    session: &mut Session,
) -> anyhow::Result<()> {
    ensure!(message[0] == 0, "a compressed message");
    shared.capture(index, message);
    match session.take(shared, index, slot, &message[5..]) {
        Ok(requests) => {
            for request in requests {
                send.send_data(request, false)?;
            }
            slot.acked.store(clock::now(), Ordering::Relaxed);
            Ok(())
        }
        Err(violation) => {
            shared.violated(index, &violation);
            Err(violation)
        }
    }
}
