//! Chaos through the running broker: how often, how long, for whom, when, and how it is stopped.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use jackfield_rsocket::endpoint::{ConnectOptions, Credit, Message, Requester, connect};
use tokio::task::LocalSet;

use super::{app, caller, is_fair, metric};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::{
        admin::{admin, reload, until},
        caller::{answering, request, wait_for},
        run,
    },
};

const ROUTE: &str = "shop.Orders.list";

fn config(settings: &str) -> String {
    format!(
        "{CONFIG}[routing]\ntimeout = \"400ms\"\n[[plugin]]\nname = \"chaos\"\n\
         file = \"builtin:chaos\"\nmatch = \"shop.Orders\"\nallow = [\"clock\"]\n\
         [plugin.settings]\n{settings}"
    )
}

fn fault(percent: u32, what: &str) -> String {
    format!("[[plugin.settings.faults]]\npercent = {percent}\n{what}\n")
}

fn faults(broker: &Broker, fault: &str) -> f64 {
    let label = format!("fault=\"{fault}\"");
    metric(broker, "jackfield_faults_total", &[&label])
}

/// A service that answers, and streams a hundred numbers.
async fn orders(uri: &str) -> Requester {
    let numbers = |_| {
        let items = (0..100).map(|item: u32| Ok(Message::new(item.to_string())));
        futures_util::stream::iter(items)
    };
    let options = ConnectOptions::app("orders")
        .publish("shop.Orders")
        .expect("a name")
        .serve(answering("orders").stream(numbers));
    let connected = connect(&uri.parse().expect("a uri"), options).await;
    connected.expect("the broker accepts")
}

/// Waits for registration by a route that chaos is not for.
async fn ready(broker: &Broker) {
    until("everybody is registered", || {
        let services = admin(broker, "GET", "/api/v1/services", "");
        services.to_string().contains("shop.Orders")
    })
    .await;
}

#[test]
fn faults_come_as_often_as_they_are_set() {
    let settings = fault(20, "error = \"broken on purpose\"") + &fault(10, "delay-ms = 60");
    let broker = Broker::start_with(&config(&settings));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _orders = orders(uri).await;
        let _stock = app(uri, "stock", "shop.Stock", &[]).await;
        ready(&broker).await;
        let mut calling = Vec::new();
        for _ in 0..8 {
            let shop = caller(uri, "shop", &[]).await;
            wait_for(&shop, "shop.Stock.count").await;
            calling.push(tokio::task::spawn_local(async move {
                let (mut broken, mut quick) = (0.0, 0.0);
                for _ in 0..250 {
                    let began = Instant::now();
                    match shop.request_response(request(ROUTE)).await {
                        Ok(_) => {}
                        Err(error) => {
                            assert!(error.to_string().contains("broken on purpose"), "{error}");
                            broken += 1.0;
                        }
                    }
                    quick += f64::from(u8::from(began.elapsed() < Duration::from_millis(60)));
                }
                (broken, quick)
            }));
        }
        let (mut broken, mut quick, times) = (0.0, 0.0, 2_000.0);
        for call in calling {
            let (more, fast) = call.await.expect("it ends well");
            (broken, quick) = (broken + more, quick + fast);
        }
        assert_eq!(broken, faults(&broker, "error"));
        assert!(is_fair(broken, times, 0.2), "{broken} broken");
        let delayed = faults(&broker, "delay");
        assert!(is_fair(delayed, times, 0.1), "{delayed} delayed");
        assert!(
            quick <= times - delayed,
            "{quick} were quick, {delayed} delayed"
        );
        assert_eq!(metric(&broker, "jackfield_held_requests", &[]), 0.0);
    }));
}

#[test]
fn streams_break_off_and_slow_down_and_holes_are_black() {
    for (what, name) in [
        ("cut-after = 10", "cut"),
        ("slow-ms = 15", "slow"),
        ("black-hole = true", "black_hole"),
    ] {
        let broker = Broker::start_with(&config(&fault(100, what)));
        run(LocalSet::new().run_until(async {
            let uri = broker.uri(Transport::Tcp);
            let _orders = orders(uri).await;
            ready(&broker).await;
            let shop = caller(uri, "shop", &[]).await;
            let began = Instant::now();
            let items = shop.request_stream(request(ROUTE), Credit::default()).await;
            let mut items = items.expect("it is sent");
            let (mut got, mut error) = (0, None);
            while let Some(item) = items.next().await {
                match item {
                    Ok(item) => {
                        assert_eq!(item.data, got.to_string());
                        got += 1;
                    }
                    Err(failed) => error = Some(failed.to_string()),
                }
            }
            let (took, error) = (began.elapsed(), error.unwrap_or_default());
            match name {
                "cut" => assert!(got == 10 && error.contains("broken"), "{got} {error}"),
                "slow" => {
                    assert!(got == 100 && error.is_empty(), "{got} {error}");
                    assert!(took >= Duration::from_millis(15 * 99), "{took:?}");
                }
                _ => {
                    assert!(got == 0 && error.contains("RST-910504"), "{got} {error}");
                    assert!(took >= Duration::from_millis(400), "{took:?}");
                }
            }
            assert_eq!(faults(&broker, name), 1.0);
            assert_eq!(metric(&broker, "jackfield_held_requests", &[]), 0.0);
        }));
    }
}

#[test]
fn only_those_named_and_only_in_the_window() {
    let minutes = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("now")
        .as_secs()
        / 60;
    let at = |offset: u64| {
        let minute = (minutes + offset) % 1_440;
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    let rule = fault(100, "error = \"broken on purpose\"\napp = \"shop\"");
    let window = |from, to| format!("from = \"{}\"\nto = \"{}\"\n{rule}", at(from), at(to));
    // Two hours around now, and the two hours after the next one.
    for (settings, broken) in [(window(1_380, 60), true), (window(60, 180), false)] {
        let broker = Broker::start_with(&config(&settings));
        run(LocalSet::new().run_until(async {
            let uri = broker.uri(Transport::Tcp);
            let _orders = orders(uri).await;
            ready(&broker).await;
            let shop = caller(uri, "shop", &[]).await;
            let till = caller(uri, "till", &[]).await;
            for _ in 0..20 {
                let call = shop.request_response(request(ROUTE)).await;
                assert_eq!(call.is_err(), broken, "{call:?}");
                assert!(till.request_response(request(ROUTE)).await.is_ok());
            }
        }));
    }
}

#[test]
fn operators_stop_it_at_once() {
    let on = config(&fault(100, "error = \"broken on purpose\""));
    let off = format!("{on}\n[plugins]\nchaos = false\n");
    let broker = Broker::start_with(&on);
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _orders = orders(uri).await;
        ready(&broker).await;
        let shop = caller(uri, "shop", &[]).await;
        let fails = async || shop.request_response(request(ROUTE)).await.is_err();
        let becomes = async |broken: bool| {
            let end = Instant::now() + Duration::from_secs(30);
            while fails().await != broken {
                assert!(Instant::now() < end, "it never became {broken}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(fails().await);
        for (text, broken) in [(&off, false), (&on, true)] {
            fs::write(broker.folder().join("jackfield.toml"), text).expect("a file");
            reload(&broker);
            becomes(broken).await;
        }
        admin(&broker, "POST", "/api/v1/plugins/chaos/disable", "");
        becomes(false).await;
        admin(&broker, "POST", "/api/v1/plugins/chaos/reset", "");
        becomes(true).await;
    }));
}
