//! A client that keeps asking: about a hundred requests a second, on connections of their own and on kept ones, and every one
//! that is not answered is remembered with the reason.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::client;
use super::harness::eventually;
use super::space::Space;

/// Each asks one after the other.
const THREADS: usize = 12;
/// How many of them send POST.
pub(crate) const POSTING: usize = THREADS / 3;
/// How long the application takes for each, so that about ten are on their way whenever something fails.
const WORK: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// What was seen since the last look.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    pub(crate) slowest: Duration,
    /// The path of the request, and the pod that answered.
    pub(crate) answers: Vec<(String, String)>,
    /// Of requests that only ask.
    pub(crate) failures: Vec<Failure>,
    /// Of requests that do something, which nobody may repeat who can't know whether they did it.
    pub(crate) failed_posts: Vec<Failure>,
}

/// A request that the application did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) path: String,
    pub(crate) reason: String,
    pub(crate) began: Instant,
}

/// The client, until it is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    /// How many requests each thread has done with.
    done: Arc<[AtomicU64; THREADS]>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts to ask `host` at an address, from a namespace. The path tells one request from another: `/WHO-NUMBER`.
    pub(crate) fn start(space: &Space, to: SocketAddr, host: &'static str) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            seen: Arc::default(),
            done: Arc::default(),
            threads: Vec::new(),
        };
        for thread in 0..THREADS {
            let (stop, seen, done) = (Arc::clone(&load.stop), Arc::clone(&load.seen), Arc::clone(&load.done));
            let (keeps, posts) = (thread % 2 == 1, thread % 3 == 2);
            load.threads.push(space.spawn(move || {
                let mut kept = None;
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = format!("/{thread}-{number}?wait={}", WORK.as_millis());
                    let method = if posts { "POST" } else { "GET" };
                    let began = Instant::now();
                    let answered = ask(&mut kept, to, host, (method, &path), keeps);
                    lock(&seen).note(path, answered, began, posts);
                    done[thread].fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
            }));
        }
        load
    }

    /// Waits until so many requests more have been answered or have failed.
    pub(crate) async fn goes_on(&self, requests: u64) {
        let until = self.done().iter().sum::<u64>() + requests;
        let look = async || match self.done().iter().sum::<u64>() {
            done if done >= until => Ok(()),
            done => Err(format!("{done} of {until}")),
        };
        eventually("requests to go on", DEADLINE, look)
            .await
            .expect("none takes for ever");
    }

    /// Waits until all that are under way now have been answered or have failed.
    pub(crate) async fn is_done_with_these(&self) {
        let before = self.done();
        let look = async || {
            let waiting = self
                .done()
                .iter()
                .zip(&before)
                .filter(|(now, then)| now == then)
                .count();
            if waiting == 0 {
                Ok(())
            } else {
                Err(format!("{waiting} are under way"))
            }
        };
        eventually("requests to end", DEADLINE, look)
            .await
            .expect("none takes for ever");
    }

    fn done(&self) -> Vec<u64> {
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).collect()
    }

    /// What was seen since this was called last.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut lock(&self.seen))
    }

    /// Asks no more. What was seen since the last look, with what was under way, and how many requests there were in all.
    pub(crate) fn end(mut self) -> (Seen, u64) {
        self.stop();
        (self.take(), self.done().iter().sum())
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics with it")
}

impl Seen {
    fn note(&mut self, path: String, answered: Result<(u16, String)>, began: Instant, posts: bool) {
        self.requests += 1;
        self.slowest = self.slowest.max(began.elapsed());
        let reason = match answered {
            Ok((status, body)) => {
                let told: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
                if let (200, Some(pod)) = (status, told["pod"].as_str()) {
                    self.answers.push((path, pod.to_owned()));
                    return;
                }
                format!("{status} {body}")
            }
            Err(error) => error.to_string(),
        };
        let failures = if posts {
            &mut self.failed_posts
        } else {
            &mut self.failures
        };
        failures.push(Failure { path, reason, began });
    }
}

/// One request, on the kept connection if there is one and it should be.
fn ask(
    kept: &mut Option<BufReader<TcpStream>>,
    to: SocketAddr,
    host: &str,
    (method, path): (&str, &str),
    keeps: bool,
) -> Result<(u16, String)> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let stream = client::connect(to)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            BufReader::new(stream)
        }
    };
    let closing = if keeps { "" } else { "connection: close\r\n" };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n{closing}\r\n");
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    let broken = |what: &str| {
        Error::other(format!(
            "{what}, on a {} connection",
            if keeps { "kept" } else { "new" }
        ))
    };
    if connection.read_line(&mut line)? == 0 {
        return Err(broken("closed without an answer"));
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken(&format!("answered {line:?}")))?;
    let (mut length, mut closes) = (0, !keeps);
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Err(broken("closed within the head"));
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| broken("no length"))?;
        }
        closes |= header == "connection: close";
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    if !closes {
        *kept = Some(connection);
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
