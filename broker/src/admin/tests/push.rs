//! Events that operators send to applications.

use super::*;

const PATH: &str = "POST /api/v1/apps/events";

#[test]
fn an_event_goes_to_whom_it_is_for() {
    let world = World::start();
    for (to, audience) in [
        (r#""all""#, Audience::All),
        (r#"{"app":"orders"}"#, Audience::App("orders".into())),
        (r#"{"uuid":"u-1"}"#, Audience::Uuid("u-1".into())),
    ] {
        let body = format!(r#"{{"to":{to},"event":{{"type":"a.B","data":{{"x":1}}}}}}"#);
        let reply = world.operator(PATH, &body);
        let expected = json!({ "told": 1, "deaf": 2, "missed": 3 });
        assert_eq!((reply.status, reply.json()), (200, expected), "{to}");
        let (who, whom, event) = world.pushed.lock().unwrap().pop().unwrap();
        assert_eq!((who.as_str(), whom), ("admin", audience));
        let mut event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(event["id"].take().as_str().unwrap().len(), 36);
        let expected = json!({
            "specversion": "1.0", "id": null, "source": "broker://jackfield", "type": "a.B",
            "datacontenttype": "application/json", "data": { "x": 1 },
        });
        assert_eq!(event, expected);
    }
}

/// What an operator writes himself stays, extensions too.
#[test]
fn an_event_is_as_it_was_written() {
    let world = World::start();
    let event = json!({
        "specversion": "1.0", "id": "7", "source": "ops://desk", "type": "a.B", "subject": "s",
        "datacontenttype": "text/plain", "data": "hello", "time": "2026-01-01T00:00:00Z", "replyto": "x",
    });
    let body = json!({ "to": "all", "event": event }).to_string();
    assert_eq!(world.operator(PATH, &body).status, 200);
    let (_, _, sent) = world.pushed.lock().unwrap().pop().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sent).unwrap(), event);
}

/// It may be configuration, with passwords in it.
#[test]
fn what_an_event_carries_is_not_written_down() {
    let world = World::start();
    let body = r#"{"to":"all","event":{"type":"a.B","data":"password = x"}}"#;
    assert_eq!(world.operator(PATH, body).status, 200);
    let lines = world.audited();
    let what = lines[0]["what"].as_str().unwrap();
    assert!(what.contains("a.B") && !what.contains("password"), "{what}");
}

#[test]
fn what_is_no_event_and_who_is_not_there_are_refused() {
    let world = World::start();
    let own = "com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent";
    for (body, status) in [
        (String::new(), 400),
        (r#"{"to":"all"}"#.into(), 400),
        (r#"{"event":{"type":"a.B"}}"#.into(), 400),
        (r#"{"to":"some","event":{"type":"a.B"}}"#.into(), 400),
        (r#"{"to":{},"event":{"type":"a.B"}}"#.into(), 400),
        (r#"{"to":{"app":""},"event":{"type":"a.B"}}"#.into(), 400),
        (
            format!(
                r#"{{"to":{{"app":"{}"}},"event":{{"type":"a.B"}}}}"#,
                "x".repeat(257)
            ),
            400,
        ),
        (
            r#"{"to":{"app":"a","uuid":"b"},"event":{"type":"a.B"}}"#.into(),
            400,
        ),
        (r#"{"to":"all","event":{}}"#.into(), 400),
        (r#"{"to":"all","event":{"type":""}}"#.into(), 400),
        (r#"{"to":"all","event":{"type":"a.B","id":1}}"#.into(), 400),
        (r#"{"to":"all","event":{"type":"a.B"},"x":1}"#.into(), 400),
        (format!(r#"{{"to":"all","event":{{"type":"{own}"}}}}"#), 400),
        (
            r#"{"to":{"app":"nobody"},"event":{"type":"a.B"}}"#.into(),
            404,
        ),
    ] {
        let reply = world.operator(PATH, &body);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
    }
    assert!(world.pushed.lock().unwrap().is_empty());
}
