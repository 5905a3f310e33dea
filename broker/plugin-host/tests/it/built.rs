//! Guests written in Rust: `tests/guests`, built when a test first asks for one.

use std::{env, fs, path::Path, process::Output};

#[allow(dead_code, reason = "shared with the command `plugin build`")]
#[path = "../../../src/cli/wasm_toolchain.rs"]
mod wasm_toolchain;

use wasm_toolchain::{REMEDY, TARGET, WasmToolchain};

/// The component of this name; none where plugins cannot be built, and a line on standard error says why. Where
/// everything must be there (`CI` or `JACKFIELD_TEST_ALL` is set) it fails instead.
pub(crate) fn rust_guest(name: &str) -> Option<Vec<u8>> {
    let Some(toolchain) = WasmToolchain::find() else {
        let all = ["CI", "JACKFIELD_TEST_ALL"].map(|name| env::var_os(name).is_some());
        assert!(!all.contains(&true), "no guest can be built; {REMEDY}");
        eprintln!("SKIPPED: no guest can be built; {REMEDY}");
        return None;
    };
    let root = { Path::new(env!("CARGO_MANIFEST_DIR")).ancestors() }
        .find(|dir| dir.join("tests/guests/Cargo.toml").is_file())
        .expect("the repository has its guests");
    // Where the plugins we ship are built: most of what it takes is there.
    let target_dir = root.join("plugins/target");
    let built = build(toolchain, &root.join("tests/guests"), &target_dir);
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    let file = target_dir.join(TARGET).join("release").join(name);
    Some(fs::read(file.with_extension("wasm")).expect("it was built"))
}

fn build(toolchain: WasmToolchain, guests: &Path, target_dir: &Path) -> Output {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--locked", "--target", TARGET]);
    cargo.arg("--target-dir").arg(target_dir);
    cargo.current_dir(guests).output().expect("cargo runs")
}
