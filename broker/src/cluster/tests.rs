//! What clients are told, over a real relay.

use std::sync::{Arc, Mutex};

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Requester, Responder},
    metadata::{AppMetadata, CloudEvent},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    identity,
    relay::{Listening, rooms::Rooms},
};

struct World {
    rooms: Rooms,
    brokers: Arc<Brokers>,
    cluster: Cluster,
    listening: Listening,
}

impl World {
    async fn new(inside: &[&str]) -> Self {
        let rooms = Rooms::new(identity::Config::default());
        let brokers = Arc::new(Brokers::new(lists(inside)));
        let (directory, identity) = (rooms.directory.clone(), rooms.identity.clone());
        let cluster = Cluster::start(brokers.clone(), directory, identity, &rooms.relay).unwrap();
        Self {
            listening: rooms.listen().await,
            rooms,
            brokers,
            cluster,
        }
    }

    async fn app(&self, change: impl FnOnce(&mut AppMetadata), services: &[&str]) -> Told {
        let pushed = Arc::<Mutex<Vec<CloudEvent>>>::default();
        let mut app = AppMetadata::named("app");
        change(&mut app);
        let mut options = ConnectOptions::new();
        options.app = Some(app);
        for service in services {
            options = options.publish(service).unwrap();
        }
        let events = pushed.clone();
        let heard = Responder::new().metadata_push(move |metadata| {
            let event = CloudEvent::of_push(&metadata).unwrap().unwrap();
            events.lock().unwrap().push(event);
        });
        let options = options.serve(heard);
        let requester = self.rooms.join(self.listening.uri(), options).await;
        Told {
            pushed,
            _requester: requester,
        }
    }
}

/// A client, and what it has been told.
struct Told {
    pushed: Arc<Mutex<Vec<CloudEvent>>>,
    _requester: Requester,
}

impl Told {
    async fn wait(&self, count: usize) -> Value {
        loop {
            let pushed = self.pushed.lock().unwrap().clone();
            if pushed.len() >= count {
                return pushed[count - 1].data.clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn count(&self) -> usize {
        self.pushed.lock().unwrap().len()
    }
}

fn lists(inside: &[&str]) -> Lists {
    Lists {
        inside: inside.iter().map(|uri| (*uri).to_owned()).collect(),
        own_inside: vec!["tcp://b1:9999".into()],
        ..Lists::default()
    }
}

fn sdk(app: &mut AppMetadata) {
    app.sdk = Some("Alibaba-RSocket-1.1.6/1.0.0".into());
}

#[tokio::test]
async fn clients_are_told_of_the_brokers_and_of_changes() {
    let world = World::new(&["tcp://b1:9999", "tcp://b2:9999"]).await;
    let client = world.app(sdk, &[]).await;
    let plain = world.app(|_| {}, &[]).await;
    let told = client.wait(1).await;
    let expected = json!({
        "interfaceName": "*", "group": "", "version": "", "defaultUri": null,
        "uris": ["tcp://b1:9999", "tcp://b2:9999"],
    });
    assert_eq!(told, expected);
    world
        .brokers
        .set(lists(&["tcp://b1:9999", "tcp://b3:9999"]));
    assert_eq!(
        client.wait(2).await["uris"],
        json!(["tcp://b1:9999", "tcp://b3:9999"])
    );
    // What is the same is not told again, whoever comes.
    let later = world.app(sdk, &[]).await;
    later.wait(1).await;
    // Before the broker leaves, those that stay.
    world.cluster.leave();
    assert_eq!(client.wait(3).await["uris"], json!(["tcp://b3:9999"]));
    assert_eq!((client.count(), later.count(), plain.count()), (3, 2, 0));
}

#[tokio::test]
async fn who_calls_providers_directly_is_told_where_they_are() {
    let world = World::new(&[]).await;
    world.brokers.set(Lists::default());
    let asks = |app: &mut AppMetadata| {
        sdk(app);
        app.p2p_services = vec!["g!shop.Orders:1".into()];
    };
    let client = world.app(asks, &[]).await;
    let uris = async |count: usize| {
        let data = client.wait(count).await;
        assert_eq!(
            (
                &data["group"],
                &data["service"],
                &data["version"],
                &data["type"]
            ),
            (&json!("g"), &json!("shop.Orders"), &json!("1"), &json!(0))
        );
        data["uris"].clone()
    };
    assert_eq!(uris(1).await, json!([]));
    let listens = |ip: &'static str| {
        move |app: &mut AppMetadata| {
            app.ip = Some(ip.into());
            app.rsocket_ports.insert("42252".into(), "tcp".into());
            app.power_rating = 3;
        }
    };
    let one = world.app(listens("10.0.0.1"), &["g!shop.Orders:1"]).await;
    assert_eq!(uris(2).await, json!(["tcp://10.0.0.1:42252"]));
    let _silent = world.app(|_| {}, &["g!shop.Orders:1"]).await;
    let _two = world.app(listens("10.0.0.2"), &["g!shop.Orders:1"]).await;
    assert_eq!(
        uris(3).await,
        json!(["tcp://10.0.0.1:42252", "tcp://10.0.0.2:42252"])
    );
    drop(one);
    assert_eq!(uris(4).await, json!(["tcp://10.0.0.2:42252"]));
}
