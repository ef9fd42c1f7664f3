//! Tasks that should run until the drain, each missed by name when it does not.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::drain::DrainWatcher;

/// How a task's result counts: `()` is an end, `Result` an end or a failure.
pub trait TaskOutput: Send + 'static {
    /// The failure, in words.
    ///
    /// # Errors
    /// What the task failed of, with its causes.
    fn into_failure(self) -> Result<(), String>;
}

impl TaskOutput for () {
    fn into_failure(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>> + Send + 'static> TaskOutput for Result<(), E> {
    fn into_failure(self) -> Result<(), String> {
        self.map_err(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                text = format!("{text}: {next}");
                cause = next.source();
            }
            text
        })
    }
}

/// A task that did not do its part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It panicked: a mistake in this program.
    #[error("task `{task}` panicked: {message}; this is a bug, please report it")]
    Panicked {
        /// The task's name.
        task: String,
        /// What the panic said.
        message: String,
    },
    /// It gave up.
    #[error("task `{task}` failed: {message}")]
    Failed {
        /// The task's name.
        task: String,
        /// Why, with its causes.
        message: String,
    },
    /// It returned although the drain had not begun.
    #[error("task `{task}` ended early; this is a bug, please report it")]
    EndedEarly {
        /// The task's name.
        task: String,
    },
}

/// A set of named tasks that run until the drain. Dropping it aborts them.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, String>,
    draining: CancellationToken,
}

impl Tasks {
    /// An empty set whose tasks may end once the drain of `watcher` has begun. It does not hold the drain back.
    #[must_use]
    pub fn new(watcher: &DrainWatcher) -> Self {
        Self {
            set: JoinSet::new(),
            names: HashMap::new(),
            draining: watcher.token(),
        }
    }

    /// Starts a task. Needs a running Tokio runtime.
    pub fn spawn<F>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        let handle = self.set.spawn(async move { task.await.into_failure() });
        self.names.insert(handle.id(), name.into());
    }

    /// Before the drain: waits for the first task to end, which is an error whatever its result. In the drain: waits
    /// for all tasks, without a limit of its own, and returns the first failure. Cancel safe; an empty set is done.
    ///
    /// # Errors
    /// The task that panicked, failed or ended early.
    pub async fn join_or_fail(&mut self) -> Result<(), TaskError> {
        let mut first_failure = None;
        while let Some(ended) = self.set.join_next_with_id().await {
            let failure = self.failure_of(ended);
            if let Some(error) = failure {
                if !self.draining.is_cancelled() {
                    return Err(error);
                }
                tracing::error!(%error, "while draining");
                first_failure.get_or_insert(error);
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    fn failure_of(&mut self, ended: Result<(Id, Result<(), String>), JoinError>) -> Option<TaskError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let task = self
            .names
            .remove(&id)
            .expect("every task of the set was named when it was spawned");
        match ended {
            Ok((_, Err(message))) => Some(TaskError::Failed { task, message }),
            Ok((_, Ok(()))) if !self.draining.is_cancelled() => Some(TaskError::EndedEarly { task }),
            Ok((_, Ok(()))) => None,
            Err(error) => Some(match error.try_into_panic() {
                Ok(panic) => TaskError::Panicked {
                    task,
                    message: message_of(&*panic).to_string(),
                },
                Err(_) => TaskError::EndedEarly { task },
            }),
        }
    }
}

/// What a panic said: `panic!` leaves one of the two kinds of text.
fn message_of(panic: &(dyn Any + Send)) -> &dyn Display {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        &"no message"
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::super::drain::drain;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_task_to_end_before_the_drain_is_named() {
        let (_trigger, watcher) = drain();
        let mut tasks = Tasks::new(&watcher);
        tasks.spawn("stays", std::future::pending::<()>());
        tasks.spawn("leaves", tokio::time::sleep(Duration::from_secs(1)));
        assert_eq!(
            tasks.join_or_fail().await,
            Err(TaskError::EndedEarly {
                task: "leaves".to_owned()
            })
        );
        let breaks: fn() = || panic!("at {}", 7);
        tasks.spawn("breaks", async move { breaks() });
        let expected = TaskError::Panicked {
            task: "breaks".to_owned(),
            message: "at 7".to_owned(),
        };
        assert_eq!(tasks.join_or_fail().await, Err(expected));
        tasks.spawn("fails", async { Err::<(), _>(io::Error::other("no disk")) });
        let expected = TaskError::Failed {
            task: "fails".to_owned(),
            message: "no disk".to_owned(),
        };
        assert_eq!(tasks.join_or_fail().await, Err(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_drain_all_may_end_and_a_failure_does_not_hide_the_rest() {
        let (trigger, watcher) = drain();
        let mut tasks = Tasks::new(&watcher);
        let slow = watcher.clone();
        tasks.spawn("slow", async move {
            slow.begun().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        let token = watcher.token();
        tasks.spawn("fails", async move {
            token.cancelled().await;
            Err::<(), _>("gone")
        });
        drop(watcher);
        trigger.begin();
        let start = tokio::time::Instant::now();
        let expected = TaskError::Failed {
            task: "fails".to_owned(),
            message: "gone".to_owned(),
        };
        assert_eq!(tasks.join_or_fail().await, Err(expected));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        assert_eq!(tasks.join_or_fail().await, Ok(()));
    }
}
