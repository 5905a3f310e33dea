//! Bad input: each gets a clear error, on the wire or in the log, and everybody else goes on.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use tokio::task::LocalSet;

use super::{
    admin::{exchange, generation, reload, until},
    caller::{request, requester, responder, wait_for},
    run,
};
use crate::broker::{Broker, CONFIG, Transport, binary};

fn check(folder: &Path, config: &str) -> Output {
    fs::write(folder.join("jackfield.toml"), config).expect("a file");
    let mut command = Command::new(binary());
    command
        .args(["check", "--config", "jackfield.toml"])
        .current_dir(folder);
    command.output().expect("it runs")
}

/// What a peer reads after it has sent these bytes, to the end of the connection.
fn answer_to(uri: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(uri.trim_start_matches("tcp://")).expect("it accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a limit");
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("it ends the connection well");
    answer
}

#[test]
fn bytes_that_are_no_rsocket_are_answered_and_harm_nobody() {
    let quick = format!("{CONFIG}\n[limits]\nsetup-timeout = \"1s\"\n");
    let broker = Broker::start_with(&quick);
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _echo = responder(uri, "good.Service", "fine").await;
        let caller = requester(uri).await;
        wait_for(&caller, "good.Service.call").await;
        // The ERROR frame: length, stream 0, type 0x0B. HTTP's first three bytes announce 4.5 MB,
        // more than a first frame may have.
        for (bytes, code, words) in [
            (
                &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n"[..],
                0x101,
                "RST-910400",
            ),
            (b"\x00\x00\x06\x00\x00\x00\x01\x10\x00", 0x001, "RST-500402"),
            (b"\x00\x00\x02\x00\x00", 0x101, "RST-910400"),
            (b"\x00\x00\x06\x00\x00\x00\x00\x04\x00", 0x001, "RST-500402"),
        ] {
            let answer = answer_to(uri, bytes);
            let text = String::from_utf8_lossy(&answer);
            assert_eq!(answer.get(3..9), Some(&b"\0\0\0\0\x2c\0"[..]), "{text}");
            assert_eq!(answer[9..13], u32::to_be_bytes(code), "{text}");
            assert!(text.contains(words), "{text}");
        }
        let reply = caller.request_response(request("good.Service.call")).await;
        assert_eq!(&reply.expect("it goes on").data[..], b"fine");
        let errors = broker.errors();
        assert!(
            errors.contains("RST-500406"),
            "the log names the refusal: {errors}"
        );
    }));
}

#[test]
fn an_oversized_frame_is_refused_before_its_body() {
    let broker = Broker::start_with(&format!("{CONFIG}\n[limits]\nframe = \"64KiB\"\n"));
    let answer = answer_to(broker.uri(Transport::Tcp), b"\xFF\xFF\xFF");
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.contains("RST-910400") && text.contains("65536"),
        "{text}"
    );
}

#[test]
fn a_config_with_a_typo_is_named_with_its_place_and_a_suggestion() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = check(folder.path(), "[limits]\nframes = \"1MiB\"\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("jackfield.toml:2:1") && said.contains("frame"),
        "{said}"
    );
}

#[test]
fn components_that_are_none_or_mean_change_nothing() {
    let good = format!(
        "{CONFIG}\n[[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n\
         [plugin.settings]\npercent = 100\nversion = \"canary\"\n"
    );
    let broker = Broker::start_with(&good);
    run(LocalSet::new().run_until(async {
        let uri = broker.uri(Transport::Tcp);
        let _canary = responder(uri, "good.Service:canary", "canary").await;
        let caller = requester(uri).await;
        wait_for(&caller, "good.Service.call:canary").await;
        let _plain = responder(uri, "good.Service", "plain").await;
        wait_for(&caller, "good.Service.call").await;
        let before = generation(&broker);
        fs::write(broker.folder().join("bad.wasm"), b"not a component at all").expect("a file");
        let config = broker.folder().join("jackfield.toml");
        for (text, words) in [
            (good.replace("builtin:canary", "bad.wasm"), "not a"),
            (
                good.replace("builtin:canary", "missing.wasm"),
                "missing.wasm",
            ),
            (
                good.replace("builtin:canary", "builtin:canaries"),
                "canaries",
            ),
            (good.replace("percent = 100", "percent = 101"), "percent"),
            (good.replace("name = \"canary\"", "nam = \"canary\""), "nam"),
        ] {
            let heard = broker.log().len();
            fs::write(&config, text).expect("a file");
            reload(&broker);
            until(words, || broker.log()[heard..].contains(words)).await;
            let said = broker.log()[heard..].to_owned();
            assert!(said.contains("nothing has changed"), "{said}");
            assert_eq!(generation(&broker), before, "{said}");
            let reply = caller.request_response(request("good.Service.call")).await;
            assert_eq!(&reply.expect("calls go on").data[..], b"canary");
        }
    }));
}

#[test]
fn the_admin_face_wants_its_token_and_a_host_it_knows() {
    let broker = Broker::start_with(CONFIG);
    let address = broker.admin();
    for (headers, status) in [
        (format!("Host: {address}\r\n"), "401"),
        (
            format!("Host: {address}\r\nAuthorization: Bearer wrong\r\n"),
            "401",
        ),
        ("Host: evil.example\r\n".to_owned(), "403"),
    ] {
        let request = format!("GET /api/v1/apps HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let answer = exchange(address, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers}{answer}"
        );
    }
}
