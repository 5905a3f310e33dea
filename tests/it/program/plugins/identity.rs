//! Plugins that say who somebody is, and plugins that ask the broker: what they are told, and what holds for their calls.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use jackfield_rsocket::endpoint::{ConnectOptions, Requester, connect};
use tokio::task::LocalSet;

use super::{Guest, app, caller, named, write};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    program::{
        admin::reload,
        caller::{request, wait_for},
        run,
    },
};

const ROUTE: &str = "shop.Orders.list";

fn jackfield(folder: &Path, args: &[&str]) -> String {
    let made = Command::new(binary())
        .args(args)
        .current_dir(folder)
        .output();
    let made = made.expect("it runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

fn token(folder: &Path, subject: &str, role: &str, expires: &str) -> String {
    let args = [
        "token",
        "new",
        "--key",
        "jwt.key",
        "--subject",
        subject,
        "--role",
        role,
    ];
    jackfield(folder, &[&args[..], &["--expires", expires]].concat())
}

async fn with_token(uri: &str, token: &str) -> Requester {
    let options = ConnectOptions {
        token: Some(token.to_owned()),
        ..named("a-caller-with-a-token", &[])
    };
    let connected = connect(&uri.parse().expect("a uri"), options).await;
    connected.expect("it connects")
}

/// The claims of a token make a principal for the rules of the configuration and for the plugin's own; a token that is
/// not good is not let in, and the connection ends with its token.
#[test]
fn jwt_claims_say_who_comes_in_and_what_they_may_call() {
    let folder = tempfile::tempdir().expect("a folder");
    jackfield(folder.path(), &["token", "key", "jwt.key"]);
    let key = fs::read_to_string(folder.path().join("jwt.key.pub")).expect("a key");
    let config = format!(
        "{CONFIG}[[auth.rule]]\nallow = [\"call\"]\nservice = \"shop.Orders\"\nrole = \"clerk\"\n\
         [[plugin]]\nname = \"claims\"\nfile = \"builtin:jwt-claims\"\nallow = [\"clock\"]\n\
         match = \"shop.Admin\"\n[plugin.settings]\nkeys = ['''{key}''']\n\
         attributes = {{ roles = \"role\" }}\nrequire = [\"role:admin\"]\n"
    );
    let broker = Broker::start_with(&config);
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _orders = app(uri, "orders", "shop.Orders", &[]).await;
        let _stock = app(uri, "stock", "shop.Stock", &[]).await;
        let _admin = app(uri, "admin", "shop.Admin", &[]).await;
        let stranger = caller(uri, "shop", &[]).await;
        wait_for(&stranger, "shop.Stock.count").await;
        let new = |role, expires| token(folder.path(), "alice", role, expires);
        let clerk = with_token(uri, &new("clerk", "1h")).await;
        let admin = with_token(uri, &new("admin", "1h")).await;
        wait_for(&clerk, ROUTE).await;
        wait_for(&admin, "shop.Admin.stop").await;
        for (who, route, says) in [
            (&stranger, ROUTE, "RST-900401"),
            (&admin, ROUTE, "RST-900401"),
            (&clerk, "shop.Admin.stop", "this is not yours to call"),
            (&stranger, "shop.Admin.stop", "this is not yours to call"),
        ] {
            let refused = who.request_response(request(route)).await;
            let refused = refused.expect_err("it is refused").to_string();
            assert!(refused.contains(says), "{route}: {refused}");
        }
        let mut forged = new("admin", "1h");
        forged.pop();
        let forger = with_token(uri, &forged).await;
        let refused = forger.request_response(request("shop.Stock.count")).await;
        let refused = refused.expect_err("it is not let in").to_string();
        assert!(refused.contains("the token is not good here"), "{refused}");
        let (brief, began) = (with_token(uri, &new("clerk", "3s")).await, Instant::now());
        wait_for(&brief, ROUTE).await;
        let ended = tokio::time::timeout(Duration::from_secs(20), brief.closed()).await;
        let (ended, lived) = (ended.expect("it ends").to_string(), began.elapsed());
        assert!(ended.contains("RST-91040"), "{ended}");
        assert!((1..8).contains(&lived.as_secs()), "{lived:?}");
        assert!(clerk.request_response(request(ROUTE)).await.is_ok());
    }));
}

