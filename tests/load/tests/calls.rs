//! The load tool against itself: callers, responders and the faults they must not overlook.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use jackfield_load::{Attach, Ending, Load, Pace, Respond, Responding, Running, Stall, Target};

const SHORT: Duration = Duration::from_millis(60);

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn responder(label: &str) -> Responding {
    let label = label.to_owned();
    Respond {
        attach: Attach::Listen(loopback()),
        connections: 1,
        label,
    }
    .start()
    .unwrap()
}

fn load(address: SocketAddr) -> Load {
    Load::new(Target::RSocket {
        address,
        route: "load.Echo.echo".into(),
    })
}

/// Waits, as long as it takes, until so many more calls have been answered.
fn let_pass(running: &Running, calls: u64) {
    let goal = running.counts().0 + calls;
    while running.counts().0 < goal {
        thread::yield_now();
    }
}

#[test]
fn a_closed_loop_answers_every_call() {
    let responder = responder("");
    let mut load = load(responder.addresses[0]);
    (load.connections, load.pace) = (3, Pace::Closed { window: 5 });
    let tally = load.run(SHORT).unwrap();
    assert!(tally.clean(), "{:?}", tally.first_failure);
    assert!(tally.measured > 0 && tally.answered >= tally.measured);
    assert_eq!(tally.latency.len(), tally.measured);
}

#[test]
fn an_open_loop_keeps_its_rate_and_measures_from_the_due_time() {
    let responder = responder("");
    let mut load = load(responder.addresses[0]);
    (load.connections, load.pace) = (2, Pace::Open { rate: 1000.0 });
    let began = Instant::now();
    let tally = load.run(Duration::from_millis(300)).unwrap();
    let due_at_most = (began.elapsed().as_secs_f64() * 1000.0) as u64 + 2;
    assert!(tally.clean(), "{:?}", tally.first_failure);
    // A busy machine may end the load before its last calls were sent, but none goes out early.
    assert!(
        (150..=due_at_most).contains(&tally.issued),
        "{} calls",
        tally.issued
    );
    assert_eq!(tally.lateness.len(), tally.issued);
}

#[test]
fn plain_bytes_are_echoed() {
    let raw = Respond {
        attach: Attach::Raw(loopback()),
        connections: 1,
        label: String::new(),
    };
    let raw = raw.start().unwrap();
    let tally = Load::new(Target::Raw {
        address: raw.addresses[0],
    })
    .run(SHORT)
    .unwrap();
    assert!(
        tally.clean() && tally.answered > 0,
        "{:?}",
        tally.first_failure
    );
}

#[test]
fn answers_are_counted_by_label_and_slice() {
    let responder = responder("v1");
    let mut load = load(responder.addresses[0]);
    load.slice = Duration::from_millis(20);
    let tally = load.run(SHORT).unwrap();
    assert_eq!(tally.labels, ["v1"]);
    let answered: u64 = tally.windows.iter().map(|window| window.answered).sum();
    let labelled: u64 = tally.windows.iter().flat_map(|window| &window.labels).sum();
    assert_eq!((answered, labelled), (tally.answered, tally.answered));
}

#[test]
fn an_answer_by_another_label_is_stray_only_while_a_rule_holds() {
    let responder = responder("v1");
    let running = load(responder.addresses[0]).start().unwrap();
    running.allow_only(Some("v1"));
    let_pass(&running, 50);
    running.allow_only(None);
    let_pass(&running, 50);
    assert_eq!(running.counts().1, 0);
    running.allow_only(Some("v2"));
    let_pass(&running, 50);
    let tally = running.stop().unwrap();
    assert!(tally.stray > 0 && !tally.clean());
    let failure = tally.first_failure.unwrap();
    assert_eq!(failure, "v1 answered when only v2 was allowed");
}

#[test]
fn calls_on_a_connection_that_ends_are_lost() {
    let responder = responder("");
    let running = load(responder.addresses[0]).start().unwrap();
    let_pass(&running, 10);
    drop(responder);
    while running.counts().1 == 0 {
        thread::yield_now();
    }
    let tally = running.stop().unwrap();
    assert_eq!((tally.lost, tally.closed, tally.unanswered()), (1, 1, 0));
}

/// Answers everything with `bytes` and then keeps the connection open until the caller leaves.
fn liar(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut read = [0; 4096];
        assert!(socket.read(&mut read).unwrap() > 0);
        socket.write_all(bytes).unwrap();
        while socket.read(&mut read).is_ok_and(|count| count > 0) {}
    });
    address
}

#[test]
fn a_wrong_answer_is_not_overlooked() {
    // PAYLOAD, next and complete, on stream 1, with data that nobody sent.
    let address = liar(b"\x00\x00\x0a\x00\x00\x00\x01\x28\x60oops");
    let mut load = load(address);
    load.grace = SHORT;
    let tally = load.run(SHORT).unwrap();
    assert!(tally.wrong == 1 && !tally.clean(), "{tally:?}");
}

#[test]
fn an_error_is_counted_by_its_code_and_silence_shows() {
    // ERROR[REJECTED] on stream 1.
    let address = liar(b"\x00\x00\x0c\x00\x00\x00\x01\x2c\x00\x00\x00\x02\x02no");
    let mut load = load(address);
    load.grace = SHORT;
    let tally = load.run(SHORT).unwrap();
    assert_eq!(tally.codes.get(&0x202), Some(&1));
    assert_eq!(tally.first_failure.as_deref(), Some("0x202 no"));
    assert_eq!(tally.unanswered(), 1);
}

#[test]
fn a_stalled_reader_reads_on_without_a_gap() {
    let responder = responder("");
    let mut stall = Stall::new(responder.addresses[0], "load.Echo.items");
    // More than the sockets' buffers hold, so that the responder really has to wait.
    (stall.items, stall.item_size, stall.pause) = (20_000, 4096, SHORT);
    stall.watch = Some(std::process::id());
    let report = stall.run().unwrap();
    assert_eq!(
        (report.ending.clone(), report.gaps, report.items),
        (Ending::Complete, 0, 20_000)
    );
    assert!(report.whole(20_000) && !report.whole(20_001));
    let grown = report.resident[2].saturating_sub(report.resident[0]);
    assert!(
        grown < 40 << 20,
        "the responder holds {grown} bytes of 80 MB"
    );
}
