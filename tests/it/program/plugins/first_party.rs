//! The plugins that are in the binary, each doing what its page says.

use std::collections::BTreeMap;

use tokio::task::LocalSet;

use super::{app, caller, calls, is_fair, is_in_state, text};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::{
        admin::{admin, until},
        caller::{request, wait_for},
        run,
    },
};

const ROUTE: &str = "shop.Orders.list";

#[test]
fn a_canary_gets_its_share() {
    let config = "[[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n\
                  [plugin.settings]\npercent = 30\nversion = \"2\"\n";
    let broker = Broker::start_with(&format!("{CONFIG}{config}"));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _one = app(uri, "one", "shop.Orders", &[]).await;
        let _two = app(uri, "two", "shop.Orders:2", &[]).await;
        let shop = caller(uri, "shop", &[]).await;
        wait_for(&shop, "shop.Orders:2").await;
        wait_for(&shop, ROUTE).await;
        let (mut two, times) = (0.0, 2_000);
        for _ in 0..times {
            let reply = shop
                .request_response(request(ROUTE))
                .await
                .expect("a reply");
            two += f64::from(u8::from(text(&reply) == "two"));
        }
        assert!(is_fair(two, f64::from(times), 0.3), "{two} of {times}");
        // The split is remembered: the plugin was asked once for each route of the connection.
        assert!(calls(&broker, "canary", "split") <= 3.0);
    }));
}

#[test]
fn endpoint_tags_keep_calls_near() {
    let config = "[[plugin]]\nname = \"near\"\nfile = \"builtin:endpoint-tags\"\n\
                  [plugin.settings]\nprefer = \"zone:@zone and not old:1\"\notherwise = \"refuse\"\n";
    let broker = Broker::start_with(&format!("{CONFIG}{config}"));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let mut apps = Vec::new();
        for (name, tags) in [
            ("eu-1", &[("zone", "eu")][..]),
            ("eu-2", &[("zone", "eu")][..]),
            ("eu-old", &[("zone", "eu"), ("old", "1")][..]),
            ("us-1", &[("zone", "us")][..]),
        ] {
            apps.push(app(uri, name, "shop.Orders", tags).await);
        }
        until("everybody is registered", || {
            let services = admin(&broker, "GET", "/api/v1/services", "");
            services["services"][0]["instances"]
                .as_array()
                .is_some_and(|it| it.len() == 4)
        })
        .await;
        for (zone, expected) in [("eu", &["eu-1", "eu-2"][..]), ("us", &["us-1"][..])] {
            let shop = caller(uri, "shop", &[("zone", zone)]).await;
            wait_for(&shop, ROUTE).await;
            let mut answers = BTreeMap::<String, u32>::new();
            for _ in 0..200 {
                let reply = shop
                    .request_response(request(ROUTE))
                    .await
                    .expect("a reply");
                *answers.entry(text(&reply)).or_default() += 1;
            }
            assert_eq!(answers.keys().collect::<Vec<_>>(), expected);
        }
        let stranger = caller(uri, "shop", &[("zone", "mars")]).await;
        let refused = stranger.request_response(request(ROUTE)).await;
        let refused = refused.expect_err("nobody is near").to_string();
        assert!(refused.contains("RST-900405"), "{refused}");
    }));
}

/// However many threads there are, they count together.
#[test]
fn a_rate_limit_is_exact_across_threads_and_connections() {
    let config = "[[plugin]]\nname = \"limit\"\nfile = \"builtin:rate-limit\"\n\
                  allow = [\"kv\", \"metrics\"]\nmatch = \"shop.Orders\"\n\
                  [plugin.settings]\ncalls = 50\nper = 600.0\nby = \"app\"\n";
    let broker = Broker::start_with(&format!(
        "{}{config}",
        CONFIG.replace("threads = 1", "threads = 2")
    ));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _orders = app(uri, "orders", "shop.Orders", &[]).await;
        let _stock = app(uri, "stock", "shop.Stock", &[]).await;
        let first = caller(uri, "probe", &[]).await;
        wait_for(&first, ROUTE).await;
        wait_for(&first, "shop.Stock.count").await;
        for name in ["shop", "till"] {
            let mut calling = Vec::new();
            for _ in 0..4 {
                let one = caller(uri, name, &[]).await;
                calling.push(tokio::task::spawn_local(async move {
                    let (mut good, mut refused) = (0, 0);
                    for _ in 0..30 {
                        match one.request_response(request(ROUTE)).await {
                            Ok(_) => good += 1,
                            Err(_) => refused += 1,
                        }
                        // What the plugin is not for is not counted.
                        let other = one.request_response(request("shop.Stock.count")).await;
                        assert!(other.is_ok(), "{other:?}");
                    }
                    (good, refused)
                }));
            }
            let (mut good, mut refused) = (0, 0);
            for call in calling {
                let (more, less) = call.await.expect("it ends well");
                (good, refused) = (good + more, refused + less);
            }
            assert_eq!((good, refused), (50, 70), "of {name}");
        }
    }));
}

#[test]
fn an_audit_writes_down_who_comes_goes_and_acts() {
    let config = "[[plugin]]\nname = \"audit\"\nfile = \"builtin:audit\"\n\
                  allow = [\"log\", \"metrics\"]\n\
                  [[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n\
                  [plugin.settings]\npercent = 0\nversion = \"2\"\n";
    let mut broker = Broker::start_with(&format!("{CONFIG}{config}"));
    let says = |broker: &Broker, words: &[&str]| {
        let log = broker.log();
        log.lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp).to_owned();
        let orders = app(&uri, "orders", "shop.Orders", &[]).await;
        let told = async |words: &[&str]| {
            until(&format!("{words:?}"), || says(&broker, words)).await;
        };
        told(&["app orders", "connected from 127.0.0.1 by tcp"]).await;
        told(&["publishes shop.Orders"]).await;
        orders.close();
        told(&["publishes shop.Orders no longer"]).await;
        told(&["app orders", "is gone"]).await;
        admin(&broker, "POST", "/api/v1/plugins/canary/disable", "");
        told(&["plugin canary was disabled"]).await;
        told(&["admin did plugin disable canary"]).await;
        assert!(is_in_state(&broker, "audit", "live"));
    }));
    broker.signal("TERM");
    let code = broker.exit_code(std::time::Duration::from_secs(20));
    assert_eq!(code, Some(0));
    assert!(says(&broker, &["drain began"]), "{}", broker.log());
}
