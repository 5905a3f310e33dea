//! Guests that trap or never return, one for each hook, in the running broker: their neighbours do not notice, the
//! circuit opens and is seen, and when the guest is well again it is asked again without anybody doing anything.

use std::time::Duration;

use tokio::task::LocalSet;

use super::{Guest, app, caller, calls, is_in_state, write};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::{
        admin::until,
        caller::{Load, request, wait_for},
        run,
    },
};

const ROUTE: &str = "shop.Orders.list";
const TRAPS: &str = "(unreachable)";
const SPINS: &str = "(loop $for_ever (br $for_ever))";

/// Counts its calls in `kv`, which outlives its instances, and is ill for so many of them.
fn ill(guest: Guest, how: &str, calls: u32) -> (Guest, String) {
    let guest = guest
        .include("with-kv")
        .import("kv", "increment", "add", "(param i32 i32 i64 i64 i32)")
        .data(4096, b"n");
    let body = format!(
        "(call $add (i32.const 4096) (i32.const 1) (i64.const 1) (i64.const 0) (i32.const 3000))
         (if (i64.le_s (i64.load (i32.const 3008)) (i64.const {calls})) (then {how}))"
    );
    (guest, body)
}

/// Five traps open the circuit, and so do three kills; some of the probes that follow fail too.
fn calls_until_well(how: &str) -> u32 {
    if how == TRAPS { 7 } else { 5 }
}

fn selector(how: &str) -> Guest {
    let (guest, body) = ill(Guest::without_hooks(), how, calls_until_well(how));
    guest.select(&format!("{body} (i32.const 2304)"))
}

fn breaker(how: &str) -> Guest {
    let (guest, body) = ill(Guest::without_hooks(), how, calls_until_well(how));
    guest.disturb(&format!("{body} (i32.const 2304)"))
}

fn filter(how: &str) -> Guest {
    let (guest, body) = ill(Guest::new(), how, calls_until_well(how));
    guest.on_request(&format!("{body} (i32.const 2048)"))
}

fn observer(how: &str) -> Guest {
    let (guest, body) = ill(Guest::without_hooks(), how, calls_until_well(how));
    let signature = "(param $events i32) (param $len i32) (param $dropped i64)";
    let body = format!("(global.set $heap (i32.const 16384)) {body}");
    guest.hook("with-events", "on-events", signature, &body)
}

/// A broker with this plugin for one of two services.
fn broker(guest: &Guest, more: &str) -> Broker {
    let config = format!(
        "{CONFIG}[[plugin]]\nname = \"ill\"\nfile = \"ill.wasm\"\nmatch = \"shop.Orders\"\n\
         allow = [\"kv\"]\n{more}"
    );
    Broker::start_in(|folder| write(folder, "ill.wasm", guest), &config)
}

/// Calls the service that the plugin is for until it is ill, and until it is well again; the neighbour's calls go on all
/// the while.
async fn falls_and_rises(broker: &Broker, how: &str, policy_refuses: bool) {
    let uri = broker.uri(Transport::Tcp);
    let _one = app(uri, "one", "shop.Orders", &[]).await;
    let _two = app(uri, "two", "shop.Orders", &[]).await;
    let _stock = app(uri, "stock", "shop.Stock", &[]).await;
    let (shop, neighbour) = (
        caller(uri, "shop", &[]).await,
        caller(uri, "till", &[]).await,
    );
    wait_for(&neighbour, "shop.Stock.count").await;
    until("both are registered", || {
        let services = crate::program::admin::admin(broker, "GET", "/api/v1/services", "");
        let of = |service: &serde_json::Value| {
            service["key"] == "shop.Orders"
                && service["instances"]
                    .as_array()
                    .is_some_and(|it| it.len() == 2)
        };
        services["services"]
            .as_array()
            .is_some_and(|all| all.iter().any(of))
    })
    .await;
    let mut load = Load::start(&neighbour, "shop.Stock.count", 4);
    let (mut refused, mut answered) = (0, 0);
    while !is_in_state(broker, "ill", "open") {
        match shop.request_response(request(ROUTE)).await {
            Ok(_) => answered += 1,
            Err(error) => {
                assert!(error.to_string().contains("RST-910520"), "{error}");
                refused += 1;
            }
        }
        assert!(refused + answered < 50, "it never opened");
    }
    assert_eq!(
        (refused > 0, answered > 0),
        (policy_refuses, !policy_refuses)
    );
    let outcome = if how == TRAPS { "trap" } else { "deadline" };
    let failed = calls(broker, "ill", outcome);
    assert!((3.0..=5.0).contains(&failed), "{failed} failed");
    // While it is open it is not called, and its policy answers.
    let call = shop.request_response(request(ROUTE)).await;
    assert_eq!(call.is_err(), policy_refuses, "{call:?}");
    until("it is asked again", || is_in_state(broker, "ill", "live")).await;
    assert!(shop.request_response(request(ROUTE)).await.is_ok());
    assert_eq!(calls(broker, "ill", outcome), failed);
    load.end_unharmed().await;
}

