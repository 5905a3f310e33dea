//! Both faces over real sockets, with rooms behind them that say what they were asked.

mod document;
mod events;
mod operators;
mod push;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use axum::{Router, routing::any};
use bytes::Bytes;
use jackfield_rsocket::endpoint::{Failure, Message};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    chain::Chains,
    directory::ServiceView,
    scrape::tests::World as Rooms,
    telemetry::{Exemplars, LogHandle, Registry},
};

use super::*;

const CONNECTIONS: usize = 64;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Operators besides the one who may do everything.
const ROLES: [(&str, &[Role]); 3] = [
    ("grafana", &[Role::Read]),
    ("deployer", &[Role::Plugins]),
    ("oncall", &[Role::Read, Role::Operate]),
];

struct World {
    admin: Admin,
    drained: Arc<Mutex<Vec<Option<String>>>>,
    /// Who told whom, and what.
    pushed: Arc<Mutex<Vec<(String, Audience, Bytes)>>>,
    reasons: Arc<Mutex<Vec<String>>>,
    log: LogHandle,
    rooms: Arc<Rooms>,
    chains: Arc<Chains>,
    folder: TempDir,
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

impl World {
    fn start() -> Self {
        Self::with(false)
    }

    /// With the merged page or without it.
    fn with(merged: bool) -> Self {
        let drained = Arc::<Mutex<Vec<Option<String>>>>::default();
        let pushed = Arc::<Mutex<Vec<(String, Audience, Bytes)>>>::default();
        let reasons = Arc::<Mutex<Vec<String>>>::default();
        let log = LogHandle::silent();
        let service = ServiceView {
            key: "g!s:1".into(),
            group: "g".into(),
            service: "s".into(),
            version: "1".into(),
            shares_id: false,
            id: 7,
            instances: vec!["u".into()],
        };
        let chains = Arc::new(Chains::new(&prometheus::Registry::new()).unwrap());
        let journal = chains.journal();
        let rooms = Arc::new(Rooms::with(|config| config.merged = merged));
        let handles = Handles {
            scraper: Arc::clone(&rooms.scraper),
            metrics: Box::new(|format| Registry::new("test")?.page(format, &Exemplars::default())),
            log: log.clone(),
            apps: Box::new(Vec::new),
            services: Box::new(move || vec![service.clone()]),
            plugins: Box::new(|| json!([{ "name": "canary" }])),
            plugin: Box::new(|who, plugin, deed| match (who, plugin, deed) {
                ("admin" | "deployer", "canary", PluginDeed::Promote) => Ok(7),
                (who, ..) => Err(format!("{who} has nothing to go back to")),
            }),
            push: Box::new({
                let pushed = Arc::clone(&pushed);
                move |who, to, event| {
                    if *to == Audience::App("nobody".into()) {
                        return Pushed::default();
                    }
                    let letter = (who.to_owned(), to.clone(), event);
                    pushed.lock().unwrap().push(letter);
                    Pushed {
                        told: 1,
                        deaf: 2,
                        missed: 3,
                    }
                }
            }),
            journal: Arc::clone(&journal),
            connections: Box::new(|| json!([])),
            config: Box::new(|| json!([{ "key": "limits.frame" }])),
            readiness: Box::new({
                let reasons = Arc::clone(&reasons);
                move || Readiness {
                    reasons: reasons.lock().unwrap().clone(),
                }
            }),
            drain: Box::new({
                let drained = Arc::clone(&drained);
                move |_, grace| {
                    if grace == Some("bad") {
                        return Err("grace is no duration".into());
                    }
                    drained.lock().unwrap().push(grace.map(str::to_owned));
                    Ok(())
                }
            }),
        };
        let folder = TempDir::new().unwrap();
        let mut operators = Operators::new(Token::from_text(TOKEN));
        for (name, roles) in ROLES {
            let token = Token::from_text(&format!("{name}-{TOKEN}"));
            operators.add(name, token, roles.to_vec()).unwrap();
        }
        let faces = Faces {
            http: TcpListener::bind("127.0.0.1:0").unwrap(),
            http_connections: CONNECTIONS,
            admin: TcpListener::bind("127.0.0.1:0").unwrap(),
            http_hosts: vec!["api.example".into()],
            calls: Router::new().route("/api/{service}/{method}", any(async || "called")),
            operators,
            audit: Audit::in_file(folder.path().join("audit.log")),
            hosts: vec!["broker.example".into()],
        };
        Self {
            admin: Admin::start(faces, handles).unwrap(),
            drained,
            pushed,
            reasons,
            log,
            rooms,
            chains,
            folder,
        }
    }

