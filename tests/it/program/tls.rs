//! TLS, secure WebSocket and Unix sockets, by the program's own commands; and a certificate that is replaced
//! while a connection lives.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use jackfield_rsocket::{
    endpoint::{ConnectOptions, attach},
    net::{DialOptions, FRAME_MAX, FrameIo, TlsClient, TlsClientOptions, connect_with},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::task::LocalSet;

use super::{
    admin::{metrics, reload, signal, until},
    caller::{answering, request, wait_for},
    run,
};
use crate::{
    broker::{Broker, CONFIG, binary},
    process::Process,
};

/// An authority and a folder with what it has signed.
pub(super) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    /// Writes a certificate and its key, in the place of any that were there.
    pub(super) fn sign(&self, name: &str, year: i32) {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("a file");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
    }

    pub(super) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }

    fn dial_options(&self) -> DialOptions {
        let tls = TlsClient::new(&TlsClientOptions {
            authorities: Some(fs::read(self.path("ca.pem")).expect("a file")),
            ..TlsClientOptions::default()
        });
        DialOptions {
            tls: Some(tls.expect("an authority")),
            ..DialOptions::default()
        }
    }

    /// TLS, secure WebSocket, mutual TLS and a Unix socket, in this order.
    fn config(&self, year: i32) -> String {
        self.sign("broker", year);
        let tls = |more: &str| {
            let (cert, key) = (self.path("broker.pem"), self.path("broker.key"));
            format!("tls = {{ cert = \"{cert}\", key = \"{key}\"{more} }}")
        };
        let (plain, mutual) = (
            tls(""),
            tls(&format!(", client-ca = \"{}\"", self.path("ca.pem"))),
        );
        format!(
            "{CONFIG}\n[[listen]]\nuri = \"tls://127.0.0.1:0\"\n{plain}\n\
             [[listen]]\nuri = \"wss://127.0.0.1:0\"\n{plain}\n\
             [[listen]]\nuri = \"tls://127.0.0.1:0\"\n{mutual}\n\
             [[listen]]\nuri = \"unix:{}\"\n",
            self.path("broker.sock")
        )
    }
}

fn jackfield(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(args).current_dir(folder);
    command
}

fn call(uri: &str, flags: &[&str], folder: &Path) -> Output {
    let call = ["call", "shop.Stock.count", "--data", "7", "--broker", uri];
    let mut command = jackfield(&[&call[..], flags].concat(), folder);
    command.output().expect("it runs")
}

#[test]
fn the_commands_call_through_every_secure_listener() {
    let authority = Authority::new();
    let broker = Broker::start_with(&authority.config(2090));
    authority.sign("client", 2090);
    let [tls, wss, mutual, unix] = broker.others() else {
        panic!("four listeners: {:?}", broker.others())
    };
    assert!(wss.ends_with("/rsocket"), "{wss}");
    let ca = authority.path("ca.pem");
    let (cert, key) = (authority.path("client.pem"), authority.path("client.key"));
    let trust = ["--ca", &ca];
    let shown = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let respond = ["respond", "shop.Stock", "--broker", mutual.as_str()];
    let respond = jackfield(&[&respond[..], &shown].concat(), broker.folder());
    let responder = Process::start("respond", respond, broker.folder());
    responder.expect("ready line", |line| line.starts_with("ready").then_some(()));

    let named = tls.replace("127.0.0.1", "localhost");
    run(async {
        // It is ready when it has said who it is; the broker knows it a moment later.
        until("a registered responder", || {
            call(unix, &[], broker.folder()).status.success()
        })
        .await;
    });
    for (uri, flags) in [
        (tls, &trust[..]),
        (&named, &trust),
        (wss, &trust),
        (mutual, &shown),
        (tls, &shown),
        (unix, &[]),
    ] {
        let output = call(uri, flags, broker.folder());
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{uri}: {errors}");
        assert_eq!(said.trim(), "7", "{uri}");
    }
    for (uri, flags, code, words) in [
        (tls, &[][..], 1, "--ca FILE"),
        (tls, &["--ca", &key], 2, "--ca holds no certificate"),
        (
            tls,
            &["--ca", &ca, "--server-name", "other"],
            1,
            "certificate",
        ),
        (mutual, &trust, 1, "CertificateRequired"),
        (unix, &trust, 2, "are for tls and wss"),
        (
            tls,
            &["--ca", &ca, "--cert", &ca, "--key", &key],
            2,
            "--key does not belong",
        ),
    ] {
        let output = call(uri, flags, broker.folder());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{uri} {flags:?}: {errors}"
        );
        assert!(errors.contains(words), "{uri} {flags:?}: {errors}");
    }
}

