//! Versions of a plugin brought in beside the live one, promoted and rolled back under load: no call fails, none sees a
//! mixture, and memory is back where it was.

use std::time::Duration;

use tokio::task::LocalSet;

use super::{Guest, is_full, write};
use crate::{
    broker::{Broker, CONFIG, Transport},
    program::{
        admin::{act, until},
        caller::{Load, requester, responder, wait_for},
        run,
    },
};

/// Each brings a version in, promotes it, and goes back.
const ROUNDS: u32 = 17;
const ROUNDS_FULL: u32 = 167;
/// What allocators and a test's noise keep of a short run.
const GROWTH_MAX: u64 = 12 << 20;

/// Rewrites group and version to this name.
fn rewrites(name: &str) -> Guest {
    let mut words = vec![0; 18];
    for option in [0, 9] {
        words[option..option + 3].copy_from_slice(&[1, 4096, name.len() as u32]);
    }
    Guest::new()
        .data(4096, name.as_bytes())
        .always(1, &words, true)
}

#[test]
fn promotions_and_rollbacks_under_load_fail_and_mix_nothing() {
    let config = format!("{CONFIG}[[plugin]]\nname = \"moves\"\nfile = \"a.wasm\"\n");
    let broker = Broker::start_in(
        |folder| {
            write(folder, "a.wasm", &rewrites("a"));
            write(folder, "b.wasm", &rewrites("b"));
        },
        &config,
    );
    let rounds = if is_full() { ROUNDS_FULL } else { ROUNDS };
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let mut apps = Vec::new();
        for (service, answer) in [
            ("a!shop.Orders:a", "a"),
            ("b!shop.Orders:b", "b"),
            ("a!shop.Orders:b", "mixture"),
            ("b!shop.Orders:a", "mixture"),
            ("shop.Orders", "none"),
        ] {
            apps.push(responder(uri, service, answer).await);
        }
        let caller = requester(uri).await;
        wait_for(&caller, "shop.Orders.list").await;
        until("everybody is registered", || {
            let services = crate::program::admin::admin(&broker, "GET", "/api/v1/services", "");
            services["services"]
                .as_array()
                .is_some_and(|services| services.len() == 5)
        })
        .await;
        let does = async |deed: &str, body: &str| {
            act(&broker, &format!("/api/v1/plugins/moves/{deed}"), body).await;
        };
        let mut load = Load::start(&caller, "shop.Orders.list", 16);
        let round = async |load: &Load| {
            does("load", r#"{"file":"b.wasm","percent":50}"#).await;
            does("promote", "").await;
            let seen = load.count("b");
            until("calls follow the promotion", || load.count("b") > seen).await;
            does("rollback", "").await;
            let seen = load.count("a");
            until("calls follow the rollback", || load.count("a") > seen).await;
        };
        // What is kept for good is there before memory is looked at.
        for _ in 0..3 {
            round(&load).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let memory = broker.memory_now();
        for _ in 0..rounds {
            round(&load).await;
        }
        load.stop().await;
        assert_eq!(load.errors(), Vec::<String>::new());
        assert_eq!((load.count("mixture"), load.count("none")), (0, 0));
        let grown = broker.memory_now().saturating_sub(memory);
        let operations = rounds * 3;
        println!(
            "{operations} operations, {} calls, memory {memory} bytes, grew by {grown}",
            load.total()
        );
        let most = if is_full() { memory / 20 } else { GROWTH_MAX };
        assert!(grown < most, "memory grew by {grown} bytes");
    }));
}
