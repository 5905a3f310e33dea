//! The way from a histogram to a trace: calls whose metadata says that they are sampled.

use std::time::Duration;

use jackfield_rsocket::{
    endpoint::{Credit, Message},
    metadata::{CompositeBuilder, Mime},
};

use super::{Prometheus, body, tool, until_within};
use crate::{
    broker::{Broker, Transport},
    program::{
        admin::{exchange, metrics},
        caller::{requester, responder, wait_for},
        run,
    },
};

const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
/// Of 128 bits, and of 64.
const TRACES: [&str; 2] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];

/// A request that Zipkin's clients would send.
fn traced(route: &str, flags: u8, trace: &str) -> Message {
    let id = u128::from_str_radix(trace, 16).expect("digits");
    let id = &id.to_be_bytes()[16 - trace.len() / 2..];
    let entry = [&[flags][..], id, &7_u64.to_be_bytes()].concat();
    let metadata = CompositeBuilder::new()
        .route(route)
        .push(Mime::TRACING_ZIPKIN, &entry);
    Message::new("?").with_metadata(metadata.finish().expect("entries"))
}

fn open_page(broker: &Broker) -> String {
    let address = broker.http();
    exchange(
        address,
        &format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nAccept: {ACCEPT}\r\n\r\n"),
    )
}

#[test]
fn a_histogram_leads_to_the_trace_of_a_call() {
    let program = tool("exemplars", "prometheus");
    let broker = Broker::start();
    run(async {
        let uri = broker.uri(Transport::Tcp);
        let _app = responder(uri, "shop.Orders", "answer").await;
        let caller = requester(uri).await;
        wait_for(&caller, "shop.Orders.list").await;
        assert!(!open_page(&broker).contains("trace_id"));

        let [wide, narrow] = TRACES;
        // Not sampled: it says whose trace it is, and nobody keeps that.
        let unkept = traced("shop.Orders.list", 0x98, wide);
        caller.request_response(unkept).await.expect("an answer");
        assert!(!open_page(&broker).contains("trace_id"));
        let single = traced("shop.Orders.list", 0xA8, wide);
        caller.request_response(single).await.expect("an answer");
        let narrow_call = traced("shop.Orders.list", 0xA0, narrow);
        let stream = caller.request_stream(narrow_call, Credit::default());
        drop(stream.await.expect("it is sent"));

        let open = open_page(&broker);
        let head = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(open.contains(head), "{open}");
        assert!(open.ends_with("\n# EOF\n"), "{open}");
        let bucket = "jackfield_request_duration_seconds_bucket{";
        let lines = open.lines().filter(|line| line.starts_with(bucket));
        let told: Vec<&str> = lines
            .filter_map(|line| line.split(" # {trace_id=\"").nth(1))
            .collect();
        assert!(told.len() == 1 && told[0].starts_with(wide), "{told:?}");
        // Text has no place for it, and the same series.
        let text = metrics(&broker);
        assert!(text.contains("text/plain; version=0.0.4"), "{text}");
        let series = |page: &str| -> Vec<String> {
            let lines = body(page).lines().filter(|line| !line.starts_with('#'));
            let name = |line: &str| line.split("} ").next().unwrap_or_default().to_owned();
            lines
                .filter(|line| line.starts_with("jackfield_") && line.contains('}'))
                .map(name)
                .collect()
        };
        assert!(!series(&text).is_empty());
        assert_eq!(series(&text), series(&open));
        assert!(!text.contains("trace_id"), "{text}");

        let Some(program) = program else {
            return;
        };
        let prometheus = Prometheus::start(program, &broker);
        prometheus.until("up{job=\"jackfield\"}", Some(1.0)).await;
        let kept = || {
            let found = prometheus.exemplars("jackfield_request_duration_seconds_bucket");
            let kept = &found[0]["exemplars"][0];
            kept["labels"]["trace_id"] == wide && found[0]["seriesLabels"]["job"] == "jackfield"
        };
        let soon = until_within(Duration::from_secs(60), kept).await;
        let found = prometheus.exemplars("jackfield_request_duration_seconds_bucket");
        assert!(soon.is_ok(), "{found}");
    });
}
