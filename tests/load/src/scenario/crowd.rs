//! Many devices at once.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a crowd may take before the run is given up.
const PATIENCE: Duration = Duration::from_mins(3);

/// Tasks of one thread that are waited for together; the first that fails ends all.
pub(super) struct Crowd<T>(JoinSet<Result<T>>);

impl<T: 'static> Crowd<T> {
    pub(super) fn new() -> Self {
        Self(JoinSet::new())
    }

    pub(super) fn add(&mut self, task: impl Future<Output = Result<T>> + 'static) {
        self.0.spawn_local(task);
    }

    /// What all of them return, in the order in which they end.
    pub(super) async fn all(self, doing: &str) -> Result<Vec<T>> {
        self.all_within(PATIENCE, doing).await
    }

    pub(super) async fn all_within(mut self, patience: Duration, doing: &str) -> Result<Vec<T>> {
        let all = async {
            let mut results = Vec::with_capacity(self.0.len());
            while let Some(result) = self.0.join_next().await {
                results.push(result??);
            }
            anyhow::Ok(results)
        };
        let all = timeout(patience, all).await;
        all.with_context(|| format!("not done after {patience:?}: {doing}"))?
            .with_context(|| doing.to_owned())
    }

    /// Whoever does not end by itself is not waited for.
    pub(super) fn first_failure(&mut self) -> Option<anyhow::Error> {
        while let Some(result) = self.0.try_join_next() {
            match result {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Some(error),
                Err(error) => return Some(error.into()),
            }
        }
        None
    }
}
