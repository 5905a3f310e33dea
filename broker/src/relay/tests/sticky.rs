//! Sticky calls: one instance for each connection and service, as long as it may be called.

use std::time::Duration;

use super::*;
use crate::directory::Status;

fn sticky(route: &str) -> Bytes {
    to(&format!("{route}?sticky=1&"))
}

/// Two instances of one service, which say who they are by what they answer.
struct Two {
    world: World,
    apps: [Peer; 2],
}

impl Two {
    async fn new() -> Self {
        let world = World::new();
        let app = |name: &str| {
            format!(r#"{{"name":"{name}","uuid":"uuid-of-{name}","metadata":{{"zone":"{name}"}}}}"#)
        };
        let one = world.app(&app("0"), r#"["s.S"]"#).await;
        let two = world.app(&app("1"), r#"["s.S"]"#).await;
        Self {
            world,
            apps: [one, two],
        }
    }

    /// One call; which of the two it was delivered to.
    async fn call(&mut self, caller: &mut Peer, stream: u32, metadata: &[u8]) -> usize {
        caller
            .request(stream, request(Interaction::Response, 0, metadata))
            .await;
        let [one, two] = &mut self.apps;
        let (at, frame) = tokio::select! {
            frame = one.raw() => (0, frame),
            frame = two.raw() => (1, frame),
        };
        let id = Frame::decode(&frame.unwrap())
            .unwrap()
            .header
            .stream_id
            .get();
        self.apps[at].payload(id, "NC", b"x").await;
        assert_eq!(caller.sees().await, seen(stream, "payload NC x"));
        at
    }

    /// Time passes, and everybody lives.
    async fn pass(&mut self, caller: &mut Peer, seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        let [one, two] = &mut self.apps;
        for peer in [caller, one, two] {
            peer.keepalive().await;
        }
    }

    fn rest(&self, at: usize, status: Status) {
        let directory = &self.world.plane.directory;
        let instance = directory.instance(&format!("uuid-of-{at}")).unwrap();
        directory.set_status(&instance, status);
        directory.publish();
    }
}

#[test]
fn calls_stay_with_one_instance_of_each_service() {
    run(async {
        let mut two = Two::new().await;
        let mut caller = two.world.caller().await;
        let first = two.call(&mut caller, 1, &sticky("s.S.a")).await;
        for stream in (3..41).step_by(2) {
            // Another method of the service is the same service.
            let route = if stream % 4 == 1 { "s.S.a" } else { "s.S.b" };
            assert_eq!(two.call(&mut caller, stream, &sticky(route)).await, first);
        }
        // Calls that do not ask for it are spread.
        let mut seen = [0; 2];
        for stream in (41..101).step_by(2) {
            seen[two.call(&mut caller, stream, &to("s.S.a")).await] += 1;
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    });
}

/// The archived broker goes on with an instance that is out of service, and looks at no endpoint.
#[test]
fn status_and_endpoint_come_first() {
    run(async {
        let mut two = Two::new().await;
        let mut caller = two.world.caller().await;
        let first = two.call(&mut caller, 1, &sticky("s.S.a")).await;
        two.rest(first, Status::OutOfService);
        let other = 1 - first;
        assert_eq!(two.call(&mut caller, 3, &sticky("s.S.a")).await, other);
        // It is the one from now on, whoever comes back.
        two.rest(first, Status::Serving);
        for stream in (5..25).step_by(2) {
            assert_eq!(two.call(&mut caller, stream, &sticky("s.S.a")).await, other);
        }
        let elsewhere = to(&format!("s.S.a?sticky=1&e=zone:{first}&"));
        assert_eq!(two.call(&mut caller, 25, &elsewhere).await, first);
        assert_eq!(two.call(&mut caller, 27, &elsewhere).await, first);
    });
}

#[test]
fn it_ends_when_the_caller_does_not_call() {
    run(async {
        let mut two = Two::new().await;
        let routing = Routing {
            sticky: Duration::from_secs(60),
            balance: crate::directory::Balance::RoundRobin,
            ..Routing::default()
        };
        two.world.plane.set_routing(routing);
        let mut caller = two.world.caller().await;
        let first = two.call(&mut caller, 1, &sticky("s.S.a")).await;
        for stream in [3, 5, 7] {
            two.pass(&mut caller, 50).await;
            assert_eq!(two.call(&mut caller, stream, &sticky("s.S.a")).await, first);
        }
        two.pass(&mut caller, 61).await;
        assert_eq!(two.call(&mut caller, 9, &sticky("s.S.a")).await, 1 - first);
    });
}
