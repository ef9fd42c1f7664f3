//! The way to an API server's port: straight, or through a proxy that the kubeconfig names.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use super::failure::Failure;

/// The longest answer of a proxy that is read.
const LONGEST_ANSWER: usize = 16 << 10;

/// How the port of an API server is reached.
#[derive(Clone)]
pub(super) struct Way {
    tcp: HttpConnector,
    proxy: Option<Proxy>,
}

/// A proxy that speaks HTTP, and connects to where it is told.
#[derive(Clone)]
struct Proxy {
    at: Uri,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Why a proxy does not lead anywhere.
#[derive(Debug, thiserror::Error)]
enum Blocked {
    #[error("the proxy {0} can't be reached")]
    Unreachable(String, #[source] BoxError),
    #[error("the proxy {0} refuses to connect: {1}")]
    Refused(String, String),
}

impl Way {
    /// Through this proxy, if there is one.
    ///
    /// # Errors
    /// When it is of a kind that we don't speak to.
    pub(super) fn new(tcp: HttpConnector, proxy: Option<&Uri>) -> Result<Self, Failure> {
        let proxy = proxy.map(Proxy::new).transpose()?;
        Ok(Self { tcp, proxy })
    }
}

impl Proxy {
    fn new(at: &Uri) -> Result<Self, Failure> {
        let (host, scheme) = (at.host().unwrap_or_default(), at.scheme_str().unwrap_or_default());
        // Not the whole address, which may hold a password.
        if scheme != "http" || host.is_empty() {
            return Err(Failure::Config(format!(
                "its proxy-url is {scheme}://{host}…, and only proxies at http://HOST:PORT are supported; name one of these, or remove it"
            )));
        }
        let port = at.port_u16().unwrap_or(80);
        let authority = at.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let address = Uri::builder().scheme("http").authority(format!("{host}:{port}"));
        Ok(Self {
            at: address
                .path_and_query("/")
                .build()
                .map_err(|error| Failure::Config(format!("its proxy-url is not valid: {error}")))?,
            authorization: user.map(|user| format!("Basic {}", STANDARD.encode(decoded(user)))),
        })
    }

    fn shown(&self) -> String {
        self.at.authority().map(ToString::to_string).unwrap_or_default()
    }

    async fn connect(self, mut tcp: HttpConnector, to: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let unreachable = |error: BoxError| Blocked::Unreachable(self.shown(), error);
        let reached = tcp.call(self.at.clone()).await;
        let mut stream = reached.map_err(|error| unreachable(error.into()))?.into_inner();
        let usual = if to.scheme_str() == Some("http") { 80 } else { 443 };
        let (host, port) = (to.host().unwrap_or_default(), to.port_u16().unwrap_or(usual));
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            request += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        request += "\r\n";
        let asking = async {
            stream.write_all(request.as_bytes()).await?;
            head(&mut stream).await
        };
        let answer = asking.await.map_err(|error| unreachable(error.into()))?;
        let line = answer.lines().next().unwrap_or_default();
        match line.split(' ').nth(1) {
            // Whoever is behind it waits for our first word, so nothing else can have come yet.
            Some(code) if code.starts_with('2') && answer.ends_with("\r\n\r\n") => Ok(TokioIo::new(stream)),
            _ => Err(Blocked::Refused(self.shown(), line.to_owned()).into()),
        }
    }
}

/// What an answer begins with, up to the empty line.
async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() > LONGEST_ANSWER {
            break;
        }
        head.extend_from_slice(&piece[..read]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The bytes of a part of a URL.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        (bytes, rest) = match (*first, byte) {
            (b'%', Some(byte)) => ([bytes, vec![byte]].concat(), &more[2..]),
            (byte, _) => ([bytes, vec![byte]].concat(), more),
        };
    }
    bytes
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        match self.proxy.clone() {
            Some(proxy) => Box::pin(proxy.connect(tcp, to)),
            None => Box::pin(async move { Ok(tcp.call(to).await?) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A proxy that gives this answer; returns what it was asked, and what came of it.
    async fn through(user: &str, answer: &'static str) -> (String, Result<String, String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at: Uri = format!("http://{user}{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = head(&mut stream).await.unwrap();
            if answer.is_empty() {
                return asked;
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut said = [0; 5];
            if stream.read_exact(&mut said).await.is_ok() {
                stream.write_all(b"behind it").await.unwrap();
            }
            asked
        });
        let mut way = Way::new(HttpConnector::new(), Some(&at)).unwrap();
        let reached = way.call("https://api.west:6443".parse().unwrap()).await;
        let heard = match reached {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                stream.write_all(b"hello").await.unwrap();
                let mut heard = String::new();
                stream.read_to_string(&mut heard).await.unwrap();
                Ok(heard)
            }
            Err(error) => Err(super::super::failure::chain(&*error)),
        };
        (serving.await.unwrap(), heard)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_to_connect_and_carries_what_follows() {
        let (asked, heard) = through("", "HTTP/1.1 200 Connection established\r\n\r\n").await;
        assert_eq!(asked, "CONNECT api.west:6443 HTTP/1.1\r\nHost: api.west:6443\r\n\r\n");
        assert_eq!(heard.unwrap(), "behind it");
        let (asked, _) = through("us%65r:p%40ss@", "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n").await;
        let expected = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode("user:p@ss"));
        assert!(asked.contains(&expected), "{asked}");
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_named_with_its_words() {
        for (answer, said) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "407 Proxy Authentication",
            ),
            ("", "refuses to connect"),
            ("220 smtp.example ESMTP\r\n\r\n", "smtp"),
        ] {
            let (_, heard) = through("user:s3cret@", answer).await;
            let error = heard.unwrap_err();
            assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
        }
        let at = "socks5://user:s3cret@proxy:1080".parse().unwrap();
        let Err(refused) = Way::new(HttpConnector::new(), Some(&at)) else {
            panic!("taken");
        };
        let said = refused.to_string();
        assert!(
            said.contains("socks5://proxy") && said.contains("http://HOST:PORT") && !said.contains("s3cret"),
            "{said}"
        );
    }
}
