use std::{collections::BTreeMap, fs};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::config::{Loaded, Problems, Surroundings, load};

use super::*;

/// A folder with a certificate `a`, one `b` with another key, one `old` that has expired, and a file that is
/// none.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let it = Self { folder };
        for (name, year) in [("a", 2090), ("b", 2090), ("old", 2001)] {
            it.sign(name, year);
        }
        fs::write(it.folder.path().join("junk.pem"), "junk").unwrap();
        it
    }

    fn sign(&self, name: &str, year: i32) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        fs::write(path("pem"), certificate.pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
    }

    fn load(&self, text: &str) -> Result<Loaded, Problems> {
        fs::write(self.folder.path().join("jackfield.toml"), text).unwrap();
        load(&Surroundings {
            current_dir: self.folder.path().to_owned(),
            variables: BTreeMap::from([("HOME".to_owned(), "/home/op".to_owned())]),
            host_name: "edge-7".into(),
            cores: 4,
            ..Surroundings::default()
        })
    }

    fn good(&self, text: &str) -> Loaded {
        let loaded = self.load(text);
        loaded.unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The first line of what is wrong, with the folder's name left out.
    fn problem(&self, text: &str) -> String {
        let problems = self.load(text).expect_err("a problem").to_string();
        let folder = format!("{}/", self.folder.path().display());
        problems.lines().next().unwrap().replace(&folder, "")
    }
}

const TLS: &str = "[[listen]]\nuri = \"tls://127.0.0.1:1\"\n";

#[test]
fn a_listener_gets_its_certificate_and_the_files_are_watched() {
    let case = Case::new();
    let loaded = case.good(&format!(
        "{TLS}tls = {{ cert = \"a.pem\", key = \"a.key\" }}\n\
         [[listen]]\nuri = \"wss://127.0.0.1:2\"\n[listen.tls]\ncert = \"b.pem\"\nkey = \"b.key\"\nclient-ca = \"a.pem\"\n\
         [[listen]]\nuri = \"unix:/run/x.sock\"\nmode = \"0660\"\n"
    ));
    let [tls, wss, unix] = &loaded.config.listeners[..] else {
        panic!("three listeners")
    };
    let mutual = |it: &Listener| it.tls.as_ref().map(ListenerTls::is_mutual);
    assert_eq!(
        (mutual(tls), mutual(wss), mutual(unix)),
        (Some(false), Some(true), None)
    );
    assert_eq!((tls.mode, unix.mode), (0o600, 0o660));
    assert_eq!(wss.uri.to_string(), "wss://127.0.0.1:2/rsocket");
    let mut names: Vec<_> = loaded
        .contents
        .keys()
        .filter_map(|it| it.file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["a.key", "a.pem", "b.key", "b.pem", "jackfield.toml"]
    );
    assert!(loaded.doubts.is_empty());
    let key = |shown: &&crate::config::Shown| shown.key == "listen.0.tls.key";
    assert_eq!(loaded.settings.iter().find(key).unwrap().value, "\"a.key\"");
}

#[test]
fn what_is_wrong_with_tls_is_told_with_its_place() {
    let case = Case::new();
    for (tls, message) in [
        (
            "tls = { cert = \"a.pem\", key = \"b.key\" }",
            "jackfield.toml:3:31: listen.tls.key does not belong to the certificate; \
             give the key that the certificate was made for",
        ),
        (
            "tls = { cert = \"junk.pem\", key = \"a.key\" }",
            "jackfield.toml:3:16: listen.tls.cert holds no certificate in PEM; \
             give the broker's certificate in PEM, and behind it those of its issuers",
        ),
        (
            "tls = { cert = \"a.pem\", key = \"junk.pem\" }",
            "jackfield.toml:3:31: listen.tls.key holds no private key in PEM, or an encrypted one; \
             give a private key in PEM that is not encrypted",
        ),
        (
            "tls = { cert = \"a.pem\", key = \"gone.key\" }",
            "jackfield.toml:3:31: listen.tls.key is `gone.key`, which cannot be read: \
             No such file or directory (os error 2); correct the path, or who may read the file",
        ),
        (
            "tls = { cert = \"a.pem\" }",
            "jackfield.toml:3:7: listen.tls.key is missing; add key = \"FILE\", in PEM",
        ),
        (
            "",
            "jackfield.toml:1:1: listen.tls is missing, and tls needs it; \
             add tls = { cert = \"broker.pem\", key = \"broker.key\" }",
        ),
        (
            "tls = { cert = \"a.pem\", key = \"a.key\", client-ca = \"junk.pem\" }",
            "jackfield.toml:3:52: listen.tls.client-ca holds no certificate in PEM; \
             give the authorities' certificates in PEM",
        ),
        (
            "tls = { cert = \"a.pem\", key = \"a.key\", client-auth = \"optional\" }",
            "jackfield.toml:3:54: listen.tls.client-auth is set without client-ca; \
             add client-ca = \"FILE\" with the authorities of the clients",
        ),
        (
            "tls = { cert = \"a.pem\", key = \"a.key\", client-ath = \"optional\" }",
            "jackfield.toml:3:40: unknown key `client-ath` in [listen.tls]; \
             did you mean `client-auth`?",
        ),
        (
            "mode = \"0660\"\ntls = { cert = \"a.pem\", key = \"a.key\" }",
            "jackfield.toml:3:8: listen.mode is for Unix sockets, and this is none; leave it out",
        ),
    ] {
        assert_eq!(case.problem(&format!("{TLS}{tls}\n")), message);
    }
    let plain =
        "[[listen]]\nuri = \"tcp://127.0.0.1:1\"\ntls = { cert = \"a.pem\", key = \"a.key\" }\n";
    assert_eq!(
        case.problem(plain),
        "jackfield.toml:3:7: listen.tls is for tls and wss, and this listener is tcp; \
         leave it out, or begin the URI with tls or wss"
    );
    let twice = "[[listen]]\nuri = \"unix:/run/x\"\n[[listen]]\nuri = \"unix:///run/x\"\n";
    assert_eq!(
        case.problem(twice),
        "jackfield.toml:4:7: listen.uri binds /run/x, and so does a listener before it; \
         give each listener a port or a file of its own"
    );
    let mode = "[[listen]]\nuri = \"unix:/run/x\"\nmode = \"rw\"\n";
    assert_eq!(
        case.problem(mode),
        "jackfield.toml:3:8: listen.mode is `rw`; write permissions as octal digits, such as \"0660\""
    );
}

