//! What an application of the library sees, row by row: at the archived broker's engine and at Jackfield. Both
//! columns are tested, and `docs/alibaba.md` is written from them.

use std::{
    env,
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{ORIGINAL, START, Sdk, free_port, root, starters};
use crate::{
    broker::{Broker, Transport},
    interop::client::{installed, java},
    process::Process,
    program::exchange,
};

/// What a row shows at each of the two, and why they differ where they do.
struct Row {
    what: &'static str,
    original: &'static str,
    ours: &'static str,
    why: &'static str,
}

const fn same(what: &'static str, seen: &'static str) -> Row {
    Row {
        what,
        original: seen,
        ours: seen,
        why: "",
    }
}

const fn better(
    what: &'static str,
    original: &'static str,
    ours: &'static str,
    why: &'static str,
) -> Row {
    Row {
        what,
        original,
        ours,
        why,
    }
}

/// In the order of [`seen`].
const ROWS: &[Row] = &[
    same("request/response", "5/found"),
    same("request/response, two arguments", "7/hi"),
    same("request/response, JSON both ways", "9/json"),
    same("fire-and-forget", "told, and counted 1"),
    same("stream", "[0/listed, 1/listed, 2/listed]"),
    same("channel", "[1/each, 2/each, 3/each]"),
    same("channel with an argument", "[4/of, 5/of]"),
    same("channel, one answer", "6"),
    same("error of a provider", "! ApplicationErrorException boom"),
    same("calls are spread", "one and two"),
    same("sticky calls", "one instance"),
    same("endpoint `uuid:`", "one"),
    same("endpoint `id:`, with the uuid", "one"),
    same("endpoint of metadata, `zone:b`", "two"),
    same("endpoint `ip:`", "an instance"),
    same("endpoint nobody fits", "! InvalidException RST-900405"),
    better(
        "two endpoint rules joined by a comma",
        "! InvalidException RST-900405",
        "two",
        "all of several rules must hold",
    ),
    same("another version", "! InvalidException RST-900404"),
    same("another group", "! InvalidException RST-900404"),
    same("version and group of a provider", "three"),
    same("health of the broker", "1"),
    same("health of a service", "1"),
    same("health of an unknown service", "-1"),
    same(
        "discovery: all services",
        "[g!jackfield.peer.OrderService:2, jackfield.peer.OrderService]",
    ),
    better(
        "discovery: instances of a service",
        "4 instances",
        "2 instances",
        "an instance is listed once, whatever its weight",
    ),
    same("discovery: instances of an application", "2 instances"),
    same("discovery: one instance", "orders"),
    same("discovery: an unknown instance", "none"),
    same("an event for one application", "heard"),
    same("an event for all applications of a name", "heard by both"),
    better(
        "an application sends what only a broker says",
        "heard",
        "not heard",
        "it could lead other applications to another broker",
    ),
    same("a provider exposes a service", "[extra.Service]"),
    same("a provider hides it", "[]"),
    same("out of service: others answer", "two"),
    better(
        "out of service: sticky calls",
        "still answered by it",
        "another instance",
        "sticky calls follow status, drain and rules",
    ),
    same("in service again", "one and two"),
    same("stopped: others answer", "two"),
    same("metrics over the connection", "Prometheus text"),
    same("a provider is killed: others answer", "two answers"),
];

/// One of the two, with what is connected to it.
struct World {
    uri: String,
    /// HOST:PORT where `/metrics/UUID` is answered.
    http: String,
    one: Sdk,
    two: Sdk,
    three: Sdk,
    client: Sdk,
}

impl World {
    fn new(uri: &str, http: &str, folder: &Path) -> Self {
        let serve = ["--spring.application.name=orders", "--peer.serve=true"];
        let with = |more: &[&'static str]| [&serve[..], more].concat();
        // One after the other: of two that come at the same moment, the archived broker may forget one.
        let begin = |name: &str, options: &[&str]| Sdk::start(name, uri, folder, options);
        let one = begin("one", &with(&["--rsocket.metadata.zone=a"]));
        let two = begin(
            "two",
            &with(&[
                "--rsocket.metadata.zone=b",
                "--rsocket.metadata.power-rating=3",
            ]),
        );
        let three = begin(
            "three",
            &[
                "--spring.application.name=others",
                "--peer.serve=true",
                "--rsocket.group=g",
                "--rsocket.version=2",
            ],
        );
        let client = begin("client", &["--spring.application.name=shop"]);
        client.must("whoami - 60", |names| {
            names.contains("one") && names.contains("two")
        });
        Self {
            uri: uri.to_owned(),
            http: http.to_owned(),
            one,
            two,
            three,
            client,
        }
    }

    /// Who answered `calls` calls.
    fn who(&self, how: &str, calls: usize) -> Vec<String> {
        let answer = self.client.ask(&format!("whoami {how} {calls}"));
        let mut names: Vec<String> = answer.split(',').map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// An answer without what is different every time: after the code of an error, its words.
fn plain(answer: &str) -> String {
    match answer.split_once(": ") {
        Some((code, _)) if code.starts_with("! ") => code.to_owned(),
        _ => answer.to_owned(),
    }
}

/// What an application sees, in the order of [`ROWS`].
fn seen(world: &World) -> Vec<String> {
    let World {
        one, two, client, ..
    } = world;
    let ask = |command: &str| plain(&client.ask(command));
    let mut seen = Vec::new();
    let list = |answer: &str| answer.matches('#').count();
    // Everybody is there.
    client.must("services - -", |answer| {
        answer.contains("g!") && answer.contains(", jackfield")
    });
    client.must("instances - orders", |answer| list(answer) == 2);

    for command in ["find - 5", "findTwo - hi", "json - 9"] {
        seen.push(ask(command));
    }
    let to_one = format!("endpoint=uuid:{}", one.uuid);
    let told = ask(&format!("count {to_one} x"));
    let counted = client.asks_until(&format!("counted {to_one} -"), |answer| answer == "1");
    seen.push(format!("{told}, and counted {counted}"));
    for command in [
        "list - 3",
        "each - 1,2,3",
        "eachOf - 4,5",
        "sum - 1,2,3",
        "fail - boom",
    ] {
        seen.push(ask(command));
    }

    seen.push(world.who("-", 60).join(" and "));
    let stuck = world.who("sticky=1", 30);
    seen.push(match stuck.as_slice() {
        [_] => "one instance".into(),
        more => more.join(" and "),
    });
    seen.push(world.who(&to_one, 10).join(" and "));
    seen.push(
        world
            .who(&format!("endpoint=id:{}", one.uuid), 10)
            .join(" and "),
    );
    seen.push(world.who("endpoint=zone:b", 10).join(" and "));
    let instance = client.ask(&format!("instance - {}", one.uuid));
    let ip = client.ask("ip - -");
    let by_ip = world.who(&format!("endpoint=ip:{ip}"), 10);
    seen.push(
        match by_ip
            .iter()
            .all(|name| ["one", "two"].contains(&name.as_str()))
        {
            true => "an instance".into(),
            false => by_ip.join(" and "),
        },
    );
    seen.push(ask("whoami endpoint=zone:nowhere 1"));
    seen.push(
        ask(&format!("whoami endpoint=zone:b,uuid:{} 3", two.uuid)).replace("two,two,two", "two"),
    );
    seen.push(ask("whoami version=9 1"));
    seen.push(ask("whoami group=nobody 1"));
    seen.push(world.who("group=g;version=2", 3).join(" and "));

    for command in [
        "health - ",
        "health - jackfield.peer.OrderService",
        "health - nobody.Service",
    ] {
        seen.push(ask(command));
    }
    seen.push(ask("services - -"));
    for name in ["jackfield.peer.OrderService", "orders"] {
        let answer = client.ask(&format!("instances - {name}"));
        seen.push(format!("{} instances", list(&answer)));
    }
    seen.push(instance.split('@').next().unwrap_or_default().to_owned());
    seen.push(ask("instance - 00000000-aaaa-0000-0000-000000000000"));

    let event = |id: &str, kind: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","type":"{kind}","source":"app://me","datacontenttype":"application/json","data":{data}}}"#
        )
    };
    let heard = |sdk: &Sdk, id: &str| {
        let mark = format!("\"id\":\"{id}\"");
        sdk.asks_until("events - -", |answer| answer.contains(&mark))
            .contains(&mark)
    };
    client.ask(&format!(
        "notify {} {}",
        one.uuid,
        event("first", "shop.Sold", "{}")
    ));
    seen.push(
        if heard(one, "first") {
            "heard"
        } else {
            "not heard"
        }
        .into(),
    );
    client.ask(&format!(
        "notifyAll orders {}",
        event("second", "shop.Sold", "{}")
    ));
    seen.push(match (heard(one, "second"), heard(two, "second")) {
        (true, true) => "heard by both".into(),
        other => format!("{other:?}"),
    });
    let brokers = format!(
        r#"{{"interfaceName":"*","group":"","version":"","uris":["{}"]}}"#,
        world.uri
    );
    let kind = "com.alibaba.rsocket.upstream.UpstreamClusterChangedEvent";
    client.ask(&format!(
        "notify {} {}",
        one.uuid,
        event("third", kind, &brokers)
    ));
    // What comes behind it has come, so it has come by then or never will.
    client.ask(&format!(
        "notify {} {}",
        one.uuid,
        event("fourth", "shop.Sold", "{}")
    ));
    assert!(heard(one, "fourth"));
    let third = one.ask("events - -").contains("\"id\":\"third\"");
    seen.push(if third { "heard" } else { "not heard" }.into());

    let extra = |answer: &str| match answer.contains("extra.Service") {
        true => "[extra.Service]".to_owned(),
        false => "[]".to_owned(),
    };
    one.ask("expose - extra.Service");
    seen.push(extra(
        &client.asks_until("services - -", |answer| answer.contains("extra")),
    ));
    one.ask("hide - extra.Service");
    seen.push(extra(
        &client.asks_until("services - -", |answer| !answer.contains("extra")),
    ));

    // Who is stuck with `stuck` sees what happens when that one rests.
    let (rests, other) = match stuck.first().map(String::as_str) {
        Some("one") => (one, "two"),
        _ => (two, "one"),
    };
    rests.ask("status - 2");
    let alone = |names: &str| names.split(',').all(|name| name == other);
    let answer = client.asks_until("whoami - 30", alone);
    let shown = |answer: &str| {
        if alone(answer) {
            "two".to_owned()
        } else {
            answer.to_owned()
        }
    };
    seen.push(shown(&answer));
    seen.push(match world.who("sticky=1", 5).as_slice() {
        [name] if name == other => "another instance".into(),
        [_] => "still answered by it".into(),
        more => more.join(" and "),
    });
    rests.ask("status - 1");
    let both = |answer: &str| answer.contains("one") && answer.contains("two");
    client.asks_until("whoami - 60", both);
    seen.push(world.who("-", 60).join(" and "));
    rests.ask("status - -1");
    seen.push(shown(&client.asks_until("whoami - 30", alone)));
    rests.ask("status - 1");
    client.asks_until("whoami - 60", both);

    let address = &world.http;
    let path = format!("/metrics/{}", two.uuid);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let page = exchange(address, &request);
    seen.push(match page.contains("# TYPE jvm_memory_used_bytes gauge") {
        true => "Prometheus text".into(),
        false => page,
    });
    seen
}

fn check(world: World, column: fn(&Row) -> &'static str) {
    let mut seen = seen(&world);
    let World {
        one, client, three, ..
    } = world;
    drop((one, three));
    let answer = client.asks_until("whoami - 20", |answer| answer == ["two"; 20].join(","));
    seen.push(if answer == ["two"; 20].join(",") {
        "two answers".into()
    } else {
        answer
    });
    assert_eq!(seen.len(), ROWS.len(), "{seen:?}");
    let wrong: Vec<String> = ROWS
        .iter()
        .zip(&seen)
        .filter(|(row, seen)| column(row) != seen.as_str())
        .map(|(row, seen)| format!("{}: expected {:?}, saw {seen:?}", row.what, column(row)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_library_at_jackfield() {
    if Sdk::installed("the_library_at_jackfield") {
        let broker = Broker::start();
        let world = World::new(broker.uri(Transport::Tcp), broker.http(), broker.folder());
        check(world, |row| row.ours);
    }
}

/// The engine of the archived broker is on Maven Central up to version 1.1.1; the program around it is not.
#[test]
fn the_library_at_the_archived_broker() {
    if !installed(
        "the_library_at_the_archived_broker",
        &[super::PEER, ORIGINAL],
        "java",
    ) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (listen, http) = (free_port(), free_port());
    let _original = archived(&root().join(ORIGINAL), listen, http, folder.path());
    let uri = format!("tcp://127.0.0.1:{listen}");
    let world = World::new(&uri, &format!("127.0.0.1:{http}"), folder.path());
    check(world, |row| row.original);
}

/// The archived broker as its users ran it, where somebody has built it: newer than the engine, and the same.
#[test]
fn the_library_at_the_archived_broker_server() {
    let test = "the_library_at_the_archived_broker_server";
    let Some(server) = starters::unpublished(test, starters::SERVER) else {
        return;
    };
    if !Sdk::installed(test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (listen, http) = (free_port(), free_port());
    let _server = archived(&server, listen, http, folder.path());
    let uri = format!("tcp://127.0.0.1:{listen}");
    let world = World::new(&uri, &format!("127.0.0.1:{http}"), folder.path());
    check(world, |row| row.original);
}

/// The engine or the server: started when both of its ports answer.
fn archived(jar: &Path, listen: u16, http: u16, folder: &Path) -> Process {
    let mut command: Command = java();
    command.arg(format!("-Duser.home={}", folder.display()));
    command.arg("-jar").arg(jar);
    command.args([
        &format!("--rsocket.broker.listen={listen}"),
        &format!("--server.port={http}"),
        &format!("--management.server.port={}", free_port()),
        "--spring.application.name=rsocket-broker",
        "--rsocket.broker.topology=standalone",
        "--rsocket.broker.auth-required=false",
        "--spring.main.banner-mode=off",
        "--logging.level.root=warn",
    ]);
    command.current_dir(folder);
    let process = Process::start("archived", command, folder);
    let end = Instant::now() + START;
    for port in [listen, http] {
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "port {port}: {}", process.errors());
            thread::sleep(Duration::from_millis(100));
        }
    }
    process
}

#[test]
fn the_page_of_the_library_is_up_to_date() {
    let path = root().join("docs/alibaba.md");
    let page = page();
    if env::var_os("JACKFIELD_BLESS").is_some() {
        fs::write(&path, &page).expect("docs/ can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, page,
        "docs/alibaba.md differs; JACKFIELD_BLESS=1 writes it"
    );
}

fn page() -> String {
    let mut page = String::from(
        "# The Alibaba RSocket SDK at Jackfield\n\n\
         An unmodified application on `alibaba-rsocket-spring-boot-starter` 1.1.6, as its README teaches, connected to the\n\
         archived broker and to Jackfield. The archived broker is its engine, `alibaba-broker-spring-boot-starter` 1.1.1,\n\
         the newest on Maven Central. The whole program, `alibaba-broker-server`, is not there; built from the archived\n\
         repository, 1.1.6 shows the same in every row (`JACKFIELD_ALIBABA_JARS`, below).\n\n\
         This page is written by a test (`tests/it/interop/alibaba/table.rs`): both columns are what an application sees, and\n\
         fail the build when that changes.\n\n\
         | | archived broker | Jackfield | |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let verdict = match row.why {
            "" => "same".to_owned(),
            why => format!("deliberately better: {why}"),
        };
        let (original, ours) = (row.original, row.ours);
        let _ = writeln!(page, "| {} | {original} | {ours} | {verdict} |", row.what);
    }
    page.push_str(
        "\nWhat is tested of Jackfield alone, in the same folder: tokens on and off, a refused token, a provider that is\n\
         started again, a broker that is killed and started again, two brokers of which one is killed, providers that are\n\
         told to clients that call them directly, the list of brokers pushed to clients, and events that an operator sends.\n\n\
         ## What was never published\n\n\
         `alibaba-broker-registry-client-spring-boot-starter`, `alibaba-broker-config-client-spring-boot-starter` and\n\
         `alibaba-broker-server` are not on Maven Central. Who has built them says where the jars are:\n\n    \
         JACKFIELD_ALIBABA_JARS=FOLDER cargo test -p jackfield-tests --test it -- starters archived_broker_server\n\n\
         Both starters then boot against Jackfield with tokens: the registry client finds applications and services by Spring\n\
         Cloud's discovery; the config client reads its properties before it starts, over HTTP one port below RSocket, and\n\
         again when a `ConfigEvent` is pushed. The server is put through the table. Without the variable these tests say\n\
         SKIPPED; with it they passed with jars of 1.1.6.\n",
    );
    page
}
