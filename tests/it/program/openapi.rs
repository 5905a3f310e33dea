//! The admin API against its own document: schemathesis makes requests that fit it and requests that do not, and looks
//! whether the broker does what the document says.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    broker::{Broker, CONFIG},
    interop::{installed, root},
};

const TOOL: &str = "tests/openapi/.venv/bin/schemathesis";
const MORE: &str = "\n[[admin.token]]\nname = \"reader\"\nroles = [\"read\"]\n";
/// Requests for each operation and phase. More find no more in a minute.
const EXAMPLES: &str = "40";

struct Fuzzing<'b> {
    broker: &'b Broker,
    tool: PathBuf,
}

impl Fuzzing<'_> {
    fn run(&self, token: &str, more: &[&str]) {
        let file = self.broker.folder().join(format!("data/{token}.token"));
        let token = fs::read_to_string(file).expect("a token");
        let mut command = Command::new(&self.tool);
        command.current_dir(self.broker.folder()).env_clear();
        command.env("HOME", self.broker.folder());
        let admin = self.broker.admin();
        command
            .arg("run")
            .arg(format!("http://{admin}/api/v1/openapi.json"));
        command.args([
            "--header",
            &format!("Authorization: Bearer {}", token.trim()),
        ]);
        command.args([
            "--checks",
            "all",
            "--max-examples",
            EXAMPLES,
            "--workers",
            "1",
        ]);
        command.args(["--generation-deterministic"]);
        command.args(["--no-color", "--warnings", "off", "--request-timeout", "20"]);
        let done = command.args(more).output().expect("it runs");
        let text = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "{text}\n{errors}\n{}",
            self.broker.errors()
        );
        assert!(
            text.contains("No issues found"),
            "something was tested:\n{text}"
        );
    }
}

#[test]
fn the_api_does_what_its_document_says() {
    if !installed("the_api_does_what_its_document_says", &[TOOL], "python") {
        return;
    }
    let broker = Broker::start_with(&format!("{CONFIG}{MORE}"));
    let fuzzing = Fuzzing {
        broker: &broker,
        tool: root().join(TOOL),
    };
    // A drain ends the broker, and a stream does not end.
    let but = [
        "--exclude-path",
        "/api/v1/drain",
        "--exclude-path",
        "/api/v1/events/stream",
    ];
    fuzzing.run("admin", &but);
    fuzzing.run("reader", &["--include-path", "/api/v1/drain"]);
}
