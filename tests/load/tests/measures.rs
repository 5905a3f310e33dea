//! The measuring commands against a responder of this crate: what they open and what they report.

use std::time::Duration;

use jackfield_load::{
    Attach, Respond, Responding, Target,
    harm::Harm,
    idle::{Dial, Transport},
};

fn responder() -> Responding {
    let responding = Respond {
        attach: Attach::Listen("127.0.0.1:0".parse().expect("an address")),
        connections: 1,
        label: String::new(),
    };
    responding.start().expect("it listens")
}

#[test]
fn idle_connections_are_answered_once_and_held() {
    let responder = responder();
    let dial = Dial {
        transport: Transport::Tcp,
        address: responder.addresses[0],
        connections: 100,
        ca: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let held = runtime.expect("a runtime").block_on(dial.open());
    assert_eq!(held.expect("all are answered").count(), 100);
}

#[test]
fn pairs_are_measured_and_a_disturbance_is_ended() {
    let responder = responder();
    let mark = std::env::temp_dir().join(format!("jackfield-harm-{}", std::process::id()));
    let harm = Harm {
        target: Target::RSocket {
            address: responder.addresses[0],
            route: "load.Echo.echo".into(),
        },
        connections: 2,
        size: 100,
        pairs: 2,
        cell: Duration::from_millis(200),
        share: 0.3,
        capacity: Some(1000.0),
        name: "a sleeper".into(),
        disturbance: format!("echo $$ >> {}; sleep 1000", mark.display()),
    };
    let report = harm.run().expect("it runs");
    assert_eq!((report.pairs.len(), report.failed), (2, [0; 2]));
    assert_eq!(report.rate, 300.0);
    assert!(
        report
            .pairs
            .iter()
            .all(|pair| pair.calm > 0.0 && pair.disturbed > 0.0)
    );
    assert!(report.table().contains("a sleeper"));
    let sleepers = std::fs::read_to_string(&mark).expect("they ran");
    std::fs::remove_file(&mark).expect("their mark");
    assert_eq!(sleepers.lines().count(), 2);
    for pid in sleepers.lines() {
        assert!(
            !std::path::Path::new("/proc").join(pid).exists(),
            "{pid} lives"
        );
    }
}