#[test]
fn an_expired_certificate_is_a_doubt() {
    let case = Case::new();
    let loaded = case.good(&format!(
        "{TLS}tls = {{ cert = \"old.pem\", key = \"old.key\" }}\n"
    ));
    let said = loaded.doubts.to_string();
    assert!(
        said.contains("jackfield.toml:3:16: listen.tls.cert has expired"),
        "{said}"
    );
}

#[test]
fn who_must_show_a_certificate_may_come_from_anywhere() {
    let case = Case::new();
    let listen = |more: &str| {
        format!(
            "[[listen]]\nuri = \"tls://0.0.0.0:1\"\n\
             tls = {{ cert = \"a.pem\", key = \"a.key\"{more} }}\n"
        )
    };
    case.good(&listen(", client-ca = \"a.pem\""));
    for more in ["", ", client-ca = \"a.pem\", client-auth = \"optional\""] {
        let said = case.problem(&listen(more));
        assert!(
            said.contains("which others can reach, without authentication"),
            "{said}"
        );
    }
}

#[test]
fn a_reload_renews_certificates_and_nothing_else_of_a_listener() {
    let case = Case::new();
    let text = format!("{TLS}tls = {{ cert = \"a.pem\", key = \"a.key\" }}\n");
    let old = case.good(&text);
    case.sign("a", 2091);
    let new = case.good(&text.replace("[[listen]]", "[socket]\nnodelay = false\n[[listen]]"));
    assert_eq!(old.need_restart(&new), ["socket.nodelay"]);
    let renewed = new.config.listeners.clone();
    let kept = new.keep_until_restart(&old);
    assert_ne!(kept.config.listeners, old.config.listeners);
    assert_eq!(kept.config.listeners, renewed);
    assert!(kept.config.socket.options.nodelay);
}

#[test]
fn sockets_are_told_what_is_written() {
    let case = Case::new();
    let socket = case.good("").config.socket;
    assert_eq!(
        socket.options,
        jackfield_rsocket::net::SocketOptions::default()
    );
    assert_eq!(socket.backlog, 4096);
    let text = "[socket]\nuser-timeout = \"off\"\nkeepalive-idle = \"off\"\nbacklog = 7\n\
                send-buffer = \"1MiB\"\nnodelay = false\n";
    let socket = case.good(text).config.socket;
    let options = socket.options;
    assert_eq!((options.user_timeout, options.keepalive), (None, None));
    assert_eq!((options.send_buffer, options.receive_buffer), (1 << 20, 0));
    assert_eq!((options.nodelay, socket.backlog), (false, 7));
    assert_eq!(
        case.problem("[socket]\nkeepalive-idle = \"5ms\"\n"),
        "jackfield.toml:2:18: socket.keepalive-idle cannot be told to the system; \
         write whole seconds, at most 32767"
    );
}

/// What the archived broker keeps its certificate in.
#[test]
fn a_key_store_stands_for_certificate_and_key() {
    let case = Case::new();
    let path = |name: &str| case.folder.path().join(name);
    fs::write(path("store.p12"), include_bytes!("stores/java.p12")).unwrap();
    fs::write(path("password"), "changeit\n").unwrap();
    fs::write(path("wrong"), "guess").unwrap();
    let text = |tls: &str| format!("[[listen]]\nuri = \"tls://127.0.0.1:1\"\ntls = {{ {tls} }}\n");
    let loaded = case.good(&text("pkcs12 = \"store.p12\""));
    assert!(loaded.config.listeners[0].tls.is_some());
    let with_password = "pkcs12 = \"store.p12\", pkcs12-password-file = \"password\"";
    let loaded = case.good(&text(with_password));
    let tls = loaded.config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.files().count(), 2, "both are watched");
    for (tls, what) in [
        (
            "pkcs12 = \"store.p12\", pkcs12-password-file = \"wrong\"",
            "cannot be opened with the password",
        ),
        ("pkcs12 = \"junk.pem\"", "cannot be opened"),
        (
            "pkcs12 = \"store.p12\", cert = \"a.pem\"",
            "is set, and pkcs12 too",
        ),
        ("pkcs12 = \"nowhere.p12\"", "cannot be read"),
    ] {
        let problem = case.problem(&text(tls));
        assert!(problem.contains(what), "{problem}");
    }
}