    fn http(&self, line: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.admin.http_address(), line, headers, "")
    }

    fn admin(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        send(self.admin.admin_address(), line, headers, body)
    }

    /// With the token and an ordinary Host.
    fn operator(&self, line: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {TOKEN}");
        self.admin(
            line,
            &[("Host", "localhost:9997"), ("Authorization", &bearer)],
            body,
        )
    }
}

fn send(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut stream = TcpStream::connect(to).unwrap();
    let mut request = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply {
        status,
        head: head.to_ascii_lowercase(),
        body: body.into(),
    }
}

#[test]
fn without_the_token_nothing_is_told() {
    let world = World::start();
    let host = ("Host", "127.0.0.1:9997");
    for (headers, what) in [
        (vec![host], "the admin token is missing"),
        (
            vec![host, ("Authorization", "Bearer wrong")],
            "the token is not an admin token",
        ),
        (
            vec![host, ("Authorization", TOKEN)],
            "the admin token is missing",
        ),
        (
            vec![host, ("Authorization", "Basic eDp5")],
            "the admin token is missing",
        ),
    ] {
        for line in ["GET /api/v1/apps", "POST /api/v1/drain", "GET /nowhere"] {
            let reply = world.admin(line, &headers, "");
            assert_eq!(reply.status, 401, "{line} {headers:?}");
            assert_eq!(reply.json()["error"], what);
            assert!(
                reply.json()["todo"]
                    .as_str()
                    .unwrap()
                    .contains("Authorization: Bearer")
            );
            assert!(reply.head.contains("www-authenticate: bearer"));
        }
    }
    assert!(world.drained.lock().unwrap().is_empty());
}

#[test]
fn only_known_hosts_are_served() {
    let world = World::start();
    let bearer = format!("Bearer {TOKEN}");
    for (host, status) in [
        ("127.0.0.1:9997", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:9997", 200),
        ("10.1.2.3:9997", 200),
        ("broker.example:9997", 200),
        ("Broker.Example", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ] {
        let reply = world.admin(
            "GET /api/v1/apps",
            &[("Host", host), ("Authorization", &bearer)],
            "",
        );
        assert_eq!(reply.status, status, "{host}");
    }
}

#[test]
fn only_the_own_origin_may_call() {
    let world = World::start();
    let bearer = format!("Bearer {TOKEN}");
    for (origin, status) in [
        ("http://127.0.0.1:9997", 202),
        ("https://broker.example", 202),
        ("http://127.0.0.1:3000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ] {
        let headers = [
            ("Host", "127.0.0.1:9997"),
            ("Origin", origin),
            ("Authorization", bearer.as_str()),
        ];
        assert_eq!(
            world.admin("POST /api/v1/drain", &headers, "").status,
            status,
            "{origin}"
        );
    }
    assert_eq!(world.drained.lock().unwrap().len(), 2);
}

#[test]
fn views_are_shown_as_json() {
    let world = World::start();
    for (path, pointer, expected) in [
        ("apps", "/apps", json!([])),
        ("services", "/services/0/key", json!("g!s:1")),
        ("services", "/services/0/id", json!(7)),
        ("plugins", "/plugins/0/name", json!("canary")),
        ("connections", "/connections", json!([])),
        ("config", "/settings/0/key", json!("limits.frame")),
        ("log", "/level", json!("info")),
    ] {
        let reply = world.operator(&format!("GET /api/v1/{path}"), "");
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.json().pointer(pointer), Some(&expected), "{path}");
    }
}

#[test]
fn the_log_level_changes() {
    let world = World::start();
    let reply = world.operator("POST /api/v1/log", "{\"level\":\"debug\"}");
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({ "level": "debug" }))
    );
    assert_eq!(world.log.level().to_string(), "debug");
    let reply = world.operator(
        "PUT /api/v1/log",
        "{\"level\":\"warn,jackfield::relay=trace\"}",
    );
    assert_eq!(reply.status, 200);
    for body in [
        "{\"level\":\"loud\"}",
        "{}",
        "",
        "{\"level\":\"info\",\"x\":1}",
        "{\"level\":1}",
    ] {
        let reply = world.operator("POST /api/v1/log", body);
        assert_eq!(reply.status, 400, "{body}");
        assert_eq!(reply.json()["todo"], "send {\"level\":\"debug\"}");
    }
    assert_eq!(world.log.level().to_string(), "warn,jackfield::relay=trace");
}

