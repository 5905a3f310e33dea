//! `jackfield doctor` on this machine: what it says, and that it finds what was broken on purpose.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::Value;

use crate::broker::{CONFIG, binary};

/// The exit code, and the findings by name.
fn doctor(folder: &Path, config: &str) -> (Option<i32>, Vec<Value>) {
    let few = format!("{config}[limits]\nconnections = 10\n");
    fs::write(folder.join("jackfield.toml"), few).expect("a file");
    let output = Command::new(binary())
        .args(["doctor", "--config", "jackfield.toml", "--json"])
        .current_dir(folder)
        .output()
        .expect("it runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = answer["findings"].as_array().expect("a list").clone();
    (output.status.code(), findings)
}

fn bad(findings: &[Value]) -> Vec<&str> {
    let bad = findings.iter().filter(|it| it["verdict"] == "bad");
    bad.map(|it| it["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_machine_that_serves_is_healthy_until_something_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, findings) = doctor(folder.path(), CONFIG);
    assert_eq!(
        (code, bad(&findings)),
        (Some(0), Vec::new()),
        "{findings:?}"
    );
    for name in [
        "descriptors",
        "memory",
        "port",
        "data-dir",
        "compiler",
        "clock",
    ] {
        assert!(findings.iter().any(|it| it["name"] == name), "{name}");
    }
    assert_eq!(
        fs::read_dir(folder.path()).expect("it is there").count(),
        1,
        "nothing is left behind"
    );

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let listen = "[http]\nlisten = \"127.0.0.1:0\"";
    let broken = CONFIG.replace(listen, &format!("[http]\nlisten = \"{address}\""));
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let (code, findings) = doctor(folder.path(), &broken);
    assert_eq!((code, bad(&findings)), (Some(1), vec!["port", "data-dir"]));
    let port = findings.iter().find(|it| it["verdict"] == "bad");
    let port = port.expect("the port");
    assert!(
        port["what"]
            .as_str()
            .is_some_and(|it| it.contains(&address))
    );
    assert!(
        port["todo"]
            .as_str()
            .is_some_and(|it| it.starts_with("ss -ltnp"))
    );
}
