//! SIGTERM and SIGINT: the first asks for a drain, the second for the end.

use std::fmt;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code where a second signal cut the drain short: what shells report for a process ended by SIGINT.
pub const FORCED_EXIT_CODE: i32 = 130;

/// A signal that asks us to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM, as init systems and Kubernetes send it.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Catches the signals from when it is made: make it early, so that none ends us half started.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both signals. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first signal. From then on a second one exits the process at once with [`FORCED_EXIT_CODE`].
    pub async fn first(mut self) -> StopSignal {
        let first = self.next().await;
        tokio::spawn(async move {
            let second = self.next().await;
            tracing::warn!(signal = %second, exit_code = FORCED_EXIT_CODE, "second signal: exiting without a drain");
            std::process::exit(FORCED_EXIT_CODE);
        });
        first
    }

    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Stdio};
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};

    use super::*;

    const CHILD: &str = "PARALLAX_TEST_SIGNAL_CHILD";
    const DEADLINE: Duration = Duration::from_secs(20);

    /// The process that gets the signals is this test binary again, running `child` alone.
    #[tokio::test]
    async fn child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let signals = Signals::catch().unwrap();
        println!("\nchild: catching");
        println!("\nchild: first {}", signals.first().await);
        std::future::pending::<()>().await;
    }

    async fn send(child: &Child, name: &str) {
        let id = child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    async fn exit_after(first: &str, expected: &str, second: &str) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["lifecycle::signals::tests::child", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let run = async {
            while lines.next_line().await.unwrap().expect("child ended early") != "child: catching" {}
            send(&child, first).await;
            while lines.next_line().await.unwrap().expect("child ended early") != format!("child: first {expected}") {}
            send(&child, second).await;
            child.wait().await.unwrap()
        };
        tokio::time::timeout(DEADLINE, run).await.unwrap()
    }

    #[tokio::test]
    async fn the_second_signal_exits_at_once_with_the_stated_code() {
        assert_eq!(
            exit_after("TERM", "SIGTERM", "INT").await.code(),
            Some(FORCED_EXIT_CODE)
        );
        let status = exit_after("INT", "SIGINT", "TERM").await;
        assert_eq!((status.code(), status.signal()), (Some(FORCED_EXIT_CODE), None));
    }
}
