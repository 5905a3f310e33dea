//! Compiling in a child, and the cache that its work goes to.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use jackfield_plugin_host::{Cache, CompileLimits, Compiler, Engine, Plugin, PluginError};

use crate::guests::Guest;

const CHILD: &str = env!("CARGO_BIN_EXE_compile-child");

fn child(dir: &Path, program: &str, limits: CompileLimits) -> Compiler {
    Compiler::child(program, [], limits, Cache::open(dir).unwrap())
}

fn load(dir: &Path) -> Result<Plugin, PluginError> {
    load_by(child(dir, CHILD, CompileLimits::default()))
}

fn load_by(compiler: Compiler) -> Result<Plugin, PluginError> {
    Plugin::load(&Engine::new(), &compiler, &Guest::new().component(), &[])
}

/// Compiled files, and nothing temporary left behind.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.file_name().unwrap() != "key");
    assert!(
        files
            .iter()
            .all(|path| path.extension().is_some_and(|e| e == "code")),
        "{files:?}"
    );
    files
}

/// Puts a program in the place of the compiler.
fn script(dir: &Path, text: &str) -> String {
    let path = dir.join("compiler.sh");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn compiled_once_then_taken_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    load(&cache).unwrap();
    assert_eq!(files(&cache).len(), 1);
    // A compiler that cannot run is not asked again.
    load_by(child(&cache, "/nonexistent", CompileLimits::default())).unwrap();
    assert!(
        Plugin::load(
            &Engine::new(),
            &child(&cache, "/nonexistent", CompileLimits::default()),
            &Guest::new().pages(2).component(),
            &[]
        )
        .is_err_and(|error| matches!(error, PluginError::Io { .. }))
    );
}

#[test]
fn the_cache_is_for_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("deep/cache");
    load(&cache).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&cache.join("key")), 0o600);
    assert_eq!(mode(&files(&cache)[0]), 0o600);
}

#[test]
fn a_tampered_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    let file = files(dir.path()).remove(0);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bad in [
        &flipped[..],
        &good[..good.len() - 1],
        b"short",
        b"",
        &good[32..],
    ] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bad).unwrap();
        let broken = child(dir.path(), "/nonexistent", CompileLimits::default());
        assert!(
            load_by(broken).is_err(),
            "what does not authenticate is not loaded"
        );
        assert!(!file.exists());
        load(dir.path()).unwrap();
        assert_eq!(fs::read(&file).unwrap().len(), good.len());
    }
}

#[test]
fn a_file_cannot_stand_in_for_another() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    let one = files(dir.path()).remove(0);
    let other = Guest::new().pages(2).component();
    let compiler = child(dir.path(), CHILD, CompileLimits::default());
    Plugin::load(&Engine::new(), &compiler, &other, &[]).unwrap();
    let two = files(dir.path())
        .into_iter()
        .find(|path| *path != one)
        .unwrap();
    fs::rename(&two, &one).unwrap();
    assert!(load_by(child(dir.path(), "/nonexistent", CompileLimits::default())).is_err());
}

#[test]
fn without_its_key_the_cache_is_worth_nothing() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path()).unwrap();
    fs::remove_file(dir.path().join("key")).unwrap();
    assert!(load_by(child(dir.path(), "/nonexistent", CompileLimits::default())).is_err());
    // A key that others could read is no key.
    load(dir.path()).unwrap();
    let key = dir.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load_by(child(dir.path(), "/nonexistent", CompileLimits::default())).is_err());
}

#[test]
fn a_compiler_that_takes_too_long_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let slow = script(dir.path(), "exec sleep 60");
    let limits = CompileLimits {
        wall: Duration::from_millis(50),
        ..CompileLimits::default()
    };
    let error = load_by(child(&dir.path().join("cache"), &slow, limits))
        .err()
        .unwrap();
    assert!(matches!(error, PluginError::CompileStopped(_)), "{error}");
    assert_eq!(
        files(&dir.path().join("cache")),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn a_compiler_that_takes_too_much_memory_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let limits = CompileLimits {
        memory: 64 << 20,
        ..CompileLimits::default()
    };
    let functions = "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))";
    let large = Guest::new()
        .functions(&functions.repeat(20_000))
        .component();
    let compiler = child(dir.path(), CHILD, limits);
    let error = Plugin::load(&Engine::new(), &compiler, &large, &[])
        .err()
        .unwrap();
    assert!(
        matches!(&error, PluginError::CompileStopped(why) if why.contains("memory")),
        "{error}"
    );
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_compile_bomb_is_stopped_and_the_cache_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let limits = CompileLimits {
        wall: Duration::from_millis(150),
        ..CompileLimits::default()
    };
    // One function as long as many: what a compiler does to it grows faster than its text.
    let step = "(local.set 0 (i32.mul (local.get 0) (i32.add (local.get 0) (i32.const 7))))";
    let body = step.repeat(30_000);
    let bomb = Guest::new().functions(&format!(
        "(func (param i32) (result i32) {body} (local.get 0))"
    ));
    let compiler = child(dir.path(), CHILD, limits);
    let stopped = Plugin::load(&Engine::new(), &compiler, &bomb.component(), &[]);
    let error = stopped.err().unwrap();
    assert!(matches!(error, PluginError::CompileStopped(_)), "{error}");
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_compiler_that_writes_nonsense_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    for (text, what) in [
        ("echo nonsense", "another version"),
        ("echo sorry >&2; exit 1", "sorry"),
        ("kill -9 $$", "stopped"),
        ("true", "another version"),
    ] {
        let error = load_by(child(
            &cache,
            &script(dir.path(), text),
            CompileLimits::default(),
        ));
        let error = error.err().unwrap().to_string();
        assert!(error.contains(what), "{text}: {error}");
        load(&cache).unwrap();
        fs::remove_file(&files(&cache)[0]).unwrap();
    }
}

#[test]
fn the_compiler_does_not_see_the_brokers_environment() {
    let dir = tempfile::tempdir().unwrap();
    let spy = script(
        dir.path(),
        r#"env | grep -q '^CARGO\|^HOME' && echo leaked >&2 || echo clean >&2; exit 1"#,
    );
    let error = load_by(child(
        &dir.path().join("cache"),
        &spy,
        CompileLimits::default(),
    ));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("clean"), "{error}");
}
