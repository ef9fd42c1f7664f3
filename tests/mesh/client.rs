//! Requests, one connection each, from wherever the calling thread stands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

pub(crate) fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Sends a GET with these further lines of the header, and reads until the server closes.
pub(crate) fn get_over(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    headers: &str,
) -> std::io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    read_answer(stream)
}

/// Reads until the server closes.
pub(crate) fn read_answer(mut stream: impl Read) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let broken = || std::io::Error::other(format!("no HTTP answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        body: if chunked {
            joined(body).ok_or_else(broken)?
        } else {
            body.to_owned()
        },
    })
}

/// What chunks have in them: each follows its length, in hexadecimal digits.
fn joined(mut chunks: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole += rest.get(..length)?;
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

pub(crate) fn get(to: SocketAddr, host: &str, path: &str) -> std::io::Result<Answer> {
    get_over(connect(to)?, host, path, "")
}

/// What a server says that speaks first.
pub(crate) fn listen_to(to: SocketAddr) -> std::io::Result<String> {
    let mut text = String::new();
    connect(to)?.read_to_string(&mut text)?;
    Ok(text)
}

/// What the application told.
pub(crate) fn told(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}
