//! The floor of reading members: all lists, each over the transport that Parallax uses, and nothing is done with them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Api, listener};
use crate::clock;
use crate::objects::KINDS;

/// Those of Parallax.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What the bookmark at the end of a list has, in its last bytes.
const END: &[u8] = b"initial-events-end";
const LAST: usize = 200;

/// Reads all that these API servers have, all at once; returns how long that took, in milliseconds.
pub(crate) async fn read_all(members: &[Api]) -> anyhow::Result<f64> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(listener::authority()?.as_bytes())?)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let begun = clock::now();
    let mut reading = JoinSet::new();
    for member in members {
        reading.spawn(read(member.address, connector.clone()));
    }
    while let Some(read) = reading.join_next().await {
        read??;
    }
    Ok(clock::ms(begun, clock::now()))
}

async fn read(address: SocketAddr, connector: TlsConnector) -> anyhow::Result<()> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let stream = connector.connect(ServerName::try_from("127.0.0.1")?, tcp).await?;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake::<_, Bytes>(stream)
        .await?;
    let lists = async {
        let mut client = client.ready().await?;
        let mut lists = Vec::new();
        for kind in KINDS {
            let uri = format!("https://127.0.0.1/api/v1/{kind}?watch=true&sendInitialEvents=true");
            let (response, _) = client.send_request(Request::get(uri).body(())?, true)?;
            lists.push(async move { drain(response.await?.into_body()).await });
        }
        futures::future::try_join_all(lists).await.map(|_| ())
    };
    tokio::select! {
        closed = connection => closed.context("the connection ended"),
        done = lists => done,
    }
}

/// Reads to the end of a list.
async fn drain(mut body: h2::RecvStream) -> anyhow::Result<()> {
    let mut last: Vec<u8> = Vec::new();
    loop {
        let data = body.data().await.context("the list ended early")??;
        body.flow_control().release_capacity(data.len())?;
        last.extend_from_slice(&data[data.len().saturating_sub(LAST)..]);
        let from = last.len().saturating_sub(2 * LAST);
        last.drain(..from);
        if last.windows(END.len()).any(|window| window == END) {
            return Ok(());
        }
        ensure!(!body.is_end_stream(), "the list ended early");
    }
}
