//! Clients that dial again, over a wire that can be cut. Numbers are those of the conformance list.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::watch;

use super::*;
use crate::net::{Listener, NetError};

/// What lies between a client and its server.
#[derive(Clone)]
struct Wire {
    server: Arc<std::sync::Mutex<Server>>,
    reachable: watch::Sender<bool>,
    /// Frames of both directions until the next cut.
    passes: Arc<AtomicUsize>,
    /// Each new value cuts what is there.
    cut: watch::Sender<u32>,
    dialled: Arc<AtomicUsize>,
}

impl Wire {
    fn to(server: Server) -> Self {
        Self {
            server: Arc::new(std::sync::Mutex::new(server)),
            reachable: watch::Sender::new(true),
            passes: Arc::new(AtomicUsize::new(usize::MAX)),
            cut: watch::Sender::new(0),
            dialled: Arc::default(),
        }
    }

    fn connect(&self, options: ConnectOptions) -> Requester {
        let wire = self.clone();
        connect_with(move || std::future::ready(wire.dial()), options).unwrap()
    }

    fn dial(&self) -> Result<FrameIo, NetError> {
        self.dialled.fetch_add(1, Ordering::Relaxed);
        if !*self.reachable.borrow() {
            return Err(NetError::Io(ErrorKind::ConnectionRefused.into()));
        }
        let ((near, left), (right, far)) = (memory(FRAME_MAX), memory(FRAME_MAX));
        let server = self.server.lock().unwrap().clone();
        tokio::spawn(async move { server.accept(far).await });
        let (wire, mut cut) = (self.clone(), self.cut.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = wire.carry(left, right) => {}
                _ = cut.changed() => {}
            }
        });
        Ok(near)
    }

    async fn carry(&self, mut left: FrameIo, mut right: FrameIo) {
        loop {
            let (frame, to) = tokio::select! {
                frame = left.next_frame() => (frame, &mut right),
                frame = right.next_frame() => (frame, &mut left),
            };
            let Some(Ok(frame)) = frame else { return };
            let order = Ordering::Relaxed;
            let passed = self
                .passes
                .fetch_update(order, order, |passes| passes.checked_sub(1));
            if passed.is_err() {
                return;
            }
            to.push(&frame, Body::Copy(&[]));
            if to.flush().await.is_err() {
                return;
            }
        }
    }

    fn cut(&self) {
        self.cut.send_modify(|cut| *cut += 1);
    }

    fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }
}

fn resuming() -> ServeOptions {
    ServeOptions {
        resume: Some(ResumeOptions::default()),
        ..ServeOptions::default()
    }
}

/// A stream of nine items, of which one has come.
async fn begun(near: &Requester) -> Incoming {
    let mut items = near
        .request_stream(Message::new("9"), Credit::exactly(1))
        .await
        .unwrap();
    assert_eq!(items.next().await.unwrap().unwrap().data, "0");
    items
}

async fn answers(near: &Requester) {
    let reply = near.request_response(Message::new("q")).await.unwrap();
    assert_eq!(reply.data, "q");
}

