//! Embeds the plugins of `../plugins` as `builtin:NAME`, when a Wasm target is at hand; and the contract and the SDK, for
//! `plugin new`.
//!
//! Without one the build goes on, and says which plugins it leaves out and what mends it.

#[allow(dead_code, reason = "shared with the command `plugin build`")]
#[path = "src/cli/settings_schema.rs"]
mod settings_schema;
#[allow(dead_code, reason = "shared with the command `plugin build`")]
#[path = "src/cli/wasm_toolchain.rs"]
mod wasm_toolchain;

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use wasm_toolchain::{REMEDY, TARGET, WasmToolchain};

fn main() -> io::Result<()> {
    // Where the package is now: what was compiled in may have been another folder.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?;
    let root = Path::new(&manifest).join("..");
    let plugins = root.join("plugins");
    let names = plugin_names(&plugins)?;
    watch(&root, &plugins, &names);
    embed_sdk(&root)?;
    let embedded = match build(&plugins) {
        Ok(built) => names
            .iter()
            .filter_map(|name| Some((name, with_schema(&plugins, name, &built)?)))
            .collect(),
        Err(why) => {
            println!("cargo:warning=not embedded: {}: {why}", names.join(", "));
            Vec::new()
        }
    };
    let mut source = String::from("const EMBEDDED: &[(&str, &[u8])] = &[\n");
    for (name, file) in &embedded {
        writeln!(source, "    ({name:?}, include_bytes!({file:?})),").expect("a string takes all");
    }
    let left_out: Vec<_> = names
        .iter()
        .filter(|name| !embedded.iter().any(|(known, _)| known == name))
        .collect();
    writeln!(source, "];\nconst LEFT_OUT: &[&str] = &{left_out:?};").expect("a string takes all");
    fs::write(generated("builtin.rs"), source)
}

fn generated(name: &str) -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("set by Cargo")).join(name)
}

/// The contract and the SDK as texts, for the folders that `plugin new` makes.
fn embed_sdk(root: &Path) -> io::Result<()> {
    let mut source = String::new();
    for (constant, folder, parts) in [
        ("WIT", "wit", &["."][..]),
        ("SDK", "plugin-sdk", &["Cargo.toml", "src"]),
    ] {
        writeln!(source, "const {constant}: &[(&str, &str)] = &[").expect("a string takes all");
        let folder = fs::canonicalize(root.join(folder))?;
        let mut files = Vec::new();
        for part in parts {
            gather(&folder.join(part), &mut files)?;
        }
        for file in files {
            let name = file.strip_prefix(&folder).unwrap_or(&file);
            writeln!(source, "    ({name:?}, include_str!({file:?})),")
                .expect("a string takes all");
        }
        source.push_str("];\n");
    }
    fs::write(generated("sdk.rs"), source)
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.components().collect());
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    entries
        .iter()
        .try_for_each(|entry| gather(&entry.path(), files))
}

/// Every folder with a manifest is a plugin of its folder's name.
fn plugin_names(plugins: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(plugins)? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            names.extend(
                path.file_name()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned),
            );
        }
    }
    names.sort();
    Ok(names)
}

fn watch(root: &Path, plugins: &Path, names: &[String]) {
    // scripts/setup-wasm.sh touches this file when it has found or made a toolchain.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/cli/settings_schema.rs");
    println!("cargo:rerun-if-changed=src/cli/wasm_toolchain.rs");
    println!("cargo:rerun-if-env-changed=RUSTUP_TOOLCHAIN");
    let sources = ["wit", "plugin-sdk/src", "plugin-sdk/Cargo.toml"].map(|path| root.join(path));
    let workspace = ["Cargo.toml", "Cargo.lock", ".cargo"].map(|path| plugins.join(path));
    let members = names.iter().map(|name| plugins.join(name));
    for path in sources.into_iter().chain(workspace).chain(members) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
}

/// The folder of the built components.
fn build(plugins: &Path) -> Result<PathBuf, String> {
    let Some(toolchain) = WasmToolchain::find() else {
        return Err(format!(
            "no toolchain here has the target {TARGET}; {REMEDY}, and build again"
        ));
    };
    let target_dir = plugins.join("target");
    let output = toolchain
        .cargo()
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&target_dir)
        // Where Cargo finds the linker of sealed components, in `.cargo/config.toml`.
        .current_dir(plugins)
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let error = text
            .lines()
            .find(|line| line.starts_with("error"))
            .unwrap_or("no reason given");
        return Err(format!(
            "{error}; see: cd plugins && cargo build --release --target {TARGET}"
        ));
    }
    Ok(target_dir.join(TARGET).join("release"))
}

/// What was built, with the schema of its settings, in a place of its own: Cargo's file stays as it is.
fn with_schema(plugins: &Path, name: &str, built: &Path) -> Option<PathBuf> {
    let own = generated(name).with_extension("wasm");
    fs::copy(built_file(built, name)?, &own).ok()?;
    let schema = plugins.join(name).join(settings_schema::FILE);
    settings_schema::add(&schema, &own).ok()?;
    Some(own)
}

fn built_file(built: &Path, name: &str) -> Option<PathBuf> {
    let file = built.join(name.replace('-', "_")).with_extension("wasm");
    fs::canonicalize(file).ok()
}
