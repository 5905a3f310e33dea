//! The hostile plugin in Rust (`tests/guests/hostile`) in the running broker: what each misdeed costs, how it shows, and
//! that it passes; and what becomes of plugins that call themselves, or what they may not.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use jackfield_rsocket::endpoint::{Message, Responder, connect};
use tokio::task::LocalSet;

use super::{app, built::rust_guest, caller, calls, is_in_state, named};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    program::{
        admin::until,
        caller::{Load, request, wait_for, wait_until_known},
        run,
    },
};

const VILLAIN: &str = "villain";
const ALLOW: &str = "allow = [\"log\", \"kv\", \"call\", \"http\"]\n";

/// A broker with the hostile plugin; none where it cannot be built.
fn broker(config: &str) -> Option<Broker> {
    let component = rust_guest("hostile")?;
    let write = |folder: &std::path::Path| {
        fs::write(folder.join("hostile.wasm"), component).expect("a component");
    };
    Some(Broker::start_in(write, &format!("{CONFIG}{config}")))
}

/// The misdeed, what shows in the metrics, and what the plugin is given for it.
const MISDEEDS: [(&str, &str, &str); 6] = [
    ("trap", "trap", ""),
    ("loop", "deadline", ""),
    ("recursion", "trap", ""),
    (
        "memory",
        "memory",
        "memory = \"4MiB\"\ndeadline = \"100ms\"\n",
    ),
    // A giant takes its time to make.
    (
        "giant",
        "trap",
        "memory = \"80MiB\"\ndeadline = \"500ms\"\n",
    ),
    ("storm", "deadline", ""),
];

/// Each misdeed by a plugin of its own, for a service of its own: refused while it lasts, seen in state and metrics, gone
/// by itself; and the neighbour's calls go on all the while.
#[test]
fn every_misdeed_is_seen_and_passes_and_harms_nobody_else() {
    let plugins = MISDEEDS.map(|(misdeed, _, more)| {
        format!(
            "[[plugin]]\nname = \"{misdeed}\"\nfile = \"hostile.wasm\"\nmatch = \"evil.{misdeed}\"\n{ALLOW}{more}\
             [plugin.settings]\nmisdeed = \"{misdeed}\"\ntimes = 6\n"
        )
    });
    let Some(broker) = broker(&plugins.concat()) else {
        return;
    };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _stock = app(uri, "stock", "shop.Stock", &[]).await;
        let mut evil = named("evil", &[]).serve(crate::program::caller::answering("evil"));
        for (misdeed, ..) in MISDEEDS {
            evil = evil.publish(&format!("evil.{misdeed}")).expect("a name");
        }
        let _evil = connect(&uri.parse().expect("a uri"), evil)
            .await
            .expect("it connects");
        let (shop, neighbour) = (
            caller(uri, "shop", &[]).await,
            caller(uri, "till", &[]).await,
        );
        wait_for(&neighbour, "shop.Stock.count").await;
        let mut load = Load::start(&neighbour, "shop.Stock.count", 4);
        for (misdeed, outcome, _) in MISDEEDS {
            let route = format!("evil.{misdeed}.does");
            let mut asked = 0;
            while !is_in_state(&broker, misdeed, "open") {
                let refused = shop.request_response(request(&route)).await;
                let refused = refused.expect_err("its policy is closed").to_string();
                assert!(refused.contains("RST-910520"), "{misdeed}: {refused}");
                asked += 1;
                assert!(asked < 20, "{misdeed}: it never opened");
            }
            until("it is asked again", || {
                is_in_state(&broker, misdeed, "live")
            })
            .await;
            assert!(
                shop.request_response(request(&route)).await.is_ok(),
                "{misdeed}"
            );
            // Three kills or five failures, and what probes saw is not counted as calls.
            let failed = calls(&broker, misdeed, outcome);
            assert!((3.0..=5.0).contains(&failed), "{misdeed}: {failed} failed");
        }
        load.end_unharmed().await;
    }));
}

/// What a plugin wants or does before it runs is told by `check`, with its name.
#[test]
fn check_refuses_what_never_starts_or_was_not_granted() {
    let Some(component) = rust_guest("hostile") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("hostile.wasm"), component).expect("a component");
    for (allow, misdeed, says) in [
        (ALLOW, "slow-start", "CPU time"),
        ("allow = [\"log\"]\n", "trap", "add \""),
        (ALLOW, "no-misdeed", "unknown variant"),
    ] {
        let plugin = format!(
            "[[plugin]]\nname = \"villain\"\nfile = \"hostile.wasm\"\n{allow}[plugin.settings]\nmisdeed = \"{misdeed}\"\n"
        );
        fs::write(folder.path().join("jackfield.toml"), plugin).expect("a file");
        let mut check = Command::new(binary());
        let output = check.arg("check").current_dir(folder.path()).output();
        let output = output.expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{misdeed}: {text}");
        assert!(
            text.contains("villain") && text.contains(says),
            "{misdeed}: {text}"
        );
    }
}

/// How the villain is let in: what its first call comes to.
async fn comes_in(uri: &str) -> String {
    let comer = caller(uri, VILLAIN, &[]).await;
    match comer.request_response(request("shop.Stock.count")).await {
        Ok(reply) => super::text(&reply),
        Err(error) => error.to_string(),
    }
}