/// Small numbers without order.
fn chance(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Conformance 108, 119, 120: ten thousand cuts, anywhere, RESUME and fragments among them; the
/// channel through them is gap-free, and every other call gets its one answer.
#[tokio::test(start_paused = true)]
async fn a_channel_survives_ten_thousand_cuts() {
    const CUTS: usize = 10_000;
    let limits = Limits {
        mtu: 64 + 13,
        channel_window: 8,
        ..Limits::default()
    };
    let wire = Wire::to(Server::answering(echo()).with(ServeOptions {
        limits,
        ..resuming()
    }));
    let options = ConnectOptions::new()
        .limits(limits)
        .reconnect(Backoff {
            first: Duration::from_millis(1),
            most: Duration::from_millis(20),
            attempts: None,
        })
        .resume(ResumeOptions::default());
    let near = wire.connect(options);
    near.up().await.unwrap();
    let cutter = tokio::spawn({
        let wire = wire.clone();
        async move {
            let mut seed = 0x9E37_79B9_7F4A_7C15;
            for _ in 0..CUTS {
                let passes = chance(&mut seed) as usize % 40;
                wire.passes.store(passes, Ordering::Relaxed);
                let dialled = wire.dialled();
                while wire.dialled() == dialled {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    // Most die of the count; those that stand still, of this.
                    if chance(&mut seed).is_multiple_of(256) {
                        wire.cut();
                    }
                }
            }
            wire.passes.store(usize::MAX, Ordering::Relaxed);
        }
    });
    let item = |at: u32| Message::new(format!("{at:05}{}", "x".repeat(at as usize % 150)));
    let source = stream::iter(0u32..).map(move |at| Ok(item(at)));
    let mut echoed = near
        .request_channel(Message::new("first"), source, Credit::window(8))
        .await
        .unwrap();
    assert_eq!(echoed.next().await.unwrap().unwrap().data, "first");
    let mut at = 0;
    while !cutter.is_finished() {
        let got = echoed.next().await.unwrap().unwrap();
        assert!(got == item(at), "{at}: {got:?}");
        at += 1;
        if at % 64 == 0 {
            let question = Message::new(bytes(200));
            assert!(near.request_response(question.clone()).await.unwrap() == question);
        }
    }
    cutter.await.unwrap();
    assert!(wire.dialled() > CUTS);
    assert!(at > 1000, "{at} items in {CUTS} cuts");
}

/// Without resume a lost connection fails the calls that were open, and new ones find a new one.
#[tokio::test(start_paused = true)]
async fn a_client_reconnects() {
    let wire = Wire::to(Server::answering(echo()));
    let near = wire.connect(ConnectOptions::new());
    let mut items = begun(&near).await;
    wire.cut();
    let error = items.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Closed(Closed::Peer)), "{error}");
    answers(&near).await;
    assert_eq!(wire.dialled(), 2);
    assert!(!near.is_closed() && near.is_up());
    near.close();
    assert!(matches!(near.closed().await, Closed::Local));
}

/// A server that lost the session, by restarting say, gets a new SETUP; open calls fail.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_known_any_more_begins_anew() {
    let wire = Wire::to(Server::answering(echo()).with(resuming()));
    let near = wire.connect(ConnectOptions::new().resume(ResumeOptions::default()));
    let mut items = begun(&near).await;
    *wire.server.lock().unwrap() = Server::answering(echo()).with(resuming());
    wire.cut();
    let error = items.next().await.unwrap().unwrap_err();
    let refused = matches!(&error, CallError::Closed(Closed::Error(failure))
        if failure.code == ErrorCode::REJECTED_RESUME);
    assert!(refused, "{error}");
    answers(&near).await;
    // The first, the RESUME that was refused, and the new SETUP.
    assert_eq!(wire.dialled(), 3);
}

/// Conformance 127: of a server that is closing, with another connection to wait for: what runs ends
/// there, what is new begins here, and nothing fails.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_closing_is_left_for_another() {
    let (hand_over, mut transports) = tokio::sync::mpsc::channel(1);
    let dial = move || {
        let (near, far) = memory(FRAME_MAX);
        hand_over.try_send(Raw(far)).unwrap();
        std::future::ready(Ok(near))
    };
    let near = connect_with(dial, ConnectOptions::new()).unwrap();
    let mut old = transports.recv().await.unwrap();
    assert_eq!(old.next().await.0, FrameType::SETUP);
    let items = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    assert_eq!(old.next().await.0, FrameType::REQUEST_STREAM);
    old.send(0, FrameType::ERROR, Flags::NONE, b"\0\0\x01\x02bye")
        .await;
    let call = tokio::spawn({
        let near = near.clone();
        async move { near.request_response(Message::new("new")).await }
    });
    // A client answers as well.
    old.quiet().await;
    old.send(1, FrameType::PAYLOAD, next_complete(), b"the last")
        .await;
    assert_eq!(collect(items).await.unwrap(), ["the last"]);
    old.expect_end().await;
    let mut raw = transports.recv().await.unwrap();
    assert_eq!(raw.next().await.0, FrameType::SETUP);
    raw.expect(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"new")
        .await;
    raw.send(1, FrameType::PAYLOAD, next_complete(), b"reply")
        .await;
    assert_eq!(call.await.unwrap().unwrap().data, "reply");
}

