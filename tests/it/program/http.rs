//! Calls over HTTP and the admin API's roles, through the real binary.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::admin::{exchange, until};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    process::Process,
};

const MORE: &str = "\n[[admin.token]]\nname = \"grafana\"\nroles = [\"read\"]\n";

pub(super) fn send(address: &str, line: &str, headers: &str, body: &str) -> (u16, Value) {
    let len = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {len}\r\n\r\n{body}"
    );
    let answer = exchange(address, &request);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let body = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    (status.expect("a status"), body)
}

#[tokio::test]
async fn a_service_is_called_over_http() {
    let broker = Broker::start_with(&format!("{CONFIG}{MORE}"));
    let mut command = Command::new(binary());
    let uri = broker.uri(Transport::Tcp);
    command.args(["respond", "com.example.Echo", "--broker", uri]);
    let responder = Process::start("respond", command, broker.folder());
    responder.expect("it is ready", |line| {
        line.starts_with("ready").then_some(())
    });
    // It has said who it is, and is not answered to that.
    let known = || send(broker.http(), "GET /service/com.example.Echo", "", "").1;
    until("the service is known", || {
        known() == json!([{ "count": 1 }])
    })
    .await;
    let call = "POST /api/com.example.Echo/say";
    let called = send(broker.http(), call, "", "[\"Ada\"]");
    assert_eq!(called, (200, json!(["Ada"])));
    let (status, fault) = send(broker.http(), "POST /api/com.example.Nobody/say", "", "");
    assert_eq!((status, &fault["code"]), (404, &json!("RST-900404")));
    let (status, _) = send(broker.http(), call, "Origin: http://evil.example\r\n", "");
    assert_eq!(status, 403);
}

#[test]
fn a_token_is_good_for_its_roles_and_deeds_are_written_down() {
    let broker = Broker::start_with(&format!("{CONFIG}{MORE}"));
    let token = |name: &str| {
        let file = broker.folder().join(format!("data/{name}.token"));
        let token = fs::read_to_string(file).expect("it was made at the start");
        format!("Authorization: Bearer {}\r\n", token.trim())
    };
    let (admin, grafana) = (token("admin"), token("grafana"));
    let (status, _) = send(broker.admin(), "GET /api/v1/apps", &grafana, "");
    assert_eq!(status, 200);
    let level = "{\"level\":\"debug\"}";
    let (status, refusal) = send(broker.admin(), "POST /api/v1/log", &grafana, level);
    assert_eq!(status, 403);
    let error = refusal["error"].as_str().expect("words");
    assert!(
        error.contains("does not have the role `operate`"),
        "{error}"
    );
    let (status, _) = send(broker.admin(), "POST /api/v1/log", &admin, level);
    assert_eq!(status, 200);
    let written = fs::read_to_string(broker.folder().join("data/audit.log")).expect("a file");
    let outcomes: Vec<(String, String)> = written
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let text = |key: &str| line[key].as_str().expect("text").to_owned();
            (text("who"), text("outcome"))
        })
        .collect();
    let expected = [("grafana", "refused"), ("admin", "done")];
    assert_eq!(
        outcomes,
        expected.map(|(who, what)| (who.to_owned(), what.to_owned()))
    );
}
