//! Applications of the library over time: who is let in, what comes back after a restart, what is pushed.

use std::{fs, time::Duration};

use serde_json::json;

use super::{Realm, Sdk, free_port};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::admin,
};

fn serve<'o>(more: &[&'o str]) -> Vec<&'o str> {
    [
        &["--spring.application.name=orders", "--peer.serve=true"][..],
        more,
    ]
    .concat()
}

const SHOP: [&str; 1] = ["--spring.application.name=shop"];

/// The same configuration on a port that stays the same after a restart.
fn config_at(port: u16) -> String {
    CONFIG.replacen("tcp://127.0.0.1:0", &format!("tcp://127.0.0.1:{port}"), 1)
}

/// Every client of the library shows a token. With authentication a good one lets it in, as who it says;
/// another one does not.
#[test]
fn tokens_are_asked_for() {
    if !Sdk::installed("tokens_are_asked_for") {
        return;
    }
    let realm = Realm::new();
    let token = |subject: &str, account: &str| {
        let made = realm.token(subject, account);
        format!("--rsocket.jwt-token={made}")
    };
    let broker = Broker::start_with(&realm.config(CONFIG));
    let begin = |name: &str, options: &[&str]| {
        Sdk::begin(name, broker.uri(Transport::Tcp), broker.folder(), options)
    };
    let (orders, shop) = (token("orders", "default"), token("shop", "default"));
    let stranger = token("stranger", "elsewhere");
    let one = begin("one", &serve(&[&orders]));
    let client = begin("client", &[&SHOP[..], &[&shop]].concat());
    let other = begin("other", &["--spring.application.name=stranger", &stranger]);
    let liar = begin(
        "liar",
        &[
            "--spring.application.name=liar",
            "--rsocket.jwt-token=a.b.c",
        ],
    );
    let (_one, client) = (Sdk::ready(one), Sdk::ready(client));
    client.must("find - 5", |answer| answer == "5/found");
    client.must("apps - 1", |answer| {
        answer.contains("orders,") && answer.contains("shop,")
    });
    // Of another service account: no kin of the provider.
    let other = Sdk::ready(other);
    other.must("find - 5", |answer| {
        answer.starts_with("! ApplicationErrorException RST-900401")
    });
    // Its SETUP is refused, so the library has no connection.
    let liar = Sdk::ready(liar);
    liar.must("find - 5", |answer| answer.starts_with("! "));
    assert_eq!(liar.ask("active - -"), "[]");
    assert!(broker.log().contains("RST-500405"), "{}", broker.errors());
}

/// The library sends its health check every 15 seconds, and finds out by it that the broker has gone.
#[test]
fn who_is_started_again_is_found_again() {
    if !Sdk::installed("who_is_started_again_is_found_again") {
        return;
    }
    let config = config_at(free_port());
    let broker = Broker::start_with(&config);
    let uri = broker.uri(Transport::Tcp).to_owned();
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path();
    let (one, client) = (
        Sdk::begin("one", &uri, folder, &serve(&[])),
        Sdk::begin("client", &uri, folder, &SHOP),
    );
    let (one, client) = (Sdk::ready(one), Sdk::ready(client));
    client.must("find - 5", |answer| answer == "5/found");

    // The provider: killed, and started again as another process.
    drop(one);
    client.must("find - 5", |answer| {
        answer.starts_with("! InvalidException RST-900404")
    });
    let one = Sdk::start("one", &uri, folder, &serve(&[]));
    client.must("find - 5", |answer| answer == "5/found");

    // The broker: killed, and started again on the same port. Nobody calls meanwhile.
    drop(broker);
    let _broker = Broker::start_with(&config);
    // A call in between would take the connection out of what the library checks, for five minutes.
    let back = |sdk: &Sdk| {
        for _ in 0..3 {
            sdk.asks_until("active - -", |answer| answer != "[]");
        }
        sdk.must("active - -", |answer| answer.contains("tcp://"));
    };
    // The next health check is at most 15 seconds away; until then the library shows the connection as it was.
    std::thread::sleep(Duration::from_secs(16));
    back(&one);
    back(&client);
    client.must("services - -", |answer| answer.contains("OrderService"));
    client.must("find - 5", |answer| answer == "5/found");
}

