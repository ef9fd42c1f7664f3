//! The connection to an API server.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::pki_types::ServerName;
use tower::filter::AsyncFilterLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

use super::super::MemberSource;
use super::credentials;
use super::failure::{Failure, chain};
use super::program::Program;
use super::proxy::Way;

/// How long TCP and TLS may take together. Members that can't be reached hold readiness back for about as long.
const CONNECT: Duration = Duration::from_secs(3);
/// A watch is closed by the server after a minute and shows life until then, so a connection that is silent for longer
/// is dead.
const READ: Duration = Duration::from_secs(90);
const WRITE: Duration = Duration::from_secs(30);
/// An API server that is gone without a word is found by a ping of HTTP/2 that nobody answers.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);
/// How much an API server may send before it was read, by watch and altogether: what one member may take of our memory.
/// At 100 ms of distance this makes 5 MB/s for each list.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// The same for a server that speaks HTTP/1.1 only, for each of its connections.
const HTTP1_BUFFER: usize = 64 << 10;
/// A reader, its trial, and questions about tokens may make a client each at the same time.
const MOST_ATTEMPTS: usize = 4;

/// Makes a client from a kubeconfig or from what a pod finds. Files are read, and a program for credentials may run, on
/// a thread that may block.
pub(super) async fn connect(source: &MemberSource) -> Result<Client, Failure> {
    let attempt = Attempt::begin(source)?;
    let source = source.clone();
    let runtime = tokio::runtime::Handle::current();
    let made = tokio::task::spawn_blocking(move || {
        // Until it has ended, whether somebody still waits for it or not.
        let _attempt = attempt;
        let _entered = runtime.enter();
        let mut config = runtime.block_on(config(source))?;
        let program = runtime.block_on(Program::run(&mut config.auth_info))?;
        client(&config, program)
    });
    made.await
        .unwrap_or_else(|error| Err(Failure::Config(error.to_string())))
}

/// Threads at work on clients, each with its source.
static ATTEMPTS: Mutex<Vec<MemberSource>> = Mutex::new(Vec::new());

/// A thread that makes a client. A disk may hang for ever, or a program of an `auth-provider`, and the thread with it: there are
/// never more than a few for one source, so that it costs the others nothing.
struct Attempt(MemberSource);

impl Attempt {
    fn begin(source: &MemberSource) -> Result<Self, Failure> {
        let mut attempts = ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.iter().filter(|other| *other == source).count() >= MOST_ATTEMPTS {
            return Err(Failure::Config(
                "its program for credentials, or a file that it names, has not answered for long; see why it hangs"
                    .to_owned(),
            ));
        }
        attempts.push(source.clone());
        Ok(Self(source.clone()))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut attempts = ATTEMPTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = attempts.iter().position(|other| *other == self.0) {
            attempts.swap_remove(at);
        }
    }
}

/// kube's own client speaks HTTP/1.1 only, a connection for each watch, and finds a dead one after a minute or more. This
/// one speaks HTTP/2 where the server does (it is agreed on in the TLS handshake), all watches of a member on one
/// connection. It repeats no request: that would hide for minutes that something is wrong.
fn client(config: &Config, program: Option<Program>) -> Result<Client, Failure> {
    let unusable = |error: kube::Error| Failure::Config(chain(&error));
    let tls = config.rustls_client_config().map_err(unusable)?;
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone())
            .map_err(|error| Failure::Config(format!("its tls-server-name is not valid: {error}")))?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let way = Way::new(tcp, config.proxy_url.as_ref())?;
    let mut connector = TimeoutConnector::new(https.enable_all_versions().wrap_connector(way));
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(READ));
    connector.set_write_timeout(Some(WRITE));
    connector.set_reset_reader_on_write(true);
    let http: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(HTTP1_BUFFER)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_keep_alive_while_idle(true)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new())
        .option_layer(config.auth_layer().map_err(unusable)?)
        .layer(config.extra_headers_layer().map_err(unusable)?)
        .map_err(BoxError::from)
        .option_layer(program.map(AsyncFilterLayer::new))
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
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
            return of_kubeconfig(kubeconfig, None).await;
        }
        MemberSource::Remembered => {
            return Err(Failure::Config("it is only remembered".to_owned()));
        }
        MemberSource::Folder { path } => {
            return Err(Failure::Config(format!("{} is a folder of manifests", path.display())));
        }
    };
    let kubeconfig = match kubeconfig {
        Some(path) => Kubeconfig::read_from(path)?,
        None => Kubeconfig::read()?,
    };
    of_kubeconfig(kubeconfig, context).await
}