#[test]
fn a_selector_that_falls_is_gone_without() {
    for how in [TRAPS, SPINS] {
        let broker = broker(&selector(how), "");
        run(LocalSet::new().run_until(falls_and_rises(&broker, how, false)));
    }
}

#[test]
fn chaos_that_falls_breaks_nothing() {
    for how in [TRAPS, SPINS] {
        let broker = broker(&breaker(how), "");
        run(LocalSet::new().run_until(falls_and_rises(&broker, how, false)));
    }
}

#[test]
fn a_filter_that_falls_lets_nobody_past() {
    for how in [TRAPS, SPINS] {
        let broker = broker(&filter(how), "");
        run(LocalSet::new().run_until(falls_and_rises(&broker, how, true)));
    }
}

/// Those who are in stay in; those who come meanwhile are not let in, and are when it is well again.
#[test]
fn an_authenticator_that_falls_lets_nobody_in() {
    for how in [TRAPS, SPINS] {
        // It begins well, so that somebody is in before it falls.
        let (guest, body) = ill(Guest::without_hooks(), how, 8);
        let signature = format!(
            "(param $app i32) {} (result i32)",
            "(param i32) ".repeat(15)
        );
        let body = body.replace("(i64.le_s (i64.load (i32.const 3008)) (i64.const 8))", {
            "(i32.and (i64.gt_s (i64.load (i32.const 3008)) (i64.const 2))
                      (i64.le_s (i64.load (i32.const 3008)) (i64.const 9)))"
        });
        let body = format!("{body} (i32.const 2304)");
        let guest = guest.hook("with-authenticator", "authenticate", &signature, &body);
        let broker = broker(&guest, "");
        run(LocalSet::new().run_until(async {
            let uri = broker.uri(Transport::Tcp).to_owned();
            let _stock = app(&uri, "stock", "shop.Stock", &[]).await;
            let neighbour = caller(&uri, "till", &[]).await;
            wait_for(&neighbour, "shop.Stock.count").await;
            let mut load = Load::start(&neighbour, "shop.Stock.count", 4);
            let comes = async || {
                let comer = caller(&uri, "shop", &[]).await;
                comer.request_response(request("shop.Stock.count")).await
            };
            let mut refused = 0;
            while !is_in_state(&broker, "ill", "open") {
                let error = comes().await.expect_err("it is ill").to_string();
                assert!(error.contains("RST-500405"), "{error}");
                refused += 1;
                assert!(refused < 20, "it never opened");
            }
            assert!(comes().await.is_err(), "its policy is closed");
            until("it is asked again", || is_in_state(&broker, "ill", "live")).await;
            assert!(comes().await.is_ok());
            load.stop().await;
            assert_eq!(load.errors(), Vec::<String>::new());
            assert!(load.total() > 100);
        }));
    }
}

/// Nobody waits for who only watches.
#[test]
fn an_observer_that_falls_is_told_again_when_it_is_well() {
    for how in [TRAPS, SPINS] {
        let broker = broker(&observer(how), "");
        run(LocalSet::new().run_until(async {
            let uri = broker.uri(Transport::Tcp);
            let _stock = app(uri, "stock", "shop.Stock", &[]).await;
            let neighbour = caller(uri, "till", &[]).await;
            wait_for(&neighbour, "shop.Stock.count").await;
            let mut load = Load::start(&neighbour, "shop.Stock.count", 4);
            let mut came = 0;
            while !is_in_state(&broker, "ill", "open") {
                let comer = caller(uri, "shop", &[]).await;
                // Each is told by itself, so that each is a failure of its own.
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(comer);
                came += 1;
                assert!(came < 100, "it never opened");
            }
            until("it is told again", || is_in_state(&broker, "ill", "live")).await;
            let done = calls(&broker, "ill", "done");
            let _comer = caller(uri, "shop", &[]).await;
            until("it was told", || calls(&broker, "ill", "done") > done).await;
            load.stop().await;
            assert_eq!(load.errors(), Vec::<String>::new());
            assert!(load.total() > 100);
        }));
    }
}