/// Pushed without being asked for: the brokers, and to whoever calls providers directly, their addresses.
#[test]
fn lists_are_pushed_to_who_bears_them() {
    if !Sdk::installed("lists_are_pushed_to_who_bears_them") {
        return;
    }
    let port = free_port();
    let listed = format!("\n[cluster]\nbrokers = [\"tcp://localhost:{port}\"]\n");
    let broker = Broker::start_with(&(config_at(port) + &listed));
    let uri = broker.uri(Transport::Tcp).to_owned();
    let direct = free_port().to_string();
    let listens = format!("--rsocket.port={direct}");
    let one = Sdk::begin("one", &uri, broker.folder(), &serve(&[&listens]));
    let p2p = "--rsocket.p2p-services=jackfield.peer.OrderService";
    let client = Sdk::begin(
        "client",
        &uri,
        broker.folder(),
        &[&SHOP[..], &[p2p]].concat(),
    );
    let (one, client) = (Sdk::ready(one), Sdk::ready(client));

    // The library goes over to what it was told.
    let told = format!("[tcp://localhost:{port}]");
    client.must("brokers - -", |answer| answer == told);
    client.must("active - -", |answer| answer == told);
    let ip = client.ask("ip - -");
    let direct = format!("[tcp://{ip}:{direct}]");
    client.must("upstream - jackfield.peer.OrderService", |answer| {
        answer == direct
    });
    client.must("find - 5", |answer| answer == "5/found");
    client.must("instances - orders", |answer| {
        answer.contains(&direct[1..direct.len() - 1])
    });

    // A live change reaches everybody.
    let more = format!(
        "\n[cluster]\nbrokers = [\"tcp://localhost:{port}\", \"tcp://127.0.0.1:{port}\"]\n"
    );
    let file = broker.folder().join("jackfield.toml");
    fs::write(file, config_at(port) + &more).expect("a file");
    client.must("brokers - -", |answer| {
        answer.matches("tcp://").count() == 2
    });

    // The provider goes: nobody is left to be called directly.
    drop(one);
    client.must("upstream - jackfield.peer.OrderService", |answer| {
        answer == "none"
    });
}

/// What an operator sends through the admin API, an application hears as any other event.
#[test]
fn an_operator_tells_applications() {
    if !Sdk::installed("an_operator_tells_applications") {
        return;
    }
    let broker = Broker::start();
    let uri = broker.uri(Transport::Tcp);
    let begin = |name: &str| Sdk::begin(name, uri, broker.folder(), &SHOP);
    let (one, two) = (begin("one"), begin("two"));
    let (one, two) = (Sdk::ready(one), Sdk::ready(two));
    let tell = |to: serde_json::Value, kind: &str| {
        let event = json!({ "type": kind, "data": { "cache": "prices" } });
        let letter = json!({ "to": to, "event": event }).to_string();
        admin(&broker, "POST", "/api/v1/apps/events", &letter)
    };
    let told = |count: u32| json!({ "told": count, "deaf": 0, "missed": 0 });
    assert_eq!(tell(json!({ "uuid": one.uuid }), "shop.One"), told(1));
    assert_eq!(tell(json!({ "app": "shop" }), "shop.Both"), told(2));
    for sdk in [&one, &two] {
        sdk.must("events - -", |heard| {
            heard.contains("shop.Both") && heard.contains(r#""cache":"prices""#)
        });
    }
    assert!(one.ask("events - -").contains("shop.One"));
    assert!(!two.ask("events - -").contains("shop.One"));
}
