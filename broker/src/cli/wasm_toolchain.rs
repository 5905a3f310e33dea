//! Which Rust toolchain of this machine can build plugins. Shared with `build.rs`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::PathBuf,
    process::Command,
};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// What mends it when there is none.
pub(crate) const REMEDY: &str = "run `rustup target add wasm32-unknown-unknown`, or scripts/setup-wasm.sh in Jackfield's source";

/// The toolchain that scripts/setup-wasm.sh links where rustup may not download.
const LINKED: &str = "jackfield-wasm";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WasmToolchain {
    Active,
    Linked,
}

impl WasmToolchain {
    /// The active toolchain if it has the target, else the linked one if it is there.
    pub(crate) fn find() -> Option<Self> {
        [Self::Active, Self::Linked]
            .into_iter()
            .find(Self::has_target)
    }

    /// A `cargo` that builds plugins, free of what an outer build has put into the environment, and silent about where on
    /// this machine the sources lie: panics name source files, and components travel.
    pub(crate) fn cargo(self) -> Command {
        let mut command = match self {
            Self::Active => Command::new(tool("CARGO", "cargo")),
            Self::Linked => run_linked("cargo"),
        };
        for (name, _) in env::vars_os() {
            if leaks(&name) {
                command.env_remove(name);
            }
        }
        // Makes a component, and imports nothing the source does not: no WASI. Before the subcommand, where another
        // `--config` behind it would undo both.
        let linker = format!("target.{TARGET}.linker=\"wasm-component-ld\"");
        let flags = format!("target.{TARGET}.rustflags={:?}", remapped());
        command.args(["--config", &linker, "--config", &flags]);
        command
    }

    fn has_target(&self) -> bool {
        let mut rustc = match self {
            Self::Active => Command::new(tool("RUSTC", "rustc")),
            Self::Linked => run_linked("rustc"),
        };
        rustc.args(["--print", "target-libdir", "--target", TARGET]);
        // A look must never download.
        rustc.env("RUSTUP_AUTO_INSTALL", "0");
        let Ok(output) = rustc.output() else {
            return false;
        };
        let dir = String::from_utf8_lossy(&output.stdout);
        let Ok(files) = fs::read_dir(dir.trim()) else {
            return false;
        };
        output.status.success()
            && files
                .flatten()
                .any(|file| file.file_name().to_string_lossy().starts_with("libstd"))
    }
}

/// The same for every folder, or what is built of one would be built again for the next. The last that fits wins.
fn remapped() -> Vec<String> {
    let home = env::home_dir();
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(home.as_ref()?.join(".cargo")));
    { [(home, "/home"), (cargo, "/cargo")].into_iter() }
        .filter_map(|(from, to)| Some(format!("--remap-path-prefix={}={to}", from?.display())))
        .collect()
}

/// What an outer Cargo says it was started as.
fn tool(variable: &str, default: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| default.into())
}

fn run_linked(tool: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", LINKED, tool]);
    command
}

/// Flags and tools of an outer build belong to its target, not to ours.
fn leaks(name: &OsStr) -> bool {
    const EXACT: [&str; 9] = [
        "RUSTFLAGS",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "RUSTDOC",
        "CARGO_TARGET_DIR",
        "TARGET",
        "OUT_DIR",
    ];
    const FAMILIES: [&str; 5] = [
        "CARGO_ENCODED_",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_PROFILE_",
    ];
    let name = name.to_string_lossy();
    EXACT.contains(&&*name) || FAMILIES.iter().any(|family| name.starts_with(family))
}