#[test]
fn drain_takes_a_grace_period_or_nothing() {
    let world = World::start();
    assert_eq!(world.operator("POST /api/v1/drain", "").status, 202);
    assert_eq!(
        world
            .operator("POST /api/v1/drain", "{\"grace\":\"5s\"}")
            .status,
        202
    );
    let reply = world.operator("POST /api/v1/drain", "{\"grace\":\"bad\"}");
    assert_eq!(
        (reply.status, reply.json()["error"].clone()),
        (400, json!("grace is no duration"))
    );
    assert_eq!(
        *world.drained.lock().unwrap(),
        [None, Some("5s".to_owned())]
    );
}

#[test]
fn wrong_paths_and_methods_say_what_there_is() {
    let world = World::start();
    for (line, status, todo) in [
        ("GET /api/v1/nothing", 404, "openapi.json"),
        ("DELETE /api/v1/apps", 405, "openapi.json"),
        ("GET /api/v1/drain", 405, "openapi.json"),
    ] {
        let reply = world.operator(line, "");
        assert_eq!(reply.status, status, "{line}");
        assert!(
            reply.json()["todo"].as_str().unwrap().contains(todo),
            "{line}: {}",
            reply.body
        );
        assert!(reply.json()["error"].is_string());
    }
    assert_eq!(world.http("GET /x", &[("Host", "a")]).status, 404);
    assert_eq!(world.http("POST /metrics", &[("Host", "a")]).status, 405);
}

