//! The main job, as the README runs it.

use std::{process::Command, time::Duration};

use crate::{broker::binary, process::Process};

#[test]
fn the_demo_swaps_its_plugin_under_load_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command
        .args(["demo", "--once", "--any-port", "--dir"])
        .arg(folder.path());
    let process = Process::start("demo", command, folder.path());
    let errors = process.errors_file();
    let (lines, status) = process.finish(Duration::from_secs(120));
    let said = lines.join("\n");
    let errors = std::fs::read_to_string(errors).unwrap_or_default();
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{said}\n{errors}"
    );
    assert!(
        said.contains("percent = 80") && said.contains("0 of all calls failed"),
        "{said}"
    );
}
