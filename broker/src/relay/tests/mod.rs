//! The relay with links in memory and a clock that tests own. Numbers are those of the conformance
//! list.

mod admission;
mod delivery;
mod departure;
mod drain;
mod dress;
mod events;
mod faults;
mod flow;
mod lease;
mod limits;
mod memory;
mod plugins;
mod recorded;
mod refusals;
mod resume;
mod selection;
mod size;
mod speaking;
mod sticky;
mod streams;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    metadata::{CompositeBuilder, Mime, encode_tags},
    net::{Body as Chunk, FrameIo, memory},
    wire::{
        Body, ErrorFrame, FRAME_LEN_MAX, Frame, Interaction, Keepalive, Payload, Request, Setup,
        StreamId, Version,
    },
};

use super::{
    Directory, Limits, Metrics, Routing,
    accept::{Arrival, serve},
    plane::Plane,
};
use crate::{
    chain::Chains,
    identity::{self, Identity},
};

/// A data plane of one thread: the test's own.
struct World {
    plane: Arc<Plane>,
    registry: prometheus::Registry,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with_auth(change, identity::Config::default())
    }

    fn with_routing(change: impl FnOnce(&mut Limits), routing: Routing) -> Self {
        let world = Self::with(change);
        world.plane.set_routing(routing);
        world
    }

    fn with_auth(change: impl FnOnce(&mut Limits), auth: identity::Config) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let registry = prometheus::Registry::new();
        let plane = Plane::new(
            Arc::new(Directory::default()),
            Arc::new(Chains::new(&registry).unwrap()),
            Arc::new(Identity::new(auth, &registry).unwrap()),
            Arc::new(Metrics::register(&registry).unwrap()),
            limits,
            Routing::default(),
        );
        Self {
            plane: Arc::new(plane),
            registry,
        }
    }

    /// A connection that has said nothing yet.
    fn dial(&self) -> Peer {
        let (near, far) = memory(FRAME_LEN_MAX);
        let admission = self.plane.links.admit(None).unwrap();
        let arrival = Arrival::Memory(far, admission, None);
        tokio::task::spawn_local(serve(arrival, self.plane.clone()));
        Peer { io: near }
    }

    /// An anonymous caller.
    async fn caller(&self) -> Peer {
        let mut peer = self.dial();
        peer.setup(&[]).await;
        peer
    }

    /// An application that publishes services, known to the directory when this returns.
    async fn app(&self, app: &str, services: &str) -> Peer {
        let before = self.plane.directory.apps().len();
        let mut peer = self.dial();
        let entries = [(Mime::APPLICATION, app), (Mime::SERVICE_REGISTRY, services)];
        peer.setup(&entries).await;
        while self.plane.directory.apps().len() == before {
            tokio::task::yield_now().await;
        }
        self.plane.directory.publish();
        peer
    }

    async fn echo(&self) -> Peer {
        self.app(r#"{"name":"echo"}"#, r#"{"published":["echo.Service"]}"#)
            .await
    }
}

/// The far end of a link's connection: frames written and read raw.
struct Peer {
    io: FrameIo,
}

/// A frame as tests compare it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    stream: u32,
    what: String,
}

fn seen(stream: u32, what: impl Into<String>) -> Seen {
    Seen {
        stream,
        what: what.into(),
    }
}

fn id(id: u32) -> StreamId {
    StreamId::from_wire(id)
}

/// Composite metadata with one routing entry.
fn to(route: &str) -> Bytes {
    let tags = encode_tags([route]).unwrap();
    CompositeBuilder::new()
        .push(Mime::ROUTING, &tags)
        .finish()
        .unwrap()
}

fn request<'a>(interaction: Interaction, n: u32, metadata: &'a [u8]) -> Request<'a> {
    Request {
        interaction,
        initial_n: n,
        follows: false,
        complete: false,
        metadata: Some(metadata),
        data: b"hello",
    }
}

/// A payload from its flags, such as "NC", and its data.
fn payload<'a>(flags: &str, data: &'a [u8]) -> Payload<'a> {
    Payload {
        follows: flags.contains('F'),
        complete: flags.contains('C'),
        next: flags.contains('N'),
        metadata: None,
        data,
    }
}