/// A server that answers RESUME with nonsense: it is told, the calls fail, and the client begins
/// anew.
#[tokio::test(start_paused = true)]
async fn nonsense_for_an_answer_ends_the_session() {
    // A position never sent, one inside a frame, a frame that is no answer, one on a stream, none
    // at all.
    let answers: [(u32, FrameType, &[u8]); 5] = [
        (0, FrameType::RESUME_OK, &9999u64.to_be_bytes()),
        (0, FrameType::RESUME_OK, &3u64.to_be_bytes()),
        (0, FrameType::KEEPALIVE, &[0; 8]),
        (1, FrameType::RESUME_OK, &[0; 8]),
        (0, FrameType::RESUME_OK, &[0; 3]),
    ];
    for (id, frame_type, body) in answers {
        let (hand_over, mut transports) = tokio::sync::mpsc::channel(1);
        let dial = move || {
            let (near, far) = memory(FRAME_MAX);
            hand_over.try_send(Raw(far)).unwrap();
            std::future::ready(Ok(near))
        };
        let options = ConnectOptions::new().resume(ResumeOptions::default());
        let near = connect_with(dial, options).unwrap();
        let call = tokio::spawn({
            let near = near.clone();
            async move { near.request_response(Message::new("q")).await }
        });
        let mut raw = transports.recv().await.unwrap();
        let (frame_type_of_first, _, flags, _) = raw.next().await;
        assert_eq!(frame_type_of_first, FrameType::SETUP);
        assert!(flags.contains(Flags::RESUME));
        raw.expect(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
            .await;
        drop(raw);
        let mut raw = transports.recv().await.unwrap();
        assert_eq!(raw.next().await.0, FrameType::RESUME);
        raw.send(id, frame_type, Flags::NONE, body).await;
        raw.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
        let error = call.await.unwrap().unwrap_err();
        assert!(
            matches!(error, CallError::Closed(Closed::Expired)),
            "{error}"
        );
        let mut raw = transports.recv().await.unwrap();
        assert_eq!(raw.next().await.0, FrameType::SETUP);
    }
}

/// A window that is over fails what was open, though dialling goes on.
#[tokio::test(start_paused = true)]
async fn a_window_that_is_over_fails_what_was_open() {
    let wire = Wire::to(Server::answering(echo()).with(resuming()));
    let near = wire.connect(ConnectOptions::new().resume(ResumeOptions {
        window: Duration::from_secs(7),
        ..ResumeOptions::default()
    }));
    let mut items = begun(&near).await;
    wire.reachable.send_replace(false);
    wire.cut();
    let began = tokio::time::Instant::now();
    let error = items.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Closed(Closed::Expired)),
        "{error}"
    );
    assert_eq!(began.elapsed().as_secs(), 7);
    wire.reachable.send_replace(true);
    answers(&near).await;
}

/// Attempts are counted, and a refusal is final.
#[tokio::test(start_paused = true)]
async fn dialling_ends_when_it_is_no_use() {
    let wire = Wire::to(Server::answering(echo()));
    wire.reachable.send_replace(false);
    let backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_secs(4),
        attempts: Some(5),
    };
    let began = tokio::time::Instant::now();
    let near = wire.connect(ConnectOptions::new().reconnect(backoff));
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(
        matches!(error, CallError::Closed(Closed::Net(_))),
        "{error}"
    );
    assert_eq!(wire.dialled(), 5);
    // At once, 2, 4, 4, 4, each at least half of it.
    let waited = began.elapsed().as_secs_f32();
    assert!((7.0..=14.1).contains(&waited), "{waited}");

    let wire = Wire::to(Server::new(|_, _| Err(Failure::rejected("nobody"))));
    let near = wire.connect(ConnectOptions::new());
    let closed = near.closed().await;
    assert!(matches!(closed, Closed::Error(failure) if failure.code == ErrorCode::REJECTED_SETUP));
    assert_eq!(wire.dialled(), 1);
}

