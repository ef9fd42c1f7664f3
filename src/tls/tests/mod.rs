//! Handshakes with certificates made for the test, bad files, and the listeners.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::clients::Clients;
use super::{
    Acceptor, AcceptorMetrics, ConnInfo, HandshakeLimits, Incoming, Listener, Peer, ServerTls, TlsError,
    install_provider,
};

mod renewal;

const DEADLINE: Duration = Duration::from_secs(20);
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("took too long")
}

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// An authority, a server's files that it signed, and the folder that holds them.
struct Setup {
    folder: TempDir,
    authority: Authority,
}

impl Setup {
    fn new() -> Self {
        install_provider();
        let setup = Self {
            folder: TempDir::new().unwrap(),
            authority: Authority::new("mesh"),
        };
        let (certificate, key) = setup.authority.issue();
        setup.write("server.crt", &certificate.pem());
        setup.write("server.key", &key.serialize_pem());
        setup.write("ca.crt", &setup.authority.certificate.pem());
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn tls(&self, certificate: &str, key: &str, client_ca: Option<&str>) -> Result<ServerTls, TlsError> {
        ServerTls::from_files(
            &self.path(certificate),
            &self.path(key),
            client_ca.map_or(Clients::Anybody, |name| Clients::SignedBy(self.path(name))),
        )
    }

    fn serve(&self, client_ca: Option<&str>, limits: HandshakeLimits) -> (Incoming, SocketAddr) {
        let tls = self.tls("server.crt", "server.key", client_ca).unwrap();
        let incoming = Acceptor::new(Listener::tcp(ANY_PORT).unwrap(), Some(tls))
            .with_limits(limits)
            .incoming();
        let address = incoming.local_addr().unwrap();
        (incoming, address)
    }
}

/// Connects, and reads until the server says something: with TLS 1.3 a refused client learns of it only then.
async fn connect(
    address: SocketAddr,
    trusted: &Authority,
    own: Option<(Certificate, KeyPair)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.der().clone()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder
                .with_client_auth_cert(vec![CertificateDer::from(certificate)], key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let mut greeting = [0];
    stream.read_exact(&mut greeting).await?;
    Ok(stream)
}

/// Takes connections and greets each with one byte.
fn greet(mut incoming: Incoming) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(mut conn) = incoming.next_conn().await {
            if conn.write_all(b"!").await.is_ok() {
                kept.push(conn);
            }
        }
    })
}

#[tokio::test]
async fn a_client_of_the_right_authority_is_taken_and_its_certificate_known() {
    let setup = Setup::new();
    let (mut incoming, address) = setup.serve(Some("ca.crt"), HandshakeLimits::default());
    let own = setup.authority.issue();
    let expected = own.0.der().clone();
    let client = connect(address, &setup.authority, Some(own));
    let server = async {
        let mut conn = incoming.next_conn().await.unwrap();
        conn.write_all(b"!").await.unwrap();
        conn
    };
    let (client, conn) = soon(async { tokio::join!(client, server) }).await;
    let client = client.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let info = conn.connect_info();
    assert_eq!(info.peer, Peer::Tcp(client.get_ref().0.local_addr().unwrap()));
    assert_eq!(info.certificates.as_deref(), Some([expected].as_slice()));
}

