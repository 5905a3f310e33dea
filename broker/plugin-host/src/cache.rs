//! Compiled components on disk.
//!
//! Compiled code is machine code: whoever can write it runs in the broker. So the directory is
//! ours alone (0700), and each file begins with an HMAC-SHA256 over its name and content, under a
//! random key that lies beside it (0600). The name comes from the component's digest, the runtime's
//! version and its settings, so that nothing stale fits and no file can stand in for another. What
//! does not authenticate is deleted and compiled again.
//!
//! A file appears by rename, whole or not at all, and is never changed afterwards.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::{Digest, Engine, PluginError};

/// Where compiled components are kept.
#[derive(Clone)]
pub struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
}

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
/// Older ones go when there are more.
const FILES_MAX: usize = 64;

impl Cache {
    /// Creates the directory and its key when they are missing.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, PluginError> {
        let dir = dir.into();
        let what = format!("cannot use the plugin cache {}", dir.display());
        Self::open_dir(dir).map_err(PluginError::io(what))
    }

    fn open_dir(dir: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        let key = read_or_make_key(&dir.join("key"))?;
        Ok(Self { dir, key })
    }

    /// The compiled component, if this host wrote it.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let file = fs::read(&path).ok()?;
        let code = self.authenticated(&path, &file);
        let component = code.and_then(|code| deserialize(engine, code));
        if component.is_none() {
            tracing::warn!(
                file = %path.display(),
                "a compiled plugin in the cache is not as it was written; compiling it again"
            );
            let _ = fs::remove_file(&path);
        }
        component
    }

    pub(crate) fn store(&self, engine: &Engine, digest: &Digest, code: &[u8]) -> io::Result<()> {
        let path = self.path(engine, digest);
        let mut file = self.temporary()?;
        file.as_file_mut()
            .write_all(&self.tag(&path, code).finalize().into_bytes())?;
        file.as_file_mut().write_all(code)?;
        file.persist(&path).map_err(|error| error.error)?;
        self.prune();
        Ok(())
    }

    /// A file in the directory that goes away by itself.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new()
            .prefix("tmp-")
            .tempfile_in(&self.dir)
    }

    fn path(&self, engine: &Engine, digest: &Digest) -> PathBuf {
        let name = Sha256::new()
            .chain_update(digest.as_bytes())
            .chain_update(engine.fingerprint().to_be_bytes())
            .finalize();
        let name = Digest::from(<[u8; 32]>::from(name)).to_string();
        self.dir.join(&name[..40]).with_extension("code")
    }

    fn authenticated<'f>(&self, path: &Path, file: &'f [u8]) -> Option<&'f [u8]> {
        let (tag, code) = file.split_at_checked(TAG_BYTES)?;
        self.tag(path, code).verify_slice(tag).ok()?;
        Some(code)
    }

    fn tag(&self, path: &Path, code: &[u8]) -> Hmac<Sha256> {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.chain_update(name).chain_update(code)
    }

    /// Keeps the directory bounded. A file that cannot be removed is tried again next time.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "code")
            })
            .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
            .collect();
        files.sort_unstable();
        let surplus = files.len().saturating_sub(FILES_MAX);
        for (_, path) in &files[..surplus] {
            let _ = fs::remove_file(path);
        }
    }
}

/// Another process may make the key at the same moment: one of them wins, both use it.
fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix("tmp-").tempfile_in(dir)?;
    file.as_file_mut().write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(lost) => read_key(path)?.ok_or(lost.error),
    }
}

/// None when there is no key, or none that only we could read: then it is worth nothing.
fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let private = file.metadata()?.permissions().mode() & 0o077 == 0;
    let mut key = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    match <[u8; KEY_BYTES]>::try_from(key) {
        Ok(key) if private => Ok(Some(key)),
        _ => fs::remove_file(path).map(|()| None),
    }
}

/// None when the runtime does not take it.
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    #[allow(unsafe_code, reason = "loading compiled code is unsafe by contract")]
    // SAFETY: the bytes authenticated under a key that only this host knows, so they are what
    // `Component::serialize` gave it, unchanged; the runtime itself checks version and settings.
    let component = unsafe { Component::deserialize(engine.runtime(), code) };
    component.ok()
}