/// In its own calls a plugin is not asked about itself: its filter, which denies everybody, does not stop it.
#[test]
fn a_plugin_that_calls_where_it_decides_is_not_asked() {
    let config = format!(
        "[[plugin]]\nname = \"villain\"\nfile = \"hostile.wasm\"\nmatch = \"shop.Mirror\"\n{ALLOW}\
         [plugin.settings]\nmisdeed = {{ call = \"shop.Mirror.look\" }}\n"
    );
    let Some(broker) = broker(&config) else {
        return;
    };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _stock = app(uri, "stock", "shop.Stock", &[]).await;
        let _mirror = app(uri, "the mirror", "shop.Mirror", &[]).await;
        let shop = caller(uri, "shop", &[]).await;
        wait_for(&shop, "shop.Stock.count").await;
        wait_until_known(&shop, "shop.Mirror.look").await;
        let refused = shop.request_response(request("shop.Mirror.look")).await;
        let refused = refused.expect_err("the filter may not call").to_string();
        assert!(refused.contains("Denied"), "{refused}");
        // What the service answered is the reason of the refusal.
        let said = comes_in(uri).await;
        assert!(said.contains("the mirror"), "{said}");
    }));
}

/// A plugin asks a service about who comes in, and that service comes in anew for its answer: each waits for the other,
/// until the plugin's time is up. The circuit opens, and a probe finds that nobody waits any more.
#[test]
fn a_plugin_that_calls_itself_by_way_of_a_service_ends_in_time() {
    let config = format!(
        "[[plugin]]\nname = \"villain\"\nfile = \"hostile.wasm\"\nmatch = \"nobody\"\n{ALLOW}timeout = \"300ms\"\n\
         [plugin.settings]\nmisdeed = {{ call = \"shop.Mirror.look\" }}\n"
    );
    let Some(broker) = broker(&config) else {
        return;
    };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp).to_owned();
        let _stock = app(&uri, "stock", "shop.Stock", &[]).await;
        let neighbour = caller(&uri, "till", &[]).await;
        wait_for(&neighbour, "shop.Stock.count").await;
        let (again, came) = (uri.clone(), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&came);
        let looks = Responder::new().response(move |_| {
            let uri = again.clone();
            counted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(Message::new(comes_in(&uri).await)) }
        });
        let mirror = named("mirror", &[]).publish("shop.Mirror").expect("a name");
        let mirror = connect(&uri.parse().expect("a uri"), mirror.serve(looks)).await;
        let _mirror = mirror.expect("it connects");
        let mut load = Load::start(&neighbour, "shop.Stock.count", 4);
        let ends = async || {
            let said = tokio::time::timeout(Duration::from_secs(20), comes_in(&uri)).await;
            said.expect("it ends")
        };
        let mut said = ends().await;
        while said.contains("RST-900404") {
            said = ends().await;
        }
        assert!(said.contains("RST-500405"), "{said}");
        assert!(came.load(Ordering::Relaxed) > 0, "the service was asked");
        assert!(calls(&broker, VILLAIN, "timeout") > 0.0);
        until("it is live", || is_in_state(&broker, VILLAIN, "live")).await;
        let shop = caller(&uri, "shop", &[]).await;
        assert!(
            shop.request_response(request("shop.Stock.count"))
                .await
                .is_ok()
        );
        load.stop().await;
        assert_eq!(load.errors(), Vec::<String>::new());
    }));
}

/// A server of one answer, which counts who asks.
fn server() -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut room = [0; 512];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut room) {
                    Ok(read @ 1..) => head.extend_from_slice(&room[..read]),
                    _ => break,
                }
            }
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (port, asked)
}

/// Only named hosts, and private addresses only where the operator says so.
#[test]
fn http_reaches_what_was_allowed_and_nothing_else() {
    let (port, asked) = server();
    let url = format!("http://127.0.0.1:{port}/tea");
    for (more, says, reached) in [
        (
            format!("http-hosts = [\"127.0.0.1:{port}\"]\nhttp-private = true\n"),
            "status 418",
            1,
        ),
        (
            format!("http-hosts = [\"127.0.0.1:{port}\"]\n"),
            "Denied",
            1,
        ),
        (
            "http-hosts = [\"example.com\"]\nhttp-private = true\n".to_owned(),
            "Denied",
            1,
        ),
        (String::new(), "Denied", 1),
    ] {
        let config = format!(
            "[[plugin]]\nname = \"villain\"\nfile = \"hostile.wasm\"\nmatch = \"nobody\"\n{ALLOW}{more}\
             [plugin.settings]\nmisdeed = {{ http = \"{url}\" }}\n"
        );
        let Some(broker) = broker(&config) else {
            return;
        };
        run(LocalSet::new().run_until(async {
            let uri = broker.uri(Transport::Tcp);
            let _stock = app(uri, "stock", "shop.Stock", &[]).await;
            let said = comes_in(uri).await;
            assert!(said.contains(says), "{more}: {said}");
        }));
        assert_eq!(asked.load(Ordering::Relaxed), reached, "{more}");
    }
}
