//! The floor: a bare server that sends given bytes to every stream over the transport that Parallax uses, and reads what
//! comes back. What it costs is what HTTP/2, TLS and the kernel cost; a control plane can't be below it.
//!
//! Driven over standard input: a byte for the command, a number of messages, and each message with its length. Message `i`
//! is for the streams whose header `mesh-group` is `i`, a lone one for all of them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ChildStdin, ChildStdout, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use parallax::tls::{Acceptor, Clients, Listener, ServerTls};
use tokio::sync::{broadcast, mpsc};
use tonic::body::Body;
use tonic::server::NamedService;

use crate::certs::Certificates;
use crate::process::Process;

/// What the streams of each group are sent.
type Messages = Arc<Vec<Bytes>>;

/// Adds a message that every new stream begins with.
const INITIAL: u8 = b'I';
/// Sends a message to all streams now.
const SEND: u8 = b'S';

/// A floor that runs as a child.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Floor {
    pub(crate) fn start(tls: Option<&Path>, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor");
        if let Some(folder) = tls {
            command.arg("--tls-folder").arg(folder);
        }
        let mut process = Process::start(command, log)?;
        let (commands, output) = process.pipes().context("a child has pipes")?;
        let mut line = String::new();
        let mut answers = BufReader::new(output);
        answers.read_line(&mut line)?;
        let address = line.trim().parse().context("the floor told no address")?;
        Ok(Self {
            process,
            address,
            commands,
            answers,
        })
    }

    /// Every stream from now on begins with these.
    pub(crate) fn begin_with(&mut self, messages: &[Bytes]) -> anyhow::Result<()> {
        self.command(INITIAL, messages)?;
        // A stream that is opened earlier would begin with nothing.
        self.answers.read_line(&mut String::new())?;
        Ok(())
    }

    /// Sends to all streams.
    pub(crate) fn send(&mut self, messages: &[Bytes]) -> anyhow::Result<()> {
        self.command(SEND, messages)
    }

    fn command(&mut self, command: u8, messages: &[Bytes]) -> anyhow::Result<()> {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        let mut text = vec![command];
        text.extend_from_slice(&number(messages.len()));
        for message in messages {
            text.extend_from_slice(&number(message.len()));
            text.extend_from_slice(message);
        }
        self.commands.write_all(&text)?;
        Ok(self.commands.flush()?)
    }
}

/// Runs the floor until its standard input ends.
pub(crate) async fn run(tls_folder: Option<PathBuf>) -> anyhow::Result<()> {
    parallax::tls::install_provider();
    let tls = match tls_folder.map(|folder| Certificates::of(&folder)) {
        Some(files) => Some(ServerTls::from_files(
            &files.certificate,
            &files.key,
            Clients::SignedBy(files.ca.clone()),
        )?),
        None => None,
    };
    let incoming = Acceptor::new(Listener::tcp(([127, 0, 0, 1], 0).into())?, tls).incoming();
    let address = incoming.local_addr().context("a TCP listener has an address")?;
    println!("{address}");
    let bare = Bare {
        initial: Arc::default(),
        sends: broadcast::Sender::new(16),
    };
    let (initial, sends) = (Arc::clone(&bare.initial), bare.sends.clone());
    let commands = tokio::task::spawn_blocking(move || obey(&initial, &sends));
    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .max_concurrent_streams(1000)
        .add_service(bare)
        .serve_with_incoming(incoming);
    tokio::select! {
        served = serving => Ok(served?),
        ended = commands => ended?,
    }
}

fn obey(initial: &Mutex<Vec<Messages>>, sends: &broadcast::Sender<Messages>) -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut command = [0];
    while input.read(&mut command)? == 1 {
        let mut number = || -> std::io::Result<usize> {
            let mut number = [0; 4];
            input.read_exact(&mut number)?;
            Ok(usize::try_from(u32::from_be_bytes(number)).unwrap_or_default())
        };
        let count = number()?;
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
            input.read_exact(&mut message)?;
            messages.push(Bytes::from(message));
        }
        let messages = Arc::new(messages);
        match command[0] {
            INITIAL => {
                initial.lock().unwrap_or_else(PoisonError::into_inner).push(messages);
                println!("taken");
            }
            // Nobody may be connected.
            _ => drop(sends.send(messages)),
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Bare {
    initial: Arc<Mutex<Vec<Messages>>>,
    sends: broadcast::Sender<Messages>,
}

impl NamedService for Bare {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl tower::Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let group = request.headers().get("mesh-group");
        let group = group.and_then(|group| group.to_str().ok()?.parse().ok()).unwrap_or(0);
        let (send, receive) = mpsc::channel(1);
        let initial = self.initial.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sends = self.sends.subscribe();
        tokio::spawn(stream(request.into_body(), group, initial, sends, send));
        let mut response = http::Response::new(Body::new(Messaging {
            messages: receive,
            open: VecDeque::new(),
        }));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        ready(Ok(response))
    }
}

/// One stream: nothing is understood, everything is read.
async fn stream(
    mut requests: Body,
    group: usize,
    initial: Vec<Messages>,
    mut sends: broadcast::Receiver<Messages>,
    out: mpsc::Sender<Bytes>,
) {
    let of_group = |messages: &Messages| messages.get(group).or(messages.first()).cloned().unwrap_or_default();
    let mut waiting: VecDeque<Bytes> = initial.iter().map(of_group).collect();
    // A proxy speaks first.
    if requests.frame().await.is_none() {
        return;
    }
    loop {
        tokio::select! {
            frame = requests.frame() => if !matches!(frame, Some(Ok(_))) { return },
            Ok(messages) = sends.recv() => waiting.push_back(of_group(&messages)),
            Ok(permit) = out.reserve(), if !waiting.is_empty() => permit.send(waiting.pop_front().unwrap_or_default()),
        }
    }
}

struct Messaging {
    messages: mpsc::Receiver<Bytes>,
    open: VecDeque<Bytes>,
}

impl http_body::Body for Messaging {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.open.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match ready!(self.messages.poll_recv(context)) {
                Some(message) => self.open.push_back(message),
                None => return Poll::Ready(None),
            }
        }
    }
}
