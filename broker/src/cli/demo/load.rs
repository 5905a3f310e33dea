//! The demo's applications: two responders and a requester that never stops asking.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Message, Requester, Responder, connect},
    metadata::CompositeBuilder,
    net::Uri,
};
use tokio::{task::JoinSet, time::sleep};

use super::Shares;

/// Calls under way at any time.
const CALLERS: usize = 8;
/// Between two calls of one caller, so that the demo leaves the machine usable.
const PAUSE: Duration = Duration::from_millis(1);
/// The same, once the show is over.
const REST: Duration = Duration::from_millis(200);

pub(super) struct Load {
    counts: Arc<Counts>,
    callers: JoinSet<()>,
    /// Held so that they stay connected.
    apps: [Requester; 3],
}

#[derive(Default)]
struct Counts {
    stable: AtomicU64,
    canary: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    resting: AtomicBool,
    stopped: AtomicBool,
}

impl Load {
    pub(super) async fn start(uri: &Uri) -> anyhow::Result<Self> {
        let stable = responder(uri, "greeter-stable", "com.example.Greeter", "Hello").await?;
        let canary = responder(uri, "greeter-canary", "com.example.Greeter:canary", "Tweet").await?;
        let requester = connect(uri, ConnectOptions::app("requester")).await?;
        let metadata = CompositeBuilder::new().route("com.example.Greeter.greet").finish()?;
        let counts = Arc::new(Counts::default());
        // The responders are let in when their SETUP is read: the first answer proves it.
        let request = Message::new("Ada").with_metadata(metadata);
        while requester.request_response(request.clone()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call(requester.clone(), request.clone(), counts.clone()));
        }
        Ok(Self { counts, callers, apps: [stable, canary, requester] })
    }

    /// Counts the calls of so long a time.
    pub(super) async fn count(&self, time: Duration) -> Shares {
        let read = || {
            let counts = &self.counts;
            let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (load(&counts.stable), load(&counts.canary))
        };
        let (stable, canary) = read();
        sleep(time).await;
        let (stable_now, canary_now) = read();
        let (stable, canary) = (stable_now - stable, canary_now - canary);
        let calls = stable + canary;
        Shares { calls, canary: 100.0 * canary as f64 / (calls.max(1)) as f64 }
    }

    pub(super) fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::Relaxed)
    }

    pub(super) fn first_failure(&self) -> Option<String> {
        self.counts.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with few calls.
    pub(super) fn rest(&self) {
        self.counts.resting.store(true, Ordering::Relaxed);
    }

    /// Lets the calls under way finish, then disconnects.
    pub(super) async fn stop(mut self) {
        self.counts.stopped.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        for app in &self.apps {
            app.close();
        }
    }
}

async fn responder(
    uri: &Uri,
    app: &str,
    service: &str,
    greeting: &'static str,
) -> anyhow::Result<Requester> {
    let greet = Responder::new().response(move |request: Message| async move {
        let name = String::from_utf8_lossy(&request.data).into_owned();
        Ok(Message::new(format!("{greeting}, {name}!")))
    });
    Ok(connect(uri, ConnectOptions::app(app).publish(service)?.serve(greet)).await?)
}

async fn call(requester: Requester, request: Message, counts: Arc<Counts>) {
    while !counts.stopped.load(Ordering::Relaxed) {
        let resting = counts.resting.load(Ordering::Relaxed);
        match requester.request_response(request.clone()).await {
            Ok(reply) if reply.data.starts_with(b"Tweet") => &counts.canary,
            Ok(_) => &counts.stable,
            Err(error) => {
                let mut first =
                    counts.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.to_string());
                &counts.failed
            }
        }
        .fetch_add(1, Ordering::Relaxed);
        if requester.is_closed() {
            return;
        }
        sleep(if resting { REST } else { PAUSE }).await;
    }
}
