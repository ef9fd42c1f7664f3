//! Logs to standard error: coloured lines on a terminal, plain lines elsewhere, or JSON.

use std::io::{self, IsTerminal};

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

/// A dependency that logs an error for each failed request, five kinds of objects for each API server that is away; the
/// status of the member says it once. Whoever names it in their filter hears it.
const SAID_ELSEWHERE: (&str, &str) = ("kube_client", "kube_client::client=off");

/// For whom the logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter is none.
    #[error("log filter {filter:?}: {cause}; write a level such as info, or a list such as info,parallax::xds=debug")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong.
        cause: ParseError,
    },
    /// There is a logger already.
    #[error("logging was already set up in this process; call `init` once")]
    Twice,
}

/// Begins logging for the whole process. `filter` has the syntax of [`EnvFilter`]: levels, by target if wanted.
///
/// # Errors
/// A wrong filter, or a second call.
pub fn init(format: LogFormat, filter: &str) -> Result<(), InitError> {
    let colours = if io::stderr().is_terminal() {
        Colours::On
    } else {
        Colours::Off
    };
    let dispatch = dispatch(format, filter, colours, io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| InitError::Twice)
}

#[derive(Clone, Copy)]
enum Colours {
    On,
    Off,
}

fn dispatch<W>(format: LogFormat, filter: &str, colours: Colours, writer: W) -> Result<Dispatch, InitError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wrong = |cause| InitError::Filter {
        filter: filter.to_owned(),
        cause,
    };
    let mut quieted = EnvFilter::builder().parse(filter).map_err(wrong)?;
    if !filter.contains(SAID_ELSEWHERE.0) {
        quieted = quieted.add_directive(SAID_ELSEWHERE.1.parse().map_err(wrong)?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(quieted).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Dispatch::new(builder.with_ansi(matches!(colours, Colours::On)).finish()),
        // Fields beside the message and not below it: one level less for whoever queries the logs.
        LogFormat::Json => Dispatch::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, colours: Colours) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let dispatch = dispatch(format, filter, colours, move || writer.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(member = "east", "synced");
            tracing::debug!("detail");
            tracing::error!(target: "kube_client::client::builder", "failed with error");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_filtered_and_coloured_only_on_a_terminal() {
        let plain = logged(LogFormat::Text, "info", Colours::Off);
        assert!(
            plain.contains("synced member=\"east\"") && !plain.contains("detail"),
            "{plain}"
        );
        assert!(!plain.contains('\u{1b}'), "{plain}");
        assert!(logged(LogFormat::Text, "info", Colours::On).contains('\u{1b}'));
        assert!(logged(LogFormat::Text, "info,parallax::telemetry=debug", Colours::Off).contains("detail"));
    }

    #[test]
    fn the_failed_requests_of_the_kubernetes_client_are_said_by_the_member_only() {
        let of_client = |filter| logged(LogFormat::Text, filter, Colours::Off).contains("failed with error");
        assert!(!of_client("info") && !of_client("debug"));
        assert!(of_client("info,kube_client::client=error") && of_client("kube_client=trace"));
    }

    #[test]
    fn json_has_one_object_per_line() {
        let lines = logged(LogFormat::Json, "debug", Colours::Off);
        let objects: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 2);
        assert_eq!(
            (&objects[0]["message"], &objects[0]["member"]),
            (&"synced".into(), &"east".into())
        );
    }

    #[test]
    fn a_wrong_filter_is_shown_with_a_remedy() {
        let error = init(LogFormat::Text, "a=b=c").unwrap_err().to_string();
        assert!(
            error.starts_with("log filter \"a=b=c\"") && error.contains("write a level"),
            "{error}"
        );
    }
}