impl Peer {
    async fn setup(&mut self, entries: &[(Mime, &str)]) {
        self.setup_as(entries, None, false).await;
    }

    async fn setup_as(&mut self, entries: &[(Mime, &str)], token: Option<&[u8]>, lease: bool) {
        let mut metadata = CompositeBuilder::new();
        for (mime, content) in entries {
            metadata = metadata.push(*mime, content.as_bytes());
        }
        let metadata = metadata.finish().unwrap();
        let setup = Setup {
            version: Version::V1_0,
            keepalive_ms: 20_000,
            lifetime_ms: 90_000,
            resume_token: token,
            lease,
            metadata_mime: b"message/x.rsocket.composite-metadata.v0",
            data_mime: b"application/json",
            metadata: Some(&metadata),
            data: b"",
        };
        self.send(|out| setup.encode(out)).await;
    }

    async fn send(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut frame = BytesMut::new();
        encode(&mut frame);
        self.send_raw(&frame).await;
    }

    async fn send_raw(&mut self, frame: &[u8]) {
        self.io.push(frame, Chunk::Copy(b""));
        self.io.flush().await.unwrap();
    }

    async fn request(&mut self, stream: u32, request: Request<'_>) {
        self.send(|out| request.encode(id(stream), out)).await;
    }

    async fn payload(&mut self, stream: u32, flags: &str, data: &[u8]) {
        self.send(|out| payload(flags, data).encode(id(stream), out))
            .await;
    }

    /// Says that it lives, and wants no answer.
    async fn keepalive(&mut self) {
        let keepalive = Keepalive {
            respond: false,
            position: 0,
            data: b"",
        };
        self.send(|out| keepalive.encode(out)).await;
    }

    async fn error(&mut self, stream: u32, code: u32, text: &str) {
        let code = jackfield_rsocket::wire::ErrorCode(code);
        self.send(|out| ErrorFrame::new(code, text.as_bytes()).encode(id(stream), out))
            .await;
    }

    async fn request_n(&mut self, stream: u32, n: u32) {
        self.send_raw(&jackfield_rsocket::wire::request_n(id(stream), n))
            .await;
    }

    async fn cancel(&mut self, stream: u32) {
        self.send_raw(&jackfield_rsocket::wire::cancel(id(stream)))
            .await;
    }

    /// The next frame; none when the connection has ended.
    async fn raw(&mut self) -> Option<Bytes> {
        let next = tokio::time::timeout(Duration::from_secs(3600), self.io.next_frame());
        next.await.expect("a frame").map(|frame| frame.unwrap())
    }

    async fn sees(&mut self) -> Seen {
        let frame = self.raw().await.expect("the connection goes on");
        Self::describe(&frame)
    }

    fn describe(frame: &Bytes) -> Seen {
        let frame = Frame::decode(frame).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let what = match frame.body {
            Body::Request(request) => {
                let fragment = if request.follows { "+" } else { "" };
                let n = request.initial_n;
                format!(
                    "{:?} n={n} {}{fragment}",
                    request.interaction,
                    text(request.data)
                )
            }
            Body::Payload(payload) => {
                let flag = |on, name| if on { name } else { "" };
                format!(
                    "payload {}{}{} {}",
                    flag(payload.follows, "F"),
                    flag(payload.next, "N"),
                    flag(payload.complete, "C"),
                    text(payload.data),
                )
            }
            Body::RequestN(n) => format!("credit {n}"),
            Body::Cancel => "cancel".into(),
            Body::Error(error) => format!("error {} {}", error.code, text(error.data)),
            Body::Keepalive(keepalive) => {
                format!("keepalive {} {}", keepalive.respond, text(keepalive.data))
            }
            other => format!("{other:?}"),
        };
        Seen {
            stream: frame.header.stream_id.get(),
            what,
        }
    }

    /// Nothing has come and nothing will without a cause.
    async fn sees_nothing(&mut self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let quiet = tokio::time::timeout(Duration::from_millis(1), self.io.next_frame()).await;
        assert!(quiet.is_err(), "expected silence, saw {quiet:?}");
    }
}

/// What a future has to say without waiting.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// Runs a test on a stopped clock, with a place for links to live.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
