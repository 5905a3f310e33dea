//! Readers that take what they want and no more, and sources that do not care.

use std::{
    io::Read,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Memory, alone, broker, duration, metric,
    neighbour::Neighbour,
    peer::{
        CANCEL, COMPLETE, ERROR, Hello, NEXT, PAYLOAD, Peer, REQUEST_STREAM, frame, registers,
        subscribe,
    },
    size, until,
};
use crate::broker::Broker;

const LIMITS: &str =
    "outbox = \"1MiB\"\noutbox-hard = \"4MiB\"\ncredit-window = \"256KiB\"\nstall = \"2s\"";
const ITEM: usize = 1024;

/// A source that answers every request for a stream with items, `obedient` to credit or not, until
/// told to stop; each item is the same.
struct Source<'a> {
    peer: Peer,
    obedient: bool,
    items: u32,
    stop: &'a AtomicBool,
    cancelled: &'a AtomicUsize,
}

struct Stream {
    id: u32,
    credit: u64,
    left: u32,
}

impl Source<'_> {
    fn run(mut self) {
        let mut streams: Vec<Stream> = Vec::new();
        let item = vec![b'i'; ITEM];
        while !self.stop.load(Ordering::Relaxed) {
            let busy = streams.iter().any(|stream| stream.credit > 0);
            let patience = Duration::from_millis(if busy { 1 } else { 20 });
            self.peer
                .stream
                .set_read_timeout(Some(patience))
                .expect("a limit");
            let mut head = [0];
            while self.peer.stream.peek(&mut head).is_ok_and(|seen| seen == 1) {
                self.peer
                    .stream
                    .set_read_timeout(Some(Duration::from_secs(30)))
                    .expect("a limit");
                let Some(told) = self.peer.next() else { return };
                self.take(&mut streams, &told);
                self.peer
                    .stream
                    .set_read_timeout(Some(Duration::from_millis(1)))
                    .expect("a limit");
            }
            let mut batch = Vec::new();
            for stream in &mut streams {
                let items = stream.credit.min(16).min(stream.left.into());
                stream.credit -= items;
                stream.left -= items as u32;
                (0..items).for_each(|_| batch.extend(frame(stream.id, PAYLOAD, NEXT, &item)));
                if stream.left == 0 {
                    batch.extend(frame(stream.id, PAYLOAD, COMPLETE, b""));
                }
            }
            streams.retain(|stream| stream.left > 0);
            if self.peer.send(&batch).is_err() {
                return;
            }
        }
    }

    fn take(&self, streams: &mut Vec<Stream>, told: &super::peer::Frame) {
        let n = told
            .body
            .first_chunk()
            .map_or(0, |n| u32::from_be_bytes(*n));
        match told.kind {
            REQUEST_STREAM => streams.push(Stream {
                id: told.stream,
                credit: if self.obedient { n.into() } else { u64::MAX },
                left: self.items,
            }),
            0x08 => {
                if let Some(stream) = streams.iter_mut().find(|stream| stream.id == told.stream) {
                    stream.credit = stream.credit.saturating_add(n.into());
                }
            }
            CANCEL => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
                streams.retain(|stream| stream.id != told.stream);
            }
            _ => {}
        }
    }
}

/// A broker with a source and a neighbour, and an attack on it.
fn with_source(
    obedient: bool,
    items: u32,
    attack: impl FnOnce(&Broker, &mut Neighbour, &AtomicUsize),
) {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let metadata = registers("attacks.Source", None);
    let hello = Hello {
        metadata: &metadata,
        ..Hello::default()
    };
    let peer = Peer::hello(&broker, &hello);
    until("the source is known", || {
        metric(&broker, "jackfield_services") >= 2.0
    });
    let (stop, cancelled) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let source = Source {
            peer,
            obedient,
            items,
            stop: &stop,
            cancelled: &cancelled,
        };
        scope.spawn(move || source.run());
        // Also when an assertion fails, or the scope would wait for ever.
        let _stopped = Stop(&stop);
        attack(&broker, &mut neighbour, &cancelled);
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn endless_credit_with_a_reader_that_stops() {
    with_source(true, u32::MAX, |broker, neighbour, cancelled| {
        let memory = Memory::of(broker);
        let mut readers: Vec<Peer> = (0..size(8, 64))
            .map(|_| Peer::hello(broker, &Hello::default()))
            .collect();
        neighbour.during("readers that stop", || {
            for reader in &mut readers {
                reader
                    .send(&subscribe(1, "attacks.Source.items"))
                    .expect("it reads");
                assert_eq!(reader.next_of(1).map(|item| item.kind), Some(PAYLOAD));
            }
            // They read no more; after `stall` the broker has enough of them.
            let many = readers.len();
            until("their streams are cancelled", || {
                cancelled.load(Ordering::Relaxed) >= many
            });
        });
        memory.assert_grew_less_than(broker, 48);
    });
}

#[test]
fn a_source_that_ignores_credit_harms_its_own_streams() {
    with_source(false, u32::MAX, |broker, neighbour, cancelled| {
        let memory = Memory::of(broker);
        let mut reader = Peer::hello(broker, &Hello::default());
        neighbour.during("a source without manners", || {
            reader
                .send(&subscribe(1, "attacks.Source.items"))
                .expect("it reads");
            until("it is cancelled", || cancelled.load(Ordering::Relaxed) >= 1);
        });
        memory.assert_grew_less_than(broker, 48);
    });
}

#[test]
fn a_reader_at_one_kilobyte_a_second_among_a_hundred_healthy_ones() {
    let items = size(100, 2000);
    with_source(true, items, |broker, neighbour, _| {
        let memory = Memory::of(broker);
        let mut slow = Peer::hello(broker, &Hello::default());
        slow.send(&subscribe(1, "attacks.Source.items"))
            .expect("it reads");
        let end = Instant::now() + Duration::from_secs(2).max(duration());
        neighbour.during("a slow reader", || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut room = [0; 50];
                    while Instant::now() < end {
                        slow.stream.read_exact(&mut room).expect("it goes on");
                        thread::sleep(Duration::from_millis(50));
                    }
                });
                let mut readers: Vec<Peer> = (0..100)
                    .map(|_| Peer::hello(broker, &Hello::default()))
                    .collect();
                for reader in &mut readers {
                    reader
                        .send(&subscribe(1, "attacks.Source.items"))
                        .expect("it reads");
                }
                for (at, reader) in readers.iter_mut().enumerate() {
                    let mut seen = 0;
                    while let Some(told) = reader.next_of(1) {
                        assert_ne!(told.kind, ERROR, "reader {at}: {told:?}");
                        seen += u32::from(told.flags & NEXT != 0);
                        if told.flags & COMPLETE != 0 {
                            break;
                        }
                    }
                    assert_eq!(seen, items, "reader {at}");
                }
            });
        });
        memory.assert_grew_less_than(broker, 64);
    });
}
