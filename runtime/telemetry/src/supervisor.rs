//! Fail-stop supervision: named tasks that live as long as the process. One that returns early, fails or panics stops
//! all others, so that no process goes on with half of its work missing. Restarting is the platform's job, not ours.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::chain;

/// The process's long-lived tasks. Dropping it aborts them.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    tasks: JoinSet<Ended>,
    names: HashMap<Id, &'static str>,
}

/// How a task ended.
#[derive(Debug)]
struct Ended {
    /// Nobody had asked it to.
    is_early: bool,
    result: anyhow::Result<()>,
}

impl Supervisor {
    /// Tasks that shall end when `stop` is cancelled, and whose early end cancels it.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Starts `task`. It must end by itself, with `Ok`, soon after the stop token is cancelled.
    pub fn start<E>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<anyhow::Error> + Send + 'static,
    {
        let stop = self.stop.clone();
        let handle = self.tasks.spawn(async move {
            // Cancels the token however this task ends, a panic included.
            let _all_stop = stop.clone().drop_guard();
            let result = task.await.map_err(Into::into);
            Ended {
                is_early: !stop.is_cancelled(),
                result,
            }
        });
        self.names.insert(handle.id(), name);
    }

    /// Starts `task` if this process has that role. A future that is not started does nothing.
    pub fn start_if<E>(
        &mut self,
        wanted: bool,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<anyhow::Error> + Send + 'static,
    {
        if wanted {
            self.start(name, task);
        }
    }

    /// Waits for the stop token (a signal, or a task that ended early), then `deadline` for every task to end.
    ///
    /// # Errors
    /// The first task that ended early, failed or panicked, by name; else the tasks that had not ended at the deadline,
    /// which are aborted.
    pub async fn finish_within(mut self, deadline: Duration) -> anyhow::Result<()> {
        if self.tasks.is_empty() {
            return Ok(());
        }
        self.stop.cancelled().await;
        let mut first = None;
        let drained = tokio::time::timeout(deadline, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                if let Err(failure) = judge(&mut self.names, ended) {
                    tracing::error!(error = %chain(failure.as_ref()), "task failed");
                    first.get_or_insert(failure);
                }
            }
        });
        let in_time = drained.await.is_ok();
        match (first, in_time) {
            (Some(failure), _) => Err(failure),
            (None, true) => Ok(()),
            (None, false) => {
                let mut late: Vec<&str> = self.names.into_values().collect();
                late.sort_unstable();
                Err(anyhow::anyhow!(
                    "not stopped within {deadline:?}: {}",
                    late.join(", ")
                ))
            }
        }
    }
}

fn judge(
    names: &mut HashMap<Id, &'static str>,
    ended: Result<(Id, Ended), JoinError>,
) -> anyhow::Result<()> {
    let id = match &ended {
        Ok((id, _)) => *id,
        Err(error) => error.id(),
    };
    let name = names.remove(&id).unwrap_or("unnamed");
    match ended {
        Ok((
            _,
            Ended {
                result: Err(cause), ..
            },
        )) => Err(cause.context(format!("task {name} failed"))),
        Ok((
            _,
            Ended {
                is_early: true,
                result: Ok(()),
            },
        )) => Err(anyhow::anyhow!("task {name} ended early")),
        Ok((
            _,
            Ended {
                is_early: false,
                result: Ok(()),
            },
        )) => Ok(()),
        Err(error) => Err(anyhow::anyhow!("task {name} panicked: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    async fn until(stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_that_stop_when_told_are_fine() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        tasks.start("a", until(stop.clone()));
        tasks.start_if(false, "not mine", async { anyhow::bail!("must not run") });
        stop.cancel();
        tasks.finish_within(DEADLINE).await.unwrap();
    }

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_others_and_is_named() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        tasks.start("steady", until(stop.clone()));
        tasks.start("hasty", async { anyhow::Ok(()) });
        let failure = tasks.finish_within(DEADLINE).await.unwrap_err();
        assert_eq!(failure.to_string(), "task hasty ended early");
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_failure_keeps_its_cause_and_a_panic_is_one() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        tasks.start("steady", until(stop.clone()));
        tasks.start("broken", async { anyhow::bail!("no broker answers") });
        let failure = tasks.finish_within(DEADLINE).await.unwrap_err();
        assert_eq!(
            format!("{failure:#}"),
            "task broken failed: no broker answers"
        );

        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        tasks.start("steady", until(stop.clone()));
        tasks.start("panicky", async {
            assert!(std::hint::black_box(false), "on purpose");
            anyhow::Ok(())
        });
        let failure = tasks.finish_within(DEADLINE).await.unwrap_err();
        assert!(
            failure.to_string().starts_with("task panicky panicked"),
            "{failure}"
        );
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_named_at_the_deadline() {
        let stop = CancellationToken::new();
        let mut tasks = Supervisor::new(stop.clone());
        tasks.start("deaf", std::future::pending::<anyhow::Result<()>>());
        stop.cancel();
        let failure = tasks
            .finish_within(Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(failure.to_string(), "not stopped within 20ms: deaf");
    }
}
