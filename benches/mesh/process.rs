//! Child processes, and what they cost: CPU time and memory of that process alone, as the kernel counts them.

use std::fs;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// A process that is measured. Ended when dropped if it is our child.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    child: Option<Child>,
}

impl Process {
    /// Starts a child whose standard error goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            pid: child.id(),
            child: Some(child),
        })
    }

    /// A process that somebody else started.
    pub(crate) fn foreign(pid: u32) -> Self {
        Self { pid, child: None }
    }

    /// The ends of a child's standard streams.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        let child = self.child.as_mut()?;
        Some((child.stdin.take()?, child.stdout.take()?))
    }

    /// Ends it at once and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// CPU time so far, user and system, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        // Per thread the kernel tells nanoseconds, for the process only hundredths of a second; threads that ended are
        // missing in the sum, and are few.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten();
        let times = tasks.flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        times.sum::<u64>() as f64 / 1e6
    }

    fn field(&self, file: &str, name: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// Resident memory, in MiB.
    pub(crate) fn rss(&self) -> f64 {
        self.field("smaps_rollup", "Rss:")
    }

    /// The most that was resident since the start or the last [`Process::forget_peak`], in MiB.
    pub(crate) fn peak(&self) -> f64 {
        self.field("status", "VmHWM:")
    }

    /// Begins to look for the peak anew.
    pub(crate) fn forget_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
