//! A task that works beside the calls: it has an owner and ends when told.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running task. Its work watches the token that it is given.
pub(crate) struct Background {
    what: &'static str,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Background {
    /// Starts work; `what` names it in the log.
    pub(crate) fn start<F>(what: &'static str, work: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(stop.clone()));
        Self { what, stop, task }
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!(task = self.what, "a task of the node panicked");
        }
    }

    /// Waits until its work is done by itself.
    #[cfg(test)]
    pub(crate) async fn ended(self) {
        self.task.await.unwrap();
    }
}
