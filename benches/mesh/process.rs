//! Child processes, and what they cost: CPU time and memory of that process alone, as the kernel counts them.

use std::fs;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;

/// The process that listens on a TCP port of this machine, as far as we may see it.
pub(crate) fn listening_on(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    // Columns: number, local address, remote address, state (0A listens), four more, user, timeout, inode.
    let socket = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find_map(|columns| {
            let listens = columns.get(3) == Some(&"0A") && columns[1].ends_with(&format!(":{port:04X}"));
            listens.then(|| columns.get(9).map(|inode| format!("socket:[{inode}]")))?
        })?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target.as_os_str() == &*socket)
    })
}

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

    /// What is measured is another process than the one that was started.
    pub(crate) fn measure(&mut self, pid: u32) {
        self.pid = pid;
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
