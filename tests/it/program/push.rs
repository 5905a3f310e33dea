//! Events that an operator sends to applications, through the real binary.

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Requester, Responder, connect},
    metadata::{AppMetadata, CloudEvent},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::admin::{act, admin, until};
use crate::broker::{Broker, Transport};

/// An application, and what it hears. Without the library's name it is not known to bear a push.
async fn app(
    broker: &Broker,
    uuid: &str,
    sdk: Option<&str>,
) -> (Requester, mpsc::Receiver<String>) {
    let mut app = AppMetadata::named("orders");
    app.uuid = Some(uuid.into());
    app.sdk = sdk.map(str::to_owned);
    let mut options = ConnectOptions::new();
    options.app = Some(app);
    let (tell, told) = mpsc::channel(8);
    let listens = Responder::new().metadata_push(move |metadata| {
        let text = String::from_utf8(metadata.to_vec()).expect("text");
        tell.try_send(text).expect("room");
    });
    let uri = broker.uri(Transport::Tcp).parse().expect("a uri");
    let connected = connect(&uri, options.serve(listens)).await;
    (connected.expect("the broker accepts"), told)
}

#[tokio::test]
async fn an_operator_tells_applications_that_bear_it() {
    let broker = Broker::start();
    let sdk = Some("Alibaba-RSocket-1.1.6/1.0.0");
    let (_one, mut one) = app(&broker, "u-1", sdk).await;
    let (_two, mut two) = app(&broker, "u-2", sdk).await;
    let (_deaf, mut deaf) = app(&broker, "u-3", None).await;
    until("three applications", || {
        admin(&broker, "GET", "/api/v1/apps", "")["apps"]
            .as_array()
            .map(Vec::len)
            == Some(3)
    })
    .await;
    let path = "/api/v1/apps/events";
    let letter = |to: Value, n: u32| {
        let event = json!({ "type": "shop.Told", "data": { "n": n } });
        json!({ "to": to, "event": event }).to_string()
    };
    let counts = |told: u32, deaf: u32| json!({ "told": told, "deaf": deaf, "missed": 0 });
    let pushed = act(&broker, path, &letter(json!({ "uuid": "u-1" }), 1)).await;
    assert_eq!(pushed, counts(1, 0));
    let pushed = act(&broker, path, &letter(json!({ "app": "orders" }), 2)).await;
    assert_eq!(pushed, counts(2, 1));
    let pushed = act(&broker, path, &letter(json!("all"), 3)).await;
    assert_eq!(pushed, counts(2, 1));
    for (heard, expected) in [(&mut one, vec![1, 2, 3]), (&mut two, vec![2, 3])] {
        for n in expected {
            let event = CloudEvent::decode(heard.recv().await.expect("an event").as_bytes());
            let event = event.expect("it is one");
            assert_eq!(
                (event.kind.as_str(), &event.data),
                ("shop.Told", &json!({ "n": n }))
            );
            assert_eq!(event.source, "broker://jackfield");
        }
    }
    assert!(deaf.try_recv().is_err());
    let happened = admin(&broker, "GET", "/api/v1/events", "").to_string();
    assert!(happened.contains(r#""subject":"app orders""#), "{happened}");
}
