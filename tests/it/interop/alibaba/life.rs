//! Applications of the library over time: who is let in, what comes back after a restart, what is pushed.

use std::{fs, process::Command, time::Duration};

use super::{Sdk, free_port};
use crate::broker::{Broker, CONFIG, Transport, binary};

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
    let realm = tempfile::tempdir().expect("a folder");
    let jackfield = |args: &[&str]| {
        let mut command = Command::new(binary());
        let made = command.args(args).current_dir(realm.path()).output();
        let made = made.expect("it runs");
        assert!(made.status.success(), "{args:?}");
        String::from_utf8(made.stdout)
            .expect("text")
            .trim()
            .to_owned()
    };
    jackfield(&["token", "key", "jwt.key"]);
    // Without an end, as the archived broker's generator makes them.
    let token = |subject: &str, account: &str| {
        let made = jackfield(&[
            "token",
            "new",
            "--key",
            "jwt.key",
            "--subject",
            subject,
            "--no-expiry",
            "--service-account",
            account,
            "--audience",
            "owner",
        ]);
        format!("--rsocket.jwt-token={made}")
    };
    let key = realm.path().join("jwt.key.pub").display().to_string();
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[auth]\nrequired = true\n[auth.jwt]\nprofile = \"alibaba\"\nkeys = [\"{key}\"]\n"
    ));
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
