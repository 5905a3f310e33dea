use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use clap::CommandFactory;
use jackfield_rsocket::endpoint::{ConnectOptions, Responder, connect};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    admin::{Admin, Audit, Faces, Handles, Operators, Readiness, Token},
    chain::CompileWith,
    config::{Surroundings, load},
    server::{Options, Server},
    telemetry::LogHandle,
};

use super::{exit::Exit, *};

fn run(args: &[&str]) -> Result<(), exit::Failure> {
    let cli = Cli::try_parse_from([&["jackfield"], args].concat());
    cli.unwrap_or_else(|error| panic!("{error}")).command.run()
}

fn exit(args: &[&str]) -> Option<Exit> {
    run(args).err().map(|failure| failure.exit)
}

/// Visits every command that can be run, with its name.
fn each(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
    for inner in command.get_subcommands() {
        let path = format!("{path} {}", inner.get_name());
        if inner.has_subcommands() {
            each(inner, &path, visit);
        } else {
            visit(&path, inner);
        }
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example_that_names_it() {
    each(&Cli::command(), "jackfield", &mut |path, command| {
        let help = command.clone().render_help().to_string();
        assert!(
            help.contains("Example") && help.contains(path),
            "{path}:\n{help}"
        );
    });
}

#[test]
fn check_ends_with_2_and_says_where() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("jackfield.toml");
    let data = format!("node.data-dir={}", folder.path().join("state").display());
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        run(&["check", "--config", &file.to_string_lossy(), "--set", &data])
    };
    assert!(check("[limits]\nframe = 1000\n").is_ok());
    let failure = check("[limits]\nfram = 1000\n").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    let expected = format!("{}:2:1: unknown key `fram`", file.display());
    assert!(failure.to_string().starts_with(&expected), "{failure}");
    assert!(!folder.path().join("state").exists(), "check makes nothing");
    assert_eq!(
        exit(&["check", "--config", "/nowhere/jackfield.toml"]),
        Some(Exit::Usage)
    );
    assert_eq!(
        exit(&["check", "--set", "limits.frame=1"]),
        Some(Exit::Usage)
    );
}

#[test]
fn explain_ends_with_2_for_what_has_no_page() {
    assert_eq!(exit(&["explain", "RST-900404"]), None);
    assert_eq!(exit(&["explain", "RST-1"]), Some(Exit::Usage));
}

#[test]
fn every_code_of_the_relay_has_a_page() {
    let refusals = include_str!("../relay/refusal.rs").replace('_', "");
    let logs = [
        include_str!("../relay/accept.rs"),
        include_str!("../relay/link.rs"),
        include_str!("../relay/resume.rs"),
        include_str!("../gateway/fault.rs"),
        include_str!("../gateway/question.rs"),
        include_str!("../gateway/routes.rs"),
    ];
    let mut codes = 0;
    for text in [refusals.as_str()].into_iter().chain(logs) {
        // Runs of six digits.
        for run in text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|run| run.len() == 6)
        {
            codes += 1;
            assert!(explain::find(run).is_some(), "RST-{run} has no page");
        }
    }
    assert!(codes >= 15, "found only {codes} codes");
}

/// An admin face whose only token is in a file, as a broker leaves it.
fn face(folder: &Path) -> Admin {
    let handles = Handles {
        scraper: crate::scrape::tests::World::new().scraper,
        metrics: Box::new(|_| Ok(String::new())),
        log: LogHandle::silent(),
        apps: Box::new(Vec::new),
        services: Box::new(Vec::new),
        plugins: Box::new(|| json!([])),
        plugin: Box::new(|_, _, _| Ok(1)),
        push: Box::new(|_, _, _| Default::default()),
        journal: Default::default(),
        connections: Box::new(|| json!([])),
        config: Box::new(|| json!([])),
        readiness: Box::new(Readiness::default),
        drain: Box::new(|_, grace| match grace {
            Some("1 parsec") => Err("grace is no duration".into()),
            _ => Ok(()),
        }),
    };
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let token = Token::load_or_create(&folder.join("admin.token")).unwrap();
    Admin::start(
        Faces {
            http: bind(),
            http_connections: 64,
            http_hosts: Vec::new(),
            calls: axum::Router::new(),
            admin: bind(),
            operators: Operators::new(token),
            audit: Audit::in_log(),
            hosts: Vec::new(),
        },
        handles,
    )
    .unwrap()
}

