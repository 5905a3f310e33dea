//! What applications push while they are connected.

use jackfield_rsocket::wire::MetadataPush;

use super::*;
use crate::directory::Status;

const UUID: &str = "6f4e2a30-0d6c-4a5e-9a3e-3f1d2c5b7a89";

fn app(sdk: &str) -> String {
    format!(r#"{{"name":"orders","uuid":"{UUID}","sdk":"{sdk}","powerRating":2}}"#)
}

impl Peer {
    pub(super) async fn push(&mut self, metadata: &[u8]) {
        self.send(|out| MetadataPush { metadata }.encode(out)).await;
    }

    async fn event(&mut self, kind: &str, data: &str) {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","type":"com.alibaba.rsocket.events.{kind}","source":"app://{UUID}/?ip=1","data":{data}}}"#
        );
        self.push(event.as_bytes()).await;
    }
}

impl World {
    fn services(&self) -> Vec<String> {
        let services = self.plane.directory.services();
        services.into_iter().map(|service| service.key).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..1000 {
            if holds(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{what} does not become true: {:?}", self.services());
    }
}

#[test]
fn services_are_exposed_and_hidden_and_rest() {
    run(async {
        let world = World::new();
        let mut orders = world.app(&app(""), r#"["a.A"]"#).await;
        let about = |services: &str| format!(r#"{{"appId":"{UUID}","services":{services}}}"#);
        orders
            .event(
                "ServicesExposedEvent",
                &about(r#"[{"service":"b.B","version":"1"}]"#),
            )
            .await;
        world
            .until("b.B is exposed", |world| {
                world.services() == ["a.A", "b.B:1"]
            })
            .await;
        orders
            .event("ServicesHiddenEvent", &about(r#"[{"service":"a.A"}]"#))
            .await;
        world
            .until("a.A is hidden", |world| world.services() == ["b.B:1"])
            .await;

        let status = |status: i32| format!(r#"{{"id":"{UUID}","status":{status}}}"#);
        let is = |status: Status| {
            move |world: &World| world.plane.directory.instance(UUID).unwrap().status() == status
        };
        orders.event("AppStatusEvent", &status(2)).await;
        world.until("it rests", is(Status::OutOfService)).await;
        assert!(world.plane.directory.find("b.B:1").is_none());
        orders.event("AppStatusEvent", &status(1)).await;
        world.until("it serves", is(Status::Serving)).await;
        assert!(world.plane.directory.find("b.B:1").is_some());
        orders.event("AppStatusEvent", &status(-1)).await;
        world.until("it has stopped", is(Status::Stopped)).await;
        assert!(world.plane.directory.find("b.B:1").is_none());

        let instance = world.plane.directory.instance(UUID).unwrap();
        assert_eq!(instance.power(), 2);
        let weight = format!(r#"{{"id":"{UUID}","status":1,"powerRating":7}}"#);
        orders.event("AppStatusEvent", &weight).await;
        world
            .until("it weighs more", |_| instance.power() == 7)
            .await;
        let ports = format!(r#"{{"appId":"{UUID}","rsocketPorts":{{"42252":"tcp"}}}}"#);
        orders.event("PortsUpdateEvent", &ports).await;
        world
            .until("it listens", |_| instance.ports().contains_key(&42252))
            .await;
    });
}

#[test]
fn what_cannot_be_believed_changes_nothing() {
    run(async {
        let world = World::new();
        let mut orders = world.app(&app(""), r#"["a.A"]"#).await;
        let other = r#"{"appId":"somebody else","services":["a.A"]}"#;
        orders.event("ServicesHiddenEvent", other).await;
        for junk in [&b"{"[..], b"", b"\x00", b"\xFF\xFF", br#"{"id":1}"#] {
            orders.push(junk).await;
        }
        orders
            .event(
                "AppStatusEvent",
                &format!(r#"{{"id":"{UUID}","status":9}}"#),
            )
            .await;
        let many: Vec<String> = (0..2000).map(|n| format!("\"s{n}\"")).collect();
        let many = format!(r#"{{"appId":"{UUID}","services":[{}]}}"#, many.join(","));
        orders.event("ServicesExposedEvent", &many).await;
        let mut anonymous = world.caller().await;
        anonymous
            .event(
                "ServicesHiddenEvent",
                &format!(r#"{{"appId":"{UUID}","services":["a.A"]}}"#),
            )
            .await;
        // What comes behind all this shows that it was read.
        let last = format!(r#"{{"appId":"{UUID}","services":["last"]}}"#);
        orders.event("ServicesExposedEvent", &last).await;
        world
            .until("the last is exposed", |world| {
                world.services() == ["a.A", "last"]
            })
            .await;
        orders.sees_nothing().await;
    });
}

#[test]
fn more_events_than_are_read_are_dropped_and_counted() {
    run(async {
        let world = World::new();
        let mut orders = world.app(&app(""), r#"["a.A"]"#).await;
        for n in 0..2500 {
            orders
                .event(
                    "AppStatusEvent",
                    &format!(r#"{{"id":"{UUID}","status":{}}}"#, 1 + n % 2),
                )
                .await;
        }
        let dropped = || world.plane.metrics.refusals("too_many_events");
        world.until("some are dropped", |_| dropped() == 500).await;
    });
}

/// Events reach only who is known to bear them: some clients close on METADATA_PUSH.
#[test]
fn events_are_pushed_to_who_bears_them() {
    run(async {
        let world = World::new();
        let mut peers = Vec::new();
        for (uuid, says, bears) in [
            ("u-1", r#""sdk":"Alibaba-RSocket-1.1.6/1.0.0""#, true),
            ("u-2", r#""sdk":"Kin-RSocket-0.1""#, true),
            ("u-3", r#""metadata":{"push":"1"}"#, true),
            ("u-4", r#""sdk":"rsc""#, false),
        ] {
            let app = format!(r#"{{"name":"a","uuid":"{uuid}",{says}}}"#);
            let mut peer = world.app(&app, "[]").await;
            let instance = world.plane.directory.instance(uuid).unwrap();
            assert_eq!(instance.app.client.bears_push, bears, "{says}");
            if bears {
                assert!(instance.link.push_metadata(Bytes::from_static(b"{}")));
                let frame = peer.raw().await.unwrap();
                let Body::MetadataPush(push) = Frame::decode(&frame).unwrap().body else {
                    panic!("{frame:?}");
                };
                assert_eq!(push.metadata, b"{}");
            }
            peers.push(peer);
        }
    });
}
