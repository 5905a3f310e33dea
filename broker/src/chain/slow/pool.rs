//! The instances of one plugin for its slow hooks, and the calls that wait for them.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc as blocking,
    },
    time::Duration,
};

use jackfield_plugin_host::{Plugin, PluginError, Settings, SlowInstance};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{super::SlowConfig, Threads, hooks::Ask};

/// Why a call came to nothing.
#[derive(Debug)]
pub(in crate::chain) enum Missed {
    /// Too many wait already.
    QueueFull,
    Timeout,
    Failed(PluginError),
}

pub(in crate::chain) struct Pool {
    queues: Vec<mpsc::Sender<Work>>,
    next: AtomicUsize,
    maker: Arc<Maker>,
    handle: Handle,
    timeout: Duration,
}

/// Makes instances of one plugin.
struct Maker {
    plugin: Arc<Plugin>,
    settings: Settings,
    memory: Arc<AtomicU64>,
}

type Running<'i> = Pin<Box<dyn Future<Output = ()> + Send + 'i>>;

/// One call, or the reason why there is no instance for it. Dropping what it returns gives the call up.
type Work =
    Box<dyn for<'i> FnOnce(Result<&'i mut SlowInstance, PluginError>) -> Running<'i> + Send>;

impl Pool {
    /// Makes a trial instance, which decides whether the plugin accepts its settings. Waits for it.
    pub(in crate::chain) fn start(
        threads: &Threads,
        plugin: Arc<Plugin>,
        settings: Settings,
        config: SlowConfig,
    ) -> Result<Self, PluginError> {
        let maker = Arc::new(Maker {
            plugin,
            settings,
            memory: Arc::default(),
        });
        let handle = threads.next();
        let mut trial = Some(blocked_on(&handle, Arc::clone(&maker).instance())?);
        let mut queues = Vec::new();
        for number in 0..config.instances.max(1) {
            let (queue, work) = mpsc::channel(config.queue.max(1));
            queues.push(queue);
            let on = match number {
                0 => handle.clone(),
                _ => threads.next(),
            };
            on.spawn(serve(trial.take(), Arc::clone(&maker), work));
        }
        Ok(Self {
            queues,
            next: AtomicUsize::new(0),
            maker,
            handle,
            timeout: config.timeout,
        })
    }

    /// Calls a hook on the first instance that has room in its queue.
    pub(in crate::chain) async fn run<T: Send + 'static>(
        &self,
        hook: impl Ask<T>,
    ) -> Result<T, Missed> {
        let (mut reply, answer) = oneshot::channel();
        let mut work: Work = Box::new(move |instance| {
            Box::pin(async move {
                let result = match instance {
                    Err(error) => Err(error),
                    Ok(instance) => tokio::select! {
                        biased;
                        // Nobody waits for it any more.
                        () = reply.closed() => return,
                        result = hook.ask(instance) => result,
                    },
                };
                let _ = reply.send(result);
            })
        });
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.queues.len() {
            let queue = &self.queues[(first + turn) % self.queues.len()];
            match queue.try_send(work) {
                Ok(()) => return self.answered(answer).await,
                Err(full) => work = full.into_inner(),
            }
        }
        Err(Missed::QueueFull)
    }

    async fn answered<T>(
        &self,
        answer: oneshot::Receiver<Result<T, PluginError>>,
    ) -> Result<T, Missed> {
        match timeout(self.timeout, answer).await {
            Err(_) => Err(Missed::Timeout),
            Ok(Ok(result)) => result.map_err(Missed::Failed),
            Ok(Err(_)) => {
                let why = "was taken down while it was asked".to_owned();
                Err(Missed::Failed(PluginError::Unavailable(why)))
            }
        }
    }

    /// As `run`, on an instance of its own, and waits: for a look whether the plugin works again.
    pub(in crate::chain) fn probe<T: Send + 'static>(
        &self,
        hook: impl Ask<T>,
    ) -> Result<(), PluginError> {
        let (maker, within) = (Arc::clone(&self.maker), self.timeout);
        blocked_on(&self.handle, async move {
            let probed = timeout(within, async {
                let mut instance = maker.instance().await?;
                hook.ask(&mut instance).await.map(drop)
            });
            let late = || PluginError::Unavailable(format!("takes longer than {within:?}"));
            probed.await.unwrap_or_else(|_| Err(late()))
        })
    }

    /// Linear memory of all its instances, in bytes.
    pub(in crate::chain) fn memory(&self) -> u64 {
        self.maker.memory.load(Ordering::Relaxed)
    }
}

impl Maker {
    async fn instance(self: Arc<Self>) -> Result<SlowInstance, PluginError> {
        SlowInstance::start(&self.plugin, &self.settings, Arc::clone(&self.memory)).await
    }
}

/// The life of one instance and of those that follow it, until nobody can call any more.
async fn serve(mut free: Option<SlowInstance>, maker: Arc<Maker>, mut queue: mpsc::Receiver<Work>) {
    while let Some(work) = queue.recv().await {
        if free.is_none() {
            match Arc::clone(&maker).instance().await {
                Ok(instance) => free = Some(instance),
                Err(error) => {
                    work(Err(error)).await;
                    continue;
                }
            }
        }
        let instance = free.as_mut().expect("it was just made");
        work(Ok(instance)).await;
        free = free.filter(|instance| !instance.is_broken());
    }
}

/// Runs a future on a slow thread and waits for it, on a thread that may wait.
fn blocked_on<T: Send + 'static>(
    handle: &Handle,
    future: impl Future<Output = Result<T, PluginError>> + Send + 'static,
) -> Result<T, PluginError> {
    let (done, result) = blocking::sync_channel(1);
    handle.spawn(async move {
        let _ = done.send(future.await);
    });
    result.recv().unwrap_or_else(|_| {
        Err(PluginError::Unavailable(
            "was taken down while it was started".into(),
        ))
    })
}