#[test]
fn commands_find_the_broker_and_its_token() {
    let folder = TempDir::new().unwrap();
    let admin = face(folder.path());
    let address = admin.admin_address().to_string();
    let token = fs::read_to_string(folder.path().join("admin.token")).unwrap();
    let file = folder.path().join("jackfield.toml");
    let text = format!("[admin]\nlisten = \"{address}\"\ntoken-file = \"admin.token\"\n");
    fs::write(&file, text).unwrap();
    let config = file.to_string_lossy();
    for command in ["apps", "services", "drain"] {
        assert_eq!(exit(&[command, "--config", &config]), None, "{command}");
        assert_eq!(
            exit(&[
                command,
                "--json",
                "--admin",
                &address,
                "--token",
                token.trim()
            ]),
            None
        );
        let failure = run(&[command, "--admin", &address, "--token", "wrong"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(
            failure.to_string().contains("JACKFIELD_ADMIN_TOKEN"),
            "{failure}"
        );
    }
    let failure = run(&["drain", "--config", &config, "--grace", "1 parsec"]).unwrap_err();
    assert!(
        failure.to_string().contains("grace is no duration"),
        "{failure}"
    );
    drop(admin);
    let failure = run(&["apps", "--config", &config]).unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
    assert!(
        failure.to_string().contains("is the broker running?"),
        "{failure}"
    );
}

/// A flag wins over a file that is found, and that over the context in use; one that is named wins over the file.
#[test]
fn a_context_says_where_a_broker_is() {
    let folder = TempDir::new().unwrap();
    let admin = face(folder.path());
    let address = admin.admin_address().to_string();
    let token = folder.path().join("admin.token").display().to_string();
    let contexts = folder.path().join("deep/contexts.toml");
    let file = contexts.display().to_string();
    let context = |args: &[&str]| exit(&[&["context"], args, &["--contexts", &file]].concat());
    let with_file = ["--admin", &address, "--token-file", &token];
    assert_eq!(context(&[&["add", "edge"], &with_file[..]].concat()), None);
    assert_eq!(
        context(&["add", "far", "--admin", "127.0.0.1:1", "--token", "x"]),
        None
    );
    assert_eq!(context(&["list"]), None);
    assert_eq!(context(&["list", "--json"]), None);
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(&contexts).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it may hold tokens");
    let apps = |args: &[&str]| exit(&[&["apps", "--contexts", &file], args].concat());
    assert_eq!(apps(&["--context", "edge"]), None);
    assert_eq!(
        apps(&["--context", "far"]),
        Some(Exit::Failed),
        "nobody is there"
    );
    assert_eq!(
        apps(&["--context", "far", "--admin", &address]),
        Some(Exit::Failed)
    );
    let failure = run(&["apps", "--contexts", &file, "--context", "near"]).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(
        failure.to_string().contains("there are edge, far"),
        "{failure}"
    );
    let config = folder.path().join("jackfield.toml");
    let text = "[admin]\nlisten = \"127.0.0.1:1\"\ntoken-file = \"admin.token\"\n";
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    assert_eq!(
        apps(&["--config", &config]),
        Some(Exit::Failed),
        "the file says another place"
    );
    assert_eq!(apps(&["--config", &config, "--context", "edge"]), None);
    // The first one is in use.
    let read = || contexts::ContextFile::at(&contexts).read().unwrap();
    assert_eq!(read().in_use.as_deref(), Some("edge"));
    assert_eq!(context(&["use", "nobody"]), Some(Exit::Usage));
    assert_eq!(context(&["use", "far"]), None);
    assert_eq!(read().current().unwrap().admin, "127.0.0.1:1");
    assert_eq!(context(&["remove", "far"]), None);
    assert_eq!((read().in_use, read().all.len()), (None, 1));
    fs::write(&contexts, "nonsense").unwrap();
    assert_eq!(context(&["list"]), Some(Exit::Usage));
}

#[test]
fn top_draws_one_frame() {
    let folder = TempDir::new().unwrap();
    let admin = face(folder.path());
    let address = admin.admin_address().to_string();
    let token = fs::read_to_string(folder.path().join("admin.token")).unwrap();
    let args = [
        "top",
        "--once",
        "--interval",
        "1ms",
        "--admin",
        &address,
        "--token",
        token.trim(),
    ];
    assert_eq!(exit(&args), None);
    assert_eq!(exit(&[&args[..], &["--json"]].concat()), None);
}

/// A broker with echoes for `com.example.Echo` and nothing but silence for `com.example.Slow`, until it is
/// dropped.
struct Broker {
    uri: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let text = "[node]\ndata-dir = \"state\"\n[[listen]]\nuri = \"tcp://127.0.0.1:0\"\n\
                    [http]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n";
        fs::write(folder.path().join("jackfield.toml"), text).unwrap();
        let mut surroundings = Surroundings::of_process(None, Vec::new());
        surroundings.current_dir = folder.path().to_owned();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(serve(surroundings, tell, stopped));
        };
        let thread = Some(thread::spawn(run));
        let uri = told.recv().unwrap();
        Self {
            uri,
            stop: Some(stop),
            thread,
            _folder: folder,
        }
    }

    fn call(&self, args: &[&str]) -> Option<Exit> {
        exit(&[&["call", "--broker", &self.uri], args].concat())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn serve(
    surroundings: Surroundings,
    tell: mpsc::Sender<String>,
    stopped: oneshot::Receiver<()>,
) {
    let loaded = load(&surroundings).unwrap();
    let options = Options {
        surroundings,
        compile_with: CompileWith::Here,
        grace: Duration::ZERO,
    };
    let server = Server::start(loaded, LogHandle::silent(), options)
        .await
        .unwrap();
    let uri = server.uris().next().unwrap().clone();
    let args = [
        "jackfield",
        "respond",
        "com.example.Echo",
        "--tag",
        "zone=a",
        "--broker",
    ];
    let Command::Respond(echo) = Cli::parse_from([&args[..], &[&uri.to_string()]].concat()).command
    else {
        panic!("another command")
    };
    let silent = Responder::new().response(async |_| std::future::pending().await);
    let slow = ConnectOptions::app("slow")
        .publish("com.example.Slow")
        .unwrap()
        .serve(silent);
    let _slow = connect(&uri, slow).await.unwrap();
    let ready = async {
        while server.directory().services().len() < 2 {
            tokio::task::yield_now().await;
        }
        tell.send(uri.to_string()).unwrap();
        let _ = stopped.await;
    };
    tokio::select! {
        result = echo.serve() => panic!("{:?}", result.err()),
        () = ready => {}
    }
}

#[test]
fn calls_end_with_the_code_of_their_outcome() {
    let broker = Broker::start();
    let route = "com.example.Echo.each";
    for (args, outcome) in [
        (vec![route, "--data", "x"], None),
        (vec![route, "--data", "x", "--json"], None),
        (vec![route, "--data", "x", "--stream", "3"], None),
        (vec![route, "--data", "x", "--fnf"], None),
        (vec![route, "--data", "x", "--endpoint", "zone:a"], None),
        (
            vec![route, "--data", "x", "--endpoint", "zone:b"],
            Some(Exit::Answered),
        ),
        (
            vec!["com.example.Nobody.x", "--data", "x"],
            Some(Exit::Answered),
        ),
        (
            vec!["com.example.Slow.x", "--timeout", "50ms"],
            Some(Exit::TimedOut),
        ),
        (
            vec!["com.example.Slow.x", "--stream", "1"],
            Some(Exit::Answered),
        ),
        (vec![route, "--data-file", "/nowhere"], Some(Exit::Usage)),
    ] {
        assert_eq!(broker.call(&args), outcome, "{args:?}");
    }
    assert_eq!(
        exit(&["call", route, "--broker", "tcp://127.0.0.1:1"]),
        Some(Exit::Failed)
    );
}