#[test]
fn a_huge_body_is_refused() {
    let world = World::start();
    let body = format!("{{\"level\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(world.operator("POST /api/v1/log", &body).status, 413);
}

#[test]
fn the_http_face_shows_metrics_and_health_to_everyone() {
    let world = World::start();
    // A probe addresses a pod by whatever name it has.
    let host = [("Host", "pod.example")];
    let reply = world.http("GET /metrics", &host);
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert!(
        reply
            .body
            .contains("jackfield_build_info{version=\"test\"} 1")
    );
    assert_eq!(
        world.http("GET /health/live", &host).json(),
        json!({ "status": "live" })
    );
    assert_eq!(
        world.http("GET /health/ready", &host).json(),
        json!({ "status": "ready" })
    );
}

#[test]
fn reasons_need_the_token() {
    let world = World::start();
    world.reasons.lock().unwrap().push("draining".into());
    let reply = world.http("GET /health/ready", &[("Host", "a")]);
    assert_eq!(
        (reply.status, reply.json()),
        (503, json!({ "status": "not ready" }))
    );
    let bearer = format!("Bearer {TOKEN}");
    let reply = world.http(
        "GET /health/ready",
        &[("Host", "a"), ("Authorization", &bearer)],
    );
    assert_eq!(
        reply.json(),
        json!({ "status": "not ready", "reasons": ["draining"] })
    );
}

#[test]
fn dropping_the_faces_frees_their_ports() {
    let world = World::start();
    let address = world.admin.admin_address();
    drop(world);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn slow_heads_keep_no_health_check_out() {
    let world = World::start();
    let slow: Vec<TcpStream> = (0..CONNECTIONS + 20)
        .map(|_| {
            let mut stream = TcpStream::connect(world.admin.http_address()).unwrap();
            stream
                .write_all(b"GET /health/live HTTP/1.1\r\nHo")
                .unwrap();
            stream
        })
        .collect();
    let before = std::time::Instant::now();
    for _ in 0..10 {
        let host = ("Host", "localhost");
        assert_eq!(world.http("GET /health/live", &[host]).status, 200);
    }
    let took = before.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    // The other face has a bound of its own, and the newest of the slow ones still has its place.
    assert_eq!(world.operator("GET /api/v1/apps", "").status, 200);
    let mut newest = slow.into_iter().next_back().unwrap();
    let rest = b"st: localhost\r\nConnection: close\r\n\r\n";
    newest.write_all(rest).unwrap();
    let mut answer = String::new();
    newest.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What the status says, Prometheus shows; what the body says, a person reads.
#[test]
fn applications_are_scraped_through_the_face_for_applications() {
    let world = World::with(true);
    let rooms = Arc::clone(&world.rooms);
    let (ready, connected) = std::sync::mpsc::sync_channel(1);
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let apps = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let page = "# TYPE a gauge\na{job=\"x\"} 1\n";
            let good = move |_| async move { Ok(Message::new(page)) };
            let bad = async |_| Ok(Message::new("<html>"));
            let down = async |_| Err(Failure::application("no registry"));
            let hung = |_| std::future::pending();
            let _apps = (
                rooms.app("good", good).await,
                rooms.app("bad", bad).await,
                rooms.app("down", down).await,
                rooms.app("hung", hung).await,
            );
            ready.send(()).unwrap();
            // Resolves when the test is done.
            let _ = finished.await;
        });
    });
    connected.recv().unwrap();
    let host = ("Host", "broker.example:9998");
    let get = |path: &str, seconds: &str| {
        let line = format!("GET {path}");
        world.http(
            &line,
            &[host, ("X-Prometheus-Scrape-Timeout-Seconds", seconds)],
        )
    };
    let good = get("/metrics/app/good", "5");
    assert_eq!(
        (good.status, good.body.as_str()),
        (200, "# TYPE a gauge\na{exported_job=\"x\"} 1\n")
    );
    assert!(
        good.head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        good.head
    );
    assert_eq!(get("/metrics/good", "5").body, good.body);
    for (path, seconds, status, what) in [
        (
            "/metrics/app/nobody",
            "5",
            404,
            "RST-300205: no such application is connected",
        ),
        (
            "/metrics/app/a%2C%20b",
            "5",
            404,
            "RST-300205: no such application is connected",
        ),
        (
            "/metrics/app/bad",
            "5",
            502,
            "line 1: no metric name: \"<html>\"",
        ),
        (
            "/metrics/app/hung",
            "0.1",
            504,
            "the application did not answer in time",
        ),
    ] {
        let reply = get(path, seconds);
        assert_eq!(
            (reply.status, reply.json()["error"].as_str()),
            (status, Some(what)),
            "{path}"
        );
    }
    assert_eq!(get("/metrics/app/down", "5").status, 502);

    let targets = get("/metrics/sd", "5");
    assert!(targets.head.contains("content-type: application/json"));
    let targets = targets.json();
    assert_eq!(targets.as_array().unwrap().len(), 4);
    assert_eq!(targets[2]["targets"], json!(["broker.example:9998"]));
    assert_eq!(
        targets[2]["labels"]["__metrics_path__"],
        "/metrics/app/good"
    );
    let archived = get("/metrics/prometheus/app/targets", "5").json();
    assert_eq!(
        archived[2],
        json!({ "labels": { "__metrics_path__": "/metrics/good" }, "targets": ["broker.example:9998"] })
    );
    let brokers = get("/metrics/prometheus/broker/targets", "5").json();
    assert_eq!(
        brokers,
        json!([{ "labels": { "__metrics_path__": "/metrics" }, "targets": ["broker.example:9998"] }])
    );
    let merged = get("/metrics/apps?job=app-good", "5");
    assert!(
        merged
            .body
            .contains("a{job=\"app-good\",instance=\"good\",exported_job=\"x\"} 1"),
        "{}",
        merged.body
    );

    // An operator sees what was done to the page.
    let shown = world.operator("GET /api/v1/metrics/scrape/good", "").json();
    assert_eq!(
        (shown["series"].as_u64(), shown["page"].as_str()),
        (Some(1), Some(good.body.as_str()))
    );
    assert_eq!(shown["findings"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.operator("GET /api/v1/metrics/scrape/bad", "").status,
        502
    );
    drop(done);
    apps.join().unwrap();
}

#[test]
fn the_merged_page_is_off_unless_wanted() {
    let reply = World::start().http("GET /metrics/apps", &[("Host", "h")]);
    assert_eq!(reply.status, 404);
    assert!(
        reply.json()["todo"]
            .as_str()
            .unwrap()
            .contains("metrics.merged")
    );
}

#[test]
fn plugins_are_acted_upon() {
    let world = World::start();
    let reply = world.operator("POST /api/v1/plugins/canary/promote", "");
    assert_eq!(
        (reply.status, &reply.json()["generation"]),
        (200, &json!(7))
    );
    let reply = world.operator("POST /api/v1/plugins/other/reset", "");
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"], "there is no plugin `other`");
    let reply = world.operator("POST /api/v1/plugins/canary/rollback", "");
    assert_eq!(reply.status, 409);
    assert_eq!(reply.json()["error"], "admin has nothing to go back to");
    let reply = world.operator("POST /api/v1/plugins/canary/explode", "");
    assert_eq!(reply.status, 404);
    assert_eq!(
        world.http("POST /api/v1/plugins/canary/reset", &[]).status,
        404
    );
}
