//! A task of the link's own thread that ends with whoever sent it.

use tokio::task::AbortHandle;

/// Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Errand(AbortHandle);

impl Errand {
    pub(super) fn new(task: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(task).abort_handle())
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.0.abort();
    }
}
