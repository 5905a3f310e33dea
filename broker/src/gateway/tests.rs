//! Calls over HTTP through a real relay, with applications of our own at the far ends.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::Request,
    response::Response,
};
use futures_util::{StreamExt, stream};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jackfield_rsocket::{
    endpoint::{ConnectOptions, Failure, Message, Requester, Responder},
    metadata::{AcceptMimeTypes, AppMetadata, Composite, CompositeBuilder, Mime, encode_mime_type},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::{
    identity::{self, realm::Realm},
    relay::rooms::Rooms,
};

struct World {
    rooms: Rooms,
    gateway: Gateway,
}

/// What an HTTP client sees.
#[derive(Debug)]
struct Seen {
    status: u16,
    response: Response<()>,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {}, identity::Config::default())
    }

    fn with(change: impl FnOnce(&mut Config), auth: identity::Config) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let rooms = Rooms::new(auth);
        let parts = Parts {
            relay: rooms.relay.clone(),
            identity: rooms.identity.clone(),
            directory: rooms.directory.clone(),
            brokers: Box::new(|| vec!["tcp://broker-1.example:9999".into()]),
            registry: &rooms.registry,
        };
        let gateway = Gateway::new(config, parts).unwrap();
        Self { rooms, gateway }
    }

    /// An application that serves `shop.Orders`.
    async fn serve(&self, responder: Responder) -> Requester {
        self.join(ConnectOptions::app("shop"), responder).await
    }

    async fn join(&self, options: ConnectOptions, responder: Responder) -> Requester {
        let options = options.publish("shop.Orders").unwrap().serve(responder);
        let listening = self.rooms.listen().await;
        self.rooms.join(listening.uri(), options).await
    }

    async fn ask(&self, request: Request<Body>) -> Response {
        let service = TowerToHyperService::new(self.gateway.routes());
        service.call(request).await.unwrap()
    }

    async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Seen {
        let response = self.ask(request(line, headers, body)).await;
        let (head, body) = response.into_parts();
        Seen {
            status: head.status.as_u16(),
            response: Response::from_parts(head, ()),
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    fn counted(&self, status: &str) -> f64 {
        let families = self.rooms.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "jackfield_http_calls_total")
            .unwrap();
        let is = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == status;
        let metric = family.get_metric().iter().find(is);
        metric.map_or(0.0, |metric| metric.get_counter().get_value())
    }
}

fn request(line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let remote: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    request
        .extension(ConnectInfo(remote))
        .body(body.into())
        .unwrap()
}

const FIND: &str = "POST /api/shop.Orders/find";

/// Says what it was asked.
fn echo() -> Responder {
    Responder::new().response(async |request: Message| {
        let metadata = request.metadata.clone().unwrap_or_default();
        let entry = |mime| {
            let entry = Composite::new(&metadata).find_mime(mime).unwrap();
            entry.map(|entry| entry.content.to_vec())
        };
        let accept = entry(Mime::ACCEPT_MIME_TYPES).unwrap();
        let accept: Vec<String> = AcceptMimeTypes::new(&accept)
            .map(|mime| mime.unwrap().name().unwrap().to_owned())
            .collect();
        let answer = json!({
            "route": request.route(), "accept": accept, "credentials": entry(Mime::AUTHENTICATION),
            "data": String::from_utf8(request.data.to_vec()).unwrap(),
        });
        Ok(Message::new(answer.to_string()))
    })
}

