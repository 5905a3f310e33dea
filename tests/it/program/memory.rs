//! Readers who grant credit without end and do not read: the process stays near its limit, and a
//! well-behaved neighbour's calls go on.

use std::{
    cell::{Cell, RefCell},
    io::Write,
    net::TcpStream,
    process::Command,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use jackfield_rsocket::{
    endpoint::Requester,
    metadata::CompositeBuilder,
    wire::{Interaction, Request, Setup, StreamId, Version},
};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{
    admin::{metrics, until},
    caller::{request, requester, responder, wait_for},
    run,
};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    process::Process,
};

const LIMIT: u64 = 300 << 20;
/// What comes in while the allocator keeps what was freed, and the program itself. Without a limit the process
/// grows to 1.2 GiB and more.
const OVERSHOOT: u64 = 200 << 20;
const ATTACKERS: usize = 20;
const STREAMS: u32 = 60;
const ITEM: usize = 64 * 1024;
const ENDLESS: u32 = 0x7FFF_FFFF;

#[test]
fn readers_that_do_not_read_cost_their_own_connections() {
    let broker = Broker::start_with(&format!("{CONFIG}\n[limits]\nmemory = \"300MiB\"\n"));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _flood = flood(&broker);
        let _good = responder(uri, "good.Service", "fine").await;
        let caller = requester(uri).await;
        wait_for(&caller, "good.Service.call").await;
        wait_for(&caller, "flood.Service.call").await;
        let neighbour = Neighbour::start(&caller);
        until("the neighbour calls", || neighbour.answers() > 100).await;

        let address = uri.trim_start_matches("tcp://").to_owned();
        let attack = tokio::task::spawn_blocking(move || -> Vec<_> {
            (0..ATTACKERS).map(|_| attacker(&address)).collect()
        });
        let attackers = attack.await.expect("they connect");
        until("the largest are shed", || shed(&broker) > 0.0).await;
        until("requests are taken again", || stage(&broker) < 2.0).await;
        let seen = neighbour.answers();
        until("the neighbour goes on", || neighbour.answers() > seen + 100).await;

        let peak = broker.memory_peak();
        assert!(peak < LIMIT + OVERSHOOT, "it grew to {} MiB", peak >> 20);
        assert!(neighbour.longest_gap() < Duration::from_secs(10));
        let refusals = neighbour.stop().await;
        let others = refusals.iter().find(|text| !text.contains("RST-910507"));
        assert_eq!(others, None, "of {}", refusals.len());

        // What nobody waits for any more is given back to the system.
        drop(attackers);
        until("memory is free", || broker.memory_now() < LIMIT / 2).await;
        until("the stage is left", || stage(&broker) == 0.0).await;
        let reply = caller.request_response(request("good.Service.call")).await;
        assert_eq!(&reply.expect("it goes on").data[..], b"fine");
    }));
}

/// Sends every item back as often as credit allows.
fn flood(broker: &Broker) -> Process {
    let mut command = Command::new(binary());
    let uri = broker.uri(Transport::Tcp);
    command.args(["respond", "flood.Service", "--items", "1000000"]);
    command.args(["--broker", uri]);
    let process = Process::start("flood", command, broker.folder());
    process.expect("ready line", |line| line.starts_with("ready").then_some(()));
    process
}

/// Asks for streams without end and reads nothing.
fn attacker(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker accepts");
    let setup = Setup {
        version: Version::V1_0,
        keepalive_ms: 20_000,
        lifetime_ms: 3_600_000,
        resume_token: None,
        lease: false,
        metadata_mime: b"message/x.rsocket.composite-metadata.v0",
        data_mime: b"application/octet-stream",
        metadata: None,
        data: b"",
    };
    send(&mut stream, |out| setup.encode(out));
    let metadata = CompositeBuilder::new()
        .route("flood.Service.items")
        .finish()
        .expect("a route");
    for number in 0..STREAMS {
        let request = Request {
            interaction: Interaction::Stream,
            initial_n: ENDLESS,
            follows: false,
            complete: false,
            metadata: Some(&metadata),
            data: &[7; ITEM],
        };
        let id = StreamId::from_wire(2 * number + 1);
        send(&mut stream, |out| request.encode(id, out));
    }
    stream
}

/// A broker that closes the connection in between has done what it should.
fn send(stream: &mut TcpStream, encode: impl FnOnce(&mut BytesMut)) {
    let mut frame = BytesMut::new();
    encode(&mut frame);
    let len = u32::try_from(frame.len()).expect("short").to_be_bytes();
    let _ = stream.write_all(&[&len[1..], &frame].concat());
}

fn stage(broker: &Broker) -> f64 {
    value(&metrics(broker), "jackfield_memory_stage ")
}

fn shed(broker: &Broker) -> f64 {
    value(
        &metrics(broker),
        "jackfield_slow_peers_total{action=\"shed\"} ",
    )
}

fn value(page: &str, metric: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(metric));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0.0)
}

/// One call after the other, with a pause after a refusal, as its code asks for.
struct Neighbour {
    seen: Rc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    answers: Cell<u64>,
    longest_gap: Cell<Duration>,
    refusals: RefCell<Vec<String>>,
    stop: Cell<bool>,
}

impl Neighbour {
    fn start(requester: &Requester) -> Self {
        let seen = Rc::<Seen>::default();
        let (requester, kept) = (requester.clone(), seen.clone());
        let task = spawn_local(async move {
            let mut last = Instant::now();
            while !kept.stop.get() {
                match requester
                    .request_response(request("good.Service.call"))
                    .await
                {
                    Ok(_) => {
                        kept.answers.set(kept.answers.get() + 1);
                        kept.longest_gap
                            .set(kept.longest_gap.get().max(last.elapsed()));
                        last = Instant::now();
                    }
                    Err(error) => kept.refusals.borrow_mut().push(error.to_string()),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { seen, task }
    }

    fn answers(&self) -> u64 {
        self.seen.answers.get()
    }

    fn longest_gap(&self) -> Duration {
        self.seen.longest_gap.get()
    }

    async fn stop(self) -> Vec<String> {
        self.seen.stop.set(true);
        self.task.await.expect("it ends well");
        self.seen.refusals.take()
    }
}