#[tokio::test]
async fn clients_without_a_certificate_or_of_another_authority_are_refused() {
    let setup = Setup::new();
    let (incoming, address) = setup.serve(Some("ca.crt"), HandshakeLimits::default());
    let server = greet(incoming);
    let other = Authority::new("other");
    // Only the signature tells it from the right one.
    let forger = Authority::new("mesh");
    for (trusted, own, expected) in [
        (&setup.authority, None, "CertificateRequired"),
        (&setup.authority, Some(other.issue()), "UnknownCA"),
        (&setup.authority, Some(forger.issue()), "DecryptError"),
        (&other, Some(setup.authority.issue()), "UnknownIssuer"),
    ] {
        let error = soon(connect(address, trusted, own)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    soon(connect(address, &setup.authority, Some(setup.authority.issue())))
        .await
        .unwrap();
    server.abort();
}

#[tokio::test]
async fn without_a_client_authority_no_certificate_is_asked_for() {
    let setup = Setup::new();
    let (incoming, address) = setup.serve(None, HandshakeLimits::default());
    let server = greet(incoming);
    soon(connect(address, &setup.authority, None)).await.unwrap();
    server.abort();
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_holds_up_others_no_longer() {
    let setup = Setup::new();
    let limits = HandshakeLimits {
        concurrent: 1,
        timeout: Duration::from_millis(300),
    };
    let (incoming, address) = setup.serve(None, limits);
    let server = greet(incoming);
    let mut silent = TcpStream::connect(address).await.unwrap();
    let start = tokio::time::Instant::now();
    // The only place is taken by the silent one until it is dropped.
    soon(connect(address, &setup.authority, None)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    let mut buffer = [0];
    let read = soon(silent.read(&mut buffer)).await;
    assert!(matches!(read, Ok(0)) || read.is_err(), "{read:?}");
    server.abort();
}

#[tokio::test]
async fn a_client_that_connects_and_says_nothing_is_let_go_and_one_that_spoke_once_is_kept() {
    let limits = HandshakeLimits {
        timeout: Duration::from_millis(200),
        ..HandshakeLimits::default()
    };
    let plain = Acceptor::new(Listener::tcp(ANY_PORT).unwrap(), None).with_limits(limits);
    let mut incoming = plain.incoming();
    let address = incoming.local_addr().unwrap();
    let mut buffer = [0; 8];
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut conn = soon(incoming.next_conn()).await.unwrap();
    let error = soon(conn.read(&mut buffer)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);

    let mut speaks = TcpStream::connect(address).await.unwrap();
    speaks.write_all(b"a").await.unwrap();
    let mut conn = soon(incoming.next_conn()).await.unwrap();
    assert_eq!(soon(conn.read(&mut buffer)).await.unwrap(), 1);
    let quiet = timeout(limits.timeout * 2, conn.read(&mut buffer)).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn plain_tcp_is_taken_and_dropping_the_stream_closes_the_port() {
    let mut incoming = Acceptor::new(Listener::tcp(ANY_PORT).unwrap(), None).incoming();
    let address = incoming.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let conn = soon(incoming.next_conn()).await.unwrap();
    assert_eq!(conn.peer(), Peer::Tcp(client.local_addr().unwrap()));
    assert!(conn.connect_info().certificates.is_none());

    let error = Listener::tcp(address).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {address}: ")) && error.contains("stop the process"),
        "{error}"
    );
    drop(incoming);
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn tonic_serves_our_connections_and_lets_go_of_the_port() {
    let incoming = Acceptor::new(Listener::tcp(ANY_PORT).unwrap(), None).incoming();
    let address = incoming.local_addr().unwrap();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let stop = CancellationToken::new();
    let knows_peer = |request: tonic::Request<()>| match request.extensions().get::<ConnInfo>() {
        Some(ConnInfo {
            peer: Peer::Tcp(_),
            certificates: None,
        }) => Ok(request),
        other => Err(tonic::Status::internal(format!("{other:?}"))),
    };
    let server = Server::builder()
        .layer(tonic::service::InterceptorLayer::new(knows_peer))
        .add_service(health)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let server = tokio::spawn(server);

    let channel = soon(Endpoint::from_shared(format!("http://{address}")).unwrap().connect())
        .await
        .unwrap();
    let mut client = HealthClient::new(channel);
    soon(client.check(HealthCheckRequest::default())).await.unwrap();
    stop.cancel();
    drop(client);
    soon(server).await.unwrap().unwrap();
    soon(async {
        while Listener::tcp(address).is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_replaces_a_dead_one_only_and_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("xds.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mut incoming = Acceptor::new(Listener::unix(&path).unwrap(), None).incoming();
    let error = Listener::unix(&path).unwrap_err().to_string();
    assert!(error.contains("cannot listen on unix:/"), "{error}");

    let mut client = UnixStream::connect(&path).await.unwrap();
    let mut conn = loop {
        // The failed attempt above looked whether we are alive, and hung up.
        let mut conn = soon(incoming.next_conn()).await.unwrap();
        client.write_all(b"?").await.unwrap();
        let mut byte = [0];
        if soon(conn.read(&mut byte)).await.unwrap() == 1 {
            break conn;
        }
    };
    assert_eq!(conn.connect_info().peer, Peer::Unix);
    conn.write_all(b"!").await.unwrap();
    assert_eq!(soon(client.read_u8()).await.unwrap(), b'!');

    drop(incoming);
    soon(async {
        while path.exists() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    std::fs::write(&path, "precious").unwrap();
    assert!(Listener::unix(&path).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn errors_name_the_file_and_a_remedy_and_show_nothing_of_a_key() {
    let setup = Setup::new();
    let key = std::fs::read_to_string(setup.path("server.key")).unwrap();
    let secret = key.lines().nth(1).unwrap().to_owned();
    setup.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
    setup.write("empty.pem", "");
    setup.write("cut.key", key.lines().take(2).collect::<Vec<_>>().join("\n").as_str());
    setup.write("joined.key", &format!("-----BEGIN {secret}\n{key}"));
    setup.write("base64.key", &key.replace(&secret, &format!("{secret}*")));
    setup.write(
        "der.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    setup.write(
        "der.crt",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );

    let server = "server.crt";
    for (certificate, private, client_ca, file, expected) in [
        ("none.crt", "server.key", None, "none.crt", "cannot read"),
        ("empty.pem", "server.key", None, "empty.pem", "no certificate"),
        ("server.key", "server.key", None, "server.key", "no certificate"),
        ("der.crt", "server.key", None, "der.crt", "cannot be used"),
        (server, "none.key", None, "none.key", "cannot read"),
        (server, "server.crt", None, "server.crt", "no private key"),
        (server, "empty.pem", None, "empty.pem", "no private key"),
        (server, "cut.key", None, "cut.key", "damaged PEM"),
        (server, "joined.key", None, "joined.key", "damaged PEM"),
        (server, "base64.key", None, "base64.key", "damaged PEM"),
        (server, "der.key", None, "der.key", "cannot be used"),
        (server, "other.key", None, "other.key", "does not belong"),
        (server, "server.key", Some("empty.pem"), "empty.pem", "no certificate"),
        (server, "server.key", Some("der.crt"), "der.crt", "cannot be used"),
    ] {
        let error = setup.tls(certificate, private, client_ca).expect_err(expected);
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(file) && error.to_string().contains(expected),
            "{certificate} {private}: {error}"
        );
        assert!(error.to_string().contains("; "), "no remedy: {error}");
        assert!(!shown.contains(&secret), "{shown}");
    }
    assert!(setup.tls(server, "server.key", Some("ca.crt")).is_ok());
}