#[tokio::test]
async fn a_body_goes_there_and_the_answer_comes_back() {
    let world = World::new();
    let _app = world.serve(echo()).await;
    for line in [
        FIND,
        "PUT /api/shop.Orders/find",
        "GET /api/shop.Orders/find",
        "DELETE /api/shop.Orders/find",
    ] {
        let seen = world.send(line, &[], "[1]").await;
        assert_eq!(seen.status, 200, "{line}");
        let expected = json!({
            "route": "shop.Orders.find", "accept": ["application/json"], "data": "[1]",
            "credentials": null,
        });
        assert_eq!(seen.json(), expected);
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("cache-control"), "no-cache");
        assert_eq!(seen.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(world.counted("200"), 4.0);
    let seen = world.send("HEAD /api/shop.Orders/find", &[], "").await;
    assert_eq!(seen.status, 405, "to look is not to call");
}

#[tokio::test]
async fn the_answer_is_of_the_type_that_it_names() {
    let world = World::new();
    let named = Responder::new().response(async |_| {
        let metadata = CompositeBuilder::new()
            .try_push(Mime::MIME_TYPE, encode_mime_type(Mime::TEXT))
            .finish();
        Ok(Message::new("hello").with_metadata(metadata.unwrap()))
    });
    let _app = world.serve(named).await;
    let seen = world
        .send(FIND, &[("accept", "application/cbor")], "")
        .await;
    assert_eq!(
        (seen.header("content-type"), seen.text()),
        ("text/plain", "hello")
    );
}

#[tokio::test]
async fn a_failure_has_its_status_and_says_where_to_look() {
    let world = World::with(
        |config| {
            config.message = 1 << 10;
            config.timeout = Duration::from_millis(200);
        },
        identity::Config::default(),
    );
    let _app = world
        .serve(Responder::new().response(async |request: Message| {
            match request.route().unwrap_or_default() {
                "shop.Orders.fail" => Err(Failure::application("out of stock")),
                "shop.Orders.busy" => Err(Failure::rejected("slow down")),
                "shop.Orders.none" => Err(Failure::invalid("RST-201404: no handler")),
                "shop.Orders.silent" => pending().await,
                _ => Ok(Message::new("x".repeat(2000))),
            }
        }))
        .await;
    let large = "x".repeat(2000);
    for (line, headers, body, status, code, rsocket) in [
        (
            "POST /api/shop.Nobody/find",
            &[][..],
            "",
            404,
            Some("RST-900404"),
            Some("INVALID (0x204)"),
        ),
        (
            FIND,
            &[("x-endpoint", "ip:1.1.1.1")],
            "",
            404,
            Some("RST-900405"),
            Some("INVALID (0x204)"),
        ),
        (
            "POST /api/shop.Orders/none",
            &[],
            "",
            404,
            Some("RST-201404"),
            Some("INVALID (0x204)"),
        ),
        (
            "POST /api/shop.Orders/fail",
            &[],
            "",
            500,
            None,
            Some("APPLICATION_ERROR (0x201)"),
        ),
        (
            "POST /api/shop.Orders/busy",
            &[],
            "",
            503,
            None,
            Some("REJECTED (0x202)"),
        ),
        (
            "POST /api/shop.Orders/silent",
            &[],
            "",
            504,
            Some("RST-910504"),
            None,
        ),
        (
            "POST /api/shop.Orders/large",
            &[],
            "",
            502,
            Some("RST-910413"),
            None,
        ),
        (FIND, &[], &large, 413, Some("RST-910413"), None),
        (
            FIND,
            &[("content-encoding", "gzip")],
            "",
            415,
            Some("RST-910415"),
            None,
        ),
        ("POST /api/a!b/find", &[], "", 400, Some("RST-910434"), None),
        (
            "POST /api/shop.Orders/a.b",
            &[],
            "",
            400,
            Some("RST-910434"),
            None,
        ),
    ] {
        let seen = world.send(line, headers, body.to_owned()).await;
        assert_eq!(seen.status, status, "{line}: {}", seen.text());
        assert_eq!(seen.json()["code"].as_str(), code, "{line}");
        assert_eq!(seen.json()["rsocket"].as_str(), rsocket, "{line}");
        assert!(!seen.json()["error"].as_str().unwrap().is_empty());
        assert_eq!(seen.header("retry-after").is_empty(), status != 503);
    }
}

#[tokio::test]
async fn who_goes_away_cancels_the_call() {
    let world = World::new();
    let (began, cancelled) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let told = (began.clone(), cancelled.clone());
    let waits = Responder::new().response(move |_| {
        let (began, cancelled) = told.clone();
        async move {
            let _tells = OnDrop(cancelled);
            began.notify_one();
            pending().await
        }
    });
    let _app = world.serve(waits).await;
    tokio::select! {
        seen = world.send(FIND, &[], "") => panic!("{seen:?}"),
        () = began.notified() => {}
    }
    cancelled.notified().await;
    assert_eq!(world.counted("499"), 1.0);
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_stream_is_events_or_lines() {
    let world = World::new();
    let items = Responder::new().stream(|request: Message| {
        let failing = request.route() == Some("shop.Orders.breaks");
        let end = failing.then(|| Err(Failure::rejected("RST-910429: no more")));
        stream::iter(["{\"a\":\n1}", "2"])
            .map(|item| Ok(Message::new(item)))
            .chain(stream::iter(end))
    });
    let _app = world.serve(items).await;
    let events = ("accept", "text/event-stream");
    let lines = ("accept", "application/x-ndjson");
    let seen = world.send(FIND, &[events], "").await;
    assert_eq!(seen.text(), "data: {\"a\":\ndata: 1}\n\ndata: 2\n\n");
    assert_eq!(seen.header("content-type"), "text/event-stream");
    let seen = world.send(FIND, &[lines], "").await;
    assert_eq!(seen.text(), "{\"a\": 1}\n2\n");
    assert_eq!(seen.header("content-type"), "application/x-ndjson");
    let breaks = "POST /api/shop.Orders/breaks";
    let seen = world.send(breaks, &[events], "").await;
    let (_, last) = seen.text().rsplit_once("event: error\ndata: ").unwrap();
    let error: Value = serde_json::from_str(last.trim()).unwrap();
    assert_eq!(error["code"], "RST-910429");
    assert_eq!(world.counted("503"), 1.0);
    let response = world.ask(request(breaks, &[lines], "")).await;
    let read = to_bytes(response.into_body(), usize::MAX).await;
    assert!(read.is_err(), "lines that break off do not look whole");
}

#[tokio::test]
async fn a_stream_that_fails_at_once_has_a_status() {
    let world = World::new();
    let none = Responder::new()
        .stream(|_| stream::once(async { Err::<Message, _>(Failure::rejected("not now")) }));
    let _app = world.serve(none).await;
    let seen = world
        .send(FIND, &[("accept", "text/event-stream")], "")
        .await;
    assert_eq!(
        (seen.status, seen.json()["error"].clone()),
        (503, json!("not now"))
    );
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_not_sent_more() {
    let world = World::new();
    let made = Arc::new(AtomicUsize::new(0));
    let gone = Arc::<Notify>::default();
    let (count, told) = (made.clone(), gone.clone());
    let endless = Responder::new().stream(move |_| {
        let (count, told) = (count.clone(), OnDrop(told.clone()));
        stream::repeat_with(move || {
            let _ = &told;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Message::new("x".repeat(1000)))
        })
    });
    let _app = world.serve(endless).await;
    let lines = request(FIND, &[("accept", "application/x-ndjson")], "");
    let response = world.ask(lines).await;
    let mut body = response.into_body().into_data_stream();
    for _ in 0..500 {
        assert_eq!(body.next().await.unwrap().unwrap().len(), 1001);
    }
    // What was made is what was read, what is on its way, and one that waits for credit.
    let most = 500 + 64 + 1;
    assert!(made.load(Ordering::Relaxed) <= most, "{made:?}");
    drop(body);
    gone.notified().await;
}

#[tokio::test]
async fn fire_and_forget_is_accepted_and_arrives() {
    let world = World::new();
    let (sender, mut told) = mpsc::channel(1);
    let takes = Responder::new().fire_and_forget(move |message: Message| {
        let sender = sender.clone();
        async move { sender.send(message.data).await.unwrap() }
    });
    let _app = world.serve(takes).await;
    let seen = world
        .send(FIND, &[("prefer", "respond-async")], "event")
        .await;
    assert_eq!((seen.status, seen.text()), (202, ""));
    assert_eq!(seen.header("preference-applied"), "respond-async");
    assert_eq!(told.recv().await.unwrap(), "event");
}

#[tokio::test]
async fn what_is_beyond_the_bounds_is_refused_and_leaves_room() {
    let world = World::with(
        |config| {
            config.concurrency = 1;
            config.memory = 1 << 10;
        },
        identity::Config::default(),
    );
    let began = Arc::<Notify>::default();
    let go = Arc::<Notify>::default();
    let told = (began.clone(), go.clone());
    let waits = Responder::new().response(move |_| {
        let (began, go) = told.clone();
        async move {
            began.notify_one();
            go.notified().await;
            Ok(Message::new("x".repeat(1000)))
        }
    });
    let _app = world.serve(waits).await;
    let first = world.send(FIND, &[], "");
    let others = async {
        began.notified().await;
        let seen = world.send(FIND, &[], "").await;
        assert_eq!(seen.status, 503);
        assert_eq!(seen.json()["code"], "RST-910435");
        assert_eq!(seen.header("retry-after"), "1");
        go.notify_one();
    };
    let (first, ()) = tokio::join!(first, others);
    assert_eq!(first.status, 200);
    let seen = world.send(FIND, &[], "x".repeat(1025)).await;
    assert_eq!(
        (seen.status, seen.json()["code"].clone()),
        (503, json!("RST-910435"))
    );
    go.notify_one();
    let seen = world.send(FIND, &[], "x".repeat(1000)).await;
    assert_eq!(seen.status, 200, "what was held has been given back");
}

#[tokio::test]
async fn answers_take_of_the_same_memory_before_they_are_whole() {
    let world = World::with(
        |config| config.memory = 1 << 10,
        identity::Config::default(),
    );
    let answers = Responder::new().response(async |request: Message| {
        let size: usize = std::str::from_utf8(&request.data).unwrap().parse().unwrap();
        Ok(Message::new("x".repeat(size)))
    });
    let _app = world.serve(answers).await;
    for (size, status) in [("1000", 200), ("1025", 503), ("1024", 200)] {
        let seen = world.send(FIND, &[], size).await;
        assert_eq!(seen.status, status, "{size}");
    }
}

/// A broker that asks for tokens, and who makes them.
/// The rules as they hold for HTTP: who, and what comes of it.
#[tokio::test]
async fn rules_hold_for_calls_over_http() {
    let mut realm = Realm::new();
    let text = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    realm.config.rules = vec![
        identity::Rule {
            effect: identity::Effect::Deny,
            rights: vec![identity::Right::Call],
            services: Vec::new(),
            methods: vec![jackfield_rsocket::metadata::ServicePattern::new("delete*")],
            subjects: Vec::new(),
            roles: Vec::new(),
            authorities: Vec::new(),
        },
        identity::Rule {
            effect: identity::Effect::Deny,
            rights: vec![identity::Right::Observe],
            services: Vec::new(),
            methods: Vec::new(),
            subjects: Vec::new(),
            roles: text(&["blind"]),
            authorities: Vec::new(),
        },
    ];
    let world = World::with(|config| config.callers = 2, realm.config.clone());
    let options = ConnectOptions::app("shop").bearer(realm.in_roles("shop", "1", &[]));
    let responder = echo().stream(|_| stream::once(async { Ok(Message::new("1")) }));
    let _app = world.join(options, responder).await;
    let bearer = |token: String| format!("Bearer {token}");
    let kin = bearer(realm.in_roles("till", "1", &[]));
    let blind = bearer(realm.in_roles("blind", "1", &["blind"]));
    let stranger = bearer(realm.in_roles("stranger", "2", &[]));
    let forged = format!("{}x", &kin[..kin.len() - 4]);
    for (who, find, delete, streamed, services) in [
        ("", 401, 401, 401, None),
        ("Bearer x", 401, 401, 401, None),
        ("Basic eDp5", 401, 401, 401, None),
        (forged.as_str(), 401, 401, 401, None),
        (kin.as_str(), 200, 403, 200, Some(1)),
        (blind.as_str(), 200, 403, 200, Some(0)),
        (stranger.as_str(), 403, 403, 403, Some(1)),
    ] {
        let mut headers = vec![("authorization", who)];
        headers.retain(|(_, value)| !value.is_empty());
        let seen = world.send(FIND, &headers, "1").await;
        assert_eq!(seen.status, find, "{who} find {}", seen.text());
        if find == 200 {
            assert_eq!(
                seen.json()["credentials"],
                Value::Null,
                "a token stays here"
            );
        }
        let scheme = seen.header("www-authenticate").to_owned();
        assert_eq!(scheme.starts_with("Bearer"), find == 401);
        let seen = world
            .send("POST /api/shop.Orders/deleteAll", &headers, "")
            .await;
        assert_eq!(seen.status, delete, "{who} delete");
        let seen = world
            .send("GET /service/definition/shop.Orders", &headers, "")
            .await;
        // Who may not observe it is not told that it is there.
        let defined = if who == blind { 404 } else { find };
        assert_eq!(seen.status, defined, "{who} definition");
        let seen = world.send("GET /service/shop.Orders", &headers, "").await;
        let shown = seen.json().as_array().map(Vec::len);
        assert_eq!(shown, services, "{who} {}", seen.text());
        headers.push(("accept", "text/event-stream"));
        let seen = world.send(FIND, &headers, "").await;
        assert_eq!(seen.status, streamed, "{who} stream");
        assert!(world.gateway.callers() <= 2, "callers are bounded");
    }
}

#[tokio::test]
async fn every_refusal_of_credentials_reads_the_same() {
    let realm = Realm::new();
    let world = World::with(|_| {}, realm.config.clone());
    let mut bodies = Vec::new();
    let expired = realm.sign(&json!({ "iss": "RSocketBroker", "sub": "a", "exp": 1 }));
    for given in [
        "",
        "Bearer x",
        "Bearer a.b.c",
        &format!("Bearer {expired}"),
        "Basic !",
        "Basic eDp5",
        &format!("Bearer {}", "x".repeat(5000)),
    ] {
        let headers = [("authorization", given)];
        let headers = if given.is_empty() { &[][..] } else { &headers };
        let seen = world.send(FIND, headers, "").await;
        assert_eq!(seen.status, 401);
        bodies.push(seen.text().to_owned());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

/// Without `auth.required`, credentials that are no good make nobody somebody, as over RSocket.
#[tokio::test]
async fn bad_credentials_are_ignored_where_none_are_asked_for() {
    let world = World::new();
    let _app = world.serve(echo()).await;
    for at in 0..5 {
        let bearer = format!("Bearer {at}");
        let seen = world.send(FIND, &[("authorization", &bearer)], "").await;
        assert_eq!(seen.status, 200);
    }
    assert_eq!(world.gateway.callers(), 1);
}

#[tokio::test]
async fn the_archived_brokers_tools_find_what_they_read() {
    let world = World::new();
    let mut app = AppMetadata::named("shop");
    app.uuid = Some("u-1".into());
    app.ip = Some("10.0.0.1".into());
    let mut options = ConnectOptions::new();
    options.app = Some(app);
    let options = options.publish("g!shop.Items:2").unwrap();
    let options = options.publish("shop.Speechless").unwrap();
    let answers = Responder::new().response(async |request: Message| {
        let metadata = request.metadata.unwrap();
        let tags = Composite::new(&metadata).find_mime(Mime::ROUTING).unwrap();
        let route = format!("{}.findServiceByFullName", archived::INTROSPECTION);
        assert!(tags.unwrap().content.ends_with(route.as_bytes()));
        let data: Value = serde_json::from_slice(&request.data).unwrap();
        Ok(match data[0] == "shop.Speechless" {
            true => Message::new("what?"),
            false => Message::new(json!({ "serviceName": data[0] }).to_string()),
        })
    });
    let _app = world.join(options, answers).await;
    let get = async |path: &str| {
        let seen = world.send(&format!("GET {path}"), &[], "").await;
        (seen.status, seen.json())
    };
    let (status, apps) = get("/app/shop").await;
    assert_eq!(
        (status, &apps[0]["ip"], &apps[0]["uuid"]),
        (200, &json!("10.0.0.1"), &json!("u-1"))
    );
    assert!(apps[0]["startedAt"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(get("/app/nobody").await, (200, json!([])));
    assert_eq!(
        get("/service/shop.Orders").await,
        (200, json!([{ "count": 1 }]))
    );
    let expected = json!([{ "count": 1, "group": "g", "version": "2" }]);
    assert_eq!(get("/service/shop.Items").await, (200, expected));
    assert_eq!(
        get("/ops/connections").await,
        (200, json!({ "shop": ["10.0.0.1"] }))
    );
    let (_, services) = get("/ops/services").await;
    let items = services.as_array().unwrap();
    let found = items
        .iter()
        .find(|it| it["service"] == "shop.Items")
        .unwrap();
    assert_eq!(
        (&found["gsv"], &found["group"]),
        (&json!("g!shop.Items:2"), &json!("g"))
    );
    let (_, brokers) = get("/ops/brokers").await;
    let broker = &brokers[0];
    assert_eq!(
        (&broker["schema"], &broker["ip"], &broker["port"]),
        (&json!("tcp"), &json!("broker-1.example"), &json!(9999))
    );
    let definition = get("/service/definition/shop.Orders").await;
    assert_eq!(definition, (200, json!({ "serviceName": "shop.Orders" })));
    assert_eq!(get("/service/definition/shop.Nobody").await.0, 404);
    assert_eq!(get("/service/definition/shop.Speechless").await.0, 502);
}