#[test]
fn half_a_handshake_ends_in_time_and_holds_up_nobody() {
    let authority = Authority::new();
    let quick = "[limits]\nsetup-timeout = \"1s\"\n";
    let broker = Broker::start_with(&format!("{}{quick}", authority.config(2090)));
    let [tls, wss, ..] = broker.others() else {
        panic!("listeners")
    };
    let ca = authority.path("ca.pem");
    // The beginning of a ClientHello that never goes on; and nothing at all.
    for (uri, bytes) in [(tls, &b"\x16\x03\x01\x02\0\x01"[..]), (wss, b"")] {
        let address = uri.split('/').nth(2).expect("an address");
        let mut slow = TcpStream::connect(address).expect("it accepts");
        slow.write_all(bytes).expect("it reads");
        let output = call(uri, &["--ca", &ca], broker.folder());
        assert_eq!(output.status.code(), Some(3), "answered meanwhile");
        slow.set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a limit");
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).expect("it ends");
        assert_eq!(rest, b"");
    }
    assert!(broker.log().contains("not in time"));
}

#[test]
fn a_socket_left_behind_is_taken_over() {
    let authority = Authority::new();
    let config = authority.config(2090);
    let socket = authority.path("broker.sock");
    // Killed: it cannot tidy up.
    drop(Broker::start_with(&config));
    assert!(Path::new(&socket).exists());
    let broker = Broker::start_with(&config);
    let output = call(&format!("unix:{socket}"), &[], broker.folder());
    assert_eq!(output.status.code(), Some(3), "answered: no such service");
    // Asked to end, it tidies up.
    signal(&broker, "-TERM");
    run(async { until("no file", || !Path::new(&socket).exists()).await });
}

#[test]
fn a_certificate_is_replaced_while_a_connection_lives() {
    let authority = Authority::new();
    let broker = Broker::start_with(&authority.config(2090));
    let uri = broker.others()[0].parse().expect("a uri");
    let options = authority.dial_options();
    run(LocalSet::new().run_until(async {
        let connect = async || {
            let io = connect_with(&uri, FRAME_MAX, &options).await;
            io.expect("a handshake")
        };
        let shown = |io: &FrameIo| io.tls_identity().expect("a certificate").fingerprint;
        let io = connect().await;
        let old = shown(&io);
        let app = ConnectOptions::app("living").publish("shop.Stock");
        let app = app.expect("a name").serve(answering("fine"));
        let living = attach(io, app).expect("a connection");
        wait_for(&living, "shop.Stock.count").await;
        assert!(
            ends(&broker, "3786912000"),
            "2090-01-01: {}",
            metrics(&broker)
        );

        // A key that is another's changes nothing; the certificate to it comes a little later.
        let heard = broker.log().len();
        authority.sign("renewed", 2091);
        let copy = |file: &str| {
            let (from, to) = (format!("renewed.{file}"), format!("broker.{file}"));
            fs::copy(authority.path(&from), authority.path(&to)).expect("a copy");
        };
        copy("key");
        reload(&broker);
        until("the refusal", || {
            broker.log()[heard..].contains("does not belong to the certificate")
        })
        .await;
        assert!(broker.log()[heard..].contains("nothing has changed"));
        assert_eq!(shown(&connect().await), old);

        // Nobody demands a reload: the file is watched.
        copy("pem");
        until("the new end", || ends(&broker, "3818448000")).await;
        assert_ne!(shown(&connect().await), old);
        let reply = living.request_response(request("shop.Stock.count")).await;
        assert_eq!(&reply.expect("the connection lives").data[..], b"fine");
    }));
}

/// Whether every certificate ends at this second.
fn ends(broker: &Broker, second: &str) -> bool {
    let page = metrics(broker);
    let name = "jackfield_tls_cert_not_after_timestamp_seconds{";
    let mut ends = page.lines().filter(|line| line.starts_with(name));
    ends.clone().count() > 0 && ends.all(|line| line.ends_with(&format!(" {second}")))
}
