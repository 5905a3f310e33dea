//! A broker that asks who everybody is: tokens made by the program's own command, and certificates.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    admin::{metrics, until},
    http::send,
    run,
    tls::Authority,
};
use crate::{
    broker::{Broker, CONFIG, Transport, binary},
    process::Process,
};

/// A key pair, and tokens by it.
struct Realm(TempDir);

impl Realm {
    fn new() -> Self {
        let realm = Self(tempfile::tempdir().expect("a folder"));
        let made = realm.jackfield(&["token", "key", "jwt.key"]);
        assert!(made.status.success(), "{}", errors(&made));
        fs::write(realm.path("revoked"), "").expect("a file");
        realm
    }

    fn path(&self, file: &str) -> String {
        self.0.path().join(file).display().to_string()
    }

    fn config(&self, more: &str) -> String {
        let (key, revoked) = (self.path("jwt.key.pub"), self.path("revoked"));
        format!(
            "{CONFIG}\n[auth]\nrequired = true\nrevoked-file = \"{revoked}\"\n[auth.jwt]\n\
             keys = [\"{key}\"]\n{more}"
        )
    }

    fn jackfield(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.0.path());
        command.output().expect("it runs")
    }

    fn token(&self, subject: &str, more: &[&str]) -> String {
        let new = ["token", "new", "--key", "jwt.key", "--subject", subject];
        let made = self.jackfield(&[&new[..], more].concat());
        assert!(made.status.success(), "{}", errors(&made));
        String::from_utf8(made.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    fn inspect(&self, token: &str) -> (Option<i32>, Value) {
        let args = [
            "token",
            "inspect",
            token,
            "--key",
            "jwt.key.pub",
            "--strict",
            "--json",
        ];
        let said = self.jackfield(&args);
        let json = serde_json::from_slice(&said.stdout).expect("JSON");
        (said.status.code(), json)
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn call(uri: &str, flags: &[&str], token: Option<&str>, folder: &Path) -> Output {
    let mut command = Command::new(binary());
    command
        .args(["call", "shop.Stock.count", "--data", "7", "--broker", uri])
        .args(flags)
        .current_dir(folder);
    if let Some(token) = token {
        command.env("JACKFIELD_BEARER", token);
    }
    command.output().expect("it runs")
}

fn respond(uri: &str, flags: &[&str], token: Option<&str>, folder: &Path) -> Process {
    let mut command = Command::new(binary());
    command
        .args(["respond", "shop.Stock", "--broker", uri])
        .args(flags)
        .current_dir(folder);
    if let Some(token) = token {
        command.env("JACKFIELD_BEARER", token);
    }
    let process = Process::start("respond", command, folder);
    process.expect("ready line", |line| line.starts_with("ready").then_some(()));
    process
}

async fn answers(what: &str, asked: impl Fn() -> Output) {
    until(what, || asked().status.success()).await;
}

#[test]
fn a_broker_that_wants_tokens_serves_who_has_one_and_no_longer_than_it_is_good() {
    let realm = Realm::new();
    let broker = Broker::start_with(
        &realm
            .config("[[auth.rule]]\ndeny = [\"call\"]\nservice = \"shop.*\"\nrole = [\"guest\"]\n"),
    );
    let (uri, folder) = (broker.uri(Transport::Tcp), broker.folder());
    let stock = realm.token("stock", &["--id", "stock-1"]);
    let mut responder = respond(uri, &[], Some(&stock), folder);
    let shop = realm.token("shop", &[]);
    run(answers("a call with a token", || {
        call(uri, &[], Some(&shop), folder)
    }));

    let stranger = Realm::new().token("shop", &[]);
    let never = realm.token("shop", &["--no-expiry"]);
    let kin = realm.token("shop", &["--organisation", "2"]);
    let guest = realm.token("shop", &["--role", "guest"]);
    let unknown = "RST-500405: not accepted: authentication is required, and failed";
    for (token, told) in [
        (None, unknown),
        (Some("nonsense"), unknown),
        (Some(&*stranger), unknown),
        (Some(&*never), unknown),
        (Some(&*kin), "RST-900401: not allowed to call shop.Stock"),
        (Some(&*guest), "RST-900401: not allowed to call shop.Stock"),
    ] {
        let output = call(uri, &[], token, folder);
        assert_eq!(output.status.code(), Some(3), "{}", errors(&output));
        assert!(errors(&output).contains(told), "{}", errors(&output));
    }
    let counted = metrics(&broker);
    for outcome in ["missing", "malformed", "signature", "missing_claim"] {
        let line = format!("jackfield_auth_total{{outcome=\"{outcome}\"}} 1");
        assert!(counted.contains(&line), "{line}\n{counted}");
    }
    let log = broker.log();
    assert!(
        log.contains("RST-500405") && log.contains("signature"),
        "{log}"
    );
    for secret in [&stock, &shop, &stranger] {
        assert!(!log.contains(secret.as_str()), "a token is in the log");
    }

    let (code, said) = realm.inspect(&shop);
    assert_eq!((code, &said["accepted"]), (Some(0), &Value::Bool(true)));
    assert_eq!(said["claims"]["sub"], "shop");
    let (code, said) = realm.inspect(&never);
    assert_eq!((code, &said["why"]), (Some(1), &"missing_claim".into()));

    // Rules change while the broker runs, for who is connected and for who comes.
    let file = folder.join("jackfield.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    let changed = config.replace("\"guest\"", "\"other\"");
    fs::write(&file, changed).expect("a file");
    run(answers("a guest's call", || {
        call(uri, &[], Some(&guest), folder)
    }));

    // The list is looked at while the broker runs, and ends connections.
    fs::write(realm.path("revoked"), "stock-1\n").expect("a file");
    let ended = responder.wait(Duration::from_secs(60));
    assert!(!ended.expect("the responder is told").success());
    assert!(
        responder.errors().contains("RST-910402"),
        "{}",
        responder.errors()
    );
    let output = call(uri, &[], Some(&shop), folder);
    assert!(
        errors(&output).contains("RST-900404"),
        "nobody serves it now"
    );
}

#[test]
fn a_certificate_says_who_somebody_is() {
    let authority = Authority::new();
    authority.sign("broker", 2090);
    authority.sign("client", 2090);
    let file = |name: &str| authority.path(name);
    let (cert, key, ca) = (file("broker.pem"), file("broker.key"), file("ca.pem"));
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[[listen]]\nuri = \"tls://127.0.0.1:0\"\n\
         tls = {{ cert = \"{cert}\", key = \"{key}\", client-ca = \"{ca}\", client-auth = \"optional\" }}\n\
         [auth]\nrequired = true\n[auth.tls]\nenabled = true\norganisations = [\"1\"]\n\
         service-accounts = [\"default\"]\n"
    ));
    let [tls] = broker.others() else {
        panic!("one listener more: {:?}", broker.others())
    };
    let (cert, key) = (file("client.pem"), file("client.key"));
    let shown = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let _responder = respond(tls, &shown, None, broker.folder());
    run(answers("a call with a certificate", || {
        call(tls, &shown, None, broker.folder())
    }));
    for (uri, flags) in [
        (tls.as_str(), &["--ca", ca.as_str()][..]),
        (broker.uri(Transport::Tcp), &[]),
    ] {
        let output = call(uri, flags, None, broker.folder());
        assert!(
            errors(&output).contains("RST-500405"),
            "{}",
            errors(&output)
        );
    }
    assert!(
        broker.log().contains("localhost"),
        "the log names the subject"
    );
}

/// Over HTTP as over RSocket: who may ask the broker itself, and what, is for the rules to say.
#[test]
fn rules_hold_for_the_brokers_own_services_over_http() {
    let realm = Realm::new();
    let health = "com.alibaba.rsocket.health.RSocketServiceHealth";
    let rule = format!(
        "[[auth.rule]]\nallow = [\"call\"]\nservice = \"{health}\"\nrole = [\"watcher\"]\n"
    );
    let broker = Broker::start_with(&realm.config(&rule));
    let line = format!("POST /api/{health}/check");
    let ask = |headers: &str| send(broker.http(), &line, headers, "[]");
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let watcher = ask(&bearer(&realm.token("watcher", &["--role", "watcher"])));
    assert_eq!(watcher, (200, Value::from(1)));
    let (status, fault) = ask(&bearer(&realm.token("plain", &[])));
    assert_eq!((status, &fault["code"]), (403, &Value::from("RST-900401")));
    let (status, _) = ask("");
    assert_eq!(status, 401);
}
