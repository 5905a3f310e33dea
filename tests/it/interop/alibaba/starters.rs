//! What was never published: the registry-client and the config-client starter of the library, and the archived broker
//! as a program. Whoever has built them from the archived repository says where the jars are.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jackfield_rsocket::endpoint::{ConnectOptions, Message, Responder, connect};
use serde_json::{Value, json};
use tokio::{runtime, sync::oneshot};

use super::{ANSWER, Realm, SETTLE, START, Sdk, installed, java, root};
use crate::{
    broker::{Broker, CONFIG, Transport},
    interop::client::say,
    process::Process,
    program::admin,
};

pub(super) const APP: &str = "tests/interop/java-alibaba/starters/target/starters.jar";
const JARS: &str = "JACKFIELD_ALIBABA_JARS";
const REGISTRY: &str = "alibaba-broker-registry-client-spring-boot-starter";
const CONFIG_CLIENT: &str = "alibaba-broker-config-client-spring-boot-starter";
pub(super) const SERVER: &str = "alibaba-rsocket-broker";
const CONFIGURATION: &str = "com.alibaba.rsocket.config.ConfigurationService";

/// A jar that Maven Central does not have. None: the test says so, and is skipped wherever it runs.
pub(super) fn unpublished(test: &str, name: &str) -> Option<PathBuf> {
    let folder = env::var_os(JARS).map(PathBuf::from);
    let found = folder.as_ref().and_then(|folder| {
        let mut entries = fs::read_dir(folder).ok()?.flatten();
        let is = |path: &Path| {
            let name_of = path.file_name().and_then(|name| name.to_str());
            name_of.is_some_and(|it| it.starts_with(name) && it.ends_with(".jar"))
        };
        entries.find_map(|entry| Some(entry.path()).filter(|path| is(path)))
    });
    if found.is_none() {
        assert!(folder.is_none(), "{JARS} is set, and has no {name}*.jar");
        say(&format!(
            "SKIPPED {test}: {name} was never published to Maven Central; {JARS}=FOLDER names a folder with the jar, \
             built from the archived repository\n"
        ));
    }
    found
}

/// One application with one of the starters.
struct App(Process);

impl App {
    fn begin(name: &str, starter: &Path, broker: &Broker, options: &[&str]) -> Process {
        let path = env::join_paths([root().join(APP).as_path(), starter]).expect("a class path");
        let mut java = java();
        java.arg("-Xmx256m").arg("-cp").arg(path);
        java.arg("jackfield.starters.Starters").args([
            "--server.port=0",
            "--spring.main.banner-mode=off",
            "--logging.level.root=warn",
            &format!("--rsocket.brokers={}", broker.uri(Transport::Tcp)),
            &format!("--spring.application.name={name}"),
        ]);
        java.args(options).current_dir(broker.folder());
        Process::start(name, java, broker.folder())
    }

    fn ready(process: Process) -> Self {
        process.expect_within(START, "ready line", |line| {
            line.starts_with("ready").then_some(())
        });
        Self(process)
    }

    /// Asks until the answer is the wanted one, for a while.
    fn must(&self, command: &str, wanted: &str) {
        let end = Instant::now() + SETTLE;
        loop {
            self.0.say(command);
            let answer = |line: &str| line.strip_prefix("= ").map(str::to_owned);
            let answer = self.0.expect_within(ANSWER, command, answer);
            if answer == wanted {
                return;
            }
            assert!(Instant::now() < end, "{command}: {answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The config client looks for HTTP one port below RSocket.
fn two_ports() -> (u16, u16) {
    loop {
        let upper = super::free_port();
        if TcpListener::bind(("127.0.0.1", upper - 1)).is_ok() {
            return (upper - 1, upper);
        }
    }
}

/// An application that keeps configurations, as users of the archived broker had one beside it. Ends when dropped.
struct Configurations {
    _stop: oneshot::Sender<()>,
}

impl Configurations {
    fn start(broker: &Broker, token: String) -> Self {
        let uri = broker.uri(Transport::Tcp).parse().expect("a uri");
        let answers = Responder::new().response(async |request: Message| {
            let asked: Value = serde_json::from_slice(&request.data).unwrap_or_default();
            let text = match asked[0] == "limited" && asked[1] == "application.properties" {
                true => "shop.limit=7",
                false => "",
            };
            Ok(Message::new(text))
        });
        let options = ConnectOptions::app("configurations").bearer(token);
        let options = options
            .publish(CONFIGURATION)
            .expect("a name")
            .serve(answers);
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let connected = connect(&uri, options).await;
                let _connected = connected.expect("the broker accepts");
                // Resolves when the sender is dropped.
                let _: Result<(), _> = stopped.await;
            });
        });
        Self { _stop: stop }
    }
}

/// With tokens: the registry client finds applications as Spring Cloud's discovery, the config client reads its properties
/// before it starts and again when an operator sends others.
#[test]
fn the_starters_boot() {
    let test = "the_starters_boot";
    let (Some(registry), Some(config)) = (
        unpublished(test, REGISTRY),
        unpublished(test, CONFIG_CLIENT),
    ) else {
        return;
    };
    if !Sdk::installed(test) || !installed(test, &[APP], "java") {
        return;
    }
    let realm = Realm::new();
    let (http, tcp) = two_ports();
    let broker = Broker::start_with(
        &(realm
            .config(CONFIG)
            .replacen("tcp://127.0.0.1:0", &format!("tcp://127.0.0.1:{tcp}"), 1))
        .replacen(
            "listen = \"127.0.0.1:0\"",
            &format!("listen = \"127.0.0.1:{http}\""),
            1,
        ),
    );
    let token = |name: &str| realm.token(name, "default");
    let options = |name: &str| format!("--rsocket.jwt-token={}", token(name));
    let _kept = Configurations::start(&broker, token("configurations"));

    let serve = [
        "--spring.application.name=orders",
        "--peer.serve=true",
        &options("orders"),
    ];
    let orders = Sdk::begin("one", broker.uri(Transport::Tcp), broker.folder(), &serve);
    let found = App::begin("found", &registry, &broker, &[&options("found")]);
    let limited = App::begin("limited", &config, &broker, &[&options("limited")]);
    let (orders, found, limited) = (Sdk::ready(orders), App::ready(found), App::ready(limited));

    let ip = orders.ask("ip - -");
    let instance = format!("[orders@{ip}#{}]", orders.uuid);
    found.must("instances orders", &instance);
    found.must("instances jackfield.peer.OrderService", &instance);
    found.must(
        "services",
        &format!("[{CONFIGURATION}, jackfield.peer.OrderService]"),
    );

    limited.must("property shop.limit", "7");
    limited.must("property rsocket.metadata.config", "true");
    let content = "shop.limit=9";
    let letter = json!({
        "to": { "app": "limited" },
        "event": {
            "type": "com.alibaba.rsocket.events.ConfigEvent",
            "data": { "id": "1", "appName": "limited", "contentType": "text/plain", "content": content },
        },
    });
    let pushed = admin(&broker, "POST", "/api/v1/apps/events", &letter.to_string());
    assert_eq!(pushed, json!({ "told": 1, "deaf": 0, "missed": 0 }));
    limited.must("property shop.limit", "9");
}
