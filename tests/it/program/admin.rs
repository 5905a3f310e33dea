//! The admin API, spoken by hand: one request, one connection.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::broker::Broker;

/// A GET or POST with the broker's token. Panics unless it is answered with 2xx.
pub(crate) fn admin(broker: &Broker, method: &str, path: &str, body: &str) -> Value {
    let answer = exchange(broker.admin(), &ask(broker, method, path, body));
    good(&format!("{method} {path}"), &answer)
}

/// A POST while the test's clients go on.
pub(super) async fn act(broker: &Broker, path: &str, body: &str) -> Value {
    let (address, request) = (broker.admin().to_owned(), ask(broker, "POST", path, body));
    let answer = tokio::task::spawn_blocking(move || exchange(&address, &request)).await;
    good(path, &answer.expect("it ends well"))
}

fn ask(broker: &Broker, method: &str, path: &str, body: &str) -> String {
    let token = fs::read_to_string(broker.folder().join("data/admin.token")).expect("a token");
    let address = broker.admin();
    let (token, len) = (token.trim(), body.len());
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn good(what: &str, answer: &str) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    serde_json::from_str(body).unwrap_or(Value::Null)
}

/// Sends a request as it is and reads to the end.
pub(crate) fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the face accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a limit");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// The generation of the plugin chain.
pub(super) fn generation(broker: &Broker) -> u64 {
    let metrics = metrics(broker);
    let line = metrics
        .lines()
        .find(|line| line.starts_with("jackfield_plugin_generation"));
    let value = line.and_then(|line| line.split_whitespace().last()?.parse::<f64>().ok());
    value.unwrap_or(0.0) as u64
}

pub(crate) fn metrics(broker: &Broker) -> String {
    let address = broker.http();
    exchange(
        address,
        &format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
}

/// Asks the broker to read its configuration again, as an operator would.
pub(super) fn reload(broker: &Broker) {
    signal(broker, "-HUP");
}

pub(super) fn signal(broker: &Broker, name: &str) {
    let sent = Command::new("kill")
        .args([name, &broker.pid().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Looks until it is so. Nothing of the broker says "now" to a test, so it is asked.
pub(super) async fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