/// A client that closes does not leave its session behind.
#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_says_so() {
    let server = Server::answering(echo()).with(ServeOptions {
        sessions: 1,
        ..resuming()
    });
    for _ in 0..3 {
        let wire = Wire::to(server.clone());
        let near = wire.connect(ConnectOptions::new().resume(ResumeOptions::default()));
        answers(&near).await;
        near.close();
        near.closed().await;
        // Both say goodbye within the second they give each other; time is not real here.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// A fast sender with a small buffer asks in time what has arrived, and waits for the answer, so
/// that nothing is given up: here, where far more is under way than is kept.
#[tokio::test(start_paused = true)]
async fn a_fast_sender_waits_to_hear_what_has_arrived() {
    let small = ResumeOptions {
        buffer: 64 << 10,
        ..ResumeOptions::default()
    };
    let large = |at: u32| Message::new(format!("{at}{}", "x".repeat(3000)));
    let handler = echo().stream(move |_| stream::iter(0..5000u32).map(move |at| Ok(large(at))));
    let wire = Wire::to(Server::answering(handler).with(ServeOptions {
        resume: Some(small),
        ..ServeOptions::default()
    }));
    let near = wire.connect(ConnectOptions::new().resume(small));
    let mut items = near
        .request_stream(Message::new(""), Credit::endless())
        .await
        .unwrap();
    for at in 0..5000 {
        let item = items.next().await.unwrap().unwrap();
        assert!(item == large(at), "{at}");
        if at % 500 == 250 {
            wire.cut();
        }
    }
    assert!(items.next().await.is_none());
}

/// What is asked for while nobody can be reached waits, and is answered when somebody can.
#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_first_connection() {
    let wire = Wire::to(Server::answering(echo()));
    wire.reachable.send_replace(false);
    let near = wire.connect(ConnectOptions::new());
    let open = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!near.is_up() && near.calls_open() == 1);
        wire.reachable.send_replace(true);
    };
    tokio::join!(answers(&near), open);
}

/// A pool calls where the fewest calls are open, goes on without a connection that is lost, and
/// replaces one that is dead.
#[tokio::test]
async fn a_pool_spreads_and_heals() {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let uri = listener.uri().clone();
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(100);
    let server = Server::new(move |_, requester| {
        arrived.try_send(requester).unwrap();
        let endless = |_| stream::pending::<Result<Message, Failure>>();
        Ok(Arc::new(echo().stream(endless)))
    });
    tokio::spawn(server.listen(listener));
    let backoff = Backoff {
        first: Duration::from_millis(1),
        most: Duration::from_millis(2),
        attempts: None,
    };
    let pool = Pool::new([uri], 3, ConnectOptions::new().reconnect(backoff)).unwrap();
    pool.up().await.unwrap();
    let mut far = Vec::new();
    for _ in 0..3 {
        far.push(arrivals.recv().await.unwrap());
    }
    let whole = async || {
        while pool.connections() < 3 {
            tokio::task::yield_now().await;
        }
    };
    whole().await;
    let mut open = Vec::new();
    for _ in 0..6 {
        let items = pool.request_stream(Message::new(""), Credit::default());
        open.push(items.await.unwrap());
    }
    // Two on each.
    assert_eq!(pool.pick().calls_open(), 2);
    // The server ends one: its two calls fail, the others run on, and new ones find a place.
    far[0].close();
    let mut open = stream::select_all(open);
    assert!(open.next().await.unwrap().is_err());
    assert!(open.next().await.unwrap().is_err());
    for _ in 0..10 {
        let reply = pool.request_response(Message::new("q")).await.unwrap();
        assert_eq!(reply.data, "q");
    }
    arrivals.recv().await.unwrap();
    whole().await;
    // One that ends for good is made anew when it is looked at.
    let one = pool.pick();
    one.close();
    one.closed().await;
    whole().await;
    arrivals.recv().await.unwrap();
    assert!(Pool::new([], 3, ConnectOptions::new()).is_err());
}