/// Asks `shop.Users.check` who it is: whoever it answers for is `vouched`, others are nobody in particular.
fn asks_a_service() -> Guest {
    let signature = format!(
        "(param $app i32) {} (result i32)",
        "(param i32) ".repeat(15)
    );
    Guest::without_hooks()
        .pages(2)
        .include("with-call")
        .import(
            "call",
            "request-response",
            "ask",
            &format!("(param {})", "i32 ".repeat(10)),
        )
        .data(4096, b"vouched")
        .data(4104, b"shop.Users.check")
        // To admit under that name, and to abstain.
        .words(3072, &[1, 0, 4096, 7, 0, 0, 0, 0, 0, 0])
        .hook(
            "with-authenticator",
            "authenticate",
            &signature,
            "(global.set $heap (i32.const 16384))
             (call $ask (i32.const 4104) (i32.const 16) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2000))
             (if (result i32) (i32.eqz (i32.load8_u (i32.const 2000)))
                (then (i32.const 3072)) (else (i32.const 3200)))",
        )
}

/// A plugin's own call is made as `plugin:NAME` under the access rules, and no plugin is asked about it: not the one that
/// refuses everybody else, and not itself.
#[test]
fn a_plugins_own_calls_keep_to_the_rules_and_pass_by_plugins() {
    let refuses = Guest::new()
        .data(4096, b"no")
        .always(3, &[0x201, 4096, 2], true);
    let config = format!(
        "{CONFIG}[[auth.rule]]\nallow = [\"call\"]\nservice = \"shop.Stock\"\nsubject = \"vouched\"\n\
         [[plugin]]\nname = \"asks\"\nfile = \"asks.wasm\"\nallow = [\"call\"]\n\
         [[plugin]]\nname = \"refuses\"\nfile = \"refuses.wasm\"\nmatch = \"shop.Users\"\n"
    );
    let broker = Broker::start_in(
        |folder| {
            write(folder, "asks.wasm", &asks_a_service());
            write(folder, "refuses.wasm", &refuses);
        },
        &config,
    );
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp).to_owned();
        let _stock = app(&uri, "stock", "shop.Stock", &[]).await;
        let asks = async |route: &'static str| {
            let comer = caller(&uri, "shop", &[]).await;
            let reply = comer.request_response(request(route)).await;
            reply.map_or_else(|error| error.to_string(), |reply| super::text(&reply))
        };
        let becomes = async |route, says: &str| {
            let end = Instant::now() + Duration::from_secs(20);
            let mut said = asks(route).await;
            while !said.contains(says) {
                assert!(Instant::now() < end, "{route} says {said}, not {says}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                said = asks(route).await;
            }
        };
        // Nobody answers for anybody yet.
        becomes("shop.Stock.count", "RST-900401").await;
        let _users = app(&uri, "users", "shop.Users", &[]).await;
        becomes("shop.Stock.count", "stock").await;
        becomes("shop.Users.check", "no").await;
        let denied = format!(
            "{config}[[auth.rule]]\ndeny = [\"call\"]\nservice = \"shop.Users\"\nsubject = \"plugin:asks\"\n"
        );
        fs::write(broker.folder().join("jackfield.toml"), denied).expect("a file");
        reload(&broker);
        becomes("shop.Stock.count", "RST-900401").await;
    }));
}

/// Refuses with 0x1000 and the number of instances of `shop.Stock`.
fn counts_instances() -> Guest {
    Guest::new()
        .include("with-directory")
        .import(
            "directory",
            "count",
            "count",
            "(param i32 i32 i32 i32 i32 i32) (result i32)",
        )
        .data(4096, b"shop.Stock")
        .on_request(
            "(i32.store8 (i32.const 2048) (i32.const 3))
             (i32.store (i32.const 2052) (i32.add (i32.const 0x1000)
                (call $count (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 10)
                    (i32.const 0) (i32.const 0))))
             (i32.const 2048)",
        )
}

#[test]
fn a_plugin_sees_who_serves_what() {
    let config = format!(
        "{CONFIG}[[plugin]]\nname = \"counts\"\nfile = \"counts.wasm\"\nmatch = \"shop.Orders\"\n\
         allow = [\"directory\"]\n"
    );
    let broker = Broker::start_in(
        |folder| write(folder, "counts.wasm", &counts_instances()),
        &config,
    );
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _orders = app(uri, "orders", "shop.Orders", &[]).await;
        let shop = caller(uri, "shop", &[]).await;
        let becomes = async |count: u32| {
            let end = Instant::now() + Duration::from_secs(20);
            let expected = format!("{:08x}", 0x1000 + count);
            loop {
                let said = shop.request_response(request(ROUTE)).await;
                let said = said.expect_err("it refuses").to_string();
                if said.contains(&expected) {
                    return;
                }
                assert!(Instant::now() < end, "{said}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        becomes(0).await;
        let one = app(uri, "stock", "shop.Stock", &[]).await;
        becomes(1).await;
        let _two = app(uri, "stock", "shop.Stock", &[]).await;
        becomes(2).await;
        one.close();
        becomes(1).await;
    }));
}
