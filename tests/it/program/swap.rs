//! A chain of two plugins is swapped a hundred times under load: no call fails, none sees a mixture
//! of two generations, and memory is back where it was.

use std::{fs, time::Duration};

use tokio::task::LocalSet;

use super::{
    admin::{generation, reload, until},
    caller::{Load, requester, responder, wait_for},
    plugins::is_full,
    run,
};
use crate::broker::{Broker, CONFIG, Transport};

const SWAPS: u64 = 100;
/// In the long form of these tests.
const SWAPS_FULL: u64 = 500;
/// Beyond it memory has not come back: what allocators and a test's noise keep.
const GROWTH_MAX: u64 = 12 << 20;

/// One plugin sends every call to a group, the other to a version; both are swapped together.
fn config(name: &str) -> String {
    format!(
        "{CONFIG}\n\
         [[plugin]]\nname = \"group\"\nfile = \"builtin:canary\"\norder = 1\n\
         [plugin.settings]\npercent = 100\ngroup = \"{name}\"\n\
         [[plugin]]\nname = \"version\"\nfile = \"builtin:canary\"\norder = 2\n\
         [plugin.settings]\npercent = 100\nversion = \"{name}\"\n"
    )
}

#[test]
fn a_hundred_swaps_under_load_fail_and_mix_nothing() {
    let broker = Broker::start_with(&config("a"));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let mut apps = Vec::new();
        for (service, answer) in [
            ("a!shop.Orders:a", "a"),
            ("b!shop.Orders:b", "b"),
            ("a!shop.Orders:b", "mixture"),
            ("b!shop.Orders:a", "mixture"),
            ("a!shop.Orders", "half"),
            ("b!shop.Orders", "half"),
            ("shop.Orders:a", "half"),
            ("shop.Orders:b", "half"),
            ("shop.Orders", "none"),
        ] {
            apps.push(responder(uri, service, answer).await);
        }
        let caller = requester(uri).await;
        wait_for(&caller, "shop.Orders.list").await;
        until("everybody is registered", || {
            let apps = super::admin::admin(&broker, "GET", "/api/v1/apps", "");
            apps.to_string().matches("uuid").count() >= 10
        })
        .await;
        let swap = async |name: &str| {
            let before = generation(&broker);
            // In one step, as a deployment tool does it.
            let new = broker.folder().join("jackfield.toml.new");
            fs::write(&new, config(name)).expect("a file");
            fs::rename(new, broker.folder().join("jackfield.toml")).expect("a folder");
            reload(&broker);
            until("the chain is swapped", || generation(&broker) > before).await;
        };
        // Both versions once, so that what is kept for good is there before memory is looked at.
        swap("b").await;
        swap("a").await;

        let mut load = Load::start(&caller, "shop.Orders.list", 16);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let memory = broker.memory_now();
        let swaps = if is_full() { SWAPS_FULL } else { SWAPS };
        for at in 0..swaps {
            let name = if at % 2 == 0 { "b" } else { "a" };
            swap(name).await;
            let seen = load.count(name);
            until("calls follow", || load.count(name) > seen).await;
        }
        let total = load.total();
        load.stop().await;
        assert_eq!(load.errors(), Vec::<String>::new());
        assert_eq!(
            (
                load.count("mixture"),
                load.count("half"),
                load.count("none")
            ),
            (0, 0, 0)
        );
        assert!(
            load.count("a") > 100 && load.count("b") > 100,
            "{total} calls"
        );
        let grown = broker.memory_now().saturating_sub(memory);
        println!("{swaps} swaps, {total} calls, memory grew by {grown} bytes");
        let most = if is_full() { memory / 20 } else { GROWTH_MAX };
        assert!(grown < most, "memory grew by {grown} bytes");
    }));
}
