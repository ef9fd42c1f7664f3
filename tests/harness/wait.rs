//! Waiting for something outside of this process: looking again and again until it holds or a deadline passes.

use std::time::Duration;

use anyhow::bail;

/// How long a look at the world is followed by no other. Short, because the demo shows the times it measures with this.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` every 20 ms until it returns `Ok`, and hands that value on.
///
/// `look` returns what it saw instead as `Err`, for the message; a look that itself hangs is cut off by the deadline too.
///
/// # Errors
/// After `deadline`, with `what` was awaited and what was seen last. A test whose clock is paused must not call this: time
/// would pass without the world moving.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let mut last = "nothing, the first look did not return".to_owned();
    let looking = async {
        loop {
            match look().await {
                Ok(value) => return value,
                Err(seen) => last = seen,
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(deadline, looking).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {deadline:?} for {what}; seen last: {last}"),
    }
}
