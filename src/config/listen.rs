//! An address to listen on, from its text.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::error::InvalidValue;
use super::settings::Listen;
use super::values::shown;

/// The longest path of a Unix socket: `sun_path` of Linux holds 108 bytes, the last of them zero.
const MAX_SOCKET_PATH: usize = 107;

impl FromStr for Listen {
    type Err = InvalidValue;

    /// Reads `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`. Host names are refused: what they mean may change under us.
    fn from_str(given: &str) -> Result<Self, InvalidValue> {
        if let Some(path) = given.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(InvalidValue::new(
                    format!("{} has no path", shown(given)),
                    "write unix:/path/to/socket",
                )),
                1..=MAX_SOCKET_PATH => Ok(Self::Unix(PathBuf::from(path))),
                _ => Err(InvalidValue::new(
                    format!("{} is too long for a socket", shown(given)),
                    format!("use a path of at most {MAX_SOCKET_PATH} bytes"),
                )),
            };
        }
        given
            .parse::<SocketAddr>()
            .map(Self::Tcp)
            .map_err(|_| why_no_address(given))
    }
}

fn why_no_address(given: &str) -> InvalidValue {
    let quoted = shown(given);
    let no_address = |remedy: &dyn Display| InvalidValue::new(format!("{quoted} is no address"), remedy.to_string());
    if given.parse::<IpAddr>().is_ok() {
        let example = if given.contains(':') {
            format!("[{given}]:15010")
        } else {
            format!("{given}:15010")
        };
        return InvalidValue::new(
            format!("{quoted} has no port"),
            format!("write the port too, such as {example}"),
        );
    }
    let general = "write IP:PORT such as 127.0.0.1:15010, or unix:/path/to/socket";
    let Some((host, port)) = given.rsplit_once(':') else {
        return no_address(&general);
    };
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return no_address(&general);
    }
    if port.parse::<u16>().is_err() {
        return InvalidValue::new(
            format!("port {} is out of range", shown(port)),
            "write a port from 0 to 65535",
        );
    }
    match host {
        "" | "*" => no_address(&format!(
            "write the IP too: 127.0.0.1:{port}, or 0.0.0.0:{port} for every interface"
        )),
        "localhost" => no_address(&format!("host names are not looked up; write 127.0.0.1:{port}")),
        _ => no_address(&general),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:15010", "[::1]:0", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for (text, remedy) in [
            ("127.0.0.1", "such as 127.0.0.1:15010"),
            ("::1", "such as [::1]:15010"),
            (":15010", "0.0.0.0:15010"),
            ("localhost:15010", "127.0.0.1:15010"),
            ("127.0.0.1:70000", "from 0 to 65535"),
            ("example.org:80", "write IP:PORT"),
            ("unix:", "unix:/path"),
            ("", "write IP:PORT"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.remedy.contains(remedy), "{text}: {error}");
        }
        assert!(
            format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH))
                .parse::<Listen>()
                .is_err()
        );
    }
}
