//! Tells one plugin what has happened, in batches. Nobody waits for it: when its queue is full, events are dropped and
//! counted, and the plugin is told how many.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use jackfield_plugin_host::Event;
use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::Threads;

const QUEUE: usize = 1024;
const BATCH: usize = 64;

/// The sending end. When it is gone, what is queued is still told.
pub(in crate::chain) struct Teller {
    queue: mpsc::Sender<Arc<Event>>,
    dropped: Arc<AtomicU64>,
    dropped_total: IntCounter,
}

impl Teller {
    /// `tell` is called with each batch and the number of events dropped before it, one batch at a time.
    pub(in crate::chain) fn start<F>(
        threads: &Threads,
        dropped_total: IntCounter,
        mut tell: impl FnMut(Vec<Event>, u64) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (queue, mut events) = mpsc::channel::<Arc<Event>>(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        threads.next().spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while events.recv_many(&mut batch, BATCH).await > 0 {
                let batch = batch.drain(..).map(Arc::unwrap_or_clone).collect();
                tell(batch, lost.swap(0, Ordering::Relaxed)).await;
            }
        });
        Self {
            queue,
            dropped,
            dropped_total,
        }
    }

    pub(in crate::chain) fn tell(&self, event: &Arc<Event>) {
        if self.queue.try_send(Arc::clone(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.dropped_total.inc();
        }
    }
}
