use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    chain::CompileWith,
    config::{Surroundings, load},
    telemetry::LogHandle,
};

use super::*;

/// Every port is chosen by the system.
const PORTS: &str = "[[listen]]\nuri = \"tcp://127.0.0.1:0\"\n[[listen]]\nuri = \"ws://127.0.0.1:0/rsocket\"\n\
                     [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";

fn surroundings(folder: &Path, text: &str) -> Surroundings {
    let mut surroundings = Surroundings::of_process(None, Vec::new());
    surroundings.current_dir = folder.to_owned();
    surroundings
        .variables
        .retain(|name, _| !name.starts_with("JACKFIELD_"));
    fs::write(
        folder.join("jackfield.toml"),
        format!("{text}[node]\ndata-dir = \"state\"\n{PORTS}"),
    )
    .unwrap();
    surroundings
}

async fn start(surroundings: Surroundings) -> Result<Server, StartError> {
    let loaded = load(&surroundings).unwrap_or_else(|problems| panic!("{problems}"));
    let grace = Duration::from_secs(1);
    let options = Options {
        surroundings,
        compile_with: CompileWith::Here,
        grace,
    };
    Server::start(loaded, LogHandle::silent(), options).await
}

/// The body of a reply; the faces have a thread of their own, so this may block.
fn ask(address: SocketAddr, line: &str, token: Option<&str>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}");
    stream
        .write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}"))
        .trim()
        .parse()
        .unwrap()
}

/// Looks until it is so, or for ten seconds.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn it_starts_shows_itself_and_drains() {
    let folder = TempDir::new().unwrap();
    let server = start(surroundings(folder.path(), "")).await.unwrap();
    let uris: Vec<String> = server.uris().map(ToString::to_string).collect();
    assert!(
        uris[0].starts_with("tcp://127.0.0.1:") && !uris[0].ends_with(":0"),
        "{uris:?}"
    );
    assert!(
        uris[1].starts_with("ws://127.0.0.1:") && uris[1].ends_with("/rsocket"),
        "{uris:?}"
    );
    let page = ask(server.http_address(), "GET /metrics", None);
    assert_eq!(metric(&page, "jackfield_apps"), 0.0);
    assert_eq!(
        metric(&page, "jackfield_config_last_reload_successful"),
        1.0
    );
    assert!(page.contains("process_open_fds"));
    assert_eq!(
        ask(server.http_address(), "GET /health/ready", None),
        "{\"status\":\"ready\"}"
    );
    let token = fs::read_to_string(folder.path().join("state/admin.token")).unwrap();
    let apps = ask(
        server.admin_address(),
        "GET /api/v1/apps",
        Some(token.trim()),
    );
    assert_eq!(apps, "{\"apps\":[]}");
    assert_eq!(server.drain(Duration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn the_admin_api_drains_it() {
    let folder = TempDir::new().unwrap();
    let server = start(surroundings(folder.path(), "")).await.unwrap();
    let token = fs::read_to_string(folder.path().join("state/admin.token")).unwrap();
    let answer = ask(
        server.admin_address(),
        "POST /api/v1/drain",
        Some(token.trim()),
    );
    assert_eq!(answer, "{\"draining\":true}");
    assert_eq!(server.run(Signals::new().unwrap()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut surroundings = surroundings(folder.path(), "");
    let uri = format!("tcp://{}", taken.local_addr().unwrap());
    surroundings
        .settings
        .push(crate::config::Setting::listener(0, &uri));
    let error = start(surroundings).await.err().unwrap();
    let expected = format!("listen.uri {uri} cannot be bound: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("end it, or choose another port"),
        "{error}"
    );
    assert!(!error.is_configuration());
}

#[tokio::test]
async fn a_plugin_that_cannot_be_loaded_keeps_it_from_starting() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.wasm"), "no component").unwrap();
    let plugin = "[[plugin]]\nname = \"p\"\nfile = \"p.wasm\"\n";
    let error = start(surroundings(folder.path(), plugin))
        .await
        .err()
        .unwrap();
    assert!(
        error.is_configuration() && error.to_string().contains("plugin \"p\""),
        "{error}"
    );
}

#[tokio::test]
async fn a_changed_file_is_taken_up_and_a_bad_one_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let server = start(surroundings(folder.path(), "")).await.unwrap();
    let token = fs::read_to_string(folder.path().join("state/admin.token")).unwrap();
    let (http, admin) = (server.http_address(), server.admin_address());
    let shows = |text: &str| ask(admin, "GET /api/v1/config", Some(token.trim())).contains(text);
    let successful = || {
        metric(
            &ask(http, "GET /metrics", None),
            "jackfield_config_last_reload_successful",
        )
    };
    assert!(!shows("\\\"7s\\\""));

    surroundings(
        folder.path(),
        "[routing]\ntimeout = \"7s\"\n[limits]\nframe = 5000\n",
    );
    eventually("the new timeout", || shows("\\\"7s\\\""));
    assert!(!shows("5000"), "limits.frame needs a restart");
    assert_eq!(successful(), 1.0);

    surroundings(folder.path(), "[routing]\ntimeot = \"8s\"\n");
    eventually("the refusal", || successful() == 0.0);
    assert!(shows("\\\"7s\\\""));

    surroundings(folder.path(), "[routing]\ntimeout = \"9s\"\n");
    server.reload();
    eventually("the mended file", || {
        shows("\\\"9s\\\"") && successful() == 1.0
    });
    server.drain(Duration::ZERO).await;
}
