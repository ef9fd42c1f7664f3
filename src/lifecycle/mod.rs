//! Readiness as guards, drain with a deadline, signals, tasks that are missed when they end, and retry delays.

mod backoff;
mod drain;
mod readiness;
mod signals;
mod tasks;

pub use backoff::{Backoff, random};
pub use drain::{DrainTrigger, DrainWatcher, Drained, drain};
pub use readiness::{BlockReady, Readiness};
pub use signals::{FORCED_EXIT_CODE, Signals, StopSignal};
pub use tasks::{TaskError, TaskOutput, Tasks};
