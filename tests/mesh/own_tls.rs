//! An application that speaks TLS of its own: who connects to it is shown its certificate, and no sidecar's.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::client::{self, Answer};
use super::space::Space;
use super::tls::open;

pub(crate) const PORT: u16 = 9443;

/// Listens on [`PORT`] for as long as the process lives, and answers each request with the name and what was asked. Its certificate.
pub(crate) fn application(space: &Space, name: &'static str, ip: &str) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let certificate = cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .expect("a pair");
    let (address, config) = (format!("{ip}:{PORT}"), Arc::new(config));
    let listener = space
        .within(move || TcpListener::bind(address))
        .expect("the port is free");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || serve(stream, config, name));
        }
    });
    certificate
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, name: &str) -> Result<()> {
    let connection = ServerConnection::new(config).map_err(Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = first.clone();
    while !matches!(&*line, "" | "\r\n") {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let body = format!("{name} {}", first.trim());
    let stream = reader.get_mut();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// Asks for a path, in TLS with this name, believing everybody: who was shown, and what was answered.
pub(crate) fn ask(to: SocketAddr, sni: &str, path: &str) -> Result<(CertificateDer<'static>, Answer)> {
    let mut stream = open(to, sni, &[], None)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: own\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let shown = stream.conn.peer_certificates().and_then(|all| all.first());
    let shown = shown.ok_or_else(|| Error::other("nobody was shown"))?;
    Ok((shown.clone().into_owned(), client::read_answer(&*bytes)?))
}
