//! The threads of slow hooks: a few, each with a runtime of its own. An instance stays on the thread it began on.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

const THREADS: usize = 2;

pub(in crate::chain) struct Threads {
    threads: Vec<Thread>,
    next: AtomicUsize,
}

struct Thread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    join: Option<JoinHandle<()>>,
}

impl Threads {
    pub(in crate::chain) fn start() -> io::Result<Self> {
        let threads = (0..THREADS).map(Thread::start);
        Ok(Self {
            threads: threads.collect::<io::Result<_>>()?,
            next: AtomicUsize::new(0),
        })
    }

    /// Each in turn.
    pub(super) fn next(&self) -> Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.threads[turn % THREADS].handle.clone()
    }
}

impl Thread {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let join = thread::Builder::new()
            .name(format!("plugin-slow-{number}"))
            .spawn(move || {
                // What still runs is dropped with the runtime.
                let _ = runtime.block_on(stopped);
            })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            join: Some(join),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The last reference may go from a task of that very thread.
        let own = |join: &JoinHandle<()>| join.thread().id() == thread::current().id();
        if let Some(join) = self.join.take_if(|join| !own(join)) {
            // A panic of that thread has been printed already.
            let _ = join.join();
        }
    }
}
