//! kill -9 of a responder under load: what was in flight on it ends at once with an error, and with a
//! second responder new calls never notice.

use std::{process::Command, time::Duration};

use tokio::task::LocalSet;

use super::{
    admin::{admin, until},
    caller::{Load, requester, wait_for},
    run,
};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    process::Process,
};

fn respond(broker: &Broker, prefix: &str) -> Process {
    let mut command = Command::new(binary());
    let uri = broker.uri(Transport::Tcp);
    command.args([
        "respond",
        "shop.Stock",
        "--name",
        prefix,
        "--prefix",
        prefix,
        "--broker",
        uri,
    ]);
    let process = Process::start(prefix, command, broker.folder());
    process.expect("ready line", |line| line.starts_with("ready").then_some(()));
    process
}

#[test]
fn a_killed_responder_costs_its_calls_in_flight_and_no_other() {
    let broker = Broker::start_with(CONFIG);
    run(LocalSet::new().run_until(async {
        let (first, second) = (respond(&broker, "first"), respond(&broker, "second"));
        until("both are registered", || {
            let services = admin(&broker, "GET", "/api/v1/services", "").to_string();
            services.contains("shop.Stock")
                && admin(&broker, "GET", "/api/v1/apps", "")
                    .to_string()
                    .contains("second")
        })
        .await;
        let caller = requester(broker.uri(Transport::Tcp)).await;
        wait_for(&caller, "shop.Stock.count").await;
        let mut load = Load::start(&caller, "shop.Stock.count", 32);
        until("both answer", || {
            load.count("first?") > 100 && load.count("second?") > 100
        })
        .await;

        let killed = Command::new("kill")
            .args(["-9", &first.id().to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
        let seen = load.count("second?");
        until("the other goes on", || load.count("second?") > seen + 1000).await;
        let after_loss = load.errors().len();
        let seen = load.count("second?");
        until("nobody notices any more", || {
            load.count("second?") > seen + 1000
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        load.stop().await;

        // At most what one connection had in flight, each with its own reason, and none later.
        let errors = load.errors();
        assert!(errors.len() <= 32, "{errors:?}");
        assert_eq!(
            errors.len(),
            after_loss,
            "calls failed after the loss: {errors:?}"
        );
        for error in &errors {
            assert!(error.contains("RST-910499"), "{error}");
        }
        drop(second);
    }));
}
