//! A component of the day the contract was frozen routes in the broker of today.

use tokio::task::LocalSet;

use super::{
    caller::{request, requester, responder, wait_for},
    run,
};
use crate::broker::{Broker, CONFIG, Transport};

const CANARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../broker/plugin-host/tests/frozen/0.1.0/canary.wasm"
);

#[test]
fn the_canary_of_the_frozen_contract_routes() {
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[[plugin]]\nname = \"canary\"\nfile = {CANARY:?}\n\
         sha256 = \"3530a73f538cda75fbf6a8e44548eac51f8a48c1918f7aadf63dcbb4205fe008\"\n\
         [plugin.settings]\npercent = 100\nversion = \"2\"\n"
    ));
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _new = responder(uri, "shop.Orders:2", "new").await;
        let _old = responder(uri, "shop.Orders", "old").await;
        let caller = requester(uri).await;
        wait_for(&caller, "shop.Orders.list").await;
        let reply = caller.request_response(request("shop.Orders.list")).await;
        assert_eq!(&reply.expect("an answer").data[..], b"new");
    }));
}
