//! The way to an API server's port: straight, or through a proxy that the kubeconfig names.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tower::{BoxError, Service};

use super::failure::Failure;

/// How the port of an API server is reached.
#[derive(Clone)]
pub(super) enum Way {
    /// Straight.
    Straight(HttpConnector),
    /// Through a proxy that speaks HTTP, and connects to where it is told.
    Through {
        /// Where it is, for people; without its password.
        shown: String,
        /// What asks it to connect.
        tunnel: Box<Tunnel<HttpConnector>>,
    },
}

/// A proxy does not lead where it should.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} refuses to connect, or can't be reached")]
struct Blocked {
    proxy: String,
    #[source]
    cause: BoxError,
}

impl Way {
    /// Through this proxy, if there is one.
    ///
    /// # Errors
    /// When it is of a kind that we don't speak to.
    pub(super) fn new(tcp: HttpConnector, proxy: Option<&Uri>) -> Result<Self, Failure> {
        let Some(at) = proxy else {
            return Ok(Self::Straight(tcp));
        };
        let (host, scheme) = (at.host().unwrap_or_default(), at.scheme_str().unwrap_or_default());
        // Not the whole address, which may hold a password.
        if scheme != "http" || host.is_empty() {
            return Err(Failure::Config(format!(
                "its proxy-url is {scheme}://{host}…, and only proxies at http://HOST:PORT are supported; name one of these, or remove it"
            )));
        }
        let invalid = |error: http::Error| Failure::Config(format!("its proxy-url is not valid: {error}"));
        let shown = format!("{host}:{}", at.port_u16().unwrap_or(80));
        let address = Uri::builder().scheme("http").authority(&*shown).path_and_query("/");
        let mut tunnel = Tunnel::new(address.build().map_err(invalid)?, tcp);
        let authority = at.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@') {
            let mut user: Vec<u8> = percent_decode_str(user).collect();
            if !user.contains(&b':') {
                user.push(b':');
            }
            let basic = format!("Basic {}", STANDARD.encode(user));
            tunnel = tunnel.with_auth(HeaderValue::try_from(basic).map_err(|error| invalid(error.into()))?);
        }
        Ok(Self::Through {
            shown,
            tunnel: Box::new(tunnel),
        })
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Straight(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Through { tunnel, .. } => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Straight(tcp) => {
                let connecting = tcp.call(to);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Self::Through { shown, tunnel } => {
                let (proxy, connecting) = (shown.clone(), tunnel.call(to));
                Box::pin(async move {
                    connecting.await.map_err(|error| {
                        let cause = error.into();
                        Blocked { proxy, cause }.into()
                    })
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a client says, up to the empty line.
    async fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// A proxy that gives this answer; returns what it was asked, and what came of it.
    async fn through(user: &str, answer: &'static str) -> (String, Result<String, String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at: Uri = format!("http://{user}{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = head(&mut stream).await;
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
    async fn a_proxy_that_refuses_is_named_and_no_password_is() {
        for (answer, said) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "authorization required",
            ),
            ("", "unexpected end"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful"),
            ("220 smtp.example ESMTP\r\n\r\n", "unsuccessful"),
        ] {
            let (_, heard) = through("user:s3cret@", answer).await;
            let error = heard.unwrap_err();
            assert!(
                error.contains("the proxy 127.0.0.1:") && error.contains("refuses to connect") && error.contains(said),
                "{error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
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
