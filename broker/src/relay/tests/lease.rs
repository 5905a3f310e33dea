//! Leases, granted and kept to (conformance 99 to 106).

use jackfield_rsocket::wire::Lease;

use super::*;

async fn leased(world: &World, entries: &[(Mime, &str)]) -> Peer {
    let mut peer = world.dial();
    peer.setup_as(entries, None, true).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.plane.directory.publish();
    peer
}

async fn grant(peer: &mut Peer, ttl_ms: u32, requests: u32) {
    let lease = Lease {
        ttl_ms,
        requests,
        metadata: Some(b"about it"),
    };
    peer.send(|out| lease.encode(out)).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

const ECHO: [(Mime, &str); 2] = [
    (Mime::APPLICATION, r#"{"name":"echo"}"#),
    (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
];

/// Conformance 100 to 102: so many requests, all kinds counted, until the next LEASE; it comes
/// before the first
/// one ends.
#[test]
fn the_broker_grants_by_its_config_and_no_more() {
    run(async {
        let world = World::with(|limits| limits.lease.requests = 3);
        let mut echo = world.echo().await;
        let mut caller = leased(&world, &[]).await;
        let metadata = to("echo.Service.say");
        let ask = |interaction| request(interaction, 1, &metadata);
        let granted = "Lease(Lease { ttl_ms: 10000, requests: 3, metadata: None })";
        for round in 0..3 {
            assert_eq!(caller.sees().await, seen(0, granted));
            let first = round * 10 + 1;
            for (at, interaction) in [
                Interaction::Stream,
                Interaction::FireAndForget,
                Interaction::Channel,
            ]
            .into_iter()
            .enumerate()
            {
                caller
                    .request(first + 2 * at as u32, ask(interaction))
                    .await;
                assert!(
                    echo.sees()
                        .await
                        .what
                        .starts_with(&format!("{interaction:?}"))
                );
            }
            caller
                .request(first + 6, ask(Interaction::FireAndForget))
                .await;
            caller.request(first + 8, ask(Interaction::Response)).await;
            let text = "RST-910431: no lease for this request; wait for the next LEASE";
            let refused = seen(first + 8, format!("error REJECTED (0x202) {text}"));
            assert_eq!(caller.sees().await, refused);
            echo.sees_nothing().await;
        }
    });
}

/// Conformance 104: without a lease, after it is used up and after it ended nothing is sent to a
/// responder that
/// asked for leases.
#[test]
fn the_broker_keeps_to_the_responders_lease() {
    run(async {
        let world = World::new();
        let mut echo = leased(&world, &ECHO).await;
        assert!(echo.sees().await.what.starts_with("Lease"));
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let ask = request(Interaction::Response, 0, &metadata);
        let mut near = 1;
        let mut call = async |caller: &mut Peer, echo: &mut Peer| {
            near += 2;
            caller.request(near, ask).await;
            tokio::select! {
                biased;
                refused = caller.sees() => {
                    assert!(refused.what.starts_with("error REJECTED"), "{refused:?}");
                    false
                }
                asked = echo.sees() => asked.what == "Response n=0 hello",
            }
        };
        assert!(!call(&mut caller, &mut echo).await, "before the first");
        grant(&mut echo, 5000, 2).await;
        assert!(call(&mut caller, &mut echo).await);
        assert!(call(&mut caller, &mut echo).await);
        assert!(!call(&mut caller, &mut echo).await, "used up");
        grant(&mut echo, 5000, 9).await;
        grant(&mut echo, 5000, 1).await;
        assert!(call(&mut caller, &mut echo).await);
        assert!(!call(&mut caller, &mut echo).await, "the last one replaces");
        grant(&mut echo, 5000, 9).await;
        tokio::time::sleep(Duration::from_millis(5001)).await;
        assert!(!call(&mut caller, &mut echo).await, "too late");
        grant(&mut echo, 5000, 9).await;
        grant(&mut echo, 5000, 0).await;
        assert!(!call(&mut caller, &mut echo).await, "103: none");
    });
}

/// Another candidate is tried before a request is refused.
#[test]
fn who_has_granted_no_lease_is_passed_over() {
    run(async {
        let world = World::new();
        let mut first = leased(&world, &ECHO).await;
        first.sees().await;
        grant(&mut first, 5000, 1).await;
        let mut second = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let ask = request(Interaction::Response, 0, &metadata);
        // The lease ends, which is found out when a request is to be sent.
        tokio::time::sleep(Duration::from_secs(6)).await;
        for near in [1, 3, 5, 7] {
            caller.request(near, ask).await;
            assert_eq!(second.sees().await.what, "Response n=0 hello");
        }
        first.sees_only_leases().await;
    });
}

/// Conformance 105: on a connection without leases, or on a stream, LEASE means nothing.
#[test]
fn a_lease_that_nobody_asked_for_is_ignored() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        grant(&mut echo, 5000, 0).await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello");
    });
}

impl Peer {
    async fn sees_only_leases(&mut self) {
        while let Some(frame) = poll_once(self.io.next_frame()).await {
            let seen = Self::describe(&frame.unwrap().unwrap());
            assert!(seen.what.starts_with("Lease"), "{seen:?}");
        }
    }
}