/// What a kubeconfig says in a context, or in its current one. Proxies of the environment are for other programs: one for all
/// members is hardly ever right.
async fn of_kubeconfig(kubeconfig: Kubeconfig, context: Option<String>) -> Result<Config, Failure> {
    let proxy = proxy_url(&kubeconfig, context.as_deref())
        .map(|url| url.parse())
        .transpose();
    let proxy = proxy.map_err(|error| Failure::Config(format!("its proxy-url is not valid: {error}")))?;
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.proxy_url = proxy;
    Ok(config)
}

fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let name = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == name)?;
    let cluster = &context.context.as_ref()?.cluster;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == *cluster)?;
    let url = cluster.cluster.as_ref()?.proxy_url.clone()?;
    (!url.is_empty()).then_some(url)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    #[test]
    fn threads_that_hang_are_few_and_are_counted_by_source() {
        let source = |name: &str| MemberSource::Kubernetes {
            kubeconfig: Some(name.into()),
            context: None,
        };
        let hanging: Vec<_> = (0..MOST_ATTEMPTS)
            .map(|_| Attempt::begin(&source("hangs")).unwrap())
            .collect();
        let Err(refused) = Attempt::begin(&source("hangs")) else {
            panic!("one more");
        };
        assert!(refused.to_string().contains("program for credentials"), "{refused}");
        assert!(Attempt::begin(&source("another")).is_ok());
        drop(hanging);
        assert!(Attempt::begin(&source("hangs")).is_ok());
    }

    /// Where a server speaks HTTP/2 that answers one request and reads another one, and what vouches for it. Then it is silent: it
    /// reads and writes nothing more, and its connections stay open. It has a clock of its own, which nobody stops.
    fn falls_silent(fell: Arc<AtomicBool>) -> (u16, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
                let (stream, _) = listener.accept().await.unwrap();
                let stream = acceptor.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(bytes::Bytes::from_static(b"here"), true).unwrap();
                let _unanswered = connection.accept().await.unwrap().unwrap();
                fell.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            });
        });
        (port, certificate.to_vec())
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_answers_is_given_up_by_its_ping() {
        // Where another test of this process did so already it is the same.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let fell = Arc::new(AtomicBool::new(false));
        let (port, authority) = falls_silent(Arc::clone(&fell));
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
        config.root_cert = Some(vec![authority]);
        let client = client(&config, None).unwrap();
        let ask = || http::Request::get("/version").body(Vec::new()).unwrap();
        assert_eq!(client.request_text(ask()).await.unwrap(), "here");
        let asking = tokio::spawn({
            let (client, request) = (client.clone(), ask());
            async move { client.request_text(request).await }
        });
        let until_silent = async {
            while !fell.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), until_silent)
            .await
            .unwrap();
        // From here on nothing comes from outside: all waits are ours, and none takes its time.
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let error = asking.await.unwrap().unwrap_err();
        let took = begun.elapsed();
        assert!(took <= PING + PONG + Duration::from_secs(1), "{took:?}: {error:?}");
        assert!(took >= PONG, "{took:?}: {error:?}");
        let words = chain(&error);
        assert!(words.contains("keep-alive timed out"), "{words}");
    }
}
