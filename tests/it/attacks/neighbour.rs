//! Somebody who behaves, beside the attacker: a responder, and a caller that never stops calling it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jackfield_rsocket::endpoint::{ConnectOptions, Message, Requester, Responder, connect};

use super::peer;
use crate::broker::{Broker, Transport};

/// The service of the neighbour: it echoes.
pub(super) const SERVICE: &str = "neighbour.Echo";
pub(super) const ROUTE: &str = "neighbour.Echo.say";

/// A call may take so long at worst, on a machine that does other things as well.
const WORST: Duration = Duration::from_secs(10);
/// Calls a second that it must make at least; in peace it is some hundreds.
const RATE_MIN: f64 = 2.0;
/// Between two calls of a caller: the neighbour is no attack itself.
const REST: Duration = Duration::from_millis(5);

/// What the neighbour has seen for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    calls: u32,
    failures: Vec<String>,
    worst: Duration,
    elapsed: Duration,
}

impl Seen {
    fn rate(&self) -> f64 {
        f64::from(self.calls) / self.elapsed.as_secs_f64().max(0.001)
    }
}

pub(super) struct Neighbour {
    seen: Arc<Mutex<Seen>>,
    since: Instant,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Its rate in peace.
    peace: f64,
}

impl Neighbour {
    /// Starts, and measures a second of peace.
    pub(super) fn start(broker: &Broker) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = sync_channel(1);
        let (theirs, uri) = (
            (seen.clone(), stop.clone()),
            broker.uri(Transport::Tcp).to_owned(),
        );
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(live(&uri, theirs, || {
                let _ = ready.send(());
            }));
        });
        is_ready
            .recv_timeout(Duration::from_secs(60))
            .expect("the neighbour calls");
        let mut neighbour = Self {
            seen,
            since: Instant::now(),
            stop,
            thread: Some(thread),
            peace: 0.0,
        };
        neighbour.take();
        thread::sleep(Duration::from_secs(1));
        neighbour.peace = neighbour.take().rate();
        neighbour
    }

    /// What was seen since the last time.
    fn take(&mut self) -> Seen {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = std::mem::take(&mut *seen);
        taken.elapsed = self.since.elapsed();
        self.since = Instant::now();
        taken
    }

    /// Attacks, and asserts that the neighbour has got on meanwhile.
    pub(super) fn during<T>(&mut self, what: &str, attack: impl FnOnce() -> T) -> T {
        self.take();
        let result = attack();
        // A short attack would prove nothing.
        let left = Duration::from_secs(1).saturating_sub(self.since.elapsed());
        thread::sleep(left);
        let seen = self.take();
        println!(
            "{what}: the neighbour made {} calls in {:.1} s ({:.0}/s, in peace {:.0}/s), the worst took {:?}",
            seen.calls,
            seen.elapsed.as_secs_f64(),
            seen.rate(),
            self.peace,
            seen.worst
        );
        assert_eq!(seen.failures, Vec::<String>::new(), "{what}");
        assert!(seen.worst < WORST, "{what}: {:?}", seen.worst);
        // Coarse: these are debug builds, and the attacker takes a core of two.
        assert!(
            seen.rate() > RATE_MIN,
            "{what}: {seen:?}, in peace {:.0}/s",
            self.peace
        );
        result
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the neighbour has failed");
        }
    }
}

async fn live(uri: &str, (seen, stop): (Arc<Mutex<Seen>>, Arc<AtomicBool>), ready: impl FnOnce()) {
    let uri = uri.parse().expect("a uri");
    let handler = Responder::new()
        .response(async |request: Message| Ok(Message::new(request.data)))
        .fire_and_forget(async |_| {});
    let app = ConnectOptions::app("neighbour")
        .publish(SERVICE)
        .expect("a name")
        .serve(handler);
    let responder = connect(&uri, app).await.expect("the broker accepts");
    let caller = connect(&uri, ConnectOptions::app("caller"))
        .await
        .expect("the broker accepts");
    let end = Instant::now() + Duration::from_secs(30);
    while call(&caller).await.is_err() {
        assert!(Instant::now() < end, "registered in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ready();
    tokio::select! {
        _ = async { tokio::join!(calls(&caller, &seen, &stop), calls(&caller, &seen, &stop)) } => {}
        closed = responder.closed() => {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.failures.push(format!("the responder's connection: {closed:?}"));
        }
    }
}

async fn calls(caller: &Requester, seen: &Mutex<Seen>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let called = call(caller).await;
        let took = began.elapsed();
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.worst = seen.worst.max(took);
            match called {
                Ok(()) => seen.calls += 1,
                Err(error) if seen.failures.len() < 10 => seen.failures.push(error),
                Err(_) => {}
            }
        }
        tokio::time::sleep(REST).await;
    }
}

async fn call(caller: &Requester) -> Result<(), String> {
    let request = Message::new("hello").with_metadata(peer::route(ROUTE));
    match caller.request_response(request).await {
        Ok(reply) if &reply.data[..] == b"hello" => Ok(()),
        Ok(reply) => Err(format!("answered with {:?}", reply.data)),
        Err(error) => Err(error.to_string()),
    }
}
