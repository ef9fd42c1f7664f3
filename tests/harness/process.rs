//! A child process that writes its own log file and ends with the value that stands for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// How often, and how many times, a process that was asked to end is looked at before it is killed: 5 s in all.
const END_INTERVAL: Duration = Duration::from_millis(10);
const END_LOOKS: u32 = 500;

/// How many lines of the log a failure shows.
const TAIL_LINES: usize = 40;

/// How a process is ended when its value is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, and SIGKILL if it is still there after 5 s.
    Terminate,
    /// SIGKILL at once, for servers with nothing worth keeping that take their time to drain.
    Kill,
}

/// A running child process. Dropping it ends the process and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop: Stop,
}

impl Process {
    /// Starts `command` with standard output and error appended to the file `log`, and no standard input.
    ///
    /// The process stays in our process group, so that an interrupt from the terminal reaches it as well.
    ///
    /// # Errors
    /// If the log file cannot be opened or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path, stop: Stop) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}, the log of {name}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            stop,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that standard output and error go to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How the process ended, or nothing while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child of ours that nobody else waits for")
    }

    /// Fails with the end of the log if the process has ended, for loops that wait for it to do something.
    ///
    /// # Errors
    /// If it has ended.
    pub fn expect_running(&mut self) -> anyhow::Result<()> {
        match self.exit_status() {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
        }
    }

    /// [`eventually`] for something that the process does: ends at once if the process does, and its errors show the log.
    ///
    /// # Errors
    /// If it ends, or has not done it within the deadline.
    pub async fn until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let found = eventually(what, deadline, async || match self.expect_running() {
            Err(ended) => Ok(Err(ended)),
            Ok(()) => look().await.map(Ok),
        })
        .await;
        found.unwrap_or_else(|late| Err(self.failure(&format!("{late:#}"))))
    }

    /// Asks the process to end, and does not wait: for tests of what happens while it drains.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Stops the process without ending it: its connections stay open and silent. [`Process::resume`] is the way back.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the process ends by itself or by a signal sent before.
    ///
    /// # Errors
    /// If it still runs after `deadline`, with the end of its log.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        eventually(&what, deadline, async || {
            self.exit_status().ok_or_else(|| "it runs".to_owned())
        })
        .await
        .map_err(|error| self.failure(&format!("{error:#}")))
    }

    /// Ends the process and waits until it is gone, as dropping does, and tells how it ended.
    pub fn end(&mut self) -> Option<ExitStatus> {
        if self.stop == Stop::Terminate && self.exit_status().is_none() {
            self.signal(Signal::TERM);
            for _ in 0..END_LOOKS {
                if self.exit_status().is_some() {
                    break;
                }
                // Counted and not measured: a test's clock may be paused.
                std::thread::sleep(END_INTERVAL);
            }
        }
        if self.exit_status().is_none() {
            // Both fail only if the process is gone already.
            self.child.kill().ok();
            self.child.wait().ok();
        }
        self.exit_status()
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// An error about this process that shows the end of its log.
    pub fn failure(&self, problem: &str) -> anyhow::Error {
        anyhow!(
            "{} (process {}): {problem}\n--- end of {}:\n{}",
            self.name,
            self.id(),
            self.log.display(),
            self.log_tail()
        )
    }

    /// Sends a signal by process id; does nothing once the process was waited for, as its id may belong to another.
    fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            // It may end between the look and the signal: until it is waited for, its id stays its own and the signal is void.
            kill_process(Pid::from_child(&self.child), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
